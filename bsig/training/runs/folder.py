"""A fine-tune as a folder: what was asked, where it stands, what it has measured; it outlives tab, worker and app.

    RUNS/NAME/run.json         what was asked (`RunRequest`), written once
    RUNS/NAME/state.json       where it stands (`RunState`), replaced whole at every change
    RUNS/NAME/events.jsonl     what happened, a line each (`events.py`)
    RUNS/NAME/probe.png        the probe picture, until the run has finished
    RUNS/NAME/maps/            the probe's crop and its maps, one a branch and epoch
    RUNS/NAME/data/            an uploaded data set, removed when the run has finished or is deleted
    RUNS/NAME/features/        its features, where they are kept for no other run; removed with the data
    RUNS/NAME/stop             is there once somebody has asked it to stop

Files, because the run is made in another process (`worker.py`), read from any tab, and must be there again after
a crash. One process writes a file at a time: the app until the run is handed over, then the worker.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bsig.inputs.errors import InputError
from bsig.inputs.files import write_json
from bsig.inputs.paths import CACHE_FOLDER
from bsig.model.checkpoints.names import NAME_PATTERN
from bsig.training.config import from_json
from bsig.training.runs.events import events_of, forget_events
from bsig.training.runs.run import ENDED, Run, RunRequest, RunState, request_from_json

WORK_FOLDER = Path(os.environ.get("BSIG_RUNS", CACHE_FOLDER / "app"))
REQUEST, STATE, STOP = "run.json", "state.json", "stop"
MAPS, DATA, PROBE, FEATURES = "maps", "data", "probe.png", "features"
_CHANGING = threading.Lock()


class RunFolder:
    """The runs of one work folder, and the checkpoints that they leave."""

    def __init__(self, work_folder: Path = WORK_FOLDER) -> None:
        self.runs = work_folder / "runs"
        self.checkpoints = work_folder / "checkpoints"

    @classmethod
    def of(cls, run_folder: Path) -> RunFolder:
        """The work folder that a run's folder belongs to."""
        return cls(run_folder.parent.parent)

    def names(self) -> list[str]:
        """The names of all runs, newest first."""
        if not self.runs.is_dir():
            return []
        runs = [path for path in self.runs.iterdir() if (path / REQUEST).is_file() and not path.name.startswith(".")]
        return [path.name for path in sorted(runs, key=_asked_at, reverse=True)]

    def folder(self, name: str) -> Path:
        """The folder of a run.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.names():
            raise InputError(f"`run` (='{name}') must be one of: {', '.join(self.names()) or 'none yet'}.")
        return self.runs / name

    def create(self, name: str, request: RunRequest, taken: Collection[str] = ()) -> Path:
        """A new run's folder with its request, not in line yet; the name is made unique, also among `taken`.

        Raises:
            InputError: the name cannot be a folder's, or the disk refuses.
        """
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            name = self._new_folder(name, taken)
        except OSError as error:
            raise InputError(f"no run can be kept in '{self.runs}' ({error}); free space.") from error
        try:
            write_json(self.runs / name / REQUEST, asdict(request))
            write_json(self.runs / name / STATE, asdict(RunState(created=time.time())))
        except OSError as error:
            raise InputError(f"run '{name}' cannot be kept in '{self.runs}' ({error}); free space.") from error
        return self.runs / name

    def read(self, name: str) -> Run:
        """A run as it stands.

        Raises:
            InputError: there is none of that name, or its files are damaged.
        """
        folder = self.folder(name)
        try:
            request = request_from_json(json.loads((folder / REQUEST).read_text(encoding="utf-8")))
            state = _state_of(folder)
        except (OSError, ValueError) as error:  # InputError is one
            raise InputError(f"run '{name}' is damaged ({error}); delete it and start another.") from error
        return Run(name, folder, request, state, events_of(folder))

    def read_all(self) -> list[Run]:
        """All runs that can be read, newest first."""
        runs = []
        for name in self.names():
            try:
                runs.append(self.read(name))
            except InputError:
                continue  # removed meanwhile, or damaged: `read` says so when it is asked for by name
        return runs

    def delete(self, name: str) -> None:
        """Removes an ended run and its checkpoint.

        Raises:
            InputError: it has not ended, or there is none.
        """
        run = self.read(name)
        if run.state.standing not in ENDED:
            raise InputError(f"run '{name}' is {run.state.standing}; stop it before you delete it.")
        shutil.rmtree(run.folder, ignore_errors=True)
        forget_events(run.folder)
        shutil.rmtree(self.checkpoints / name, ignore_errors=True)
        shutil.rmtree(self.checkpoints / f".{name}.training", ignore_errors=True)

    def change_request(self, folder: Path, request: RunRequest) -> None:
        """Replaces what is asked, once more is known of it; only before the run is in line.

        Raises:
            OSError: the disk refuses.
        """
        write_json(folder / REQUEST, asdict(request))

    def _new_folder(self, wish: str, taken: Collection[str]) -> str:
        while True:
            name = self.free_name(wish, taken)
            try:
                (self.runs / name).mkdir()
            except FileExistsError:
                continue  # another start was a moment faster
            return name

    def free_name(self, wish: str, taken: Collection[str] = ()) -> str:
        """The name that is wished for as a folder can have it, with a number behind it where it is taken.

        Raises:
            InputError: nothing of it can be a name.
        """
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", wish.strip()).strip("-._")[:80] or "finetune"
        if not NAME_PATTERN.fullmatch(stem):
            raise InputError(f"`name` (='{wish}') must be letters, digits, '.', '_' or '-'.")
        number = 1
        while True:
            name = stem if number == 1 else f"{stem}-{number}"
            if name not in taken and not (self.runs / name).exists() and not (self.checkpoints / name).exists():
                return name
            number += 1


def _asked_at(folder: Path) -> int:
    """When the run was asked for: its request is written once (and again when an upload has been unpacked)."""
    try:
        return (folder / REQUEST).stat().st_mtime_ns
    except OSError:  # deleted a moment ago
        return 0


def change_state(folder: Path, **changes: Any) -> RunState:
    """The run's state with some entries changed, written and returned; threads that change it at once take turns.

    Raises:
        OSError: the disk refuses.
        InputError: the state is damaged.
    """
    with _CHANGING:
        state = replace(_state_of(folder), **changes)
        write_json(folder / STATE, asdict(state))
    return state


def ask_to_stop(folder: Path) -> None:
    """Leaves the mark that the worker looks for."""
    (folder / STOP).touch()


def is_asked_to_stop(folder: Path) -> bool:
    """Whether the mark is there."""
    return (folder / STOP).exists()


def _state_of(folder: Path) -> RunState:
    return from_json(RunState, json.loads((folder / STATE).read_text(encoding="utf-8")))
