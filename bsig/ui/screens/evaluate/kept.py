"""Evaluations of own pictures that the app keeps for a while, with small copies of the pictures that differ most."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bsig.evaluation.output.words import result_title

OWN_SETS_KEPT = 8


@dataclass
class OwnSet:
    """An evaluation of a visitor's pictures, and thumbnails' files of those that differ most."""

    results: dict[str, Any]
    folder: Path
    files: dict[str, Path] = field(default_factory=dict)


class OwnSets:
    """The last few evaluations, by title; their pictures go with them."""

    def __init__(self, kept: int = OWN_SETS_KEPT) -> None:
        self._sets: dict[str, OwnSet] = {}
        self._kept = kept
        self._lock = threading.Lock()
        self._folder: Path | None = None

    def new_folder(self) -> Path:
        """For one evaluation."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="bsig-evaluate-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)  # at the latest with the app
            return Path(tempfile.mkdtemp(dir=self._folder))

    def add(self, own: OwnSet) -> str:
        """Keeps it; returns its title."""
        with self._lock:
            title = f"own pictures, {time.strftime('%H:%M:%S')}: {result_title(own.results)}"
            replaced = self._sets.pop(title, None)
            self._sets[title] = own
            gone = [replaced] if replaced else []
            while len(self._sets) > self._kept:
                gone.append(self._sets.pop(next(iter(self._sets))))
        for one in gone:
            shutil.rmtree(one.folder, ignore_errors=True)
        return title

    def get(self, title: str | None) -> OwnSet | None:
        """By its title; None for one that is not kept."""
        return self._sets.get(title or "")

    def clear(self) -> None:
        """Lets all of them go."""
        with self._lock:
            self._sets.clear()
            folder, self._folder = self._folder, None
        if folder:
            shutil.rmtree(folder, ignore_errors=True)

    def __len__(self) -> int:
        return len(self._sets)
