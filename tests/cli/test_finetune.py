"""`finetune` from its arguments to a checkpoint: every option reaches its setting, or is refused by name."""

from __future__ import annotations

import argparse
import functools
import io
import json
import os
import signal
import zipfile
from pathlib import Path

import pytest
import torch
from commands import run
from generated import class_folders, picture

from bsig.cli import finetune as cli_finetune
from bsig.cli.arguments.finetune import add_finetune_arguments
from bsig.cli.main import main
from bsig.inputs import zips
from bsig.inputs.paths import ROOT
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import TENSORS
from bsig.training.config import (
    DampingConfig,
    EncodingConfig,
    FinetuneConfig,
    FlatShiftConfig,
    SimilarClassesConfig,
    SoftmaxHeadConfig,
    TrainingConfig,
    Views,
)
from bsig.training.finetune import finetune

CAT = ROOT / "assets" / "examples" / "cat.jpg"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def features_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features go to the test's own folder."""
    monkeypatch.setattr(cli_finetune, "finetune", functools.partial(finetune, cache_folder=tmp_path / "cache"))


@pytest.mark.usefixtures("features_in")
def test_finetune_writes_a_checkpoint_that_explain_takes(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = class_folders(tmp_path / "images", {"a": "red", "b": "blue"}, count=3)
    (folder / "a" / "bad.jpg").write_bytes(b"not a picture")
    command = ["finetune", str(folder), "--out", str(tmp_path / "ab"), "--fit-softmax-head", "--epochs", "2"]
    assert main([*command, "--softmax-epochs", "5", "--learning-rate", "0.1", "--half-precision"]) == 0
    output = capsys.readouterr()
    assert output.out.strip() == str(tmp_path / "ab")
    assert "7 pictures of 2 classes" in output.err
    assert "epoch 2: loss" in output.err
    assert "left out: 'a/bad.jpg'" in output.err
    assert load_checkpoint(tmp_path / "ab").sigmoid_head.linear.weight.shape == (2, 1280)
    explain = ["explain", str(CAT), "--checkpoint", str(tmp_path / "ab"), "--class", "b", "--json", "--out", str(out)]
    assert main(explain) == 0
    assert json.loads(capsys.readouterr().out)["class_name"] == "b"


@pytest.mark.usefixtures("features_in")
def test_finetune_lists_classes_that_the_model_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = class_folders(tmp_path / "images", {"tench": "red", "unicorn": "blue"}, count=1)
    assert main(["finetune", str(folder), "--out", str(tmp_path / "out"), "--branch", "shift", "--epochs", "1"]) == 0
    assert "no such class in the model: unicorn" in capsys.readouterr().err
    assert torch.isfinite(load_checkpoint(tmp_path / "out").shift.vector).all()


@pytest.mark.usefixtures("features_in")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--epochs", "0"], "`epochs` (=0) must be from 1"),
        (["--learning-rate", "-1"], "`learning_rate` (=-1.0) must be above 0"),
        (["--learning-rate", "nan"], "`learning_rate` (=nan) must be above 0"),
        (["--batch-size", "0"], "`batch_size` (=0)"),
        (["--views", "0"], "`views` (=0)"),
        (["--workers", "0"], "`workers` (=0)"),
        (["--held-out", "val"], "split 'val'"),
        (["--held-out", "some"], "'some' must be train, val or test"),
        (["--seed", "-1"], "`seed` (=-1)"),
        (["--backbone", "no_such_model"], "`backbone` (='no_such_model')"),
        (["--from", "nowhere"], "`checkpoint` (='nowhere')"),
        (["--backbone", "resnet50", "--from", "x"], "not allowed with"),
        (["--split", "val"], "split 'val'"),
        (["--device", "tpu"], "`device` (='tpu')"),
        ([], "--fit-softmax-head"),
    ],
)
def test_finetune_refuses_a_wrong_setting_by_name(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = class_folders(tmp_path / "images", {"a": "red", "b": "blue"}, count=1)
    try:
        code = main(["finetune", str(folder), "--out", str(tmp_path / "out"), *arguments])
    except SystemExit as end:
        code = end.code
    err = capsys.readouterr().err
    assert code == 2
    assert sentence in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("features_in")
def test_finetune_replaces_a_checkpoint_only_where_it_is_told_to(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = class_folders(tmp_path / "images", {"a": "red", "b": "blue"}, count=2)
    command = ["finetune", str(folder), "--out", str(out), "--fit-softmax-head", "--softmax-epochs", "1"]
    assert main([*command, "--epochs", "1"]) == 0
    first = (out / TENSORS).read_bytes()
    capsys.readouterr()
    for options in ([], ["--resume"]):  # the first run was finished: there is nothing to go on with
        assert main([*command, "--epochs", "2", *options]) == 2
        error = capsys.readouterr().err
        assert "holds a checkpoint" in error
        assert "--overwrite" in error
        assert (out / TENSORS).read_bytes() == first
    assert main([*command, "--epochs", "2", "--overwrite"]) == 0
    assert load_checkpoint(out).metadata["training"]["epochs"] == 2


def test_finetune_never_replaces_the_pictures_it_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = class_folders(tmp_path / "images", {"a": "red", "b": "blue"}, count=1)
    assert main(["finetune", str(folder), "--out", str(folder), "--fit-softmax-head"]) == 2
    assert "is no checkpoint folder; choose another name" in capsys.readouterr().err
    assert len(list(folder.rglob("*.png"))) == 2


@pytest.mark.usefixtures("features_in")
def test_ctrl_c_keeps_the_last_finished_epoch_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = class_folders(tmp_path / "images", {"a": "red", "b": "blue"}, count=3)
    command = ["finetune", str(folder), "--fit-softmax-head", "--softmax-epochs", "5", "--batch-size", "2"]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    monkeypatch.setattr(cli_finetune, "_print_epochs", lambda _epochs: lambda *_: os.kill(os.getpid(), signal.SIGINT))
    capsys.readouterr()
    assert main([*command, "--out", str(tmp_path / "run")]) == 130
    output = capsys.readouterr()
    assert output.out.strip() == str(tmp_path / "run")
    assert output.err.splitlines()[-1] == (
        "bsig: stopped on request before epoch 2, step 1 of 3. 'run' is the checkpoint of epoch 1; --resume goes on."
    )
    assert load_checkpoint(tmp_path / "run").metadata["training"]["finished_epochs"] == 1
    monkeypatch.undo()
    monkeypatch.setattr(cli_finetune, "finetune", functools.partial(finetune, cache_folder=tmp_path / "cache"))
    assert main([*command, "--out", str(tmp_path / "run"), "--resume"]) == 0
    assert (tmp_path / "run" / TENSORS).read_bytes() == (tmp_path / "whole" / TENSORS).read_bytes()


def test_a_second_signal_ends_at_once_and_the_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with cli_finetune.asked_to_stop() as should_stop:
        assert not should_stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert should_stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.usefixtures("features_in")
@pytest.mark.parametrize(
    ("arguments", "held_out"),
    [([], {"split": "val", "images": 4}), (["--held-out", "test"], {"split": "test", "images": 2}),
     (["--held-out", "none"], None), (["--split", "val"], None), (["--no-cache"], {"split": "val", "images": 4})],
)  # fmt: skip
def test_pictures_of_the_split_val_are_held_out_unless_asked_otherwise(
    arguments: list[str], held_out: dict | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        class_folders(tmp_path / "images" / split, {"a": "red", "b": "blue"}, count=count)
    command = ["finetune", str(tmp_path / "images"), "--out", str(tmp_path / "out"), "--fit-softmax-head"]
    assert main([*command, "--softmax-epochs", "1", "--epochs", "1", "--workers", "1", *arguments]) == 0
    metadata = load_checkpoint(tmp_path / "out").metadata
    assert metadata["data"].get("held_out") == held_out
    assert ("held out: loss" in capsys.readouterr().err) == bool(held_out)
    assert (metadata["training"]["views"] == "a fresh crop every step") == ("--no-cache" in arguments)


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        ([], FinetuneConfig(device="cpu")),
        (["--epochs", "7", "--seed", "3", "--positive-weight", "2"],
         FinetuneConfig(training=TrainingConfig(epochs=7, seed=3, positive_weight=2.0), views=Views(seed=3))),
        (["--branch", "shift", "--schedule", "constant", "--weight-decay", "0", "--stay-near-softmax", "1"],
         FinetuneConfig(training=TrainingConfig(
             branch="shift", schedule="constant", weight_decay=0.0, stay_near_softmax=1.0))),
        (["--from", "mine", "--views", "4", "--workers", "2", "--half-precision"],
         FinetuneConfig(start_from="mine", views=Views(4), encoding=EncodingConfig(workers=2), half_precision=True)),
        (["--flat-shift", "0.2", "--damp", "5"],
         FinetuneConfig(flat_shift=FlatShiftConfig(absent_area=0.2), damping=DampingConfig(strength=5.0))),
        (["--similar-classes", "0.4"], FinetuneConfig(similar_classes=SimilarClassesConfig(share=0.4))),
        (["--backbone", "resnet18", "--no-cache", "--fit-softmax-head", "--softmax-epochs", "9"],
         FinetuneConfig("resnet18", encode_every_step=True, softmax_head=SoftmaxHeadConfig(9))),
    ],
)  # fmt: skip
def test_options_become_the_settings_of_the_same_name(arguments: list[str], config: FinetuneConfig) -> None:
    parser = argparse.ArgumentParser()
    add_finetune_arguments(parser)
    namespace = parser.parse_args(["data", "--out", "out", "--device", "cpu", *arguments])
    assert cli_finetune._config(namespace) == config


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--softmax-epochs", "5"], "`softmax_epochs` needs --fit-softmax-head"),
        (["--views", "3", "--no-cache"], "`views` (=3) have no effect with `encode_every_step`"),
        (["--damp", "5", "--branch", "shift"], "`damping` needs a full branch"),
    ],
)
def test_a_setting_that_would_have_no_effect_is_refused_by_name(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["finetune", str(tmp_path), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_a_setting_of_another_kind_as_a_process_ends_with_2_and_one_line(tmp_path: Path, out: Path) -> None:
    folder = class_folders(tmp_path / "images", {"a": "red", "b": "blue"}, count=1)
    process = run("finetune", folder, "--out", out, "--branch", "both", "--fit-softmax-head")
    assert process.returncode == 2
    assert process.stderr == "bsig: `branch` (=both) must be 'full' or 'shift'.\n"


@pytest.mark.usefixtures("features_in")
def test_finetune_takes_a_zip_a_class_map_and_several_classes_a_picture(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(zips, "CACHE_FOLDER", tmp_path / "cache")
    lines = ["file,class,split", "0.png,fish;ball,Training", "1.png,ball,Training", "2.png,fish,Training"]
    lines += ["3.png,fish,Validation", "4.png,unicorn,Validation"]
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        archive.writestr("pets/index.csv", "\n".join(lines))
        for number in range(5):
            buffer = io.BytesIO()
            picture("red", number).save(buffer, "PNG")
            archive.writestr(f"pets/{number}.png", buffer.getvalue())
    assert main(["finetune", str(tmp_path / "pets.zip"), "--out", str(out), "--epochs", "1", *MAP]) == 0
    text = capsys.readouterr().err
    assert "1 of 2 pictures of split 'val' is held out: the others are of classes that are not trained" in text
    description = json.loads((out / "checkpoint.json").read_text())
    assert description["data"]["class_map"] == {"fish": "0", "ball": "1"}
    assert (description["data"]["images"], description["data"]["held_out"]["images"]) == (3, 1)
    # 4 classes in 3 pictures, of 1000
    assert description["training"]["positive_weight"] == pytest.approx((1000 - 4 / 3) / (4 / 3))


MAP = ("--class-map", "fish=0,ball=1", "--branch", "shift")


@pytest.mark.usefixtures("features_in")
def test_a_new_head_has_the_classes_as_the_class_map_calls_them(tmp_path: Path, out: Path) -> None:
    folder = class_folders(tmp_path / "images", {"a": "red", "b": "blue", "c": "green"}, count=2)
    command = ["finetune", str(folder), "--out", str(out), "--fit-softmax-head", "--epochs", "1"]
    assert main([*command, "--softmax-epochs", "1", "--class-map", "a=x,b=x"]) == 0
    assert json.loads((out / "checkpoint.json").read_text())["class_names"] == ["c", "x"]
