"""What an explanation holds, and its numbers as JSON."""

from __future__ import annotations

import json

import numpy as np
from tolerances import IDENTITY, assert_close

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
