"""`python -m bsig checkpoints`: what can be loaded, and what cannot with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checkpoint_folders import without_weights_of
from commands import refusal

from bsig.cli.main import main
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT
from bsig.model.packaged_weights import DEFAULT_BACKBONE


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
