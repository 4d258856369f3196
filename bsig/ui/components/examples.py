"""The bundled pictures: each with the class to ask for and the reason why it is there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bsig.inputs.errors import InputError
from bsig.inputs.paths import EXAMPLES


@dataclass(frozen=True)
class Example:
    """One bundled picture; `class_name` is None where the predicted class is asked for."""

    key: str
    path: Path
    title: str
    class_name: str | None
    truth: str
    reason: str
    credit: str


@lru_cache(maxsize=1)
def bundled_examples() -> tuple[Example, ...]:
    """All bundled pictures, in the order of the screen; the first is compared at the start."""
    entries = json.loads((EXAMPLES / "examples.json").read_text(encoding="utf-8"))
    return tuple(
        Example(
            key=entry["key"],
            path=EXAMPLES / entry["file"],
            title=entry["title"],
            class_name=entry["class_name"],
            truth=entry["truth"],
            reason=entry["reason"],
            credit=entry["credit"],
        )
        for entry in entries
    )


def example_at(position: Any) -> Example:
    """The example at a position of the gallery, from 0.

    Raises:
        InputError: there is none at that position.
    """
    examples = bundled_examples()
    if not isinstance(position, int) or not 0 <= position < len(examples):
        raise InputError(f"`position` (={position}) must be one of the {len(examples)} examples; click one.")
    return examples[position]


def example_by_key(key: str | None) -> Example:
    """The example of that key; the first for one that is not known."""
    examples = bundled_examples()
    return next((example for example in examples if example.key == key), examples[0])


def example_pictures() -> dict[str, Path]:
    """The bundled pictures' files by key."""
    return {example.key: example.path for example in bundled_examples()}


def example_of(file: str | None, key: str | None = None) -> Example | None:
    """The example whose file has the same bytes, of several the one of that key; None for a visitor's own picture."""
    if not file:
        return None
    try:
        digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return None
    same = [example for example in bundled_examples() if _digest(example.path) == digest]
    return next((example for example in same if example.key == key), same[0] if same else None)


@lru_cache(maxsize=64)
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
