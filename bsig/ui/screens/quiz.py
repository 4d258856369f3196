"""The Blind quiz screen: twelve maps without photo, class or branch; the truth and the hit rates at the end.

Maps, truth and scores come from `bsig.evaluation.quiz`. The truth stays on the server until the last answer.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from bsig.evaluation.quiz import (
    CHANCE,
    QUESTIONS,
    QuizQuestion,
    answer_sheet,
    answers_file,
    question_picture,
    question_text,
    quiz_questions,
    quiz_result,
    rate_text,
    store_sheet,
)
from bsig.explain.cams import TRAINED
from bsig.explain.drawing.comparison import BRANCHES
from bsig.explain.wording import whole_percent
from bsig.inputs.errors import InputError
from bsig.ui.components import html
from bsig.ui.components.fields import Answers, InputValues
from bsig.ui.components.handlers import PRIVATE, in_words
from bsig.ui.components.inputs import MapImage
from bsig.ui.workbench import Workbench

logger = logging.getLogger(__name__)
SEEDS = 2**31
QUESTION = "Is the class in the picture?"
RULES = (
    "Each map says how much the places of a hidden photo speak for one class: red for it, blue against it. Half of the "
    "classes are in their photo, half are not. Which branch drew the map is told at the end."
)
COLUMNS = (
    "How many answers were right, with the 95 % interval (Wilson). The map's sign answers yes where the map's mean is "
    "above zero. Both branches' maps are read as in Compare: where presence is calibrated, the sigmoid branch's is "
    "levelled by it."
)
NOT_STORED = "Your answers are not stored."
STORED = "This app's host stores the answers, with the maps they are about: no name, no address, no time."


@dataclass(frozen=True)
class Quiz:
    """A quiz under way: its questions and the answers so far."""

    seed: int
    questions: tuple[QuizQuestion, ...]
    answers: tuple[bool, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether every question is answered."""
        return len(self.answers) == len(self.questions)


@dataclass(frozen=True)
class QuizScreen:
    """The parts of the screen."""

    quiz: gr.State
    status: gr.HTML
    start: gr.Button
    play: gr.Column
    picture: gr.Image
    yes: gr.Button
    no: gr.Button
    result: gr.HTML
    truth: gr.Gallery

    def outputs(self) -> list[Any]:
        """Every part that an answer fills."""
        return [self.quiz, self.status, self.start, self.play, self.picture, self.result, self.truth]


def build_quiz(bench: Workbench) -> None:
    """Lays out the tab and connects it."""
    gr.HTML(html.heading("Can you read a heatmap blind?", f"{QUESTIONS} maps, a minute. {RULES}"))
    gr.HTML(html.note(STORED if answers_file() else NOT_STORED), elem_id="quiz-privacy")
    screen = _laid_out()

    @in_words
    def on_start() -> Answers:
        return step_answers(screen, bench, new_quiz(bench, secrets.randbelow(SEEDS)))

    screen.start.click(on_start, None, screen.outputs(), **PRIVATE)
    for button, answer in ((screen.yes, True), (screen.no, False)):
        _connect_answer(screen, bench, button, answer)


def _laid_out() -> QuizScreen:
    status = gr.HTML(elem_id="quiz-status")
    start = gr.Button("Start the quiz", variant="primary", elem_id="quiz-start")
    with gr.Column(visible=False, elem_id="quiz-play") as play:
        picture = MapImage(
            show_label=False, format="png", interactive=False, buttons=["fullscreen"], height=360,
            elem_id="quiz-picture", elem_classes="bsig-map",
        )  # fmt: skip
        with gr.Row():
            yes = gr.Button("Yes, it is there", elem_id="quiz-yes")
            no = gr.Button("No, it is not", elem_id="quiz-no")
    result = gr.HTML(elem_id="quiz-result")
    truth = gr.Gallery(
        label="What was behind the maps", show_label=False, columns=6, height="auto", object_fit="contain",
        format="jpeg", visible=False, elem_id="quiz-truth", elem_classes="bsig-channels", interactive=False,
        buttons=["fullscreen"],
    )  # fmt: skip
    return QuizScreen(gr.State(None), status, start, play, picture, yes, no, result, truth)


