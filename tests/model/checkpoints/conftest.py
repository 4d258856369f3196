"""A model of three classes, and its checkpoint folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from checkpoint_folders import head_of

from bsig.model.backbones import Classifier
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch


@pytest.fixture(scope="session")
def small_model(default_classifier: Classifier) -> DualBranch:
    """Three classes on the packaged encoder: a checkpoint of 30 KB."""
    classifier = replace(
        default_classifier,
        head=head_of(3, seed=1).requires_grad_(False),
        class_names=("ant", "bee", "cow"),
        class_ids=("n1", "n2", "n3"),
    )
    return DualBranch(classifier, head_of(3, seed=2), name="small")


@pytest.fixture
def checkpoint_folder(small_model: DualBranch, tmp_path: Path) -> Path:
    return save_checkpoint(small_model, tmp_path / "small", training={"epochs": 3})
