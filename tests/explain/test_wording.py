"""Numbers in words: never certain where they are not, one minus sign, a unit with each."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bsig.explain.explanation import Evidence, Explanation
from bsig.explain.wording import (
    duration,
    finding,
    number_text,
    ordinal,
    percent,
    quantity,
    signed,
    small_percent,
    whole_percent,
)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "under 0.1 %"), (0.0009, "under 0.1 %"), (0.001, "0.1 %"), (0.004, "0.4 %"), (0.099, "9.9 %"),
        (0.1, "10 %"), (0.494, "49 %"), (0.9, "90 %"), (0.901, "90.1 %"), (0.999, "99.9 %"), (0.9995, "over 99.9 %"),
        (1.0, "over 99.9 %"),
    ],
)  # fmt: skip
def test_a_probability_never_reads_as_certain(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_share_of_cells_may_be_none_or_all() -> None:
    assert [whole_percent(share) for share in (0.0, 0.494, 1.0)] == ["0 %", "49 %", "100 %"]


def test_a_small_share_keeps_two_digits() -> None:
    assert [small_percent(share) for share in (0.000034, 0.0123, 0.5)] == ["0.0034 %", "1.2 %", "50 %"]


@pytest.mark.parametrize(
    ("value", "text"), [(12.345, "+12.3"), (-12.345, "−12.3"), (0.0, "0"), (0.00321, "+0.00321"), (-34.0, "−34")]
)
def test_numbers_have_three_digits_and_a_sign(value: float, text: str) -> None:
    assert number_text(value) == text


def test_an_unsigned_number_has_no_plus_and_digits_can_be_fewer() -> None:
    assert number_text(12.345, signed=False) == "12.3"
    assert number_text(-0.01234, digits=2) == "−0.012"


def test_a_real_minus_sign() -> None:
    assert signed(-0.1234) == "−0.123"
    assert signed(0.31, 2) == "+0.31"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.5, "share of cells", "50 % of cells"),
        (0.0, "share of cells", "0 % of cells"),
        (-1.23456, "logits, mean", "−1.23 logits, mean"),
        (None, "IoU", "none here"),
    ],
)
def test_values_are_written_with_their_unit(value: float | None, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "under 1 s"), (8.4, "8 s"), (89.0, "89 s"), (180.0, "3 min"), (9000.0, "2.5 h")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def told(softmax_cells: int, sigmoid_cells: int, calibrated: float | None, method: str = "cam", rank: int = 1) -> str:
    """The finding for given numbers of positive cells of 100."""

    def evidence(cells: int, probability: float | None = None) -> Evidence:
        values = np.where(np.arange(100) < cells, 1.0, -1.0).astype(np.float32).reshape(10, 10)
        return Evidence(values, 0.0, 0.02, None, probability, rank)

    softmax, sigmoid = evidence(softmax_cells), evidence(sigmoid_cells, calibrated)
    crop = Image.new("RGB", (10, 10))
    return finding(
        Explanation(0, "golf ball", method, "signed", softmax, sigmoid, softmax, 1, "dog", crop, "a checkpoint")
    )


def test_the_finding_says_the_areas_and_what_the_sigmoid_branch_thinks() -> None:
    assert told(49, 3, 0.004) == (
        "Softmax claims evidence for 'golf ball' on 49 % of this picture, the sigmoid branch on 3 %; "
        "the sigmoid branch says it is not there (0.4 %), softmax gives it 2.0 %."
    )
    assert "on 12 % of this picture, the sigmoid branch on 80 %" in told(12, 80, 0.7)
    assert "says it is there (70 %)" in told(12, 80, 0.7)
    assert "says it is there (50 %)" in told(12, 80, 0.5)
    assert "doubts that it is there (30 %)" in told(12, 80, 0.3)
    assert "says it is not there (10 %)" in told(12, 80, 0.1)
    assert "on 100 % of this picture, the sigmoid branch on 0 %" in told(100, 0, 0.1)


def test_without_a_calibration_the_finding_gives_the_rank_and_no_probability_of_the_branch() -> None:
    assert told(12, 80, None, rank=3).endswith(
        "the sigmoid branch ranks it 3rd of all classes, softmax gives it 2.0 %."
    )


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (113, "113th"), (1002, "1,002nd")],
)
def test_ordinals(number: int, words: str) -> None:
    assert ordinal(number) == words


def test_the_finding_of_eigen_cam_claims_nothing_of_the_class() -> None:
    text = told(49, 3, 0.004, "eigen-cam")
    assert "golf ball" not in text
    assert "same by construction" in text
