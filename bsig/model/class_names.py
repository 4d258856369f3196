"""Class names from outside: a text file, JSON, or the folders of a data set, in the order of the logits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bsig.inputs.datasets.read import available_splits, is_zip, read_dataset
from bsig.inputs.errors import InputError
from bsig.inputs.names import composed

MAX_BYTES = 16 * 2**20


def read_class_names(source: Path) -> list[str]:
    """One name a class, each once.

    Args:
        source: a text file with one name a line; a JSON list, `{index: name}` or `{name: index}`; or a folder of class
            folders, or a zip of one: their sorted names are the classes, as torchvision's ImageFolder and timm number
            them.

    Raises:
        InputError: the file cannot be read, a name stands twice or is empty, or an index is missing.
    """
    if source.is_dir() or is_zip(source):
        return _folder_names(source)
    text = _text(source, "--class-names")
    if source.suffix.lower() == ".json":
        try:
            names = names_of_entries(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise InputError(f"`--class-names` (='{source}') is not JSON ({error}); mend it.") from error
        if names is None:
            raise InputError(
                f"`--class-names` (='{source}') must be a JSON list of names or {{index: name}} with the indices from "
                "0 on, each once."
            )
    else:
        names = [composed(line.strip()) for line in text.rstrip().splitlines()]
    if len(set(names)) != len(names) or not names or not all(names):
        raise InputError(f"`--class-names` (='{source}') must hold each name once, one a line, none empty.")
    return names


def read_lines(source: Path, option: str) -> list[str]:
    """The lines of an option's text file that are not empty.

    Raises:
        InputError: it cannot be read, or has no line.
    """
    lines = [line.strip() for line in _text(source, option).splitlines() if line.strip()]
    if not lines:
        raise InputError(f"`{option}` (='{source}') is empty; give one text a line.")
    return lines


def names_of_entries(entries: Any) -> list[str] | None:
    """The names of a list, of `{index: name}` or `{name: index}`, in order; None where it is none of these."""
    if isinstance(entries, Mapping):
        pairs = [(str(key), value) for key, value in entries.items()]
        if all(key.strip().isdecimal() for key, _ in pairs) and not all(isinstance(value, int) for _, value in pairs):
            numbered = {int(key): value for key, value in pairs}
        else:
            numbered = {value: key for key, value in pairs if isinstance(value, int) and not isinstance(value, bool)}
        if len(numbered) != len(pairs) or sorted(numbered) != list(range(len(numbered))):
            return None
        entries = [numbered[index] for index in range(len(numbered))]
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        return None
    # torchvision's ImageNet index has a pair an index: WordNet id and name.
    names = [entry[-1] if isinstance(entry, list | tuple) and len(entry) == 2 else entry for entry in entries]
    if not names or not all(isinstance(name, str | int) and str(name).strip() for name in names):
        return None
    return [composed(str(name).strip()) for name in names]


def _text(source: Path, option: str) -> str:
    try:
        if source.stat().st_size > MAX_BYTES:
            raise InputError(f"`{option}` (='{source}') is over {MAX_BYTES >> 20} MB; give a list of names.")
        return source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`{option}` (='{source}') cannot be read ({error}); give a text file.") from error


def _folder_names(folder: Path) -> list[str]:
    splits = available_splits(folder)
    if not splits:
        raise InputError(f"`--class-names` (='{folder}') holds no class folders with pictures; give a file of names.")
    return sorted({name for split in splits for name in read_dataset(folder, split).class_names})
