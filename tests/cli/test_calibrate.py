"""`python -m bsig calibrate`: two numbers into checkpoint.json, from pictures that the branch has not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from commands import refusal
from generated import class_folders

from bsig.cli.main import main
from bsig.inputs.datasets.read import read_dataset
from bsig.model.backbones import classifier_from_timm
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import TENSORS
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import with_classes
from bsig.training.closed_form.calibration import calibration_sentence
from bsig.training.features.cache import pooled_features
from bsig.training.loop.train import fit_softmax_head

COLOURS = {"ant": "red", "bee": "green"}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A branch of two classes, red and green, that has seen the split 'train' of 'seen'."""
    classifier = classifier_from_timm("test_resnet", pretrained=False)
    ants_and_bees = replace(
        classifier, head=with_classes(classifier.head, 2), class_names=tuple(COLOURS), class_ids=tuple(COLOURS)
    )
    images = read_dataset(class_folders(tmp_path / "seen", COLOURS, count=12))
    features = pooled_features(DualBranch(ants_and_bees), images, {"ant": 0, "bee": 1}, cache_folder=None)
    head = fit_softmax_head(features, 2, epochs=20, learning_rate=0.3, like=ants_and_bees.head)
    model = DualBranch(replace(ants_and_bees, head=head))
    return save_checkpoint(model, tmp_path / "small", data={"name": "seen", "split": "train"})


def test_the_command_writes_the_calibration_and_no_tensor(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = class_folders(tmp_path / "unseen", COLOURS, count=11)
    tensors = (checkpoint / TENSORS).read_bytes()
    assert load_checkpoint(checkpoint).presence is None
    assert main(["calibrate", str(checkpoint), str(data), "--device", "cpu"]) == 0
    presence = load_checkpoint(checkpoint).presence
    assert presence is not None
    assert presence.source == "22 pictures of 'unseen' (train) that the branch was not trained on"
    assert capsys.readouterr().out == calibration_sentence(presence) + "\n"
    assert presence.present_above_half == 1  # red and green can be told apart
    assert (checkpoint / TENSORS).read_bytes() == tensors


def test_pictures_that_the_branch_was_trained_on_are_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "seen"
    assert "is what 'small' was trained on" in refusal(capsys, "calibrate", checkpoint, data)
    assert load_checkpoint(checkpoint).presence is None


def test_a_checkpoint_on_the_hub_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "must be a folder here" in refusal(capsys, "calibrate", "hf:owner/repo", "data")
