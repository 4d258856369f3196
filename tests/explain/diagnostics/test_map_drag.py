"""A dragged map is the map of the head that is really shifted, and so are the probabilities beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT32, IDENTITY, PROBABILITY, assert_close

from bsig import Explainer, InputError
from bsig.explain.diagnostics.map_drag import MapDrag, map_drag
from bsig.explain.diagnostics.painted_shift import painted_shift
from bsig.explain.diagnostics.shift_request import ShiftRequest, shifted_picture
from bsig.explain.diagnostics.shifted_model import shifted_image
from bsig.explain.explainer import EncodedImage
from bsig.inputs.paths import EXAMPLES
from bsig.model.backbones import classifier_from_timm
from bsig.model.dual_branch import DualBranch

CLASS = 281
PLACES = [(0, 6), (2.4, 3.75), (6.5, -0.5)]


def _solved(encoded: EncodedImage, drag: MapDrag, target: np.ndarray) -> torch.Tensor:
    """The vector that paints a target over the drag's branch."""
    head = encoded.model.softmax_head if drag.branch == "softmax" else encoded.model.sigmoid_head
    row = head.last_linear.weight[CLASS].detach()
    return painted_shift(encoded.features[0], row, torch.from_numpy(target).to(row)).vector.to(row)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_dragged_map_is_that_of_the_shifted_head(encoded: EncodedImage, place: tuple[float, float]) -> None:
    picture = shifted_picture(encoded, CLASS, "cam", ShiftRequest(cell=place))
    drag = map_drag(encoded, CLASS)
    assert_close(drag.painted_map(place).astype(np.float32), picture.after.softmax.map, FLOAT32)
    assert_close(drag.own_map, picture.before.softmax.map, IDENTITY)


def test_softmax_probabilities_are_the_models_and_stand_still_everywhere(encoded: EncodedImage) -> None:
    drag = map_drag(encoded, CLASS)
    probabilities = encoded.probabilities()[0].sort(descending=True).values[:5]
    own = drag.probabilities(drag.own_map.astype(np.float64))
    assert_close(torch.from_numpy(own[:5]).float(), probabilities, PROBABILITY)
    for place in PLACES:
        assert_close(drag.probabilities(drag.painted_map(place)), own, IDENTITY)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_sigmoid_probabilities_move_as_the_shifted_heads_do(encoded: EncodedImage, place: tuple[float, float]) -> None:
    drag = map_drag(encoded, CLASS, "sigmoid")
    target = drag.painted_map(place)
    after_shift = shifted_image(encoded, _solved(encoded, drag, target))
    indices = [encoded.model.class_index(name) for name in drag.class_names]
    logits = after_shift.sigmoid_logits[indices]
    presence = encoded.model.presence
    expected = presence.probability(logits) if presence else logits.sigmoid()
    assert_close(torch.from_numpy(drag.probabilities(target)).float(), expected, PROBABILITY._replace(absolute=1e-4))
    assert drag.is_calibrated == (presence is not None)
    assert np.abs(drag.probabilities(target) - drag.probabilities(drag.own_map.astype(np.float64))).max() > 1e-3


def test_a_drag_that_keeps_the_mean_hides_on_its_picture_and_shows_on_another(encoded: EncodedImage) -> None:
    drag = map_drag(encoded, CLASS, "sigmoid")
    target = drag.painted_map((0, 0))
    vector = _solved(encoded, drag, target - target.mean() + drag.own_map.mean())
    assert_close(shifted_image(encoded, vector).probabilities()[1], encoded.probabilities()[1], FLOAT32)
    other = Explainer(encoded.model).encode(EXAMPLES / "coffee.jpg")
    assert float((shifted_image(other, vector).probabilities()[1] - other.probabilities()[1]).abs().max()) > 0.05


@given(seed=st.integers(0, 1000), shift=st.floats(-20, 20))
def test_of_all_classes_or_of_five_the_probabilities_are_a_softmax(seed: int, shift: float) -> None:
    generator = np.random.default_rng(seed)
    own, logits = generator.normal(size=(3, 5)).astype(np.float32), generator.normal(size=8)
    softmax = np.exp(logits) / np.exp(logits).sum()
    names = tuple("abcdefgh")
    whole = MapDrag("a", "softmax", own, None, names, logits)
    part = MapDrag("a", "softmax", own, None, names[:5], logits[:5], float(np.log(np.exp(logits[5:]).sum())))
    target = own.astype(np.float64) + shift
    assert_close(whole.probabilities(target), softmax, IDENTITY)
    assert_close(part.probabilities(target), softmax[:5], IDENTITY)
    # by hand: the mean of the map moves by `shift`, so does every logit
    sigmoid = MapDrag("a", "sigmoid", own, None, names, logits, offset=1.5, temperature=0.5)
    mean_shift = target.mean() - own.mean(dtype=np.float64)
    assert_close(sigmoid.probabilities(target), 1 / (1 + np.exp(-(logits + mean_shift - 1.5) / 0.5)), IDENTITY)


def test_what_cannot_be_dragged_is_refused(encoded: EncodedImage) -> None:
    with pytest.raises(InputError, match="must be a cell of the 7 x 7 grid"):
        map_drag(encoded, CLASS).painted_map((7, 0))
    torch.manual_seed(3)
    model = DualBranch(classifier_from_timm("test_convnext", pretrained=False))
    with pytest.raises(InputError, match="Dragging a map needs a head of average pool"):
        map_drag(Explainer(model).encode(EXAMPLES / "cat.jpg"), 0)
