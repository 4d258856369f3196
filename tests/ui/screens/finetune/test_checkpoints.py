"""A checkpoint's zip, both ways: the same answers after the round trip; what is no checkpoint is not kept."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import torch

from bsig.explain.explainer import Explainer
from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DESCRIPTION, TENSORS
from bsig.training.runs.folder import RunFolder
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.finetune.checkpoints import checkpoint_zip, keep_checkpoint
from bsig.ui.workbench import Workbench

PICTURE = bundled_examples()[0].path
BIRDS = "birds10-efficientnet_lite0"


def test_a_checkpoint_goes_out_as_a_zip_and_comes_in_again_with_the_same_answers(
    bench: Workbench, runs: RunFolder
) -> None:
    file = checkpoint_zip(CHECKPOINTS_FOLDER / BIRDS)
    name = keep_checkpoint(str(file), runs, bench)
    assert name == f"{BIRDS}-2"  # a shipped one has the name: neither hides the other
    assert {path.name for path in (runs.checkpoints / name).iterdir()} == {TENSORS, DESCRIPTION}
    encoded, second = Explainer(load_checkpoint(BIRDS)).encode(PICTURE), bench.encode(PICTURE, name)
    assert torch.equal(encoded.softmax_logits, second.softmax_logits)
    assert torch.equal(encoded.sigmoid_logits, second.sigmoid_logits)
    assert keep_checkpoint(str(file), runs, bench) == f"{BIRDS}-3"
    assert checkpoint_zip(CHECKPOINTS_FOLDER / BIRDS) == file  # made once


def test_what_is_no_whole_checkpoint_is_not_taken_in(
    bench: Workbench, runs: RunFolder, tmp_path: Path, pictures_zip: str
) -> None:
    before = sorted(runs.checkpoints.iterdir()) if runs.checkpoints.is_dir() else []
    with pytest.raises(InputError, match="must hold one checkpoint folder"):
        keep_checkpoint(pictures_zip, runs, bench)
    with pytest.raises(InputError, match="no zip is chosen"):
        keep_checkpoint(None, runs, bench)
    content = (CHECKPOINTS_FOLDER / BIRDS / TENSORS).read_bytes()
    with zipfile.ZipFile(tmp_path / "hurt.zip", "w") as archive:
        archive.writestr(f"x/{TENSORS}", content[:-1] + bytes([content[-1] ^ 1]))
        archive.write(CHECKPOINTS_FOLDER / BIRDS / DESCRIPTION, f"x/{DESCRIPTION}")
    with pytest.raises(InputError, match="cut short or changed"):
        keep_checkpoint(str(tmp_path / "hurt.zip"), runs, bench)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("../../evil/checkpoint.json", "{}")
    (tmp_path / "evil.zip").write_bytes(data.getvalue())
    with pytest.raises(InputError, match="outside its folder"):
        keep_checkpoint(str(tmp_path / "evil.zip"), runs, bench)
    assert (sorted(runs.checkpoints.iterdir()) if runs.checkpoints.is_dir() else []) == before
