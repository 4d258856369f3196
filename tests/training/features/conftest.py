"""A small model, six pictures of two classes, a cache folder, and a count of forward passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from generated import class_folders

from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages
from bsig.model.backbones import classifier_from_timm
from bsig.model.dual_branch import DualBranch


@pytest.fixture(scope="module")
def model() -> DualBranch:
    """A small network, so that encoding is no matter of time."""
    torch.manual_seed(11)
    model = DualBranch(classifier_from_timm("test_resnet", pretrained=False))
    model.preprocessing = replace(model.preprocessing, input_size_hw=(64, 64), resize_to=72)
    return model


@pytest.fixture
def images(tmp_path: Path) -> LabelledImages:
    return read_dataset(class_folders(tmp_path / "images", {"a": "red", "b": "blue"}, count=3))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def encodings(model: DualBranch, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of crops of each run of the encoder."""
    runs: list[int] = []
    features = model.features
    monkeypatch.setattr(model, "features", lambda inputs: (runs.append(len(inputs)), features(inputs))[1])
    return runs
