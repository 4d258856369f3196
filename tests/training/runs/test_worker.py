"""The worker honours every setting of a request, or ends the run with a sentence that names the setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated import class_folders

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
from bsig.training.runs.folder import MAPS, RunFolder
from bsig.training.runs.run import RunRequest
from bsig.training.runs.worker import attempt


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
