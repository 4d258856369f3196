"""Fine-tunes on a GPU that is lent by the second (ZeroGPU of Hugging Face Spaces); other places do not use this file.

There the package `spaces` runs a decorated function in a forked process that has the GPU; its arguments and its answer
are pickled. So the function gets the run's folder, writes events and maps into it on the way, and returns the
checkpoint's files; the app writes those. The memory of the function is lost with its process.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any

import torch

from bsig.inputs.files import locked, temporary_place, whole_folder
from bsig.training.runs.folder import RunFolder
from bsig.training.runs.worker import LOCK_PATIENCE_S, attempt, begin, end

logger = logging.getLogger(__name__)
VARIABLE = "SPACES_ZERO_GPU"
SHORTEST_S, LONGEST_S = 15, 120
GETTING_READY_S = 10.0
SAFETY = 1.5
Files = dict[str, bytes]


def is_here() -> bool:
    """Returns whether this process runs where GPUs are lent by the second."""
    return os.environ.get(VARIABLE, "").lower() in ("1", "t", "true")


def compare_device() -> str | None:
    """Returns the CPU there, so that explaining costs nobody's GPU time; None elsewhere."""
    return "cpu" if is_here() else None


def gpu_seconds(folder: str, checkpoints: str) -> int:  # noqa: ARG001  called with what the function is called with
    """Returns how long a run asks for the GPU: the estimate, with room, within the run's own limit."""
    path = Path(folder)
    request = RunFolder.of(path).read(path.name).request
    estimate = GETTING_READY_S + SAFETY * (request.estimated_seconds or 0.0)
    limit = LONGEST_S if request.seconds is None else request.seconds + GETTING_READY_S
    return round(min(max(estimate, SHORTEST_S), limit, LONGEST_S))


def made_on_gpu(folder: str, checkpoints: str) -> tuple[dict[str, Any], Files]:
    """Makes a run; returns how it ended and the files of its checkpoint and training state, by name.

    The run's folder gets its events and maps meanwhile. Nothing else is kept in this process.
    """
    if multiprocessing.parent_process():
        torch.set_num_threads(1)  # a forked process has the threads' pool of its parent in name only, and waits for it
    path = Path(folder)
    runs = RunFolder.of(path)
    request = runs.read(path.name).request
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # The time that was asked for is what there is: it is stopped in time to hand over what it has.
    seconds = min(request.seconds or LONGEST_S, gpu_seconds(folder, checkpoints) - 0.5 * GETTING_READY_S)
    with tempfile.TemporaryDirectory(prefix="bsig-gpu-", dir=temporary_place()) as place:
        out = Path(place) / path.name
        for folder_to_copy in (runs.checkpoints / path.name, runs.checkpoints / f".{path.name}.training"):
            if folder_to_copy.is_dir():  # of a turn before: it goes on from there
                shutil.copytree(folder_to_copy, out.parent / folder_to_copy.name)
        outcome = attempt(path, Path(checkpoints), out, device=device, seconds=seconds)
        return outcome, {
            file.relative_to(place).as_posix(): file.read_bytes() for file in Path(place).rglob("*") if file.is_file()
        }


def new_maker(checkpoints: Path) -> Callable[[], GpuMaker] | None:
    """Returns a maker of makers of runs on a lent GPU; None off ZeroGPU, where a worker process makes the runs."""
    return (lambda: GpuMaker(_ON_GPU, checkpoints)) if _ON_GPU else None


class GpuMaker:
    """Makes runs with a function that gets a GPU for a while; stands in for the worker process."""

    patience_s = 900.0  # people wait in line for a GPU

    def __init__(self, on_gpu: Callable[[str, str], tuple[dict[str, Any], Files]], checkpoints: Path) -> None:
        self._on_gpu, self._checkpoints = on_gpu, checkpoints
        self._finished: queue.Queue[Path] = queue.Queue()
        self._is_given_up = False

    def make(self, folder: Path) -> None:
        """Begins in a thread of its own, in the context of whoever asked: the GPU time is theirs."""
        context = copy_context()
        threading.Thread(target=context.run, args=(self._make, folder), daemon=True, name="run on a lent GPU").start()

    def has_made(self, folder: Path, patience_s: float) -> bool:
        """Returns whether it has made the run, within that many seconds."""
        try:
            return self._finished.get(timeout=patience_s) == folder
        except queue.Empty:
            return False

    def has_ended(self) -> bool:
        """Returns whether it was given up: the function itself cannot be ended from here."""
        return self._is_given_up

    def how_it_ended(self) -> str:
        """Returns why, in a sentence."""
        return "The GPU did not answer in time."

    def kill(self) -> None:
        """Gives up: an answer that comes later is not kept."""
        self._is_given_up = True

    end = kill

    def _make(self, folder: Path) -> None:
        with locked(folder, LOCK_PATIENCE_S) as is_mine:
            if is_mine and begin(folder):
                outcome, files = self._outcome(folder)
                if not self._is_given_up:
                    _store(files, RunFolder.of(folder).checkpoints)
                    end(folder, outcome)
        self._finished.put(folder)

    def _outcome(self, folder: Path) -> tuple[dict[str, Any], Files]:
        try:
            return self._on_gpu(str(folder), str(self._checkpoints))
        except Exception as error:  # no GPU time left, the process died, ...: the package has its own kinds of each
            logger.exception("no GPU for run '%s'", folder.name)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            return {"standing": "failed", "sentence": f"the GPU was not lent ({reason}); try again later."}, {}


def _store(files: Files, checkpoints: Path) -> None:
    """Writes each folder whole or not at all."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    for name in {path.split("/")[0] for path in files}:
        with whole_folder(checkpoints / name) as temporary:
            for path, content in files.items():
                if path.startswith(f"{name}/"):
                    (temporary / path.removeprefix(f"{name}/")).write_bytes(content)


def _decorated() -> Callable[[str, str], tuple[dict[str, Any], Files]] | None:
    if not is_here():
        return None
    spaces = importlib.import_module("spaces")  # there only; it must come before anything looks for a GPU
    return spaces.GPU(duration=gpu_seconds)(made_on_gpu)


_ON_GPU = _decorated()
