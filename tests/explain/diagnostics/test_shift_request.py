"""A shift that is asked for moves the softmax map as asked and no softmax probability; what moves is what is told."""

from __future__ import annotations

import copy
import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from tolerances import FLOAT32, PROBABILITY, assert_close

from bsig import Explainer, InputError
from bsig.explain.diagnostics.absent_classes import positive_area
from bsig.explain.diagnostics.logit_shift import MapMovement, shared_energy_share
from bsig.explain.diagnostics.painted_shift import TARGETS
from bsig.explain.diagnostics.shift_request import (
    UNPAINTED_DELTA,
    ShiftRequest,
    looks_moved,
    movement_sentence,
    possible_request,
    probability_sentence,
    shift_finding,
    shift_json,
    shift_method,
    shift_vector,
    shifted_picture,
    strongest_channels_of,
)
from bsig.explain.diagnostics.shift_survey import DELTAS, delta_curves, delta_of_shift, shared_share, zero_survey
from bsig.explain.explainer import EncodedImage
from bsig.explain.methods import CAM_METHODS
from bsig.model.backbones import classifier_from_timm
from bsig.model.dual_branch import DualBranch
from bsig.model.presence import PresenceCalibration
from bsig.ui.components.examples import bundled_examples

CAT = bundled_examples()[0].path
CLASS = 281


@pytest.fixture(scope="module")
def inexact() -> EncodedImage:
    """A picture seen by a head that mixes its channels before the last layer."""
    torch.manual_seed(3)
    model = DualBranch(classifier_from_timm("test_convnext", pretrained=False))
    assert not model.softmax_head.cam_is_exact
    return Explainer(model).encode(CAT)


