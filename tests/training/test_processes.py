"""Two processes take the steps that one takes, and end together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import run_forked, run_together
from generated import class_folders
from tolerances import FLOAT32, assert_close

from bsig.inputs.paths import ROOT
from bsig.training.processes import ALONE, Processes

SCRIPT = ROOT / "tests" / "support" / "several_processes.py"


def torchrun(*command: object, count: int = 2) -> subprocess.CompletedProcess[str]:
    """The real launcher, over the loopback interface alone."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    return subprocess.run(
        [*launcher, "--nproc_per_node", str(count), *map(str, command)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def alone(*command: object) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = run_forked(*command, env=environment)
    assert process.returncode == 0, process.stderr


def result_of(folder: Path, name: str, rank: int, count: int) -> Any:
    return torch.load(folder / f"{name}-{rank}-of-{count}.pt", weights_only=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict, dict]:
    """Of one process, and of each of two."""
    folder = tmp_path_factory.mktemp("trained")
    images = class_folders(folder / "images", {"a": "red", "b": "blue"}, count=4)
    (images / "b" / "bad.png").write_bytes(b"not a picture")
    alone(SCRIPT, "trained", folder)
    process = run_together(2, SCRIPT, "trained", folder)
    assert process.returncode == 0, process.stderr
    return result_of(folder, "trained", 0, 1), result_of(folder, "trained", 0, 2), result_of(folder, "trained", 1, 2)


RUNS = ["full", "shift", "held", "single", "softmax", "pictures cache", "pictures None", "closed forms", "fresh"]


@pytest.mark.parametrize("run", RUNS)
def test_two_processes_give_the_weights_and_figures_of_one(results: tuple[dict, dict, dict], run: str) -> None:
    (weights, history), (split_weights, split_history) = results[0][run], results[1][run]
    for key, value in weights.items():
        assert_close(split_weights[key], value.numpy(), FLOAT32)
    assert len(history) == len(split_history)
    for epoch, split_epoch in zip(history, split_history, strict=True):
        for name, value in epoch.items():
            if value is None:
                assert split_epoch[name] is None
            else:
                assert abs(split_epoch[name] - value) < 1e-5, name


@pytest.mark.parametrize("run", RUNS)
def test_both_processes_end_with_the_same_bits(results: tuple[dict, dict, dict], run: str) -> None:
    (weights, history), (other_weights, other_history) = results[1][run], results[2][run]
    assert all(torch.equal(other_weights[key], value) for key, value in weights.items())
    assert history == other_history


def test_what_cannot_be_read_is_known_to_all(results: tuple[dict, dict, dict]) -> None:
    for run in ("unreadable cache", "unreadable None", "unreadable fresh"):
        assert len(results[0][run]) == 1
        assert results[0][run] == results[1][run] == results[2][run]


def test_a_wish_to_stop_in_one_process_stops_all_and_the_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    process = run_together(2, SCRIPT, "resumed", tmp_path)
    assert process.returncode == 0, process.stderr
    for rank in (0, 1):
        outcome = result_of(tmp_path, "resumed", rank, 2)
        assert outcome == {"stopped": "stopped on request before epoch 2, step 3 of 6.", "finished": 1, "same": True}


@pytest.mark.parametrize("launch", [partial(run_together, 2), pytest.param(torchrun, marks=pytest.mark.nightly)])
@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("together", "bsig: the second one is refused."),
        ("raises", "bsig: the second one cannot go on; start it again with --resume to go on."),
        ("killed", "bsig: another process of this run has ended; start it again with --resume to go on."),
    ],
)
def test_a_process_that_fails_ends_all_with_one_sentence(
    tmp_path: Path, launch: Callable[..., subprocess.CompletedProcess[str]], how: str, sentence: str
) -> None:
    process = launch(SCRIPT, how, tmp_path)
    assert process.returncode != 0
    assert [line for line in process.stderr.splitlines() if line.startswith("bsig:")] == [sentence]
    assert list(tmp_path.iterdir()) == []


def test_shares_are_in_order_and_leave_nothing_out() -> None:
    for total in (0, 1, 2, 5, 23):
        for count in (1, 2, 3, 7):
            shares = [list(Processes(rank, count).share(total)) for rank in range(count)]
            assert [index for share in shares for index in share] == list(range(total))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert list(ALONE.share(3)) == [0, 1, 2]
