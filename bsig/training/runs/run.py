"""A fine-tune as a folder: what was asked, where it stands, what it has measured; it outlives tab, worker and app.

    RUNS/NAME/run.json         what was asked (`RunRequest`), written once
    RUNS/NAME/state.json       where it stands (`RunState`), replaced whole at every change
    RUNS/NAME/events.jsonl     what happened, a line each: pictures encoded, epochs with their figures, notes
    RUNS/NAME/probe.png        the probe picture, until the run has finished
    RUNS/NAME/maps/            the probe's crop and its maps, one a branch and epoch
    RUNS/NAME/data/            an uploaded data set, removed when the run has finished or is deleted
    RUNS/NAME/features/        its features, where they are kept for no other run; removed with the data
    RUNS/NAME/stop             is there once somebody has asked it to stop

Files, because the run is made in another process (`worker.py`), read from any tab, and must be found again after
a crash. One process writes a file at a time: the app until the run is handed over, then the worker.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bsig.inputs.errors import InputError
from bsig.inputs.paths import CACHE_FOLDER
from bsig.model.checkpoints.folder import NAME_PATTERN
from bsig.training.config import FinetuneConfig, from_json

DataKind = Literal["bundled", "folder", "zip", "torchvision"]
Standing = Literal["queued", "running", "finished", "stopped", "failed", "interrupted"]
ENDED: tuple[Standing, ...] = ("finished", "stopped", "failed", "interrupted")
WORK_FOLDER = Path(os.environ.get("BSIG_RUNS", CACHE_FOLDER / "app"))
REQUEST, STATE, EVENTS, STOP = "run.json", "state.json", "events.jsonl", "stop"
MAPS, DATA, PROBE, FEATURES = "maps", "data", "probe.png", "features"
EVENT_FILES_KEPT = 256


@dataclass(frozen=True)
class RunRequest:
    """What a run is asked to do.

    Attributes:
        data: where the pictures come from: the shipped features, a folder, an unpacked zip (then the run's own
            `data/`), or a torchvision data set.
        address: of the folder or the data set; for people only where the data is shipped or unpacked.
        config: settings, with the device.
        probe_class: the class whose sigmoid map is redrawn every epoch, by name; None for the predicted one.
        seconds: after which the run is stopped and keeps its finished epochs; None for no limit.
        estimated_seconds: how long it was thought to take when it was asked for; None where nobody asked.
        keeps_features: the features of its pictures are kept for other runs; else they go with the run's own data.
    """

    data: DataKind
    address: str
    config: FinetuneConfig
    probe_class: str | None = None
    seconds: float | None = None
    estimated_seconds: float | None = None
    keeps_features: bool = True


@dataclass(frozen=True)
class RunState:
    """Where a run stands.

    Attributes:
        sentence: what a person should know: why it failed, what was kept.
        epochs_done: finished and kept.
        checkpoint: the folder that was written, or None.
    """

    standing: Standing = "queued"
    sentence: str = ""
    phase: str = ""
    epochs_done: int = 0
    checkpoint: str | None = None
    created: float = 0.0
    started: float | None = None
    ended: float | None = None


@dataclass(frozen=True)
class Run:
    """One run as it stands on disk."""

    name: str
    folder: Path
    request: RunRequest
    state: RunState
    events: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    def epochs(self) -> list[dict[str, Any]]:
        """The figures of each epoch, from the start (number 0); of one that was repeated after a crash the last."""
        found = {event["number"]: event for event in self.events if event["kind"] == "epoch"}
        return [found[number] for number in sorted(found)]

    def notes(self) -> list[str]:
        """Sentences on what was left out or changed on the way."""
        return list(dict.fromkeys(event["text"] for event in self.events if event["kind"] == "note"))

    def last(self, kind: str) -> dict[str, Any] | None:
        """The newest event of a kind."""
        return next((event for event in reversed(self.events) if event["kind"] == kind), None)


class RunFolder:
    """All runs of one work folder."""

    def __init__(self, work_folder: Path = WORK_FOLDER) -> None:
        self.runs = work_folder / "runs"
        self.checkpoints = work_folder / "checkpoints"

    @classmethod
    def of(cls, run_folder: Path) -> RunFolder:
        """The one that a run's folder belongs to."""
        return cls(run_folder.parent.parent)

    def names(self) -> list[str]:
        """Newest first."""
        if not self.runs.is_dir():
            return []
        found = [path for path in self.runs.iterdir() if (path / REQUEST).is_file() and not path.name.startswith(".")]
        return [path.name for path in sorted(found, key=_asked_at, reverse=True)]

    def folder(self, name: str) -> Path:
        """The folder of a run.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.names():
            raise InputError(f"`run` (='{name}') must be one of: {', '.join(self.names()) or 'none yet'}.")
        return self.runs / name

    def create(self, wanted_name: str, request: RunRequest, taken: Collection[str] = ()) -> Path:
        """A new run's folder with its request, not queued anywhere yet; the name is made unique, also among `taken`.

        Raises:
            InputError: the name cannot be a folder's, or the disk refuses.
        """
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            name = self._made_folder(wanted_name, taken)
        except OSError as error:
            raise InputError(f"no run can be kept in '{self.runs}' ({error}); free space.") from error
        try:
            write_json(self.runs / name / REQUEST, request_to_json(request))
            write_state(self.runs / name, RunState(created=time.time()))
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
            state = RunState(**json.loads((folder / STATE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"run '{name}' is damaged ({error}); delete it and start another.") from error
        return Run(name, folder, request, state, _EVENTS.of(folder))

    def read_all(self) -> list[Run]:
        """All runs that can be read, newest first."""
        found = []
        for name in self.names():
            try:
                found.append(self.read(name))
            except InputError:
                continue  # removed meanwhile, or damaged: `read` says so when it is asked for by name
        return found

    def delete(self, name: str) -> None:
        """Removes an ended run and its checkpoint.

        Raises:
            InputError: it has not ended, or there is none.
        """
        run = self.read(name)
        if run.state.standing not in ENDED:
            raise InputError(f"run '{name}' is {run.state.standing}; stop it before you delete it.")
        shutil.rmtree(run.folder, ignore_errors=True)
        _EVENTS.forget(run.folder)
        shutil.rmtree(self.checkpoints / name, ignore_errors=True)
        shutil.rmtree(self.checkpoints / f".{name}.training", ignore_errors=True)

    def change_request(self, folder: Path, request: RunRequest) -> None:
        """What is asked, once more is known of it; only before the run is in line."""
        write_json(folder / REQUEST, request_to_json(request))

    def change_address(self, folder: Path, address: str) -> None:
        """Where an uploaded data set was unpacked to."""
        request = request_from_json(json.loads((folder / REQUEST).read_text(encoding="utf-8")))
        write_json(folder / REQUEST, request_to_json(replace(request, address=address)))

    def _made_folder(self, wanted: str, taken: Collection[str]) -> str:
        while True:
            name = self.free_name(wanted, taken)
            try:
                (self.runs / name).mkdir()
            except FileExistsError:
                continue  # another start was a moment faster
            return name

    def free_name(self, wanted: str, taken: Collection[str] = ()) -> str:
        """The wanted name as a folder can have it, with a number behind it where it is taken.

        Raises:
            InputError: nothing of it can be a name.
        """
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted.strip()).strip("-._")[:80] or "finetune"
        if not NAME_PATTERN.fullmatch(stem):
            raise InputError(f"`name` (='{wanted}') must be letters, digits, '.', '_' or '-'.")
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


# Files.


_CHANGING = threading.Lock()


def write_json(file: Path, said: dict[str, Any]) -> None:
    """Whole or not at all, also where several threads write at once."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}.partial")
    try:
        temporary.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)  # there only if it could not be written or put in place


