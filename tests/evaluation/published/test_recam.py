"""ReCAM's claim: decided at equal area, for treatments that are alike for both branches."""

from __future__ import annotations

from typing import Any

import pytest

from bsig.evaluation.metrics.catalogue import METRICS
from bsig.evaluation.output.shipped import read_results
from bsig.evaluation.published.recam import ONE_OBJECT, SEVERAL_OBJECTS, claim_rows, verdicts
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT


@pytest.fixture(scope="module")
def runs() -> dict[str, dict[str, Any]]:
    return {run["data"]: run for run in read_results(CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT)}


def test_the_rows_are_one_object_and_several(runs: dict[str, dict[str, Any]]) -> None:
    rows = claim_rows(runs["imagenet20"])
    assert [(row.metric, row.has_several) for row in rows] == [
        (ONE_OBJECT, False), *((metric, True) for metric in SEVERAL_OBJECTS)
    ]  # fmt: skip
    assert all(METRICS[row.metric].better == "higher" for row in rows)


def test_a_set_without_mosaics_says_nothing(runs: dict[str, dict[str, Any]]) -> None:
    assert runs["shapes5"]["counts"]["mosaics"] == 0
    assert claim_rows(runs["shapes5"]) == []
    assert verdicts([]) == []


def test_the_verdict_is_the_sign_of_the_interval_at_equal_area(runs: dict[str, dict[str, Any]]) -> None:
    rows = claim_rows(runs["imagenet20"])
    words = {cell.treatment: (cell, word) for cell, word in verdicts(rows)}
    assert set(words) == {"signed", "nonnegative"}  # `paper` compares clamped weights with signed ones
    for cell, word in words.values():
        assert cell in next(row for row in rows if row.metric == "mosaic_quarter").measured
        assert cell.low is not None
        assert cell.high is not None
        assert word == ("against" if cell.low > 0 else "for" if cell.high < 0 else "unclear")
