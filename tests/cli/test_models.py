"""Commands on models: what can be loaded, what is never replaced unasked, zero-shot models."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import timm
import torch
from checkpoint_folders import without_weights_of
from commands import refusal
from image_towers import SIGLIP, SMALL, TOWERS, randomised, tower, weights_file

from bsig.cli.arguments import models as arguments
from bsig.cli.main import main
from bsig.inputs.files import whole_folder
from bsig.inputs.images import RESAMPLING
from bsig.model.checkpoints.listing import list_checkpoints
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DEFAULT_BACKBONE, DEFAULT_CHECKPOINT, RESULTS
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.class_embeddings import ClassEmbeddings
from bsig.model.dual_branch import DualBranch
from bsig.model.published.networks import ARCHITECTURES, METHODS
from bsig.model.replaced_heads import ACTIVATIONS
from bsig.model.text_tower import write_class_embeddings


def test_checkpoints_lists_classes_backbone_size_and_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoints"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith(f"{DEFAULT_CHECKPOINT}: "))
    sha256 = load_checkpoint().metadata["tensors_sha256"]
    for part in ("1000 classes", "tf_efficientnet_lite0", "full branch", " MB", sha256[:12]):
        assert part in line
    assert main(["checkpoints", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [line.split(":")[0] for line in lines]


def test_a_checkpoint_whose_weights_are_not_installed_is_told_from_a_broken_one_and_not_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = without_weights_of(DEFAULT_BACKBONE, monkeypatch)
    assert main(["checkpoints"]) == 0
    line = f"{DEFAULT_CHECKPOINT}: needs the weights of {DEFAULT_BACKBONE}: {command}"
    assert line in capsys.readouterr().out.splitlines()
    assert main(["evaluate-shipped", "--data", str(tmp_path), "--only", DEFAULT_CHECKPOINT]) == 0
    assert capsys.readouterr().err.splitlines() == [f"{DEFAULT_CHECKPOINT} is left out: {command}"]


def test_checkpoints_lists_a_broken_one_with_its_reason_and_refuses_an_empty_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "holds no checkpoint" in refusal(capsys, "checkpoints", "--checkpoints", tmp_path)
    (tmp_path / "broken").mkdir()
    assert main(["checkpoints", "--checkpoints", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("broken: cannot be loaded: checkpoint 'broken': has no")


def test_a_checkpoint_whose_name_is_not_utf8_is_listed_with_what_to_do(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    except OSError:
        pytest.skip("this disk takes UTF-8 names alone")
    (row,) = list_checkpoints(tmp_path)
    assert row["name"] == "caf?"
    assert "which is not UTF-8; rename it" in row["error"]
    json.dumps(row, ensure_ascii=False).encode("utf-8")


def test_the_choices_that_help_names_are_the_librarys() -> None:
    assert tuple(RESAMPLING) == arguments.INTERPOLATIONS
    assert tuple(sorted(ACTIVATIONS)) == arguments.ACTIVATIONS
    assert (ARCHITECTURES, METHODS) == (arguments.ARCHITECTURES, arguments.PUBLISHED_METHODS)


# A folder that is there is replaced only when that is asked for.


@pytest.fixture
def old_folder(tmp_path: Path) -> Path:
    """A checkpoint folder of an earlier day, with results that took long."""
    network = randomised(timm.create_model("test_resnet", num_classes=3))
    folder = save_checkpoint(DualBranch.from_model(network), tmp_path / "kept")
    (folder / RESULTS).write_text("{}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder and its bytes."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    "command",
    [("new-model", "test_resnet"), ("import-checkpoint", "none.pth", "--architecture", "resnet50", "--method", "cam")],
)
def test_a_command_that_writes_a_checkpoint_replaces_none_unasked(
    command: tuple[str, ...], old_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(old_folder)
    sentence = refusal(capsys, *command, "--out", old_folder)
    assert f"`--out` (='{old_folder}') holds a checkpoint; give --overwrite to replace it" in sentence
    assert contents(old_folder) == before


def test_a_save_that_was_killed_half_way_is_put_back_and_not_replaced(
    old_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(old_folder)
    with pytest.raises(KeyboardInterrupt), whole_folder(old_folder):
        raise KeyboardInterrupt
    assert "holds a checkpoint" in refusal(capsys, "new-model", "test_resnet", "--out", old_folder)
    assert contents(old_folder) == before


def test_with_overwrite_it_is_replaced_and_without_a_usable_file_it_stays(
    old_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(old_folder)
    file = weights_file(timm.create_model("test_resnet", num_classes=4), tmp_path)
    command = ("new-model", "test_resnet", "--out", old_folder, "--overwrite", "--device", "cpu", "--weights")
    refusal(capsys, *command, tmp_path / "none.pth")
    assert contents(old_folder) == before
    assert main([*map(str, command), str(file)]) == 0
    assert load_checkpoint(old_folder).num_classes == 4


# Zero-shot models.


def test_class_embeddings_make_a_zero_shot_checkpoint_that_says_its_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = weights_file(tower(SIGLIP), tmp_path)
    matrix = torch.randn(3, TOWERS[SIGLIP], generator=torch.Generator().manual_seed(1))
    embeddings = ClassEmbeddings(matrix, ("ant", "bee", "cat"), 117.25, -12.5)
    classes = write_class_embeddings(embeddings, tmp_path / "classes.npz")
    options = [f"{name}={value}" for name, value in SMALL.items()]
    command = ["new-model", SIGLIP, "--weights", file, "--model-kwargs", *options, "--class-embeddings", classes,
               "--device", "cpu", "--out", tmp_path / "zs"]  # fmt: skip
    assert main([*map(str, command), "--logit-bias", "-11"]) == 0
    text = capsys.readouterr().err
    assert "117.25 times the cosine" in text
    assert "adds the bias -11; its maps are those of softmax" in text
    model = load_checkpoint(tmp_path / "zs")
    assert model.class_names == ("ant", "bee", "cat")
    assert model.metadata["zero_shot"]["logit_bias"] == -11
    assert model.metadata["zero_shot"]["class_embeddings"]["source"] == "classes.npz"


def test_a_scale_without_class_embeddings_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = refusal(capsys, "new-model", SIGLIP, "--logit-scale", 10, "--out", tmp_path / "zs")
    assert "give --class-embeddings" in sentence
