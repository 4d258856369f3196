"""Runs wait in line, one at a time a device, and are made by a worker process that this app owns.

    queue = RunQueue(RunFolder(...), checkpoints)
    queue.submit(name), queue.position(name), queue.stop(name), queue.resume(name)
    queue.beside(RunFolder(...))        the same line for runs of another folder: each visitor may have one

When the app dies, so does its worker; the next app finds the run that was being made and marks it as interrupted.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bsig.inputs.counts import counted
from bsig.inputs.errors import InputError
from bsig.inputs.files import is_locked, locked
from bsig.training.runs.folder import STOP, RunFolder, ask_to_stop, change_state, change_state_if
from bsig.training.runs.lane import TICK_S, Lane, Maker
from bsig.training.runs.run import ENDED, RunState
from bsig.training.runs.words import interrupted
from bsig.training.runs.worker_process import WorkerProcess

DYING_S = 3.0
MAX_WAITING = 20
GUARD_EVERY_S = 1.0


class RunQueue:
    """The line of one app: a lane for each device, each with its own worker.

    Args:
        folder: the runs of the names.
        checkpoints: folder of the checkpoints that runs may start from.
        new_maker: returns a maker of runs; a worker process where None.

    Raises:
        InputError: the folder cannot be made or written to.
    """

    def __init__(self, folder: RunFolder, checkpoints: Path, new_maker: Callable[[], Maker] | None = None) -> None:
        self.folder, self.checkpoints = folder, checkpoints
        self._new_maker = new_maker or (lambda: WorkerProcess(folder, checkpoints))
        self._lanes: dict[str, Lane] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        try:
            folder.runs.mkdir(parents=True, exist_ok=True)
            self._locks = contextlib.ExitStack()
            is_ours = self._locks.enter_context(locked(folder.runs))
        except OSError as error:
            raise InputError(f"no runs can be kept in '{folder.runs}' ({error}); choose another folder.") from error
        self._guard = threading.Thread(target=self._guard_folder, daemon=True, name="guards interrupted runs")
        if is_ours:
            mark_interrupted(folder)
        else:  # another app's runs wait and run here; what it leaves when it ends is found by this one
            self._locks.close()
            self._guard.start()

    def beside(self, folder: RunFolder) -> RunQueue:
        """Returns the same line for the runs of another folder."""
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
                raise InputError(
                    f"{counted(waiting, 'run is', 'runs are')} waiting, the limit is {MAX_WAITING}; try again later."
                )
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
            is_out_of_line = any(lane.take_out(folder) for lane in self._lanes.values())
            # Also what no line holds and nobody makes: not yet submitted, or lost somehow.
            is_lost = not is_out_of_line and self._position(folder) is None and not is_locked(folder)
            if is_out_of_line or is_lost:
                sentence = "Stopped before it began."
                change_state_if(_is_open, folder, standing="stopped", sentence=sentence, ended=time.time())

    def position(self, name: str) -> int | None:
        """Returns 0 for a run that is being made, 1 for the next, ...; None for one that is not in line."""
        return self._position(self.folder.runs / name)

    def counts(self) -> dict[str, int]:
        """Returns how many runs wait and how many are being made."""
        with self._lock:
            lanes = list(self._lanes.values())
        return {"waiting": sum(lane.waiting() for lane in lanes), "running": sum(lane.is_busy() for lane in lanes)}

    def warm_up(self, device: str = "cpu") -> None:
        """Starts the device's worker, so that the first run need not wait for it to load."""
        with self._lock:
            self._lane(device).warm_up()

    def close(self) -> None:
        """Ends all workers; the next app finds their runs as interrupted."""
        self._closing.set()
        with self._lock:
            for lane in self._lanes.values():
                lane.close()
        if self._guard.is_alive():
            self._guard.join()
        self._locks.close()

    def _position(self, folder: Path) -> int | None:
        with self._lock:
            return next((place for lane in self._lanes.values() if (place := lane.position(folder)) is not None), None)

    def _lane(self, device: str) -> Lane:
        if device not in self._lanes:
            self._lanes[device] = Lane(self._new_maker, device)
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
        # Looked at once more while nobody may change the state: a worker that begins now finds the run ended.
        is_left = functools.partial(_is_left, run.folder)
        change_state_if(is_left, run.folder, standing="interrupted", sentence=interrupted(run), ended=time.time())


def _is_left(folder: Path, state: RunState) -> bool:
    return _is_open(state) and not is_locked(folder)


def _is_open(state: RunState) -> bool:
    return state.standing not in ENDED
