"""What an explanation holds, and its numbers as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from tolerances import IDENTITY, assert_close

from bsig.explain.drawing.comparison import Drawing, branch_picture, comparison_picture
from bsig.explain.drawing.whole_picture import whole_picture_overlay
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Evidence, summary


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
        drawn = explanation.overlay(branch, view="signed")
        assert drawn.tobytes() == branch_picture(explanation, branch, signed).tobytes()
    whole = explanation.overlay("softmax", whole_picture=True)
    assert whole.tobytes() == whole_picture_overlay(explanation, "softmax", Drawing()).tobytes()
