"""`python -m bsig fit-readings`: a setting into checkpoint.json, which then is the reading's default."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from commands import refusal
from generated import class_folders

from bsig.cli.arguments.fits import FITTED_READINGS
from bsig.cli.main import main
from bsig.explain.readings import settings_of
from bsig.model.backbones import classifier_from_timm
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import TENSORS
from bsig.model.checkpoints.save import record_readings, save_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import with_classes
from bsig.training.closed_form.reading_settings import LAMBDAS, VALUES

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
    output = capsys.readouterr().out
    assert f"levelled: lambda {value:g}, balanced accuracy of zero" in output
    assert "fitted on 12 pictures of 'set' (train)" in output
    assert (checkpoint / TENSORS).read_bytes() == tensors
    # Saved again, it keeps the setting.
    assert load_checkpoint(save_checkpoint(model, tmp_path / "again")).metadata["readings"] == {
        "levelled": {"lambda": value}
    }


def test_settings_of_other_readings_are_fitted_where_they_are_asked_for_and_others_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, checkpoint = class_folders(tmp_path / "set", COLOURS, count=4), small_checkpoint(tmp_path, is_trained=True)
    command = ["fit-readings", str(checkpoint), str(data), "--device", "cpu"]
    record_readings(checkpoint, {"levelled": {"lambda": 3.0}, "competition": {"presence": 0.5}})
    assert main([*command, "--readings", "sigmoid-logit,competition, finer"]) == 0
    model = load_checkpoint(checkpoint)
    readings = model.metadata["readings"]
    assert readings["levelled"] == {"lambda": 3.0}
    assert readings["competition"]["presence"] == 0.5, "mu was fitted under it"
    for reading, key in VALUES:
        assert settings_of(model, reading)[key] == readings[reading][key] in VALUES[reading, key]
    assert "class-aware precision in mosaics" in capsys.readouterr().out
    assert "`--readings` (='window') must be among levelled, sigmoid-logit, competition, finer." in refusal(
        capsys, *command, "--readings", "window"
    )


def test_the_readings_of_the_command_are_those_that_can_be_fitted() -> None:
    assert tuple(reading for reading, _ in VALUES) == FITTED_READINGS


def test_a_checkpoint_without_anything_to_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, checkpoint = class_folders(tmp_path / "set", COLOURS, count=1), small_checkpoint(tmp_path, is_trained=False)
    assert "has no setting to fit" in refusal(capsys, "fit-readings", checkpoint, data)
    assert "`--readings` names none" in refusal(capsys, "fit-readings", checkpoint, data, "--readings", ", ")
    assert "must be a folder here" in refusal(capsys, "fit-readings", "hf:owner/repo", "data")
