"""Which of a model's classes are the classes of a data set, whatever the data set calls them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

WORDNET_ID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class ClassMatch:
    """The index of the model's class by the data set's name for it, and the names that match no class of the model."""

    index_of: dict[str, int]
    unmatched: tuple[str, ...]


def match_classes(data_classes: Sequence[str], class_names: Sequence[str], class_ids: Sequence[str]) -> ClassMatch:
    """The match by full name, by WordNet id at the start, by name without number and underscores, or by index.

    'n01440764_tench', 'tench', '000_Tench' and '0' are all class 0 of ImageNet.
    """
    exact = {name: index for index, name in enumerate(class_names)}  # 'Cardigan' is a dog, 'cardigan' a jacket
    folded: dict[str, int] = {}
    for index, (name, class_id) in enumerate(zip(class_names, class_ids, strict=True)):
        for text in (name, class_id, plain_name(name)):
            folded.setdefault(text.casefold(), index)
    index_of: dict[str, int] = {}
    for name in data_classes:
        wordnet = WORDNET_ID.match(name)
        spellings = (name, wordnet.group() if wordnet else name, plain_name(name))
        matches = (exact.get(spelling, folded.get(spelling.casefold())) for spelling in spellings)
        match = next((index for index in matches if index is not None), None)
        if match is None and name.isdecimal() and int(name) < len(class_names):
            match = int(name)
        if match is not None:
            index_of[name] = match
    return ClassMatch(index_of, tuple(name for name in data_classes if name not in index_of))


def plain_name(name: str) -> str:
    """The name as a person would say it: '001.Black_footed_Albatross' is 'Black footed Albatross'.

    A short number before a hyphen, a space or another digit belongs to the name: '3-door car', '7 up', '3.5 inch'.
    """
    return re.sub(r"^(n\d{8}[._ -]+|\d{3,}[._ -]+|\d+[._]+(?!\d)\s*)", "", name).replace("_", " ").strip()
