"""`python -m bsig fit-readings`: a setting into checkpoint.json, which then is the reading's default."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from commands import refusal
from generated import class_folders

from bsig.cli.main import main
from bsig.explain.readings import settings_of
from bsig.model.backbones import classifier_from_timm
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import TENSORS
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import with_classes
from bsig.training.closed_form.reading_settings import LAMBDAS

COLOURS = {"ant": "red", "bee": "green", "cat": "blue"}


def small_checkpoint(folder: Path, *, is_trained: bool) -> Path:
    classifier = classifier_from_timm("test_resnet", pretrained=False)
    head, names = with_classes(classifier.head, 3), tuple(COLOURS)
    own_classifier = replace(classifier, head=head, class_names=names, class_ids=names)
    model = DualBranch(own_classifier, head.shifted(0.1) if is_trained else None)
    return save_checkpoint(model, folder / "small")


def test_the_command_writes_the_setting_and_no_tensor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, checkpoint = class_folders(tmp_path / "set", COLOURS, count=4), small_checkpoint(tmp_path, is_trained=True)
    tensors = (checkpoint / TENSORS).read_bytes()
    assert main(["fit-readings", str(checkpoint), str(data), "--device", "cpu"]) == 0
    model = load_checkpoint(checkpoint)
    value = model.metadata["readings"]["levelled"]["lambda"]
    assert value in LAMBDAS
    assert settings_of(model, "levelled") == {"lambda": value}
    assert f"levelled: lambda {value:g}, fitted on 12 pictures of 'set' (train)" in capsys.readouterr().out
    assert (checkpoint / TENSORS).read_bytes() == tensors
    # Saved again, it keeps the setting.
    assert load_checkpoint(save_checkpoint(model, tmp_path / "again")).metadata["readings"] == {
        "levelled": {"lambda": value}
    }


def test_a_checkpoint_without_anything_to_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, checkpoint = class_folders(tmp_path / "set", COLOURS, count=1), small_checkpoint(tmp_path, is_trained=False)
    assert "has no setting to fit" in refusal(capsys, "fit-readings", checkpoint, data)
    assert "must be a folder here" in refusal(capsys, "fit-readings", "hf:owner/repo", "data")
