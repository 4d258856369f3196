"""Names and paths stand for checkpoint folders; a broken folder is listed with its reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from checkpoint_folders import change_entries, entries_of, without_weights_of

from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.listing import list_checkpoints
from bsig.model.checkpoints.load import load_checkpoint

SHIPPED = ["birds10-efficientnet_lite0", "imagenet1k-efficientnet_lite0", "imagenet1k-efficientnet_lite0-shift"]


def test_the_list_holds_every_shipped_checkpoint() -> None:
    rows = {row["name"]: row for row in list_checkpoints()}
    assert set(SHIPPED) <= set(rows)
    for name in SHIPPED:
        assert "error" not in rows[name]
        assert rows[name]["classes"] == (10 if name.startswith("birds10") else 1000)
        assert rows[name]["backbone"] == "tf_efficientnet_lite0"
        assert rows[name]["megabytes"] < 6
        assert rows[name]["sha256"] == entries_of(CHECKPOINTS_FOLDER / name)["tensors_sha256"]


def test_a_broken_folder_stays_in_the_list_with_its_reason_and_hides_no_other(
    checkpoint_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("not a folder")
    rows = list_checkpoints(tmp_path)
    assert [row["name"] for row in rows] == ["broken", "small"]
    assert "checkpoint 'broken': has no checkpoint.json" in rows[0]["error"]
    assert list_checkpoints(tmp_path / "nowhere") == []


def test_a_checkpoint_whose_weights_are_not_installed_needs_a_command_and_hides_no_other(
    checkpoint_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(checkpoint_folder, tmp_path / "whole")
    change_entries(checkpoint_folder, tensors={})
    change_entries(tmp_path / "whole", tensors={"encoder.conv_stem.weight": [[1], "torch.float32"]})
    assert not any("needs" in row for row in list_checkpoints(tmp_path))
    backbone = entries_of(checkpoint_folder)["backbone"]["name"]
    command = without_weights_of(backbone, monkeypatch)
    rows = {row["name"]: row for row in list_checkpoints(tmp_path)}
    assert rows["small"]["needs"] == command
    assert rows["small"]["backbone"] == backbone
    assert "needs" not in rows["whole"], "it brings its own encoder"
    assert not any("error" in row for row in rows.values())


@pytest.mark.parametrize(
    "name",
    ["nowhere", "../x", "../../etc/passwd", "", "~nobody-of-that-name/x", "x" * 5000, "a\0b", "/", "..", "C:\\x"],
)
def test_a_name_that_is_no_checkpoint_is_refused_with_those_that_are(
    checkpoint_folder: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_checkpoint(name, folder=tmp_path)
    assert name.replace("\0", " ") in str(caught.value)
    assert "one of: small" in str(caught.value)


def test_a_model_can_be_loaded_by_name_by_path_and_from_another_folder(
    checkpoint_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_checkpoint("small", folder=tmp_path).name == "small"
    assert load_checkpoint(str(checkpoint_folder)).name == "small"
    monkeypatch.chdir(checkpoint_folder)
    assert load_checkpoint(".").name == "small"
    monkeypatch.chdir(tmp_path)
    assert load_checkpoint("./small").name == "small"
