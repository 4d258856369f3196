"""Numbers in words: never certain where they are not, one minus sign, a unit with each."""

from __future__ import annotations

import pytest

from bsig.explain.wording import (
    as_long_as,
    change_text,
    duration,
    number_text,
    ordinal,
    percent,
    quantity,
    share_percent,
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
    shares = (0.0, 3.4e-7, 0.000034, 0.0123, 0.5, 0.996, 1.0)
    assert [small_percent(share) for share in shares] == [
        "0 %", "0.000034 %", "0.0034 %", "1.2 %", "50 %", "100 %", "100 %",
    ]  # fmt: skip


def test_a_share_reads_as_none_or_all_only_where_it_is() -> None:
    shares = (0.0, 0.0004, 0.163, 0.9996, 1.0)
    assert [share_percent(share) for share in shares] == ["0 %", "under 0.1 %", "16 %", "over 99.9 %", "100 %"]


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (0.0, "0 % as long as"), (0.0004, "under 0.1 % as long as"), (0.004, "0.4 % as long as"),
        (0.56, "56 % as long as"), (0.98, "98.0 % as long as"), (0.996, "as long as"), (1.0, "as long as"),
        (1.04, "as long as"), (1.06, "1.1 times as long as"), (2.06, "2.1 times as long as"),
        (5.11, "5.1 times as long as"), (9.97, "10 times as long as"), (1234.0, "1,234 times as long as"),
    ],
)  # fmt: skip
def test_a_length_beside_another_is_no_probability(ratio: float, words: str) -> None:
    assert as_long_as(ratio) == words


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0.163, 0.161, "stays at 16 %"), (0.0, 0.0004, "stays under 0.1 %"), (1.0, 0.9999, "stays over 99.9 %"),
        (0.163, 0.154, "goes from 16 % to 15 %"), (0.0004, 0.5, "goes from under 0.1 % to 50 %"),
    ],
)  # fmt: skip
def test_two_numbers_that_read_the_same_are_said_as_one(before: float, after: float, words: str) -> None:
    assert change_text(percent(before), percent(after)) == words


def test_a_change_takes_the_verbs_that_it_is_given() -> None:
    assert change_text("45 %", "10 %", "fell", "stayed") == "fell from 45 % to 10 %"
    assert change_text("45 %", "45 %", "fell", "stayed") == "stayed at 45 %"


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
