"""An evaluation in a process of its own: stopped, or refused in the command's own words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from generated import class_folders

from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.job import EvaluationJob
from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER

NAMES = {"tench": "red", "goldfish": "green", "golf ball": "blue", "zebra": "red"}
CHECKPOINT = "imagenet1k-efficientnet_lite0"


def job_on(data: Path, folder: Path) -> EvaluationJob:
    return EvaluationJob.start(data, CHECKPOINTS_FOLDER / CHECKPOINT, folder, EvaluationConfig(), split="train")


def test_a_job_that_is_stopped_shows_nothing(tmp_path: Path) -> None:
    data = class_folders(tmp_path / "set", NAMES, count=2)
    job = job_on(data, tmp_path)
    job.stop()
    assert not job.is_running
    with pytest.raises(InputError, match="stopped"):
        job.results()


@pytest.mark.nightly
def test_bad_data_is_the_commands_own_sentence(tmp_path: Path) -> None:
    job = job_on(class_folders(tmp_path / "set", {"unicorn": "red"}, count=1), tmp_path)
    deadline = time.monotonic() + 240
    while job.is_running and time.monotonic() < deadline:
        time.sleep(0.1)
    with pytest.raises(InputError, match="no class 'unicorn'"):
        job.results()