def write_state(folder: Path, state: RunState) -> None:
    """Replaces the run's state."""
    write_json(folder / STATE, asdict(state))


def change_state(folder: Path, **changes: Any) -> RunState:
    """The run's state with some entries changed, written and returned; of several threads one after the other."""
    with _CHANGING:
        state = replace(RunState(**json.loads((folder / STATE).read_text(encoding="utf-8"))), **changes)
        write_state(folder, state)
    return state


def add_event(folder: Path, kind: str, **said: Any) -> None:
    """One more line; one that a crash cut short before it is ended first, and left out when reading."""
    with (folder / EVENTS).open("a+b") as file:
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            file.write(b"\n")
        file.write((json.dumps({"kind": kind, "at": time.time(), **said}, ensure_ascii=False) + "\n").encode("utf-8"))


class _EventFiles:
    """What has been read of runs' event files: a page that is redrawn twice a second reads only what is new."""

    def __init__(self) -> None:
        # By path: the file's own number, how many bytes have been read, and the events in them.
        self._read: OrderedDict[Path, tuple[int, int, tuple[dict[str, Any], ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, folder: Path) -> tuple[dict[str, Any], ...]:
        """All events of a run whose line is whole."""
        path = folder / EVENTS
        with self._lock:
            number, offset, events = self._read.get(path, (0, 0, ()))
            try:
                with path.open("rb") as file:
                    now = os.fstat(file.fileno())
                    if now.st_ino != number or now.st_size < offset:  # another run of that name
                        number, offset, events = now.st_ino, 0, ()
                    file.seek(offset)
                    new = file.read()
            except OSError:
                self._read.pop(path, None)
                return ()
            whole = new[: new.rfind(b"\n") + 1]
            events += tuple(_events_in(whole.decode("utf-8", errors="replace")))
            self._read[path] = (number, offset + len(whole), events)
            self._read.move_to_end(path)
            while len(self._read) > EVENT_FILES_KEPT:
                self._read.popitem(last=False)
            return events

    def forget(self, folder: Path) -> None:
        """Of a run that is deleted: another may get its name."""
        with self._lock:
            self._read.pop(folder / EVENTS, None)


_EVENTS = _EventFiles()


def _events_in(text: str) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "kind" in event:
            yield event


def ask_to_stop(folder: Path) -> None:
    """Leaves the mark that the worker looks for."""
    (folder / STOP).touch()


def is_asked_to_stop(folder: Path) -> bool:
    """Whether the mark is there."""
    return (folder / STOP).exists()


def request_to_json(request: RunRequest) -> dict[str, Any]:
    """As JSON."""
    return asdict(request)


def request_from_json(said: dict[str, Any]) -> RunRequest:
    """`request_to_json` backwards; every rule of the settings is checked again.

    Raises:
        InputError, KeyError, TypeError: not a request.
    """
    config = dict(said["config"])
    if "workers" in config:  # as runs were written before 'encoding' was a part of its own
        config["encoding"] = {"workers": config.pop("workers")}
    return from_json(RunRequest, {**said, "config": config})
