"""Numbers in words: never certain where they are not, one minus sign, a unit with each."""

from __future__ import annotations

import pytest

from bsig.explain.wording import (
    duration,
    number_text,
    ordinal,
    percent,
    quantity,
    signed,
    small_percent,
    tiny_percent,
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


@pytest.mark.parametrize(
    ("share", "text"), [(1.2e-7, "0.00001 %"), (3.3e-8, "0.000003 %"), (0.0, "0 %"), (0.05, "5 %"), (1e-4, "0.01 %")]
)
def test_a_tiny_change_is_written_without_an_exponent(share: float, text: str) -> None:
    assert tiny_percent(share) == text


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
        (1.0, "correlation", "1.00 correlation"),
        (-0.2849, "correlation", "−0.28 correlation"),
        (0.5376, "IoU", "0.54 IoU"),
    ],
)
def test_values_are_written_with_their_unit(value: float | None, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "under 1 s"), (8.4, "8 s"), (89.0, "89 s"), (180.0, "3 min"), (9000.0, "2.5 h")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (113, "113th"), (1002, "1,002nd")],
)
def test_ordinals(number: int, words: str) -> None:
    assert ordinal(number) == words
