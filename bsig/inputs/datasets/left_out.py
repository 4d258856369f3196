"""What a data set holds and does not give: counted by reason, said in sentences."""

from __future__ import annotations

import os
from pathlib import Path

from bsig.inputs.images import SUFFIXES

COMPANIONS = "hidden or companion files"


class LeftOut:
    """Names by the reason why they are no samples, and sentences on how the rest was read."""

    def __init__(self) -> None:
        self._remarks: list[str] = []
        self._counts: dict[str, int] = {}
        self._examples: dict[str, str] = {}

    def add(self, reason: str, name: str) -> None:
        """Counts one name more for the reason, a noun in the plural; the first one is kept as its example."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        self._examples.setdefault(reason, name)

    def remark(self, sentence: str) -> None:
        """Keeps a sentence on the whole data set, once."""
        if sentence not in self._remarks:
            self._remarks.append(sentence)

    def add_companion(self, path: Path, name: str) -> None:
        """Counts a hidden file or folder by its files with a picture's suffix: nobody asks for the others."""
        files = [file for _, _, names in os.walk(path) for file in names] if path.is_dir() else [path.name]
        for file in files:
            if Path(file).suffix.lower() in SUFFIXES:
                self.add(COMPANIONS, name)

    def sentences(self) -> tuple[str, ...]:
        """All remarks, then a sentence for each reason with its count and an example."""
        reasons = (
            f"Left out: {reason} ({count}, e.g. '{self._examples[reason][:100]}')."
            for reason, count in self._counts.items()
        )
        return (*self._remarks, *reasons)
