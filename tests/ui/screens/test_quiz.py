"""The Blind quiz screen without a browser: twelve answers lead to the result; sheets are stored on request."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import gradio as gr
import pytest

from bsig.evaluation.quiz import ANSWERS_VARIABLE, QUESTIONS, quiz_result
from bsig.inputs.errors import InputError
from bsig.ui.screens.quiz import Quiz, QuizScreen, answered, new_quiz, step_answers
from bsig.ui.workbench import Workbench


@pytest.fixture(scope="module")
def bench() -> Workbench:
    bench = Workbench()
    bench.model(None)
    return bench


@pytest.fixture(scope="module")
def quiz(bench: Workbench) -> Quiz:
    return new_quiz(bench, 5)


@pytest.fixture
def screen() -> QuizScreen:
    """The screen's parts outside of any page."""
    kinds = {"quiz": gr.State, "start": gr.Button, "yes": gr.Button, "no": gr.Button, "play": gr.Column,
             "picture": gr.Image, "truth": gr.Gallery}  # fmt: skip
    return QuizScreen(**{part.name: kinds.get(part.name, gr.HTML)() for part in fields(QuizScreen)})


def all_answered(quiz: Quiz) -> Quiz:
    for question in quiz.questions:
        quiz = answered(quiz, question.is_present)
    return quiz


def test_every_answer_shows_the_next_map_and_the_last_one_the_result(
    bench: Workbench, quiz: Quiz, screen: QuizScreen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ANSWERS_VARIABLE, raising=False)
    for number in range(QUESTIONS):
        answers = step_answers(screen, bench, quiz)
        assert set(answers) == set(screen.outputs())
        assert f"Map {number + 1} of {QUESTIONS}" in answers[screen.status]
        hidden = str(answers[screen.status]) + answers[screen.picture]["alt_text"]
        question = quiz.questions[number]
        assert not [word for word in (question.class_name, question.picture, "oftmax", "igmoid") if word in hidden]
        quiz = answered(quiz, question.is_present)
    answers = step_answers(screen, bench, quiz)
    assert quiz_result(quiz.questions, quiz.answers).finding in answers[screen.status]
    assert answers[screen.result].count("6 of 6 (61 to 100 %)") >= 2
    assert len(answers[screen.truth]["value"]) == QUESTIONS


def test_a_sheet_is_stored_only_where_the_host_wants_it(
    bench: Workbench, quiz: Quiz, screen: QuizScreen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ANSWERS_VARIABLE, str(tmp_path / "sheets.jsonl"))
    step_answers(screen, bench, all_answered(quiz))
    (line,) = (tmp_path / "sheets.jsonl").read_text(encoding="utf-8").splitlines()
    assert [row["answer"] for row in json.loads(line)["answers"]] == [each.is_present for each in quiz.questions]
    monkeypatch.setenv(ANSWERS_VARIABLE, str(tmp_path / "missing" / "sheets.jsonl"))
    assert step_answers(screen, bench, all_answered(quiz))[screen.result]  # the visitor has the result all the same
    monkeypatch.delenv(ANSWERS_VARIABLE)
    before = sorted(tmp_path.iterdir())
    step_answers(screen, bench, all_answered(quiz))
    assert sorted(tmp_path.iterdir()) == before


def test_an_answer_without_a_quiz_or_after_its_end_is_refused(quiz: Quiz) -> None:
    for each in (None, all_answered(quiz)):
        with pytest.raises(InputError, match="no quiz is under way"):
            answered(each, True)
