"""The blind quiz: do people read from a map whether a class is in the picture, and from which branch's?

    questions = quiz_questions(encode, seed=1)          twelve maps, balanced and shuffled
    result = quiz_result(questions, answers)            hit rates a branch with 95 % intervals

After HIVE (Kim, Meister, Ramaswamy, Fong and Russakovsky, ECCV 2022, arXiv 2112.03184), which asks people to decide by
explanations alone. Here a map is shown without its photo, class and branch, and the question is whether the class is
there. What is in the pictures was written down by people (`assets/examples/quiz.json`), never taken from a model. Half
of the maps are of a present class, in each branch; no pair of picture and class comes twice. Someone who guesses is
right half of the time. The map's own answer, the sign of its mean over the grid, says what a perfect reader of one
number would get.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from bsig.evaluation.metrics.proportions import wilson_interval
from bsig.explain.cams import TRAINED, TrainedBranch
from bsig.explain.drawing.comparison import BRANCHES, PICTURE_SIZE
from bsig.explain.drawing.heatmaps import heatmap, shared_limit, with_sign_marks
from bsig.explain.explainer import EncodedImage
from bsig.explain.readings import comparison_readings
from bsig.explain.wording import whole_percent
from bsig.inputs.errors import InputError
from bsig.inputs.paths import EXAMPLES
from bsig.model.dual_branch import DualBranch

A_KIND = 3
"""Maps of present classes in one branch; as many of absent ones."""
QUESTIONS = 2 * A_KIND * len(TRAINED)
CHANCE = 0.5
ANSWERS_VARIABLE = "BSIG_QUIZ_ANSWERS"
"""Names the file that answer sheets are added to; without it nothing is stored."""
LARGEST_FILE = 16 * 2**20


@dataclass(frozen=True)
class QuizQuestion:
    """One map and the truth behind it.

    Attributes:
        picture: file name of a bundled picture.
        class_name: the class that the map is of.
        is_present: whether the class is in the picture.
        map: (h, w), signed, in logits.
        limit: where the colour scale ends; the same for both branches' maps of that picture and class.
    """

    picture: str
    class_name: str
    is_present: bool
    branch: TrainedBranch
    map: Float[np.ndarray, "h w"]
    limit: float

    @property
    def own_answer(self) -> bool:
        """The map's own answer: whether its mean over the grid is above zero."""
        return bool(self.map.mean() > 0)


@dataclass(frozen=True)
class HitRate:
    """How often an answer was right.

    Attributes:
        low, high: ends of the 95 % Wilson interval, 0 to 1.
    """

    hits: int
    tries: int
    low: float
    high: float

    @classmethod
    def of(cls, outcomes: Sequence[bool]) -> HitRate:
        """The rate of True among outcomes.

        Raises:
            InputError: there is none.
        """
        low, high = wilson_interval(sum(outcomes), len(outcomes))
        return cls(sum(outcomes), len(outcomes), low, high)

    @property
    def share(self) -> float:
        """Hits of all tries, 0 to 1."""
        return self.hits / self.tries


@dataclass(frozen=True)
class QuizResult:
    """Hit rates of the visitor and of the maps' own answers, by branch."""

    visitor: dict[TrainedBranch, HitRate]
    maps: dict[TrainedBranch, HitRate]

    @property
    def finding(self) -> str:
        """One or two sentences: how often the visitor was right with each branch, and whether that tells them apart."""
        softmax, sigmoid = self.visitor["softmax"], self.visitor["sigmoid"]
        hits = (
            f"You were right with {softmax.hits} of {softmax.tries} softmax maps and with {sigmoid.hits} of "
            f"{sigmoid.tries} sigmoid maps; who guesses gets half."
        )
        if softmax.high < sigmoid.low or sigmoid.high < softmax.low:
            better = "sigmoid" if sigmoid.share > softmax.share else "softmax"
            return f"{hits} The {better} maps told you more."
        return f"{hits} The intervals overlap: so few maps cannot tell the branches apart."


@lru_cache(maxsize=1)
def quiz_pairs() -> tuple[tuple[str, str, bool], ...]:
    """Every picture's file name, class and whether the class is in the picture."""
    entries = json.loads((EXAMPLES / "quiz.json").read_text(encoding="utf-8"))
    return tuple((file, name, key == "present") for key in ("present", "absent") for file, name in entries[key])


