"""The blind quiz: balanced, seeded, scored by hand-counted hits; its sheets hold nothing about the visitor."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import bsig.evaluation.quiz as module
from bsig.evaluation.quiz import (
    QUESTIONS,
    QuizQuestion,
    answer_sheet,
    answers_file,
    question_picture,
    question_text,
    quiz_pairs,
    quiz_plan,
    quiz_questions,
    quiz_result,
    rate_text,
    store_sheet,
)
from bsig.explain.cams import TRAINED, TrainedBranch
from bsig.explain.explainer import EncodedImage
from bsig.inputs.errors import InputError
from bsig.inputs.paths import EXAMPLES
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.dual_branch import DualBranch


def question(is_present: bool, branch: TrainedBranch, mean: float) -> QuizQuestion:
    values = np.array([[mean - 1, mean + 1]], dtype=np.float32)
    return QuizQuestion("cat.jpg", "tabby", is_present, branch, values, 4.0)


def test_every_picture_and_class_exists_and_no_pair_is_both_present_and_absent(default_model: DualBranch) -> None:
    pairs = quiz_pairs()
    assert all((EXAMPLES / file).is_file() for file, _, _ in pairs)
    assert {name for _, name, _ in pairs} <= set(default_model.class_names)
    assert len({(file, name) for file, name, _ in pairs}) == len(pairs)


@pytest.mark.parametrize("seed", range(20))
def test_a_quiz_is_balanced_in_both_branches_and_asks_nothing_twice(default_model: DualBranch, seed: int) -> None:
    plan = quiz_plan(default_model, seed)
    assert len(plan) == len({entry[:2] for entry in plan}) == QUESTIONS == 12
    assert Counter(entry[2:] for entry in plan) == {(p, branch): 3 for p in (True, False) for branch in TRAINED}
    assert plan == quiz_plan(default_model, seed)
    assert plan != quiz_plan(default_model, seed + 1)


def test_the_branch_is_not_told_by_the_place_in_the_quiz(default_model: DualBranch) -> None:
    firsts = Counter(quiz_plan(default_model, seed)[0][2:] for seed in range(400))
    assert min(firsts.values()) > 70  # 100 expected, standard deviation 8.7


def test_a_checkpoint_without_the_classes_is_refused() -> None:
    with pytest.raises(InputError, match="has too few classes of the bundled pictures for a quiz"):
        quiz_plan(load_checkpoint("birds10-efficientnet_lite0"), 0)


def test_a_questions_map_is_the_branchs_own(encoded: EncodedImage, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = [("cat.jpg", "tabby", True, "softmax"), ("cat.jpg", "golf ball", False, "sigmoid")]
    monkeypatch.setattr(module, "quiz_plan", lambda _model, _seed: plan)
    first, second = quiz_questions(encoded.model, lambda _path: encoded, 0)
    np.testing.assert_array_equal(first.map, encoded.explain("tabby").softmax.map)
    np.testing.assert_array_equal(second.map, encoded.explain("golf ball").sigmoid.map)
    assert second.limit == max(abs(encoded.explain("golf ball").evidence(b).map).max() for b in TRAINED)


def test_hits_are_counted_by_branch() -> None:
    questions = [question(True, "softmax", 1), question(False, "softmax", 1), question(True, "sigmoid", 1),
                 question(False, "sigmoid", -1)]  # fmt: skip
    result = quiz_result(questions, [True, True, False, False])
    assert [(result.visitor[b].hits, result.visitor[b].tries) for b in TRAINED] == [(1, 2), (1, 2)]
    assert [result.maps[b].hits for b in TRAINED] == [1, 2]
    assert "1 of 2 softmax maps and with 1 of 2 sigmoid maps" in result.finding
    assert "cannot tell the branches apart" in result.finding
    assert rate_text(result.maps["sigmoid"]) == "2 of 2 (34 to 100 %)"
    assert question_text(questions[1], True) == "tabby is not there\nSoftmax branch\nYou: yes, wrong"


def test_only_intervals_apart_call_a_branch_better() -> None:
    questions = [question(True, branch, 1) for branch in TRAINED for _ in range(6)]
    assert quiz_result(questions, [False] * 6 + [True] * 6).finding.endswith("The sigmoid maps told you more.")
    assert quiz_result(questions, [True] * 6 + [False] * 6).finding.endswith("The softmax maps told you more.")


def test_a_missing_answer_is_refused() -> None:
    with pytest.raises(InputError, match="`answers` \\(=0\\) must be as many as the 1 questions"):
        quiz_result([question(True, "softmax", 1)], [])


def test_the_picture_of_a_map_shows_no_photo() -> None:
    """Two pictures with one map are the same picture."""
    first, second = question(True, "softmax", 1), question(False, "sigmoid", 1)
    assert question_picture(first).tobytes() == question_picture(second).tobytes()


def test_nothing_is_stored_unless_the_host_names_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(module.ANSWERS_VARIABLE, raising=False)
    assert answers_file() is None
    monkeypatch.setenv(module.ANSWERS_VARIABLE, str(tmp_path / "sheets.jsonl"))
    assert answers_file() == tmp_path / "sheets.jsonl"


def test_a_sheet_is_one_line_of_maps_and_answers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, sheet = tmp_path / "sheets.jsonl", answer_sheet("default", 3, [question(True, "softmax", 1)], [False])
    assert store_sheet(file, sheet)
    assert store_sheet(file, sheet)
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert lines == [sheet, sheet]
    assert set(sheet) == {"checkpoint", "seed", "answers"}
    assert sheet["answers"] == [{"picture": "cat.jpg", "class": "tabby", "branch": "softmax", "is_present": True,
                                 "map_says": True, "answer": False}]  # fmt: skip
    monkeypatch.setattr(module, "LARGEST_FILE", 10)
    assert not store_sheet(file, sheet)
