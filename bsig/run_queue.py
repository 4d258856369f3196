"""Runs wait in line, one at a time a device, and are made by a worker process that this app owns.

    queue = RunQueue(RunFolder(...), checkpoints)
    queue.submit(name), queue.position(name), queue.stop(name), queue.resume(name)

A worker that dies takes nothing with it: its run is marked as interrupted and the next run gets a new worker. When the
app itself dies, so does its worker; the next app finds what they were at and marks it as interrupted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

from bsig.errors import InputError
from bsig.run_lock import is_locked, locked
from bsig.runs import ENDED, STOP, Run, RunFolder, ask_to_stop, change_state, is_asked_to_stop

logger = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parent.parent
LOG = "worker.log"
TICK_S = 0.1
STOP_PATIENCE_S = 0.7
SAVING_PATIENCE_S = 20.0
DYING_S = 3.0
MAX_WAITING = 20


class RunQueue:
    """The line of one app: a lane for each device, each with its own worker."""

    def __init__(self, folder: RunFolder, checkpoints: Path) -> None:
        self.folder, self.checkpoints = folder, checkpoints
        self._lanes: dict[str, _Lane] = {}
        self._lock = threading.Lock()
        self._held = contextlib.ExitStack()
        folder.runs.mkdir(parents=True, exist_ok=True)
        if self._held.enter_context(locked(folder.runs)):  # else another app's runs wait and run here
            mark_interrupted(folder)

    def submit(self, name: str) -> None:
        """Puts a run into the line of its device.

        Raises:
            InputError: there is no such run, or the line is full.
        """
        run = self.folder.read(name)
        with self._lock:
            waiting = sum(lane.waiting() for lane in self._lanes.values())
            if waiting >= MAX_WAITING:
                raise InputError(f"{waiting} runs are waiting, the limit is {MAX_WAITING}; try again later.")
            self._lane(run.request.config.device).put(name)

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
        with self._lock:
            taken = any(lane.take_out(name) for lane in self._lanes.values())
        # Also what no line holds and nobody makes, whatever it was that lost it.
        is_lost = not taken and self.position(name) is None and not is_locked(folder)
        if (taken or is_lost) and self.folder.read(name).state.standing not in ENDED:
            change_state(folder, standing="stopped", sentence="Stopped before it began.", ended=time.time())

    def position(self, name: str) -> int | None:
        """0 for a run that is being made, 1 for the next, ...; None for one that is not in line."""
        with self._lock:
            found = [place for lane in self._lanes.values() if (place := lane.position(name)) is not None]
        return found[0] if found else None

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
        with self._lock:
            for lane in self._lanes.values():
                lane.close()
        self._held.close()

    def _lane(self, device: str) -> _Lane:
        if device not in self._lanes:
            self._lanes[device] = _Lane(self.folder, self.checkpoints, device)
        return self._lanes[device]


def mark_interrupted(folder: RunFolder) -> None:
    """Says so of every run that is not ended and that no living worker holds: its app or its worker died."""
    deadline = time.monotonic() + DYING_S
    for run in folder.read_all():
        if run.state.standing in ENDED:
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

    def __init__(self, folder: RunFolder, checkpoints: Path, device: str) -> None:
        self._folder, self._checkpoints, self._device = folder, checkpoints, device
        self._waiting: deque[str] = deque()
        self._current: str | None = None
        self._changed = threading.Condition()
        self._worker: _Worker | None = None
        self._closed = False
        threading.Thread(target=self._hand_over, daemon=True, name=f"runs on {device}").start()

    def put(self, name: str) -> None:
        with self._changed:
            # Also one that has just ended and whose worker has not said so yet: it is resumed.
            if name not in self._waiting:
                self._waiting.append(name)
            self._changed.notify_all()

    def take_out(self, name: str) -> bool:
        with self._changed:
            if name not in self._waiting:
                return False
            self._waiting.remove(name)
            return True

    def waiting(self) -> int:
        with self._changed:
            return len(self._waiting)

    def is_busy(self) -> bool:
        with self._changed:
            return self._current is not None

    def position(self, name: str) -> int | None:
        with self._changed:
            if name == self._current:
                return 0
            return self._waiting.index(name) + 1 if name in self._waiting else None

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
                self._current = self._waiting.popleft()
                name = self._current
            try:
                self._attend(name)
            except Exception:
                logger.exception("defect while attending run '%s'", name)  # the next one must still get its turn
                self._say_lost(name)
            with self._changed:
                self._current = None

    def _attend(self, name: str) -> None:
        """Hands one run over and waits for its end, whatever the worker does."""
        folder = self._folder.folder(name)
        with self._changed:
            worker = self._ready_worker()
        worker.make(name)
        asked_at: float | None = None
        while not worker.has_made(name, TICK_S):
            if worker.has_ended():
                self._say_what_killed(name, worker)
                return
            if asked_at is None and is_asked_to_stop(folder):
                asked_at = time.monotonic()
            if asked_at is not None and self._is_overdue(name, time.monotonic() - asked_at):
                worker.kill()
                self._say_stopped(name)
                return

    def _say_lost(self, name: str) -> None:
        with contextlib.suppress(OSError, InputError):  # a full disk, or a run that was deleted meanwhile
            run = self._folder.read(name)
            if run.state.standing not in ENDED:
                sentence = f"No worker could be started or reached (see {LOG}); resume it."
                change_state(run.folder, standing="interrupted", sentence=sentence, ended=time.time())

    def _is_overdue(self, name: str, waited: float) -> bool:
        """While it trains or saves a worker stops by itself; what it encodes can be cut off at any moment."""
        phase = self._folder.read(name).state.phase
        return waited > (SAVING_PATIENCE_S if phase == "training" else STOP_PATIENCE_S)

    def _say_stopped(self, name: str) -> None:
        run = self._folder.read(name)
        if run.state.standing not in ENDED:
            sentence = "Stopped before the first epoch was finished; resume it to start again."
            if run.state.epochs_done:
                sentence = f"Stopped; epoch {run.state.epochs_done} is kept: resume it to go on from there."
            change_state(run.folder, standing="stopped", sentence=sentence, ended=time.time())

    def _say_what_killed(self, name: str, worker: _Worker) -> None:
        run = self._folder.read(name)
        if run.state.standing not in ENDED:
            sentence = f"{worker.how_it_ended()} {_interrupted(run)}"
            change_state(run.folder, standing="interrupted", sentence=sentence, ended=time.time())

    def _ready_worker(self) -> _Worker:
        if self._worker and self._worker.has_ended():
            self._worker.end()
            self._worker = None
        if self._worker is None:
            self._worker = _Worker(self._folder, self._checkpoints)
        return self._worker


class _Worker:
    """The process behind `bsig.run_worker`."""

    def __init__(self, folder: RunFolder, checkpoints: Path) -> None:
        folder.runs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bsig.run_worker", str(folder.runs.parent), "--checkpoints", str(checkpoints)]
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
            self._made.put(line.strip())

    def make(self, name: str) -> None:
        """Hands the run over; a worker that has just died is found out by `has_ended`."""
        try:
            if self._process.stdin:
                self._process.stdin.write(f"{name}\n")
                self._process.stdin.flush()
        except OSError:
            logger.warning("the worker was gone before it got run '%s'", name)

    def has_made(self, name: str, patience_s: float) -> bool:
        """Whether it has said so, within that many seconds."""
        try:
            return self._made.get(timeout=patience_s) == f"done {name}"
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
