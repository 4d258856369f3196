"""What an explanation holds, and its numbers as JSON."""

from __future__ import annotations

import json

import numpy as np
from tolerances import IDENTITY, assert_close

from bsig.explain.explainer import Explainer
from bsig.explain.explanation import Evidence, summary
from bsig.inputs.paths import EXAMPLES
from bsig.model.dual_branch import DualBranch


def test_the_summary_is_plain_json_with_the_numbers_of_the_maps(perturbed_model: DualBranch) -> None:
    explanation = Explainer(perturbed_model).encode(EXAMPLES / "cat.jpg").explain(285)
    numbers = summary(explanation)
    assert json.loads(json.dumps(numbers)) == numbers
    assert numbers["grid_hw"] == [7, 7]
    assert numbers["unit"] == "logits"
    for branch in ("softmax", "sigmoid", "centred"):
        evidence = explanation.evidence(branch)
        assert numbers[branch]["map_mean"] == float(evidence.map.mean())
        assert numbers[branch]["positive_area"] == np.count_nonzero(evidence.map > 0) / 49


def test_positive_area_counts_cells_above_zero_alone() -> None:
    evidence = Evidence(np.array([[0.0, 1e-9, -3.0, 2.0]], dtype=np.float32), 0.0, 0.5, None)
    assert_close(evidence.positive_area, 0.5, IDENTITY)
