"""The process that makes fine-tunes: it reads folders of runs on stdin and answers `done FOLDER` on stdout.

    python -m bsig.training.runs.worker --checkpoints DIR

A process of its own, at low priority, so that training takes nothing from Compare's answers and a crash takes nothing
from the page. It ends when its stdin does: a worker never outlives its app, and its run is found as interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import queue
import shutil
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from bsig.inputs.datasets.splits import train_and_held_out
from bsig.inputs.errors import InputError, StoppedEarly, without_folders
from bsig.inputs.files import locked, whole_file
from bsig.inputs.images import read_image
from bsig.inputs.paths import CHECKPOINTS_FOLDER, EXAMPLES
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead
from bsig.training.features.cache import FEATURES_FOLDER
from bsig.training.finetune import Finetuned, TrainingData, encoded_data, finetune_on, shipped_data, start_model
from bsig.training.loop.branch import TrainableBranch
from bsig.training.loop.epoch import Epoch
from bsig.training.runs.events import add_event
from bsig.training.runs.folder import (
    DATA,
    FEATURES,
    MAPS,
    PROBE,
    RunFolder,
    change_state,
    change_state_if,
    is_asked_to_stop,
)
from bsig.training.runs.probe import Probe
from bsig.training.runs.run import Run
from bsig.training.runs.words import time_is_up

logger = logging.getLogger(__name__)
NICENESS = 10
LOCK_PATIENCE_S = 5.0
EVENT_EVERY_S = 0.25
LOOK_FOR_STOP_EVERY_S = 0.1

PICTURES = sorted(EXAMPLES.glob("*.jpg"))


class Stop:
    """Whether a run must stop: somebody has asked for it (looked for ten times a second), or its time `ran_out`."""

    def __init__(self, folder: Path, seconds: float | None = None) -> None:
        self._folder, self._last_look_s, self._is_asked = folder, 0.0, False
        self._ends = math.inf if seconds is None else time.monotonic() + seconds
        self.ran_out = False

    def __call__(self) -> bool:
        """Returns whether to stop; called at every step of training."""
        now = time.monotonic()
        if not self._is_asked and now - self._last_look_s > LOOK_FOR_STOP_EVERY_S:
            self._last_look_s, self._is_asked = now, is_asked_to_stop(self._folder)
        if not self._is_asked and now > self._ends:
            self.ran_out = True
        return self._is_asked or self.ran_out


def main() -> int:
    """Makes runs until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS_FOLDER)
    arguments = parser.parse_args()
    with contextlib.suppress(AttributeError, OSError):  # no niceness on this system
        os.nice(NICENESS)
    folders: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(folders,), daemon=True).start()
    while True:
        folder = folders.get()
        make(Path(folder), arguments.checkpoints)
        print(f"done {folder}", flush=True)  # noqa: T201  what the app waits for


def _listen(folders: queue.Queue[str]) -> None:
    for line in sys.stdin:
        folders.put(line.rstrip("\n"))
    # The app is gone. What is on disk is whole at any moment, so nothing has to be tidied up first.
    os._exit(3)


def make(folder: Path, checkpoints: Path) -> None:
    """Makes one run from its request to its end; its state says what happened."""
    with locked(folder, LOCK_PATIENCE_S) as is_mine:
        if is_mine and begin(folder):
            end(folder, attempt(folder, checkpoints, RunFolder.of(folder).checkpoints / folder.name))


def begin(folder: Path) -> bool:
    """Says that the run is being made; returns whether it is to be made at all.

    The app may have died a moment ago, and the next one may have said that the run is interrupted.
    """
    return change_state_if(
        lambda state: state.standing == "queued",
        folder, standing="running", phase="loading the model", sentence="", started=time.time(),
    )  # fmt: skip


def attempt(
    folder: Path, checkpoints: Path, out: Path, *, device: str | None = None, seconds: float | None = None
) -> dict[str, Any]:
    """Makes the run's checkpoint at `out`; returns how it ended, as changes of its state.

    `device` and `seconds` take the place of the request's own.
    """
    try:
        run = RunFolder.of(folder).read(folder.name)
        config = replace(run.request.config, device=device or run.request.config.device)
        run = replace(run, request=replace(run.request, config=config, seconds=seconds or run.request.seconds))
        making = _Making(run, checkpoints, out)
        try:
            return _outcome(making.make(), making)
        except StoppedEarly as stop:
            sentence = time_is_up(run.request.seconds, 0, run) if making.stop.ran_out else str(stop)
            return {"standing": "stopped", "sentence": sentence}
    except InputError as error:
        return {"standing": "failed", "sentence": str(error)}
    except Exception as error:
        logger.exception("defect while making run '%s'", folder.name)
        sentence = f"something went wrong on our side ({type(error).__name__}); what was finished is kept."
        return {"standing": "failed", "sentence": sentence}


def end(folder: Path, outcome: dict[str, Any]) -> None:
    """Says how the run ended, and removes what nobody needs any more."""
    if outcome["standing"] == "finished":  # one that was cut off is resumed from its data
        (folder / PROBE).unlink(missing_ok=True)
        for part in (DATA, FEATURES):
            shutil.rmtree(folder / part, ignore_errors=True)
    change_state(folder, **{**outcome, "sentence": _public_sentence(folder, outcome["sentence"])}, ended=time.time())


