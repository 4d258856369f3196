"""Which of a model's classes are the classes of a data set, whatever the data set calls them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bsig.inputs.errors import InputError, first_line
from bsig.inputs.names import composed, folded

WORDNET_ID = re.compile(r"n\d{8}")
# '001.Albatross', '12_oak', '03 - ash'. A blank or a hyphen alone also stands in '3-door car' and '2 door car', a point
# before a digit in '3.5 inch disk'.
NUMBERED = re.compile(r"^(?:n\d{8}[._ -]+|\d+(?:_|\.(?!\d)| +-)[._ -]*|0\d+[ -]+)")
PLAINLY_NUMBERED = re.compile(r"^\d+[ -]+(?=\D)")


@dataclass(frozen=True)
class ClassMatch:
    """The index of the model's class by the data set's name for it, and the names that match no class of the model."""

    index_of: dict[str, int]
    unmatched: tuple[str, ...]


def class_map_from(text: str) -> dict[str, str]:
    """Pairs like `airplane=404` between commas, or those of a JSON file, as a dictionary.

    Raises:
        InputError: a part is no such pair, or the file holds none.
    """
    if text.strip().lower().endswith(".json"):
        return _class_map_of_file(Path(text.strip()).expanduser())
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(left.strip() and sign and right.strip() for left, sign, right in pairs):
        raise InputError(
            f"`--class-map` (='{text}') must be pairs like airplane=404 with commas between, or a JSON file of them."
        )
    return {composed(left.strip()): composed(right.strip()) for left, _, right in pairs}


def _class_map_of_file(file: Path) -> dict[str, str]:
    try:
        pairs = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"`--class-map` (='{file}') cannot be read ({first_line(error)}); give a JSON file."
        ) from error
    if not isinstance(pairs, dict) or not all(isinstance(name, str | int) for name in pairs.values()):
        raise InputError(f"`--class-map` (='{file}') must hold pairs like {{\"airplane\": 404}}.")
    return {composed(left): composed(str(right)) for left, right in pairs.items()}


def match_classes(
    data_classes: Sequence[str],
    class_names: Sequence[str],
    class_ids: Sequence[str],
    class_map: Mapping[str, str] = MappingProxyType({}),
) -> ClassMatch:
    """The match by full name, by WordNet id at the start, by name without number and underscores, or by index from 0.

    'n01440764_tench', 'tench', '000_Tench' and '0' are all class 0 of ImageNet. A class that `class_map` names is
    looked up as what the map says.

    Raises:
        InputError: the data's classes are numbers that may count from 1, and no `class_map` says what they are; or
            `class_map` names a class that the model lacks.
    """
    names_in_model = [class_map.get(name, name) for name in data_classes]
    exact = {composed(name): index for index, name in enumerate(class_names)}  # 'Cardigan' a dog, 'cardigan' a jacket
    index_of_folded: dict[str, int] = {}
    for names in (class_names, class_ids, plain_names(class_names)):
        for index, name in enumerate(names):
            index_of_folded.setdefault(folded(name), index)
    index_of: dict[str, int] = {}
    by_number: dict[str, int] = {}
    for data_class, name, plain in zip(data_classes, names_in_model, plain_names(names_in_model), strict=True):
        wordnet = WORDNET_ID.match(name)
        spellings = (composed(name), wordnet.group() if wordnet else name, plain)
        matches = (exact.get(spelling, index_of_folded.get(folded(spelling))) for spelling in spellings)
        match = next((index for index in matches if index is not None), None)
        if match is None and name.isdecimal() and int(name) < len(class_names):
            match = int(name)
        if match is not None:
            index_of[data_class] = match
        if data_class not in class_map and name.isdecimal() and (match is None or match == int(name)):
            by_number[name] = int(name)
    _check_numbers(data_classes, by_number, len(class_names))
    _check_map(class_map, [name for name in data_classes if name in class_map and name not in index_of], class_names)
    return ClassMatch(index_of, tuple(name for name in data_classes if name not in index_of))


def plain_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names as a person would say them: '001.Black_footed_Albatross' is 'Black footed Albatross'.

    Bare numbers before a blank or a hyphen ('1 cat', '2-dog') are taken away where all names have one and none are
    alike without it: '3-door car' beside 'lorry' keeps its three doors.
    """
    plain = [PLAINLY_NUMBERED.sub("", name) for name in names]
    are_numbered = len(names) > 1 and all(map(PLAINLY_NUMBERED.match, names)) and len(set(plain)) == len(names)
    return tuple(plain_name(name) for name in (plain if are_numbered else names))


def plain_name(name: str) -> str:
    """One name without the number or WordNet id that it was filed under, and without underscores."""
    return composed(NUMBERED.sub("", name).replace("_", " ").strip())


def _check_numbers(data_classes: Sequence[str], by_number: dict[str, int], count: int) -> None:
    """Refuses numbers that count from 1, as far as they can be told from indices.

    Raises:
        InputError: all classes are numbers, 0 is not among them, and they end at `count` or leave out none from 1 on.
    """
    numbers = sorted(set(by_number.values()))
    if len(by_number) < len(data_classes) or len(numbers) < 2 or numbers[0] == 0:
        return
    if numbers[-1] == count or numbers == list(range(1, len(numbers) + 1)):
        raise InputError(
            f"the classes are the numbers {numbers[0]} to {numbers[-1]} for {count} classes of the model, which may "
            f"count from 0 or from 1; name folders by class names, or say which class each is: "
            f"--class-map {numbers[0]}={numbers[0] - 1},... if they count from 1, {numbers[0]}={numbers[0]},... if "
            "from 0."
        )


def _check_map(class_map: Mapping[str, str], unmatched: Sequence[str], class_names: Sequence[str]) -> None:
    if unmatched:
        name = unmatched[0]
        raise InputError(
            f"`--class-map` says that '{name[:60]}' is '{class_map[name][:60]}', which is no class of the model "
            f"({first_names(class_names)}); name one of its classes, or leave the pair out to leave these pictures out."
        )


def first_names(names: Sequence[str], count: int = 8) -> str:
    """The first few names with commas between, dots behind where there are more."""
    return ", ".join(name[:40] for name in names[:count]) + ", ..." * (len(names) > count)
