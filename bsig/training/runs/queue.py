"""Runs wait in line, one at a time a device, and are made by a worker process that this app owns.

    queue = RunQueue(RunFolder(...), checkpoints)
    queue.submit(name), queue.position(name), queue.stop(name), queue.resume(name)
    queue.beside(RunFolder(...))        the same line for runs of another folder: each visitor may have one

A worker that dies takes nothing with it: its run is marked as interrupted and the next run gets a new worker. When the
app itself dies, so does its worker; the next app finds what they were at and marks it as interrupted.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from pathlib import Path
from typing import Protocol, runtime_checkable

from bsig.inputs.errors import InputError
from bsig.inputs.files import is_locked, locked
from bsig.inputs.paths import ROOT
from bsig.training.runs.run import ENDED, STOP, Run, RunFolder, ask_to_stop, change_state, is_asked_to_stop
from bsig.training.runs.words import time_is_up

logger = logging.getLogger(__name__)

LOG = "worker.log"
TICK_S = 0.1
STOP_PATIENCE_S = 0.7
SAVING_PATIENCE_S = 20.0
DYING_S = 3.0
MAX_WAITING = 20
GUARD_EVERY_S = 1.0


@runtime_checkable
class Maker(Protocol):
    """What makes runs, one after the other: a worker process, or a function that gets a GPU for a while.

    Attributes:
        patience_s: how long beyond a run's own limit it may take before it is given up.
    """

    patience_s: float

    def make(self, folder: Path) -> None:
        """Begins a run; returns at once."""

    def has_made(self, folder: Path, patience_s: float) -> bool:
        """Whether it has been made, within that many seconds."""

    def has_ended(self) -> bool:
        """Whether the maker is gone."""

    def how_it_ended(self) -> str:
        """Why, in a sentence."""

    def kill(self) -> None:
        """Ends it at once."""

    def end(self) -> None:
        """Lets it go."""


class RunQueue:
    """The line of one app: a lane for each device, each with its own worker.

    Args:
        folder: of the runs that names are of.
        checkpoints: folder of the checkpoints that runs may start from.
        new_maker: makes what makes runs: a worker process where None.
    """

    def __init__(self, folder: RunFolder, checkpoints: Path, new_maker: Callable[[], Maker] | None = None) -> None:
        self.folder, self.checkpoints = folder, checkpoints
        self._new_maker = new_maker or (lambda: _Worker(folder, checkpoints))
        self._lanes: dict[str, _Lane] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        folder.runs.mkdir(parents=True, exist_ok=True)
        self._guard = threading.Thread(target=self._guard_folder, daemon=True, name="guards interrupted runs")
        self._held = contextlib.ExitStack()
        if self._held.enter_context(locked(folder.runs)):
            mark_interrupted(folder)
        else:  # another app's runs wait and run here; what it leaves when it ends is found by this one
            self._held.close()
            self._guard.start()

    def beside(self, folder: RunFolder) -> RunQueue:
        """The same line for the runs of another folder."""
        other = copy.copy(self)
        other.folder = folder
        return other

    def submit(self, name: str) -> None:
        """Puts a run into the line of its device; not one that was stopped before it got there.

        Raises:
            InputError: there is no such run, or the line is full.
        """
        with self._lock:
            run = self.folder.read(name)
            if run.state.standing in ENDED:
                return
            waiting = sum(lane.waiting() for lane in self._lanes.values())
            if waiting >= MAX_WAITING:
                raise InputError(f"{waiting} runs are waiting, the limit is {MAX_WAITING}; try again later.")
            self._lane(run.request.config.device).put(run.folder)

    def resume(self, name: str) -> None:
        """Puts an ended run that did not finish into the line again; it goes on after its last finished epoch.

        Raises:
            InputError: it has finished, has not ended, or there is none.
        """
        run = self.folder.read(name)
        if run.state.standing not in ENDED or run.state.standing == "finished":
            raise InputError(f"run '{name}' is {run.state.standing}; only a run that was cut off can be resumed.")
        (run.folder / STOP).unlink(missing_ok=True)
        change_state(run.folder, standing="queued", sentence="", ended=None)
        try:
            self.submit(name)
        except InputError:
            change_state(run.folder, standing=run.state.standing, sentence=run.state.sentence, ended=run.state.ended)
            raise

    def stop(self, name: str) -> None:
        """Takes a waiting run out of the line, or stops the one that runs; an ended one stays as it is.

        Raises:
            InputError: there is none of that name.
        """
        folder = self.folder.folder(name)
        ask_to_stop(folder)
        with self._lock:  # to the end: a run that is about to get into line must not do so in between
            taken = any(lane.take_out(folder) for lane in self._lanes.values())
            # Also what no line holds and nobody makes: not yet submitted, or lost somehow.
            is_lost = not taken and self._place(folder) is None and not is_locked(folder)
            if (taken or is_lost) and self.folder.read(name).state.standing not in ENDED:
                change_state(folder, standing="stopped", sentence="Stopped before it began.", ended=time.time())

    def position(self, name: str) -> int | None:
        """0 for a run that is being made, 1 for the next, ...; None for one that is not in line."""
        return self._position(self.folder.runs / name)

    def counts(self) -> dict[str, int]:
        """How many runs wait and how many are being made."""
        with self._lock:
            lanes = list(self._lanes.values())
        return {"waiting": sum(lane.waiting() for lane in lanes), "running": sum(lane.is_busy() for lane in lanes)}

    def warm_up(self, device: str = "cpu") -> None:
        """Starts the device's worker, so that the first run need not wait for it to load."""
        with self._lock:
            self._lane(device).warm_up()

    def close(self) -> None:
        """Ends all workers; what they were at is found as interrupted by the next app."""
        self._closing.set()
        with self._lock:
            for lane in self._lanes.values():
                lane.close()
        if self._guard.is_alive():
            self._guard.join()
        self._held.close()

    def _position(self, folder: Path) -> int | None:
        with self._lock:
            return self._place(folder)

    def _place(self, folder: Path) -> int | None:
        """As `_position`; the lock is held."""
        return next((place for lane in self._lanes.values() if (place := lane.position(folder)) is not None), None)

    def _lane(self, device: str) -> _Lane:
        if device not in self._lanes:
            self._lanes[device] = _Lane(self._new_maker, device)
        return self._lanes[device]

    def _guard_folder(self) -> None:
        """Waits until the other app has ended, then says of the runs that it left that they are interrupted."""
        while not self._closing.wait(GUARD_EVERY_S):
            with locked(self.folder.runs) as is_ours:
                if is_ours:
                    mark_interrupted(self.folder, is_in_line=lambda folder: self._position(folder) is not None)
                    self._closing.wait()
                    return


