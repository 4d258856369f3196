"""The worker honours every setting of a request, or ends the run with a sentence that names the setting."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated import class_folders
from run_requests import REQUESTS

from bsig.inputs.files import is_locked, locked
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.load import load_checkpoint
from bsig.training.config import (
    DampingConfig,
    FinetuneConfig,
    FlatShiftConfig,
    SoftmaxHeadConfig,
    TrainingConfig,
    Views,
)
from bsig.training.runs import worker
from bsig.training.runs.folder import MAPS, RunFolder, change_state
from bsig.training.runs.run import RunRequest
from bsig.training.runs.worker import attempt, make


def outcome(runs: RunFolder, request: RunRequest) -> dict[str, Any]:
    folder = runs.create("run", request)
    return attempt(folder, CHECKPOINTS_FOLDER, runs.checkpoints / folder.name)


def test_a_runs_flat_shift_and_damping_are_honoured(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path / "work")
    pictures = class_folders(tmp_path / "pictures", {"red": "red", "green": "green"})
    config = FinetuneConfig(
        softmax_head=SoftmaxHeadConfig(2),
        training=TrainingConfig(epochs=1),
        flat_shift=FlatShiftConfig(absent_area=0.3),
        damping=DampingConfig(strength=3.0),
    )
    end = outcome(runs, RunRequest("folder", str(pictures), config, keeps_features=False))
    assert (end["standing"], end["sentence"]) == ("finished", "")
    training = load_checkpoint(runs.checkpoints / "run").metadata["training"]
    assert training["flat_shift"]["absent_area"] == 0.3
    assert training["flat_shift"]["pictures"] == 8
    assert training["damping"]["strength"] == 3.0
    assert [epoch["number"] for epoch in runs.read("run").epochs()] == [0, 1]
    assert not list((runs.runs / "run" / MAPS).glob(".*"))  # nothing half-written
    assert all(np.isfinite(np.load(file)).all() for file in (runs.runs / "run" / MAPS).glob("*.npy"))


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"flat_shift": FlatShiftConfig()}, "`flat_shift`"),
        ({"damping": DampingConfig()}, "`damping`"),
        ({"encode_every_step": True}, "`encode_every_step`"),
        ({"views": Views(4)}, "`views`"),
    ],
)
def test_what_the_shipped_features_cannot_give_ends_the_run_by_name(
    tmp_path: Path, settings: dict[str, Any], name: str
) -> None:
    start = str(CHECKPOINTS_FOLDER / "imagenet1k-efficientnet_lite0")
    config = FinetuneConfig(start_from=start, training=TrainingConfig(epochs=1), **settings)
    end = outcome(RunFolder(tmp_path), RunRequest("bundled", "shipped", config))
    assert end["standing"] == "failed"
    assert end["sentence"].startswith(name)


# --- who is late ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("standing", ["interrupted", "stopped", "finished", "failed"])
def test_a_worker_that_begins_late_leaves_what_the_next_app_has_said(tmp_path: Path, standing: str) -> None:
    runs = RunFolder(tmp_path)
    folder = runs.create("run", REQUESTS[0])
    before = change_state(folder, standing=standing, sentence="The app was closed.")
    make(folder, tmp_path / "no checkpoints")
    assert runs.read("run").state == before


def test_a_worker_leaves_a_run_that_another_is_making(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LOCK_PATIENCE_S", 0.05)
    runs = RunFolder(tmp_path)
    folder = runs.create("run", REQUESTS[0])
    with locked(folder):
        make(folder, tmp_path / "no checkpoints")
    assert runs.read("run").state.standing == "queued"


def test_a_worker_waits_for_those_who_only_look_whether_the_run_is_being_made(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    folder = runs.create("run", RunRequest("folder", str(tmp_path / "none"), REQUESTS[0].config))
    has_lock, answers = threading.Event(), []

    def look() -> None:
        with locked(folder):
            has_lock.set()
            time.sleep(0.1)
        answers.append(is_locked(folder))

    looking = threading.Thread(target=look)
    looking.start()
    has_lock.wait()
    make(folder, CHECKPOINTS_FOLDER)
    looking.join()
    assert runs.read("run").state.standing == "failed"  # it was made, of no pictures


@pytest.mark.parametrize("is_public", [True, False])
def test_a_visitor_of_a_public_app_learns_of_no_folder(tmp_path: Path, *, is_public: bool) -> None:
    runs = RunFolder(tmp_path)
    data = tmp_path / "secret folder" / "pets.zip"
    folder = runs.create("run", RunRequest("folder", str(data), REQUESTS[0].config, keeps_features=not is_public))
    make(folder, CHECKPOINTS_FOLDER)
    state = runs.read("run").state
    assert state.standing == "failed"
    assert "pets.zip" in state.sentence
    assert (str(data.parent) in state.sentence) is not is_public
