"""Killed with signal 9 at the worst moments, a run loses nothing that was saved and goes on to the same weights."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from forked import run_forked
from generated import class_folders
from safetensors import safe_open

from bsig.inputs.paths import ROOT
from bsig.model.checkpoints.description import read_description
from bsig.model.checkpoints.names import DESCRIPTION, TENSORS
from bsig.training.features.file import remove_left_behind

SCRIPT = ROOT / "tests" / "support" / "killed_finetune.py"


CASES = ("cache", "epoch", "state", "checkpoint")
AGAIN = ("epoch-again", "checkpoint-again")  # over a checkpoint that is there


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the killed and the resumed runs left; `nowhere` is the run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("killed")
    for case in ("nowhere", *CASES, *AGAIN):
        class_folders(folder / case / "images", {"a": "red", "b": "green", "c": "blue"}, count=8)
    for case in AGAIN:
        (folder / case / "run").mkdir()
        for name in (TENSORS, DESCRIPTION):
            (folder / case / "run" / name).write_text("what was there")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = run_forked(SCRIPT, folder, "nowhere", *CASES, *AGAIN, env=environment, timeout=500)
    assert process.returncode == 0, process.stderr
    return folder


def exit_codes(folder: Path, case: str) -> tuple[int, int]:
    first_code, second_code = json.loads((folder / "ended.json").read_text())[case]
    return first_code, second_code


def partial_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.is_file() and "partial" in path.name]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.nightly
def test_a_killed_run_leaves_no_half_checkpoint_and_a_whole_state(folder: Path, case: str) -> None:
    assert exit_codes(folder, case) == (-signal.SIGKILL, 0)
    rest = folder / f"{case}-killed"
    assert not (rest / "run").exists()
    state = rest / ".run.training" / "state.safetensors"
    assert state.exists() == (case != "cache")
    if state.exists():
        finished = {"epoch": 2, "state": 2, "checkpoint": 4}[case]
        with safe_open(state, framework="pt") as file:
            assert len(json.loads(file.metadata()["history"])) == finished
    features = list((rest / "cache").glob("*.npy"))
    if case == "cache":
        assert features == []
        assert len(partial_files(rest / "cache")) == 1
    else:
        assert len(features) == 1


@pytest.mark.parametrize("case", [*CASES, *AGAIN])
def test_resumed_it_gives_the_weights_of_the_undisturbed_run_bit_for_bit(folder: Path, case: str) -> None:
    assert exit_codes(folder, case)[1] == 0
    second, undisturbed = folder / case / "run", folder / "nowhere" / "run"
    assert (second / TENSORS).read_bytes() == (undisturbed / TENSORS).read_bytes()
    assert read_description(second)["history"] == read_description(undisturbed)["history"]
    assert not (folder / case / ".run.training").exists()


@pytest.mark.parametrize("case", AGAIN)
def test_a_killed_run_leaves_the_checkpoint_that_was_there(folder: Path, case: str) -> None:
    assert exit_codes(folder, case)[0] == -signal.SIGKILL
    for name in (TENSORS, DESCRIPTION):
        assert (folder / f"{case}-killed" / "run" / name).read_text() == "what was there"


def test_what_a_killed_writer_left_is_taken_away_once_it_is_old(folder: Path) -> None:
    cache = folder / "cache" / "cache"
    for path in partial_files(cache):
        os.utime(path, (1, 1))
    remove_left_behind(cache)
    assert partial_files(cache) == []
    assert len(list(cache.glob("*.npy"))) == 1
