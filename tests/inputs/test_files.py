"""What killed writers of a folder leave is put back or cleared away."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch


def test_a_writer_killed_between_its_two_renames_has_lost_nothing(tmp_path: Path, default_model: DualBranch) -> None:
    save_checkpoint(default_model, tmp_path / "mine", note="the old one")
    (tmp_path / "mine").rename(tmp_path / ".mine.abcd1234.previous")
    assert load_checkpoint("mine", folder=tmp_path).metadata["note"] == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_killed_writers_left_is_cleared_and_what_a_living_one_writes_is_not(
    tmp_path: Path, default_model: DualBranch
) -> None:
    for name, age in [(".mine.abcd1234", 7200), (".mine.efgh5678", 10), (".mine.other.abcd1234", 7200)]:
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    save_checkpoint(default_model, tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.efgh5678", ".mine.other.abcd1234", "mine"]
