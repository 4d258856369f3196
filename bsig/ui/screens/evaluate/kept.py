"""Evaluations of own pictures that the app keeps for a while, with small copies of the pictures that differ most."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bsig.evaluation.output.words import result_title
from bsig.inputs.files import temporary_place

EVALUATIONS_KEPT = 8


@dataclass
class KeptEvaluation:
    """The results on a visitor's pictures.

    Attributes:
        results: as `evaluate` gives them.
        folder: what the evaluation wrote; goes with it.
        files: small copies of the pictures that differ most, by the pictures' keys.
    """

    results: dict[str, Any]
    folder: Path
    files: dict[str, Path] = field(default_factory=dict)


class KeptEvaluations:
    """The last few evaluations of one visitor, by title; their pictures go with them."""

    def __init__(self, capacity: int = EVALUATIONS_KEPT) -> None:
        self._by_title: dict[str, KeptEvaluation] = {}
        self._capacity = capacity
        self._lock = threading.Lock()
        self._folder: Path | None = None

    def new_folder(self) -> Path:
        """An empty folder for one evaluation."""
        with self._lock:
            if self._folder is None or not self._folder.is_dir():
                self._folder = Path(tempfile.mkdtemp(prefix="bsig-evaluate-", dir=temporary_place()))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)  # at the latest with the app
            return Path(tempfile.mkdtemp(dir=self._folder))

    def add(self, evaluation: KeptEvaluation) -> str:
        """Keeps an evaluation in place of the oldest one; returns its title."""
        with self._lock:
            wish = f"own pictures, {time.strftime('%H:%M:%S')}: {result_title(evaluation.results)}"
            # Two that end in the same second are two; in a local app they may be two people's.
            titles = itertools.chain([wish], (f"{wish} ({number})" for number in itertools.count(2)))
            title = next(title for title in titles if title not in self._by_title)
            self._by_title[title] = evaluation
            old_evaluations = []
            while len(self._by_title) > self._capacity:
                old_evaluations.append(self._by_title.pop(next(iter(self._by_title))))
        for old in old_evaluations:
            shutil.rmtree(old.folder, ignore_errors=True)
        return title

    def get(self, title: str | None) -> KeptEvaluation | None:
        """The evaluation of that title; None for one that is not kept."""
        return self._by_title.get(title or "")

    def titles(self) -> list[str]:
        """The titles of all that are kept, newest first."""
        with self._lock:
            return list(reversed(self._by_title))

    def clear(self) -> None:
        """Removes all of them."""
        with self._lock:
            self._by_title.clear()
            folder, self._folder = self._folder, None
        if folder:
            shutil.rmtree(folder, ignore_errors=True)

    def __len__(self) -> int:
        return len(self._by_title)
