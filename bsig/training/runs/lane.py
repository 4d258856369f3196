"""The line of one device: runs wait, and are handed over one after the other to whoever makes them.

A `Maker` is a worker process, or a function that gets a GPU for a while. One that dies takes nothing with it: its run
is marked as interrupted, and the next run gets a new one.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from pathlib import Path
from typing import Protocol, runtime_checkable

from bsig.inputs.errors import InputError
from bsig.training.runs.folder import RunFolder, change_state_if, is_asked_to_stop
from bsig.training.runs.run import ENDED, Run, Standing
from bsig.training.runs.words import interrupted, time_is_up
from bsig.training.runs.worker_process import LOG, SAVING_PATIENCE_S

logger = logging.getLogger(__name__)
TICK_S = 0.1
STOP_PATIENCE_S = 0.7


@runtime_checkable
class Maker(Protocol):
    """Makes runs, one after the other: a worker process, or a function that gets a GPU for a while."""

    patience_s: float
    """How long beyond a run's own limit it may take before it is given up."""

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


class Lane:
    """One device: its line, its maker, and the thread that hands over one run after the other."""

    def __init__(self, new_maker: Callable[[], Maker], device: str) -> None:
        self._new_maker = new_maker
        self._waiting: deque[tuple[Path, Context]] = deque()
        self._current: Path | None = None
        self._change = threading.Condition()
        self._worker: Maker | None = None
        self._is_closed = False
        threading.Thread(target=self._hand_over, daemon=True, name=f"runs on {device}").start()

    def put(self, folder: Path) -> None:
        """Puts a run at the end of the line, where it does not stand there yet."""
        with self._change:
            # Also one that has just ended and whose worker has not said so yet: it is resumed.
            if folder not in (waiting for waiting, _ in self._waiting):
                # The run keeps the context of the person who asked: a GPU is lent to a person, not to an app.
                self._waiting.append((folder, copy_context()))
            self._change.notify_all()

    def take_out(self, folder: Path) -> bool:
        """Takes a waiting run out of the line; returns whether it stood there."""
        with self._change:
            before = len(self._waiting)
            self._waiting = deque(item for item in self._waiting if item[0] != folder)
            return len(self._waiting) < before

    def waiting(self) -> int:
        """Returns how many runs wait."""
        with self._change:
            return len(self._waiting)

    def is_busy(self) -> bool:
        """Returns whether a run is being made."""
        with self._change:
            return self._current is not None

    def position(self, folder: Path) -> int | None:
        """Returns 0 for the run that is being made, 1 for the next, ...; None for one that is not in this line."""
        with self._change:
            if folder == self._current:
                return 0
            return next((place for place, (waiting, _) in enumerate(self._waiting, start=1) if waiting == folder), None)

    def warm_up(self) -> None:
        """Starts the maker, so that the first run need not wait for it."""
        with self._change:
            self._ready_worker()

    def close(self) -> None:
        """Ends the maker; the next app finds its run as interrupted."""
        with self._change:
            self._is_closed = True
            self._waiting.clear()
            if self._worker:
                self._worker.end()
            self._change.notify_all()

    def _hand_over(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._is_closed)
                if self._is_closed:
                    return
                self._current, context = self._waiting.popleft()
                folder = self._current
            try:
                context.run(self._attend, folder)
            except Exception:
                logger.exception("defect while attending run '%s'", folder.name)  # the next one must still get its turn
                with contextlib.suppress(OSError, InputError):  # a full disk, or a run that was deleted meanwhile
                    sentence = f"No worker could be started or reached (see {LOG}); resume it."
                    _mark(folder, "interrupted", sentence)
            with self._change:
                self._current = None

    def _attend(self, folder: Path) -> None:
        """Hands one run over and waits for its end, whatever the worker does."""
        limit = _read(folder).request.seconds
        with self._change:
            worker = self._ready_worker()
        worker.make(folder)
        begun_at, asked_at = time.monotonic(), None
        while not worker.has_made(folder, TICK_S):
            now = time.monotonic()
            if worker.has_ended():
                _mark(folder, "interrupted", f"{worker.how_it_ended()} {interrupted(_read(folder))}")
                return
            if asked_at is None and is_asked_to_stop(folder):
                asked_at = now
            if asked_at is not None and _is_overdue(folder, now - asked_at):
                worker.kill()
                _mark(folder, "stopped", _stop_sentence(_read(folder)))
                return
            if limit is not None and now - begun_at > limit + worker.patience_s:
                worker.kill()  # it has had its time to stop by itself and to save what it has
                run = _read(folder)
                _mark(folder, "stopped", time_is_up(limit, run.state.epochs_done, run))
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


def _is_overdue(folder: Path, waited: float) -> bool:
    """Returns whether a worker has had its time to stop: long where it trains or saves, short where it encodes."""
    return waited > (SAVING_PATIENCE_S if _read(folder).state.phase == "training" else STOP_PATIENCE_S)


def _mark(folder: Path, standing: Standing, sentence: str) -> None:
    """Says how a run ended, where nobody has said so yet."""
    change_state_if(
        lambda state: state.standing not in ENDED, folder, standing=standing, sentence=sentence, ended=time.time()
    )


def _stop_sentence(run: Run) -> str:
    if run.state.epochs_done:
        return f"Stopped; epoch {run.state.epochs_done} is kept: resume it to go on from there."
    return "Stopped before the first epoch was finished; resume it to start again."
