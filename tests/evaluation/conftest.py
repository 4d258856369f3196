"""A small evaluation that several tests read, and an encoded picture."""

from __future__ import annotations

from typing import Any

import pytest
from generated import class_folders

from bsig import load_checkpoint
from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.evaluate import evaluate
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.paths import EXAMPLES
from bsig.model.dual_branch import DualBranch


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Four methods in two treatments on six pictures of three classes. Shared: never change it."""
    names = {"tench": "red", "goldfish": "green", "golf ball": "blue"}
    data = class_folders(tmp_path_factory.mktemp("data") / "set", names, count=2)
    methods, weights = ("cam", "grad-cam", "layer-cam", "eigen-cam"), ("signed", "nonnegative")
    config = EvaluationConfig(methods=methods, weights=weights, mosaics=0, resamples=20)
    return evaluate(load_checkpoint(), read_dataset(data), config)


@pytest.fixture(scope="session")
def encoded(perturbed_model: DualBranch) -> EncodedImage:
    return Explainer(perturbed_model).encode(EXAMPLES / "cat.jpg")
