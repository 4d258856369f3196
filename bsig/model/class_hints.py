"""What somebody may have meant who typed a class that a model does not have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from bsig.inputs.names import composed

HINTS = 5


def near_class_names(text: str, class_names: Sequence[str], class_ids: Sequence[str]) -> list[str]:
    """At most five class names, the nearest in meaning first; empty where nothing is near.

    First the classes with all words of the text in their name or in WordNet's synonyms for their id ('cat': tabby,
    tiger cat, ...), then in WordNet's description, then those that hold its letters ('oystercatcher'), are spelled
    alike, or have any of its words.
    """
    text = composed(text)
    words = _words(text)
    if not words:
        return []
    return list(dict.fromkeys(_by_nearness(text, words, class_names, class_ids)))[:HINTS]


def _by_nearness(
    text: str, words: frozenset[str], class_names: Sequence[str], class_ids: Sequence[str]
) -> Iterator[str]:
    described = [(name, *_wordnet(class_id)) for name, class_id in zip(class_names, class_ids, strict=True)]
    yield from (name for name, synonyms, _ in described if words <= _words(f"{name} {synonyms}"))
    yield from (name for name, _, description in described if words <= _words(description))
    yield from (name for name in class_names if text.strip().casefold() in name.casefold())
    yield from _alike(text, class_names, 0.87)
    yield from (name for name, synonyms, _ in described if words & _words(f"{name} {synonyms}"))
    yield from _alike(text, class_names, 0.7)


def _alike(text: str, class_names: Sequence[str], least: float) -> list[str]:
    by_folded = {name.casefold(): name for name in reversed(class_names)}
    return [by_folded[near] for near in difflib.get_close_matches(text.strip().casefold(), by_folded, HINTS, least)]


def _words(text: str) -> frozenset[str]:
    """The words in small letters, without the s of a plural."""
    return frozenset(re.sub(r"(?<=\w\w)s$", "", word) for word in re.findall(r"\w+", text.casefold()))


def _wordnet(class_id: str) -> tuple[str, str]:
    """WordNet's synonyms and description for an id such as n02123045; empty for any other."""
    try:
        synonyms = _imagenet().label_name_to_description(class_id)
        return synonyms, _imagenet().label_name_to_description(class_id, detailed=True).removeprefix(synonyms)
    except KeyError:
        return "", ""


@lru_cache(maxsize=1)
def _imagenet() -> Any:
    from timm.data import ImageNetInfo

    return ImageNetInfo()