def quiz_plan(model: DualBranch, seed: int) -> list[tuple[str, str, bool, TrainedBranch]]:
    """Picture, class, presence and branch of each question, in the order of the quiz; the same for the same seed.

    Raises:
        InputError: the model lacks so many of the classes that no balanced quiz can be made.
    """
    draw, plan = random.Random(seed), []
    for is_present in (True, False):
        pairs = [pair for pair in quiz_pairs() if pair[2] == is_present and pair[1] in model.class_names]
        if len(pairs) < A_KIND * len(TRAINED):
            raise InputError(
                f"checkpoint '{model.name}' has too few classes of the bundled pictures for a quiz ({len(pairs)} of "
                f"{A_KIND * len(TRAINED)}); start the app with the default checkpoint."
            )
        present_pairs = draw.sample(pairs, A_KIND * len(TRAINED))
        plan += [(*pair, TRAINED[position // A_KIND]) for position, pair in enumerate(present_pairs)]
    draw.shuffle(plan)
    return plan


def quiz_questions(model: DualBranch, encode: Callable[[Path], EncodedImage], seed: int) -> list[QuizQuestion]:
    """The questions of a quiz.

    Args:
        model: whose maps are shown.
        encode: a bundled picture as that model sees it.
        seed: of all chance.

    Raises:
        InputError: as `quiz_plan`.
    """
    return [
        _question(encode(EXAMPLES / file), file, name, is_present, branch)
        for file, name, is_present, branch in quiz_plan(model, seed)
    ]


def _question(encoded: EncodedImage, file: str, name: str, is_present: bool, branch: TrainedBranch) -> QuizQuestion:
    explanation = encoded.explain(name, **comparison_readings(encoded.model, None, "signed"))
    limit = shared_limit(explanation.softmax.map, explanation.sigmoid.map, view="signed")
    return QuizQuestion(file, name, is_present, branch, explanation.evidence(branch).map, limit)


def question_picture(question: QuizQuestion) -> Image.Image:
    """The signed map alone, without the photo: red for the class, blue against it."""
    picture = heatmap(question.map, question.limit, view="signed", size_wh=PICTURE_SIZE)
    return with_sign_marks(picture, question.map, question.limit)


def quiz_result(questions: Sequence[QuizQuestion], answers: Sequence[bool]) -> QuizResult:
    """The hit rates of answers, one a question: whether the visitor thinks that the class is there.

    Raises:
        InputError: there are not as many answers as questions.
    """
    if len(answers) != len(questions):
        raise InputError(f"`answers` (={len(answers)}) must be as many as the {len(questions)} questions; answer all.")
    visitor, maps = {}, {}
    for branch in TRAINED:
        pairs = [(each, answer) for each, answer in zip(questions, answers, strict=True) if each.branch == branch]
        visitor[branch] = HitRate.of([answer == each.is_present for each, answer in pairs])
        maps[branch] = HitRate.of([each.own_answer == each.is_present for each, _ in pairs])
    return QuizResult(visitor, maps)


def rate_text(rate: HitRate) -> str:
    """A rate with its interval: '5 of 6 (44 to 97 %)'."""
    return f"{rate.hits} of {rate.tries} ({100 * rate.low:.0f} to {whole_percent(rate.high)})"


def question_text(question: QuizQuestion, answer: bool) -> str:
    """The class and branch of a map in words, for the end of the quiz."""
    truth = "is there" if question.is_present else "is not there"
    verdict = "right" if answer == question.is_present else "wrong"
    return f"{question.class_name} {truth}\n{BRANCHES[question.branch]}\nYou: {'yes' if answer else 'no'}, {verdict}"


# Answer sheets, where the host wants them.


def answers_file() -> Path | None:
    """The file that the host has named for answer sheets; None where nothing is stored."""
    name = os.environ.get(ANSWERS_VARIABLE, "").strip()
    return Path(name) if name else None


def answer_sheet(
    checkpoint: str, seed: int, questions: Sequence[QuizQuestion], answers: Sequence[bool]
) -> dict[str, object]:
    """A quiz for JSON: the maps and what was answered; no name, no address, no time."""
    rows = [
        {"picture": each.picture, "class": each.class_name, "branch": each.branch, "is_present": each.is_present,
         "map_says": each.own_answer, "answer": answer}
        for each, answer in zip(questions, answers, strict=True)
    ]  # fmt: skip
    return {"checkpoint": checkpoint, "seed": seed, "answers": rows}


def store_sheet(file: Path, sheet: dict[str, object]) -> bool:
    """Adds a sheet to the file as one line; False where the file is full.

    Raises:
        OSError: the file cannot be written.
    """
    line = (json.dumps(sheet, ensure_ascii=False) + "\n").encode()
    if file.exists() and file.stat().st_size + len(line) > LARGEST_FILE:
        return False
    with file.open("ab", buffering=0) as stream:  # one write at the end of the file: lines of two visitors do not mix
        stream.write(line)
    return True
