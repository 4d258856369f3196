"""Evaluations of own pictures are kept by title, and none takes the place of another."""

from __future__ import annotations

from typing import Any

import pytest

from bsig.ui.screens.evaluate.kept import KeptEvaluation, KeptEvaluations

COUNTS = {"with_mask": 0, "with_boxes": 0, "used": 3}
RESULTS: dict[str, Any] = {"data": "pets", "split": "val", "counts": COUNTS}


def test_two_that_end_in_the_same_second_are_both_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda _: "12:00:00")
    kept = KeptEvaluations(2)
    evaluations = [KeptEvaluation({**RESULTS, "number": number}, kept.new_folder()) for number in range(2)]
    titles = [kept.add(evaluation) for evaluation in evaluations]
    assert len(set(titles)) == 2
    assert [kept.get(title) for title in titles] == evaluations
    assert all(evaluation.folder.is_dir() for evaluation in evaluations)
    third = kept.add(KeptEvaluation(RESULTS, kept.new_folder()))
    assert kept.get(titles[0]) is None
    assert not evaluations[0].folder.exists()
    assert kept.get(third) is not None
    kept.clear()