def mark_interrupted(folder: RunFolder, is_in_line: Callable[[Path], bool] = lambda _: False) -> None:
    """Says so of every run that is not ended and that no living worker holds: its app or its worker died."""
    deadline = time.monotonic() + DYING_S
    for run in folder.read_all():
        if run.state.standing in ENDED or is_in_line(run.folder):
            continue
        while is_locked(run.folder) and time.monotonic() < deadline:
            time.sleep(TICK_S)  # a worker whose app has just died dies too, within a step
        if not is_locked(run.folder):
            change_state(run.folder, standing="interrupted", sentence=_interrupted(run), ended=time.time())


def _interrupted(run: Run) -> str:
    if run.state.standing == "queued":
        return "The app ended while this run was waiting; resume it."
    done, wanted = run.state.epochs_done, run.request.config.training.epochs
    return f"Interrupted after epoch {done} of {wanted}, which is kept; resume it to go on from there."


class _Lane:
    """One device: its line, its worker, and the thread that hands over one after the other."""

    def __init__(self, new_maker: Callable[[], Maker], device: str) -> None:
        self._new_maker = new_maker
        self._waiting: deque[tuple[Path, Context]] = deque()
        self._current: Path | None = None
        self._changed = threading.Condition()
        self._worker: Maker | None = None
        self._closed = False
        threading.Thread(target=self._hand_over, daemon=True, name=f"runs on {device}").start()

    def put(self, folder: Path) -> None:
        with self._changed:
            # Also one that has just ended and whose worker has not said so yet: it is resumed.
            if folder not in (waiting for waiting, _ in self._waiting):
                # With the context of whoever asked: a GPU is lent to a person, not to an app.
                self._waiting.append((folder, copy_context()))
            self._changed.notify_all()

    def take_out(self, folder: Path) -> bool:
        with self._changed:
            kept = [item for item in self._waiting if item[0] != folder]
            was_there = len(kept) < len(self._waiting)
            self._waiting = deque(kept)
            return was_there

    def waiting(self) -> int:
        with self._changed:
            return len(self._waiting)

    def is_busy(self) -> bool:
        with self._changed:
            return self._current is not None

    def position(self, folder: Path) -> int | None:
        with self._changed:
            if folder == self._current:
                return 0
            return next((place for place, (one, _) in enumerate(self._waiting, start=1) if one == folder), None)

    def warm_up(self) -> None:
        with self._changed:
            self._ready_worker()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._waiting.clear()
            if self._worker:
                self._worker.end()
            self._changed.notify_all()

    def _hand_over(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                self._current, context = self._waiting.popleft()
                folder = self._current
            try:
                context.run(self._attend, folder)
            except Exception:
                logger.exception("defect while attending run '%s'", folder.name)  # the next one must still get its turn
                _say_lost(folder)
            with self._changed:
                self._current = None

    def _attend(self, folder: Path) -> None:
        """Hands one run over and waits for its end, whatever the worker does."""
        limit = _read(folder).request.seconds
        with self._changed:
            worker = self._ready_worker()
        worker.make(folder)
        begun_at, asked_at = time.monotonic(), None
        while not worker.has_made(folder, TICK_S):
            now = time.monotonic()
            if worker.has_ended():
                _say_what_killed(folder, worker)
                return
            if asked_at is None and is_asked_to_stop(folder):
                asked_at = now
            if asked_at is not None and _is_overdue(folder, now - asked_at):
                worker.kill()
                _say_stopped(folder)
                return
            if limit is not None and now - begun_at > limit + worker.patience_s:
                worker.kill()  # it has had its time to stop by itself and to save what it has
                _say_time_is_up(folder, limit)
                return

    def _ready_worker(self) -> Maker:
        if self._worker and self._worker.has_ended():
            self._worker.end()
            self._worker = None
        if self._worker is None:
            self._worker = self._new_maker()
        return self._worker


def _read(folder: Path) -> Run:
    return RunFolder.of(folder).read(folder.name)


def _say_lost(folder: Path) -> None:
    with contextlib.suppress(OSError, InputError):  # a full disk, or a run that was deleted meanwhile
        if _read(folder).state.standing not in ENDED:
            sentence = f"No worker could be started or reached (see {LOG}); resume it."
            change_state(folder, standing="interrupted", sentence=sentence, ended=time.time())


def _is_overdue(folder: Path, waited: float) -> bool:
    """While it trains or saves a worker stops by itself; what it encodes can be cut off at any moment."""
    return waited > (SAVING_PATIENCE_S if _read(folder).state.phase == "training" else STOP_PATIENCE_S)


def _say_stopped(folder: Path) -> None:
    run = _read(folder)
    if run.state.standing not in ENDED:
        sentence = "Stopped before the first epoch was finished; resume it to start again."
        if run.state.epochs_done:
            sentence = f"Stopped; epoch {run.state.epochs_done} is kept: resume it to go on from there."
        change_state(folder, standing="stopped", sentence=sentence, ended=time.time())


def _say_time_is_up(folder: Path, seconds: float) -> None:
    run = _read(folder)
    if run.state.standing not in ENDED:
        sentence = time_is_up(seconds, run.state.epochs_done, run)
        change_state(folder, standing="stopped", sentence=sentence, ended=time.time())


def _say_what_killed(folder: Path, worker: Maker) -> None:
    run = _read(folder)
    if run.state.standing not in ENDED:
        sentence = f"{worker.how_it_ended()} {_interrupted(run)}"
        change_state(folder, standing="interrupted", sentence=sentence, ended=time.time())


class _Worker:
    """The process behind `bsig.training.runs.worker`."""

    patience_s = SAVING_PATIENCE_S

    def __init__(self, folder: RunFolder, checkpoints: Path) -> None:
        folder.runs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bsig.training.runs.worker", "--checkpoints", str(checkpoints)]
        known = os.environ.get("PYTHONPATH")
        paths = os.pathsep.join([str(ROOT), *([known] if known else [])])
        with (folder.runs.parent / LOG).open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": paths},
            )
        self._made: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self._made.put(line.rstrip("\n"))

    def make(self, folder: Path) -> None:
        """Hands the run over; a worker that has just died is found out by `has_ended`."""
        try:
            if self._process.stdin:
                self._process.stdin.write(f"{folder}\n")
                self._process.stdin.flush()
        except OSError:
            logger.warning("the worker was gone before it got run '%s'", folder.name)

    def has_made(self, folder: Path, patience_s: float) -> bool:
        """Whether it has said so, within that many seconds."""
        try:
            return self._made.get(timeout=patience_s) == f"done {folder}"
        except queue.Empty:
            return False

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def how_it_ended(self) -> str:
        code = self._process.poll() or 0
        if code < 0:
            name = signal.Signals(-code).name if -code in {one.value for one in signal.Signals} else str(-code)
            return f"The worker was killed ({name}; perhaps the memory ran out)."
        return f"The worker ended by itself (code {code}; see {LOG})."

    def kill(self) -> None:
        self._process.kill()
        self.end()

    def end(self) -> None:
        """Closes its stdin, at which it ends at once."""
        with contextlib.suppress(OSError):  # what was still to be written to a dead worker
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        if self._process.stdout:
            self._process.stdout.close()
