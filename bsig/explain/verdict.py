"""One plain verdict on two maps: is the class in the picture, and what does each branch's map claim for it?

    finding(explanation)    "No golf ball here. Softmax still marks half of the picture for it; the sigmoid branch …"

The two questions are asked apart. *Whether* is the sigmoid branch's calibrated probability (`bsig.model.presence`),
never the class-balanced one. *Where* is compared by the share of each map that is above zero. `PRESENCES` and
`CLAIMS` are tables of rules: the first rule of each that holds speaks. A sentence names a difference only where the
numbers as they are printed differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bsig.explain.explanation import Explanation
from bsig.explain.methods import CAM_METHODS
from bsig.explain.wording import map_reading, ordinal, percent, sigmoid_branch, whole_percent

IS_HERE, UNSURE, NOT_HERE = 0.5, 0.1, 0.001
"""Calibrated probabilities: from the first a class is called present, below the last absent, and unlikely below the
second. Of the shipped checkpoint's validation pictures 2 % of present classes and 98.6 % of absent ones lie below the
last (LOG.md)."""
LITTLE = 0.03
"""The share of a picture up to which a map claims next to nothing: two of 49 cells are above it."""
ALIKE = 0.05
"""Two areas that differ by no more than this are called alike: two and a half of 49 cells."""
MUCH = 0.2
"""The share of a picture that is worth a remark when a map claims it for an absent class."""

FRACTIONS = ((0.1, "a tenth"), (0.25, "a quarter"), (1 / 3, "a third"), (0.5, "half"), (2 / 3, "two thirds"),
             (0.75, "three quarters"))  # fmt: skip
NEAR_A_FRACTION = 0.025


@dataclass(frozen=True)
class Claims:
    """The numbers that a verdict rests on.

    Attributes:
        name: of the class.
        presence: the calibrated probability that it is in the picture; None where it is not known.
        rank, classes: the class's place in the sigmoid branch, 1 for the likeliest, and how many there are.
        softmax, sigmoid: share of cells above zero, 0 to 1.
        against: share of the sigmoid map's cells below zero; 0 where the method shows no evidence against.
        are_equal: whether the two maps are the same numbers.
        knows_classes: False for a method that has no class.
        by_bias: the sigmoid probability where the branches' logits differ; with equal maps, a bias sets them apart.
        reading: what the sigmoid map was turned into, where softmax's was not: 'levelled by presence'.
    """

    name: str
    presence: float | None
    rank: int
    classes: int
    softmax: float
    sigmoid: float
    against: float
    are_equal: bool
    knows_classes: bool = True
    by_bias: float | None = None
    reading: str = ""

    @classmethod
    def of(cls, explanation: Explanation) -> Claims:
        """The numbers of an explanation."""
        softmax, sigmoid = explanation.softmax, explanation.sigmoid
        method = CAM_METHODS[explanation.method]
        same_logit = softmax.logit == sigmoid.logit
        return cls(
            name=explanation.class_name,
            presence=sigmoid.calibrated_probability,
            rank=sigmoid.rank,
            classes=explanation.num_classes,
            softmax=softmax.positive_area,
            sigmoid=sigmoid.positive_area,
            against=float((sigmoid.map < 0).mean()) if method.shows_negative else 0.0,
            # Two maps of zeros say nothing about the branches.
            are_equal=bool(np.array_equal(softmax.map, sigmoid.map)) and (same_logit or bool(softmax.map.any())),
            by_bias=None if same_logit else sigmoid.probability,
            knows_classes=method.key != "eigen-cam",
            reading="" if softmax.reading == sigmoid.reading else map_reading(explanation, "sigmoid"),
        )

    @property
    def sigmoid_branch(self) -> str:
        """The sigmoid branch within a sentence, with the reading of its map where that is its own."""
        return sigmoid_branch(self.reading)

    @property
    def likelihood(self) -> float:
        """The calibrated probability; 0 where it is not known."""
        return 0.0 if self.presence is None else self.presence

    @property
    def percent(self) -> str:
        """The calibrated probability as it is printed."""
        return percent(self.likelihood)

    @property
    def is_absent(self) -> bool:
        """Whether the class is called absent."""
        return self.presence is not None and self.presence < NOT_HERE


Rule = tuple[Callable[[Claims], bool], Callable[[Claims], str]]

PRESENCES: tuple[Rule, ...] = (
    (lambda claims: claims.presence is None,
     lambda claims: f"The sigmoid branch ranks {claims.name} {ordinal(claims.rank)} of {claims.classes:,} classes."),
    (lambda claims: claims.is_absent, lambda claims: f"No {claims.name} here ({claims.percent})."),
    (lambda claims: claims.likelihood >= IS_HERE,
     lambda claims: f"{capital(claims.name)} is here ({claims.percent})."),
    (lambda claims: claims.likelihood < UNSURE,
     lambda claims: f"{capital(claims.name)} is unlikely here ({claims.percent})."),
    (lambda _: True,
     lambda claims: f"The sigmoid branch is not sure of {claims.name} ({claims.percent})."),
)  # fmt: skip

CLAIMS: tuple[Rule, ...] = (
    (lambda claims: max(claims.softmax, claims.sigmoid) == 0, lambda _: "Neither map marks anything for it."),
    (lambda claims: max(claims.softmax, claims.sigmoid) <= LITTLE,
     lambda _: "Both maps mark next to nothing for it."),
    (lambda claims: abs(claims.softmax - claims.sigmoid) <= ALIKE, lambda claims: _alike(claims)),
    (lambda claims: claims.sigmoid < claims.softmax,
     lambda claims: f"Softmax {'still ' if claims.is_absent else ''}marks {part_of(claims.softmax)} of the picture for "
     f"it; {claims.sigmoid_branch} marks {part_of(claims.sigmoid)}{_against(claims)}."),
    (lambda claims: claims.is_absent,
     lambda claims: f"Yet {claims.sigmoid_branch} marks {part_of(claims.sigmoid)} of the picture for it, more than "
     f"softmax ({part_of(claims.softmax)}): here its map is the worse one."),
    (lambda _: True,
     lambda claims: f"{capital(claims.sigmoid_branch)} marks {part_of(claims.sigmoid)} of the picture for it, softmax "
     f"{part_of(claims.softmax)}."),
)  # fmt: skip


def finding(explanation: Explanation) -> str:
    """The verdict on an explanation, two sentences from the numbers alone."""
    return verdict(Claims.of(explanation))


def verdict(claims: Claims) -> str:
    """The first rule of each table that holds, as sentences."""
    if not claims.knows_classes:
        return "Eigen-CAM knows no class and no branch: both maps are the same by construction."
    if claims.are_equal and claims.by_bias is not None:
        return (
            "A bias is all that the sigmoid branch adds to softmax here, so both maps are the same: they mark "
            f"{part_of(claims.softmax)} of the picture for {claims.name}, whose sigmoid probability is "
            f"{percent(claims.by_bias)}."
        )
    if claims.are_equal:
        return (
            "The sigmoid branch of this checkpoint is not fine-tuned: both maps are the same. Softmax marks "
            f"{part_of(claims.softmax)} of the picture for {claims.name}."
        )
    return f"{_first_that_holds(PRESENCES, claims)} {_first_that_holds(CLAIMS, claims)}"


def _first_that_holds(rules: tuple[Rule, ...], claims: Claims) -> str:
    return next(sentence(claims) for holds, sentence in rules if holds(claims))


def _alike(claims: Claims) -> str:
    softmax, sigmoid = part_of(claims.softmax), part_of(claims.sigmoid)
    areas = softmax if softmax == sigmoid else f"{softmax} and {sigmoid}"
    worse = ": here the sigmoid branch's map is no better" if claims.is_absent and claims.sigmoid >= MUCH else ""
    return f"Both maps mark {areas} of the picture for it{worse}."


def _against(claims: Claims) -> str:
    """What follows where much of the sigmoid map is evidence against an absent class."""
    if not claims.is_absent or claims.against < MUCH:
        return ""
    return (
        " and votes against it everywhere"
        if claims.against == 1
        else f" and votes against on {part_of(claims.against)}"
    )


def part_of(share: float) -> str:
    """A share of the picture as exact as it is printed: 'none', 'under 1 %', 'a tenth', 'half', '23 %', 'all'."""
    if share in (0, 1):
        return "all" if share else "none"
    if share < 0.01:
        return "under 1 %"
    return next(
        (words for fraction, words in FRACTIONS if abs(share - fraction) <= NEAR_A_FRACTION), whole_percent(share)
    )


def capital(name: str) -> str:
    """A class name at the beginning of a sentence."""
    return name[:1].upper() + name[1:]
