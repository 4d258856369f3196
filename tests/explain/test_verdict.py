"""The verdict: two sentences from a table of rules. Over a grid of cases every sentence is true of its numbers."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest

from bsig.explain.verdict import ALIKE, IS_HERE, LITTLE, NOT_HERE, Claims, part_of, verdict

SHARES = [cells / 49 for cells in (0, 1, 2, 5, 12, 24, 25, 33, 37, 48, 49)]
PRESENCE = [None, 0.0, 0.0009, 0.001, 0.05, 0.1, 0.31, 0.499, 0.5, 0.87, 1.0]


ABSENT = "No golf ball here (under 0.1 %)."


def claims(presence: float | None = 0.0004, softmax: float = 0.5, sigmoid: float = 0.1, against: float = 0.0) -> Claims:
    return Claims("golf ball", presence, 312, 1000, softmax, sigmoid, against, are_equal=False)


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        (claims(against=0.9),
         f"{ABSENT} Softmax still marks half of the picture for it; the sigmoid branch marks a tenth "
         "and votes against on 90 %."),
        (claims(sigmoid=0.0, against=1.0),
         f"{ABSENT} Softmax still marks half of the picture for it; the sigmoid branch marks none and "
         "votes against it everywhere."),
        (replace(claims(sigmoid=0.0, against=1.0), reading="levelled by presence"),
         f"{ABSENT} Softmax still marks half of the picture for it; the sigmoid branch, levelled by presence, marks "
         "none and votes against it everywhere."),
        (replace(claims(0.9, 0.2, 0.4), reading="levelled by presence"),
         "Golf ball is here (90 %). The sigmoid branch, levelled by presence, marks 40 % of the picture for it, "
         "softmax 20 %."),
        (claims(sigmoid=0.0),
         f"{ABSENT} Softmax still marks half of the picture for it; the sigmoid branch marks none."),
        (claims(0.87, 0.66, 0.35),
         "Golf ball is here (87 %). Softmax marks two thirds of the picture for it; the sigmoid branch marks a third."),
        (claims(0.3, 0.5, 0.5),
         "The sigmoid branch is not sure of golf ball (30 %). Both maps mark half of the picture for it."),
        (claims(None, 0.5, 0.0),
         "The sigmoid branch ranks golf ball 312th of 1,000 classes. Softmax marks half of the picture for it; the "
         "sigmoid branch marks none."),
        (claims(0.0004, 0.15, 0.4),
         f"{ABSENT} Yet the sigmoid branch marks 40 % of the picture for it, more than softmax "
         "(15 %): here its map is the worse one."),
        (claims(0.0004, 0.5, 0.48),
         f"{ABSENT} Both maps mark half of the picture for it: here the sigmoid branch's map is no "
         "better."),
        (claims(0.0004, 0.0, 0.0), f"{ABSENT} Neither map marks anything for it."),
        (claims(0.0004, 0.02, 0.0), f"{ABSENT} Both maps mark next to nothing for it."),
        (claims(0.038, 1.0, 0.45),
         "Golf ball is unlikely here (3.8 %). Softmax marks all of the picture for it; the sigmoid branch marks 45 %."),
        (claims(0.9, 0.2, 0.4),
         "Golf ball is here (90 %). The sigmoid branch marks 40 % of the picture for it, softmax 20 %."),
    ],
)  # fmt: skip
def test_the_sentences(case: Claims, sentence: str) -> None:
    assert verdict(case) == sentence


def test_no_sentence_says_what_its_numbers_do_not() -> None:
    for presence, softmax, sigmoid, against in itertools.product(PRESENCE, SHARES, SHARES, (0.0, 0.5, 1.0)):
        case = claims(presence, softmax, sigmoid, against)
        text = verdict(case)
        assert (" is here" in text) == (presence is not None and presence >= IS_HERE)
        assert text.startswith("No golf ball here") == (presence is not None and presence < NOT_HERE)
        assert ("still marks" in text) <= (sigmoid < softmax - ALIKE and "No golf ball" in text)
        assert ("more than softmax" in text) <= (sigmoid > softmax + ALIKE)
        assert ("votes against" in text) <= (against > 0)
        assert ("next to nothing" in text) <= (max(softmax, sigmoid) <= LITTLE)
        # Two areas are set against each other only where they differ as they are printed.
        pairs = re.search(r"marks (.+?) of the picture for it; the sigmoid branch marks (.+?)( and votes.*)?\.$", text)
        assert pairs is None or pairs[1] != pairs[2], text


def test_equal_maps_are_a_branch_that_is_not_fine_tuned() -> None:
    equal = Claims("golf ball", None, 1, 1000, 0.5, 0.5, 0.0, are_equal=True)
    assert "not fine-tuned" in verdict(equal)
    assert "a bias" in verdict(replace(equal, by_bias=0.31)).lower()
    assert "sigmoid probability is 31 %" in verdict(replace(equal, by_bias=0.31))
    assert "Eigen-CAM" in verdict(Claims("golf ball", 0.9, 1, 1000, 0.5, 0.5, 0.0, True, knows_classes=False))


def test_a_part_of_the_picture_is_as_exact_as_it_is_printed() -> None:
    for share in [cells / 49 for cells in range(50)]:
        words = part_of(share)
        fractions = {"none": 0, "a tenth": 0.1, "a quarter": 0.25, "a third": 1 / 3, "half": 0.5, "two thirds": 2 / 3,
                     "three quarters": 0.75, "all": 1}  # fmt: skip
        share_in_words = fractions[words] if words in fractions else int(words.removesuffix(" %")) / 100
        assert abs(share_in_words - share) <= 0.025
        assert words not in ("none", "all") or share in (0, 1)