def _connect_answer(screen: QuizScreen, bench: Workbench, button: gr.Button, answer: bool) -> None:
    @in_words
    def on_answer(values: InputValues) -> Answers:
        return step_answers(screen, bench, answered(values[screen.quiz], answer))

    button.click(on_answer, {screen.quiz}, screen.outputs(), **PRIVATE)


def new_quiz(bench: Workbench, seed: int) -> Quiz:
    """A quiz of the app's first checkpoint.

    Raises:
        InputError: as `bsig.evaluation.quiz.quiz_plan`.
    """
    name = bench.default_checkpoint
    return Quiz(seed, tuple(quiz_questions(bench.model(name), lambda path: bench.encode(path, name), seed)))


def answered(quiz: Quiz | None, answer: bool) -> Quiz:
    """The quiz with one more answer.

    Raises:
        InputError: none was started, or it is over.
    """
    if quiz is None or quiz.is_over:
        raise InputError("no quiz is under way; press 'Start the quiz'.")
    return replace(quiz, answers=(*quiz.answers, answer))


def step_answers(screen: QuizScreen, bench: Workbench, quiz: Quiz) -> Answers:
    """The next map; after the last answer the result, and the sheet is stored where the host wants it."""
    if quiz.is_over:
        _store(bench, quiz)
        return _result_answers(screen, quiz)
    number = len(quiz.answers)
    words = f"Map {number + 1} of {len(quiz.questions)}"
    status = html.joined(html.finding(QUESTION, words), html.progress_bar(number / len(quiz.questions), words))
    return {
        screen.quiz: quiz,
        screen.status: status,
        screen.start: gr.update(visible=False),
        screen.play: gr.update(visible=True),
        screen.picture: gr.update(
            value=question_picture(quiz.questions[number]), alt_text=f"{words}: {_in_words(quiz.questions[number])}"
        ),
        screen.result: "",
        screen.truth: gr.update(value=None, visible=False),
    }


def _in_words(question: QuizQuestion) -> str:
    """The map for those who cannot see it: as much as the picture shows, and no more."""
    positive, negative = float((question.map > 0).mean()), float((question.map < 0).mean())
    scale = question.limit or 1.0
    peak, depth = max(0.0, float(question.map.max())) / scale, max(0.0, -float(question.map.min())) / scale
    return (
        f"{whole_percent(positive)} of the places for the class, the strongest at {whole_percent(peak)} of "
        f"the scale; {whole_percent(negative)} against it, the strongest at {whole_percent(depth)}."
    )


def _result_answers(screen: QuizScreen, quiz: Quiz) -> Answers:
    result = quiz_result(quiz.questions, quiz.answers)
    columns: list[str | html.Cell] = ["Maps", html.number("You"), html.number("Map's sign"), html.number("Chance")]
    rows: list[list[str | html.Cell]] = [
        [html.row_title(BRANCHES[branch]), html.number(rate_text(result.visitor[branch])),
         html.number(rate_text(result.maps[branch])), html.number(whole_percent(CHANCE))]
        for branch in TRAINED
    ]  # fmt: skip
    pairs = zip(quiz.questions, quiz.answers, strict=True)
    return {
        screen.quiz: quiz,
        screen.status: html.finding(result.finding),
        screen.start: gr.update(value="Another twelve maps", visible=True),
        screen.play: gr.update(visible=False),
        screen.picture: gr.update(value=None, alt_text=""),
        screen.result: html.joined(html.table(columns, rows, scrolls=True), html.note(COLUMNS)),
        screen.truth: gr.update(
            value=[(question_picture(question), question_text(question, answer)) for question, answer in pairs],
            visible=True,
        ),
    }


def _store(bench: Workbench, quiz: Quiz) -> None:
    """Adds the answer sheet to the host's file; a disk that refuses is the host's business, not the visitor's."""
    file = answers_file()
    if file is None:
        return
    try:
        is_stored = store_sheet(file, answer_sheet(bench.default_checkpoint, quiz.seed, quiz.questions, quiz.answers))
    except OSError as error:
        logger.warning("a quiz's answers could not be stored: %s", error)
        return
    if not is_stored:
        logger.warning("a quiz's answers were not stored: the file is full")