REQUESTS = [
    *(ShiftRequest(target=target) for target in TARGETS),
    ShiftRequest(cell=(6, 0)),
    ShiftRequest("uniform", delta=-0.03),
    ShiftRequest("channel"),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_every_request_moves_the_map_and_no_softmax_probability(encoded: EncodedImage, request_: ShiftRequest) -> None:
    picture = shifted_picture(encoded, CLASS, "cam", request_)
    assert_close(*picture.probabilities("softmax"), PROBABILITY)
    assert not np.allclose(picture.before.softmax.map, picture.after.softmax.map, atol=1e-3)
    assert_close(picture.after.centred.map, picture.before.centred.map, FLOAT32)
    change = np.einsum("k,khw->hw", picture.vector.numpy(), encoded.features[0].numpy())
    assert_close(picture.after.softmax.map - picture.before.softmax.map, change, FLOAT32)
    assert picture.largest_change("sigmoid") > 1e-6


def test_a_painted_cell_is_where_the_maximum_is(encoded: EncodedImage) -> None:
    after = shifted_picture(encoded, CLASS, "cam", ShiftRequest(cell=(6, 0))).after.softmax.map
    assert np.unravel_index(after.argmax(), after.shape) == (6, 0)
    assert "row 7, column 1" in shift_vector(encoded, CLASS, ShiftRequest(cell=(6, 0)))[1]


def test_the_vector_of_a_request_is_what_its_words_say(encoded: EncodedImage) -> None:
    vector, words = shift_vector(encoded, CLASS, ShiftRequest("uniform", delta=-0.03))
    assert (vector == -0.03).all()
    assert words == "-0.030 added to every weight of every class"
    vector, words = shift_vector(encoded, CLASS, ShiftRequest("channel", channel=7, channel_delta=0.5))
    assert vector.nonzero().flatten().tolist() == [7]
    assert float(vector[7]) == 0.5
    assert words == "+0.50 added to channel 7 of every class"
    strongest = strongest_channels_of(encoded, CLASS)[0]
    assert shift_vector(encoded, CLASS, ShiftRequest("channel"))[0].nonzero().flatten().tolist() == [strongest]


def test_the_strongest_channels_have_most_evidence(encoded: EncodedImage) -> None:
    evidence = [
        abs(float(encoded.model.softmax_head.last_linear.weight[CLASS, k])) * float(encoded.features[0, k].abs().mean())
        for k in range(encoded.features.shape[1])
    ]
    order = sorted(range(len(evidence)), key=lambda k: -evidence[k])
    assert strongest_channels_of(encoded, CLASS, 5) == order[:5]


def test_no_shift_says_so_and_a_shift_says_how_far(encoded: EncodedImage) -> None:
    assert shift_finding(shifted_picture(encoded, CLASS, "cam", ShiftRequest("uniform"))).startswith("No shift yet")
    picture = shifted_picture(encoded, CLASS, "cam", ShiftRequest(cell=(6, 0)))
    correlation = f"{picture.movement('softmax').correlation:+.2f}".replace("-", "−")
    assert f"correlation with the original {correlation}" in shift_finding(picture)
    assert picture.movement("centred").correlation == pytest.approx(1, abs=1e-4)


MOVEMENTS = [
    *(MapMovement(correlation, 0.5, move)
      for correlation, move in itertools.product((-0.32, 0.0, 0.97, 0.994, 0.996, 1.0), (0.0, 1.0, 2**0.5, 8.5))),
    MapMovement(None, None, None, "The map after the shift is flat: it has no maximum left."),
]  # fmt: skip
AREAS = list(itertools.product((0.0, 0.163, 0.161, 1.0), repeat=2))


def test_no_sentence_on_a_shifted_map_says_what_its_numbers_do_not() -> None:
    for movement, areas in itertools.product(MOVEMENTS, AREAS):
        text = movement_sentence("cat", movement, areas)
        same = text == movement_sentence("cat", MapMovement(1.0, 1.0, 0.0), areas)
        assert ("flat" in text) == (movement.correlation is None)
        assert (" moved: " in text) == bool(movement.peak_move)
        assert ("maximum in the same cell" in text) == (movement.peak_move == 0)
        assert "0 cells" not in text.replace("10 cells", "")
        assert (" 1 cell." in text) == (movement.peak_move == 1)
        assert ("hardly changed its order of places" in text) == same
        pair = re.search(r"goes from (.+) to (.+)\.", text)
        assert pair is None or pair[1] != pair[2]
        # Another heatmap is spoken of only where something that is printed of the two differs.
        assert looks_moved(movement, areas) == (not same or pair is not None)


def test_no_sentence_on_shifted_probabilities_says_what_its_numbers_do_not() -> None:
    numbers = (0.0, 0.0004, 0.161, 0.163, 0.209, 0.214, 0.9995, 1.0)
    for before, after, change, is_moved in itertools.product(numbers, numbers, (0.0, 3e-8), (True, False)):
        text = probability_sentence("cat", change, (before, after), is_moved)
        pair = re.search(r"goes from (.+) to (.+)\.", text)
        assert pair is None or pair[1] != pair[2]
        assert ("branch shows it" in text) == (abs(after - before) >= 0.05)
        assert ("goes from" in text) >= ("branch shows it" in text)
        assert ("another heatmap" in text) == is_moved
        assert ("by more than" in text) == (change > 0)


def test_a_small_uniform_shift_moves_no_maximum_and_a_long_one_is_some_times_as_long(encoded: EncodedImage) -> None:
    small = shift_finding(shifted_picture(encoded, CLASS, "cam", ShiftRequest("uniform", delta=-1e-5)))
    assert "nearly the same heatmap" in small
    assert "its maximum in the same cell" in small
    weight = encoded.model.softmax_head.last_linear.weight
    vector, words = shift_vector(encoded, CLASS, ShiftRequest(cell=(6, 0)))
    ratio = float(vector.norm() / weight.norm(dim=1).mean())
    length = f"{100 * ratio:.0f} % as long as" if ratio < 0.9 else f"{ratio:.1f} times as long as"
    assert length in words


def test_presence_is_calibrated_where_the_model_is(encoded: EncodedImage) -> None:
    shifted_view = shifted_picture(encoded, CLASS, "cam", ShiftRequest(cell=(6, 0)))
    calibration = PresenceCalibration(temperature=0.5, offset=2.0, pictures=1)
    for calibrated in (True, False):
        model = copy.copy(encoded.model)
        model.presence = calibration if calibrated else None
        before, after = replace(shifted_view, encoded=replace(encoded, model=model)).presence()
        for probability, picture in ((before, encoded), (after, shifted_view.shifted)):
            logits = (picture.sigmoid_logits - 2.0) / 0.5 if calibrated else picture.sigmoid_logits
            assert_close(probability, logits.sigmoid(), PROBABILITY)


@pytest.mark.parametrize(
    "bad", [ShiftRequest(target="moon"), ShiftRequest(cell=(7, 0)), ShiftRequest("channel", channel=9999)], ids=str
)
def test_a_request_that_the_head_has_not_is_refused(encoded: EncodedImage, bad: ShiftRequest) -> None:
    with pytest.raises(InputError):
        shifted_picture(encoded, CLASS, "cam", bad)


def test_the_json_is_json_and_holds_both_maps(encoded: EncodedImage) -> None:
    entries = json.loads(json.dumps(shift_json(shifted_picture(encoded, CLASS, "cam", ShiftRequest()))))
    for branch in ("softmax", "sigmoid", "centred"):
        assert np.shape(entries[f"{branch}_map"]["before"]) == np.shape(entries[f"{branch}_map"]["after"]) == (7, 7)
    assert entries["class_index"] == CLASS
    assert entries["largest_softmax_probability_change"] < PROBABILITY.absolute


def test_painting_gives_way_where_the_head_does_not_allow_it(inexact: EncodedImage, encoded: EncodedImage) -> None:
    head = inexact.model.softmax_head
    with pytest.raises(InputError, match="Painting a map needs"):
        shift_vector(inexact, 0, ShiftRequest())
    assert possible_request(ShiftRequest(), head) == replace(ShiftRequest(), kind="uniform", delta=UNPAINTED_DELTA)
    assert possible_request(ShiftRequest(delta=0.01), head).delta == 0.01
    assert possible_request(ShiftRequest("channel"), head) == ShiftRequest("channel")
    assert possible_request(ShiftRequest(), encoded.model.softmax_head) == ShiftRequest()
    method, why = shift_method("cam", head)
    assert (method != "cam", CAM_METHODS[method].title in why) == (True, True)
    picture = shifted_picture(inexact, 0, method, possible_request(ShiftRequest(), head))
    assert_close(*picture.probabilities("softmax"), PROBABILITY)
    assert len(strongest_channels_of(inexact, 0, 5)) == 5


def test_methods_that_no_shift_can_move_or_that_are_slow_give_way_to_cam(encoded: EncodedImage) -> None:
    methods = {key: shift_method(key, encoded.model.softmax_head) for key in CAM_METHODS}
    assert {key for key, (method, _) in methods.items() if method != key} == {"eigen-cam", "score-cam"}
    assert methods["cam"] == ("cam", "")
    assert all(method == "cam" and why for key, (method, why) in methods.items() if key in ("eigen-cam", "score-cam"))


def test_curves_over_delta_start_where_the_map_is_and_centred_maps_do_not_move(encoded: EncodedImage) -> None:
    curves = delta_curves(encoded, CLASS)
    at_zero = int(DELTAS.abs().argmin())
    softmax = encoded.explain(CLASS, "cam").softmax.map
    assert curves["softmax"].movement[at_zero].correlation == pytest.approx(1, abs=1e-5)
    assert curves["softmax"].positive_area[at_zero] == positive_area(torch.from_numpy(softmax))
    assert all(move.correlation == pytest.approx(1, abs=1e-3) for move in curves["centred"].movement)
    assert curves["softmax"].positive_area[0] <= curves["softmax"].positive_area[-1]


def test_a_uniform_shift_stands_at_its_own_delta_and_a_large_one_stands_nowhere(encoded: EncodedImage) -> None:
    ones = torch.ones(encoded.features.shape[1])
    assert delta_of_shift(encoded, 0.02 * ones) == pytest.approx(0.02, rel=1e-4)
    assert delta_of_shift(encoded, ones) is None


def test_the_survey_of_zeros_names_four_heads_and_no_class_twice(encoded: EncodedImage) -> None:
    nothing = torch.zeros(encoded.features.shape[1])
    survey = zero_survey(encoded, CLASS, nothing, "nothing")
    assert list(survey.areas) == ["Softmax", "Softmax, class-centred", "Sigmoid", "Softmax + nothing"]
    assert survey.areas["Softmax"] == survey.areas["Softmax + nothing"]
    assert encoded.model.class_names[CLASS] not in survey.other_names
    assert survey.absent_count == 100


def test_what_follows_from_weights_alone_is_refused_for_another_head(inexact: EncodedImage) -> None:
    with pytest.raises(InputError, match="needs a head of average pool"):
        delta_curves(inexact, 0)
    with pytest.raises(InputError, match="needs a head of average pool"):
        zero_survey(inexact, 0, torch.zeros(1), "")
    share = shared_share(inexact, 0, inexact.model.softmax_head)
    assert share.map is None
    assert share.energy == shared_energy_share(inexact.model.softmax_head.last_linear.weight.detach())
