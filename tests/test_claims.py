"""The paper's claims as equations, on the real default model and the bundled pictures.

Oh and Noh, BMVC 2025, arXiv 2511.05590: (1) softmax cannot see an additive logit shift, maps do, and so does a sigmoid;
(2) signs, and with them whole regions of a map, collapse under a shift that changes no prediction.
"""

from __future__ import annotations

import pytest
import torch
from random_heads import class_centred_map, shifted_probabilities
from tolerances import FLOAT32, PROBABILITY, assert_close
from torch import Tensor

from bsig.explain.diagnostics.absent_classes import positive_area
from bsig.explain.diagnostics.logit_shift import (
    class_map,
    map_movement,
    probability_change,
    shared_energy_share,
    uniform_shift,
)
from bsig.explain.diagnostics.painted_shift import TARGETS, painted_shift, target_at_cell, target_map
from bsig.explain.diagnostics.sign_collapse import collapse_margin, sign_disagreement
from bsig.inputs.images import crop_image, read_image
from bsig.inputs.paths import EXAMPLES as EXAMPLES_FOLDER
from bsig.inputs.tensors import input_batch
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import shifted_rows

EXAMPLES = sorted(EXAMPLES_FOLDER.glob("*.jpg"))


@pytest.fixture(scope="module")
def features(default_model: DualBranch) -> Tensor:
    """Of all bundled pictures, (b, k, h, w)."""
    preprocessing = default_model.preprocessing
    crops = [crop_image(read_image(path), preprocessing) for path in EXAMPLES]
    return default_model.features(input_batch(crops, preprocessing))


@pytest.fixture(scope="module")
def head(default_model: DualBranch) -> tuple[Tensor, Tensor]:
    linear = default_model.softmax_head.last_linear
    return linear.weight.detach(), linear.bias.detach()


@pytest.fixture(scope="module")
def predicted(features: Tensor, head: tuple[Tensor, Tensor]) -> list[int]:
    return (features.mean(dim=(2, 3)) @ head[0].T + head[1]).argmax(dim=1).tolist()


def test_mean_of_the_map_plus_bias_is_the_logit(
    default_model: DualBranch, features: Tensor, head: tuple[Tensor, Tensor]
) -> None:
    maps = torch.stack([class_map(features[0], head[0], index) for index in range(len(head[0]))])
    logits = maps.mean(dim=(1, 2)) + head[1]
    assert_close(logits, default_model.softmax_logits(features)[0], FLOAT32)


@pytest.mark.parametrize("name", list(TARGETS))
def test_a_map_painted_on_one_picture_changes_no_probability_on_any(
    features: Tensor, head: tuple[Tensor, Tensor], predicted: list[int], name: str
) -> None:
    (weight, bias), c = head, predicted[0]
    own = class_map(features[0], weight, c)
    target = target_map(own, name)
    shift = painted_shift(features[0], weight[c], target)
    doctored = shifted_rows(weight, shift.vector)
    assert_close(class_map(features[0], doctored, c), target, FLOAT32._replace(absolute=1e-4))
    assert probability_change(features.mean(dim=(2, 3)), weight, bias, shift.vector) <= PROBABILITY.absolute
    for picture, index in zip(features, predicted, strict=True):
        before, after = class_map(picture, weight, index), class_map(picture, doctored, index)
        assert float((after - before).abs().max()) > 0.01 * float(before.abs().max())


def test_the_maximum_goes_to_every_cell_that_is_clicked(
    features: Tensor, head: tuple[Tensor, Tensor], predicted: list[int]
) -> None:
    (weight, _), c = head, predicted[0]
    own = class_map(features[0], weight, c)
    h, w = own.shape
    for cell in range(h * w):
        row, column = divmod(cell, w)
        painted = painted_shift(features[0], weight[c], target_at_cell(own, row, column))
        assert int(class_map(features[0], shifted_rows(weight, painted.vector), c).argmax()) == cell


@pytest.mark.parametrize("delta", [-0.04, -0.01, 0.02])
def test_sigmoid_sees_the_shift_that_softmax_does_not(
    features: Tensor, head: tuple[Tensor, Tensor], delta: float
) -> None:
    pooled, (weight, bias) = features.mean(dim=(2, 3)), head
    vector = uniform_shift(weight.shape[1], delta)
    assert probability_change(pooled, weight, bias, vector) <= PROBABILITY.absolute
    before, after = shifted_probabilities(pooled, weight, bias, vector, "sigmoid")
    assert float((after - before).abs().max()) > 0.1


def test_the_class_centred_map_stays(features: Tensor, head: tuple[Tensor, Tensor], predicted: list[int]) -> None:
    (weight, _), draw = head, torch.Generator().manual_seed(0)
    shifted_weight = shifted_rows(weight, weight.std() * torch.randn(weight.shape[1], generator=draw))
    for picture, index in zip(features, predicted, strict=True):
        before, after = (class_centred_map(picture, head, index) for head in (weight, shifted_weight))
        assert_close(after, before, FLOAT32._replace(absolute=1e-4))
        assert map_movement(before, after).top_iou == 1
        movement = map_movement(class_map(picture, weight, index), class_map(picture, shifted_weight, index))
        assert movement.correlation is not None
        assert movement.correlation < 0.999


def test_sign_collapse_takes_the_region_and_leaves_the_prediction(
    features: Tensor, head: tuple[Tensor, Tensor], predicted: list[int]
) -> None:
    weight, bias = head
    for picture, index in zip(features, predicted, strict=True):
        margin = collapse_margin(picture, weight[index]).delta
        assert margin is not None
        vector = uniform_shift(weight.shape[1], -3 * margin)
        collapsed = shifted_rows(weight, vector)
        before, after = class_map(picture, weight, index), class_map(picture, collapsed, index)
        assert positive_area(after) < 0.5 * positive_area(before)
        assert sign_disagreement(weight[index], collapsed[index]) > 0.1
        pooled = picture.mean(dim=(1, 2))[None]
        assert probability_change(pooled, weight, bias, vector) <= PROBABILITY.absolute
        # The same on a sigmoid: the class is denied, as the map says.
        before, after = shifted_probabilities(pooled, weight, bias, vector, "sigmoid")
        assert float(after[0, index]) < float(before[0, index])


def test_what_is_possible_is_not_what_is_actual(head: tuple[Tensor, Tensor]) -> None:
    """This published head has hardly any shared component; nothing but its training's start made it so."""
    assert shared_energy_share(head[0]) == pytest.approx(3.4e-5, rel=0.02)
