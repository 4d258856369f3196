"""Counts in words: one thing is singular, and a sentence on none of them begins so that the same words may follow."""

from __future__ import annotations

from bsig.inputs.counts import counted, counted_classes, none_of


def test_one_thing_is_singular_and_every_other_number_plural() -> None:
    assert [counted(count, "picture") for count in (0, 1, 2)] == ["0 pictures", "1 picture", "2 pictures"]
    assert counted(1, "entry", "entries") == "1 entry"
    assert counted(21, "entry", "entries") == "21 entries"
    assert [counted_classes(count) for count in (1, 1000)] == ["1 class", "1000 classes"]


def test_none_of_a_single_thing_is_no_thing() -> None:
    assert none_of(1, "picture") == "no picture"
    assert none_of(12, "class", "classes") == "none of the 12 classes"
