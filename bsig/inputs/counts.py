"""Counts in words: '1 picture', '2 pictures'. At the bottom, because errors of every layer name how many there are."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number of things: '1 picture', '12 pictures', '1000 classes'; `plural` where it is not the noun and an s."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def counted_classes(count: int) -> str:
    """A number of classes: '1 class', '1000 classes'."""
    return counted(count, "class", "classes")


def none_of(count: int, noun: str, plural: str | None = None) -> str:
    """What begins a sentence on things of which none will do: 'none of the 12 pictures', 'no picture' of a single one.

    The same words may follow: "none of the 12 pictures can be used", "no picture can be used".
    """
    return f"no {noun}" if count == 1 else f"none of the {counted(count, noun, plural)}"
