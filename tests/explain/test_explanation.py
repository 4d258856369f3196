"""What an explanation holds, and its numbers as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
from tolerances import FLOAT32, IDENTITY, assert_close

from bsig.explain.drawing.comparison import Drawing, branch_picture, comparison_picture
from bsig.explain.drawing.whole_picture import whole_picture_overlay
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Evidence, summary
from bsig.model.dual_branch import DualBranch
from bsig.model.presence import PresenceCalibration


def test_the_summary_is_plain_json_with_the_numbers_of_the_maps(encoded: EncodedImage) -> None:
    explanation = encoded.explain(285)
    numbers = summary(explanation)
    assert json.loads(json.dumps(numbers)) == numbers
    assert numbers["grid_hw"] == [7, 7]
    assert numbers["unit"] == "logits"
    for branch, evidence in explanation.evidences.items():
        assert numbers[branch]["map_mean"] == float(evidence.map.mean())
        assert numbers[branch]["positive_area"] == np.count_nonzero(evidence.map > 0) / 49


def test_positive_area_counts_cells_above_zero_alone() -> None:
    evidence = Evidence(np.array([[0.0, 1e-9, -3.0, 2.0]], dtype=np.float32), 0.0, 0.5, None)
    assert_close(evidence.positive_area, 0.5, IDENTITY)


def test_the_calibrated_probability_is_the_sigmoid_branchs_alone(encoded: EncodedImage) -> None:
    model = encoded.model
    presence = PresenceCalibration(2.0, 4.0, 60)
    calibrated = DualBranch(model.classifier(), model.sigmoid_head, presence=presence)
    explanation = replace(encoded, model=calibrated).explain(285)
    sigmoid = explanation.sigmoid
    expected = 1 / (1 + math.exp(-(sigmoid.logit - 4) / 2))
    assert_close(sigmoid.calibrated_probability, expected, FLOAT32)
    assert sigmoid.probability == encoded.explain(285).sigmoid.probability  # the class-balanced one stays
    assert explanation.softmax.calibrated_probability is None
    assert explanation.centred.calibrated_probability is None
    assert summary(explanation)["sigmoid"]["calibrated_probability"] == sigmoid.calibrated_probability


def test_without_a_calibration_there_is_none_and_a_rank(encoded: EncodedImage) -> None:
    uncalibrated = replace(encoded, model=DualBranch(encoded.model.classifier(), encoded.model.sigmoid_head))
    assert uncalibrated.calibrated_probabilities() is None
    order = encoded.sigmoid_logits.argsort(descending=True).tolist()
    for place in (1, 2, 997):
        sigmoid = uncalibrated.explain(order[place - 1]).sigmoid
        assert (sigmoid.rank, sigmoid.calibrated_probability) == (place, None)
    explanation = uncalibrated.explain()
    assert (explanation.softmax.rank, explanation.centred.rank) == (1, 1)  # of the predicted class


def test_disagreement_counts_cells_whose_sign_differs_and_zero_is_not_positive(encoded: EncodedImage) -> None:
    explanation = encoded.explain(285)
    softmax, sigmoid = (np.array([values], dtype=np.float32) for values in ([1, 1, 0, -2], [1, -1, 3, 0]))
    explanation = replace(
        explanation,
        softmax=replace(explanation.softmax, map=softmax),
        sigmoid=replace(explanation.sigmoid, map=sigmoid),
    )
    assert_close(explanation.disagreement, 0.5, IDENTITY)


def test_plot_and_overlay_draw_what_the_app_draws(encoded: EncodedImage) -> None:
    explanation, signed = encoded.explain(285), Drawing(view="signed")
    assert explanation.plot(view="signed").tobytes() == comparison_picture(explanation, signed).tobytes()
    for branch in ("softmax", "sigmoid", "centred"):
        picture = explanation.overlay(branch, view="signed")
        assert picture.tobytes() == branch_picture(explanation, branch, signed).tobytes()
    whole = explanation.overlay("softmax", whole_picture=True)
    assert whole.tobytes() == whole_picture_overlay(explanation, "softmax", Drawing()).tobytes()
