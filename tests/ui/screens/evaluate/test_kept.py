"""Evaluations of own pictures are kept by title, and none takes the place of another."""

from __future__ import annotations

from typing import Any

import pytest

from bsig.ui.screens.evaluate.kept import KeptEvaluation, KeptEvaluations

COUNTS = {"with_mask": 0, "with_boxes": 0, "used": 3}
RESULTS: dict[str, Any] = {"data": "pets", "split": "val", "counts": COUNTS}


def test_two_that_end_in_the_same_second_are_both_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda _: "12:00:00")
    store = KeptEvaluations(2)
    evaluations = [KeptEvaluation({**RESULTS, "number": number}, store.new_folder()) for number in range(2)]
    titles = [store.add(evaluation) for evaluation in evaluations]
    assert len(set(titles)) == 2
    assert [store.get(title) for title in titles] == evaluations
    assert all(evaluation.folder.is_dir() for evaluation in evaluations)
    third = store.add(KeptEvaluation(RESULTS, store.new_folder()))
    assert store.get(titles[0]) is None
    assert not evaluations[0].folder.exists()
    assert store.get(third) is not None
    store.clear()
