"""A fine-tune as a folder that outlives tab, worker and app.

    RUNS/NAME/run.json         its request (`RunRequest`), written once
    RUNS/NAME/state.json       its state (`RunState`), replaced whole at every change
    RUNS/NAME/events.jsonl     its events, a line each (`events.py`)
    RUNS/NAME/probe.png        the probe picture, until the run has finished
    RUNS/NAME/maps/            the probe's crop and its maps, one a branch and epoch
    RUNS/NAME/data/            an uploaded data set, removed when the run has finished or is deleted
    RUNS/NAME/features/        its features, where they are kept for no other run; removed with the data
    RUNS/NAME/turn             locked while the state is changed
    RUNS/NAME/stop             the mark of a run that somebody has asked to stop

Files, because the run is made in another process (`worker.py`), read from any tab, and must be there again after
a crash. One process writes a file at a time: the app until the run is handed over, then the worker.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bsig.inputs.errors import InputError
from bsig.inputs.files import take_lock, write_json
from bsig.inputs.paths import CACHE_FOLDER
from bsig.model.checkpoints.names import NAME_PATTERN
from bsig.training.config import from_json
from bsig.training.runs.events import events_of, forget_events
from bsig.training.runs.run import ENDED, Run, RunRequest, RunState, request_from_json

WORK_FOLDER = Path(os.environ.get("BSIG_RUNS", CACHE_FOLDER / "app"))
REQUEST, STATE, STOP, TURN = "run.json", "state.json", "stop", "turn"
MAPS, DATA, PROBE, FEATURES = "maps", "data", "probe.png", "features"
_CHANGING = threading.Lock()


class RunFolder:
    """The runs of one work folder, and the checkpoints that they leave."""

    def __init__(self, work_folder: Path = WORK_FOLDER) -> None:
        self.runs = work_folder / "runs"
        self.checkpoints = work_folder / "checkpoints"

    @classmethod
    def of(cls, run_folder: Path) -> RunFolder:
        """Returns the work folder of a run's folder."""
        return cls(run_folder.parent.parent)

    def names(self) -> list[str]:
        """Returns the names of all runs, newest first."""
        if not self.runs.is_dir():
            return []
        runs = [path for path in self.runs.iterdir() if (path / REQUEST).is_file() and not path.name.startswith(".")]
        return [path.name for path in sorted(runs, key=_asked_at, reverse=True)]

    def folder(self, name: str) -> Path:
        """Returns the folder of a run.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.names():
            raise InputError(f"`run` (='{name}') must be one of: {', '.join(self.names()) or 'none yet'}.")
        return self.runs / name

    def create(self, name: str, request: RunRequest, others: Collection[str] = ()) -> Path:
        """Returns a new run's folder with its request, not in line yet; its name is unique, also among `others`.

        Raises:
            InputError: the name cannot be a folder's, or the disk refuses.
        """
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            folder = self._new_folder(name, others)
        except OSError as error:
            raise InputError(f"no run can be kept in '{self.runs}' ({error}); free space.") from error
        try:
            write_json(folder / REQUEST, asdict(request))
            write_json(folder / STATE, asdict(RunState(created=time.time())))
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise InputError(f"run '{folder.name}' cannot be kept in '{self.runs}' ({error}); free space.") from error
        return folder

    def read(self, name: str) -> Run:
        """Returns a run as it stands.

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
        """Returns all runs that can be read, newest first."""
        runs = []
        for name in self.names():
            with contextlib.suppress(InputError):  # removed meanwhile, or damaged: `read` says so for its name
                runs.append(self.read(name))
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
        """Replaces the request, once more is known of the data; only before the run is in line.

        Raises:
            OSError: the disk refuses.
        """
        write_json(folder / REQUEST, asdict(request))

    def _new_folder(self, wish: str, others: Collection[str]) -> Path:
        while True:
            folder = self.runs / self.free_name(wish, others)
            with contextlib.suppress(FileExistsError):  # another start was a moment faster
                folder.mkdir()
                return folder

    def free_name(self, wish: str, others: Collection[str] = ()) -> str:
        """Returns the wish as the name of a folder, with a number behind it where it is taken.

        Raises:
            InputError: nothing of it can be a name.
        """
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", wish.strip()).strip("-._")[:80] or "finetune"
        if not NAME_PATTERN.fullmatch(stem):
            raise InputError(f"`name` (='{wish}') must be letters, digits, '.', '_' or '-'.")
        names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        folders = (self.runs, self.checkpoints)
        return next(
            name for name in names if name not in others and not any((each / name).exists() for each in folders)
        )


def _asked_at(folder: Path) -> int:
    """Returns when the request was written: once, and again when an upload has been unpacked."""
    try:
        return (folder / REQUEST).stat().st_mtime_ns
    except OSError:  # deleted a moment ago
        return 0


def change_state(folder: Path, **changes: Any) -> RunState:
    """Writes and returns the run's state with some entries changed; threads and processes take turns.

    Raises:
        OSError: the disk refuses.
        InputError: the state is damaged.
    """
    with _turn(folder):
        return _changed(folder, _state_of(folder), changes)


def change_state_if(holds: Callable[[RunState], bool], folder: Path, **changes: Any) -> bool:
    """Changes a state like `change_state`, but only if `holds` is true of it; returns whether it was.

    Nobody changes the state in between: a worker that is late must not overwrite what the next app has said of its run.
    """
    with _turn(folder):
        state = _state_of(folder)
        if is_meant := holds(state):
            _changed(folder, state, changes)
        return is_meant


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Held by one thread of one process at a time."""
    with _CHANGING, (folder / TURN).open("a") as file:
        take_lock(file, waits=True)
        yield


def _changed(folder: Path, state: RunState, changes: dict[str, Any]) -> RunState:
    state = replace(state, **changes)
    write_json(folder / STATE, asdict(state))
    return state


def ask_to_stop(folder: Path) -> None:
    """Leaves the mark that the worker looks for."""
    (folder / STOP).touch()


def is_asked_to_stop(folder: Path) -> bool:
    """Returns whether the mark is there."""
    return (folder / STOP).exists()


def _state_of(folder: Path) -> RunState:
    return from_json(RunState, json.loads((folder / STATE).read_text(encoding="utf-8")))