def _public_sentence(folder: Path, sentence: str) -> str:
    """The sentence as whoever asked for the run may read it: a visitor of a public app learns of no folder."""
    try:
        keeps_features = RunFolder.of(folder).read(folder.name).request.keeps_features
    except InputError:  # its request is damaged, which the sentence says
        keeps_features = False
    return sentence if keeps_features else without_folders(sentence)


def _outcome(result: Finetuned, making: _Making) -> dict[str, Any]:
    """Returns how a run with a checkpoint ended, as changes of its state."""
    changes: dict[str, Any] = {"checkpoint": result.path.name, "epochs_done": len(result.history), "phase": ""}
    if result.stopped is None:
        return {"standing": "finished", "sentence": "", **changes}
    if making.stop.ran_out:
        sentence = time_is_up(making.request.seconds, len(result.history), making.run)
        return {"standing": "stopped", "sentence": sentence, **changes}
    standing = "stopped" if is_asked_to_stop(making.folder) else "failed"
    return {"standing": standing, "sentence": result.stopped, **changes}


class _Making:
    """The making of one run: turns what the library reports into events, maps and states."""

    def __init__(self, run: Run, checkpoints: Path, out: Path) -> None:
        self.run, self.request, self.folder, self.checkpoints = run, run.request, run.folder, checkpoints
        self.out = out
        self.stop = Stop(run.folder, run.request.seconds)
        self.probe: Probe | None = None
        self.last_written = 0.0

    def make(self) -> Finetuned:
        """Makes the whole run; resumes where a state of the same settings is there."""
        config = self.request.config
        start = start_model(config, self.checkpoints)
        data = self._data(start)
        self._phase("fitting the softmax head" if config.softmax_head else "training")
        return finetune_on(
            start, data, self.out, config,
            resume=True, on_start=self._on_start, on_epoch=self._on_epoch, on_note=self._note,
            should_stop=self.stop,
        )  # fmt: skip

    def _data(self, start: DualBranch) -> TrainingData:
        if self.request.data == "bundled":
            return shipped_data(start, self.request.config)
        splits = train_and_held_out(self.request.address, self.request.config.training.seed)
        self._note(splits.sentence)
        self._phase("encoding pictures")
        data = encoded_data(
            start, splits.train, self.request.config, held_out=splits.held_out,
            on_encoded=self._on_encoded, on_note=self._note, should_stop=self.stop,
            cache_folder=FEATURES_FOLDER if self.request.keeps_features else self.folder / FEATURES,
        )  # fmt: skip
        for sentence in data.features.unreadable:
            self._note(f"left out: {sentence}")
        if data.match.unmatched:
            self._note(f"left out, no such class in the model: {', '.join(data.match.unmatched)}")
        return data

    def _on_start(self, model: DualBranch) -> None:
        """Reports the model before its first epoch: both branches equal, unless the branch starts afresh."""
        self._phase("training")
        file = self.folder / PROBE
        picture = read_image(file) if file.is_file() else None
        pictures = [read_image(path) for path in PICTURES]
        self.probe = probe = Probe.of(model, picture, self.request.probe_class, pictures)
        areas = probe.areas(model.softmax_head)
        details: dict[str, Any] = {"softmax_own_area": areas.own, "softmax_absent_area": areas.absent}
        maps = self.folder / MAPS
        maps.mkdir(exist_ok=True)
        if probe.picture:
            probe.picture.crop.save(maps / "crop.png")
            self._save_map("softmax", model.softmax_head)
            details |= {"probe_class": model.class_names[probe.picture_class], "method": probe.method}
        add_event(self.folder, "start", classes=model.num_classes, **details)
        self._add_epoch(0, TrainableBranch(model.softmax_head, self.request.config.training).head(), {})

    def _on_epoch(self, epoch: Epoch, head: ClassificationHead) -> None:
        self._add_epoch(epoch.number, head, asdict(epoch))
        change_state(self.folder, epochs_done=epoch.number)

    def _add_epoch(self, number: int, head: ClassificationHead, measures: dict[str, Any]) -> None:
        if self.probe:
            areas = self.probe.areas(head)
            self._save_map(f"sigmoid-{number:05d}", head)
            measures = {**measures, "own_area": areas.own, "absent_area": areas.absent}
        add_event(self.folder, "epoch", **{**measures, "number": number})

    def _save_map(self, name: str, head: ClassificationHead) -> None:
        values = self.probe.picture_map(head) if self.probe else None
        if values is not None:
            with whole_file(self.folder / MAPS / f"{name}.npy") as temporary, temporary.open("wb") as file:
                np.save(file, values)  # given a name, it would put .npy behind it

    def _on_encoded(self, count: int, total: int) -> None:
        now = time.monotonic()
        if count == total or now - self.last_written > EVENT_EVERY_S:
            self.last_written = now
            add_event(self.folder, "encoded", done=count, total=total)

    def _note(self, text: str) -> None:
        add_event(self.folder, "note", text=text if self.request.keeps_features else without_folders(text))

    def _phase(self, phase: str) -> None:
        change_state(self.folder, phase=phase)
        add_event(self.folder, "phase", phase=phase)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(main())
