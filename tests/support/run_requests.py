"""Requests of runs that tests share, and runs without a folder."""

from __future__ import annotations

from pathlib import Path

from bsig.training.config import FinetuneConfig, SoftmaxHeadConfig, TrainingConfig, Views
from bsig.training.runs.run import Run, RunRequest, RunState

REQUESTS = [
    RunRequest("bundled", "features", FinetuneConfig(), seconds=120.0, estimated_seconds=3.5, keeps_features=False),
    RunRequest(
        "folder",
        "/data",
        FinetuneConfig(
            "resnet18", None, SoftmaxHeadConfig(7), TrainingConfig("shift", 5, seed=3), Views(4, seed=3), "cuda:1", True
        ),
        "golf ball",
    ),
]


def run(state: RunState, *events: dict[str, object], request_: RunRequest = REQUESTS[0]) -> Run:
    return Run("mine", Path(), request_, state, tuple(events))
