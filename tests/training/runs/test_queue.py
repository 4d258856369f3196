"""Runs in line, made by a worker process: one at a time, stopped at once, killed without loss, resumed bit for bit."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forked_worker import queue_of
from generated import class_folders
from run_requests import REQUESTS
from safetensors.torch import load_file

from bsig.inputs.files import locked
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.backbones import Classifier
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import TENSORS
from bsig.model.weights import state_sha256
from bsig.training.config import FinetuneConfig, TrainingConfig
from bsig.training.runs.folder import MAPS, RunFolder, change_state
from bsig.training.runs.queue import RunQueue, mark_interrupted
from bsig.training.runs.run import ENDED, Run, RunRequest
from bsig.ui.components.examples import bundled_examples

PATIENCE_S = 300.0
START = str(CHECKPOINTS_FOLDER / "imagenet1k-efficientnet_lite0")
LONG = 4000  # epochs: minutes, so that a run is surely still going when it is stopped or killed


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunQueue]:
    """One line, and one worker that these tests share."""
    new_queue = queue_of(tmp_path_factory.mktemp("app"))
    new_queue.warm_up()
    yield new_queue
    new_queue.close()


def submit_run(
    queue: RunQueue, name: str, epochs: int, *, data: str = "bundled", address: str = "shipped", **settings: Any
) -> str:
    """A run in line; with the cat as its probe."""
    config = FinetuneConfig(start_from=START, training=TrainingConfig(epochs=epochs, **settings))
    folder = queue.folder.create(name, RunRequest(data, address, config, "golf ball"))  # type: ignore[arg-type]
    cat = next(example.path for example in bundled_examples() if example.key == "cat")
    (folder / "probe.png").write_bytes(cat.read_bytes())
    queue.submit(folder.name)
    return folder.name


def until(queue: RunQueue, name: str, condition: Callable[[Run], bool]) -> Run:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        run = queue.folder.read(name)
        if condition(run):
            return run
        time.sleep(0.02)
    raise AssertionError(f"run '{name}' is still {queue.folder.read(name).state}")


def ended(queue: RunQueue, name: str) -> Run:
    return until(queue, name, lambda run: run.state.standing in ENDED)


def tensors(queue: RunQueue, name: str) -> dict[str, torch.Tensor]:
    return load_file(queue.folder.checkpoints / name / TENSORS)


def worker_pid(queue: RunQueue) -> int:
    return queue._lanes["cpu"]._worker._process.pid  # type: ignore[union-attr]


def test_a_run_leaves_a_checkpoint_curves_and_the_probe_after_every_epoch(
    queue: RunQueue, default_classifier: Classifier
) -> None:
    before = state_sha256(default_classifier.head)
    run = ended(queue, submit_run(queue, "short", 3, learning_rate=0.2))
    assert (run.state.standing, run.state.epochs_done, run.state.checkpoint) == ("finished", 3, "short")
    assert [epoch["number"] for epoch in run.epochs()] == [0, 1, 2, 3]
    areas = [epoch["absent_area"] for epoch in run.epochs()]
    assert areas[0] == run.last("start")["softmax_absent_area"]  # type: ignore[index]  a clone starts where softmax is
    assert areas[3] < 0.6 * areas[0]
    maps = [np.load(run.folder / MAPS / f"sigmoid-{number:05d}.npy") for number in range(4)]
    np.testing.assert_array_equal(maps[0], np.load(run.folder / MAPS / "softmax.npy"))
    assert (maps[3] > 0).mean() < (maps[0] > 0).mean()
    assert not (run.folder / "probe.png").exists()
    model = load_checkpoint(queue.folder.checkpoints / "short")
    assert state_sha256(model.softmax_head) == before
    assert model.metadata["training"]["epochs"] == 3


@pytest.mark.nightly
def test_two_at_once_are_made_one_after_the_other_and_the_second_says_its_place(queue: RunQueue) -> None:
    first = submit_run(queue, "first", LONG)
    second = submit_run(queue, "second", 1)
    until(queue, first, lambda run: run.state.standing == "running")
    assert (queue.position(first), queue.position(second)) == (0, 1)
    assert queue.folder.read(second).state.standing == "queued"
    queue.stop(first)
    assert ended(queue, first).state.standing == "stopped"
    assert ended(queue, second).state.standing == "finished"
    deadline = time.monotonic() + PATIENCE_S
    while queue.position(second) is not None and time.monotonic() < deadline:
        time.sleep(0.02)  # the line learns of the end a moment after the folder does
    assert queue.position(second) is None


@pytest.mark.nightly
def test_stop_keeps_the_last_finished_epoch_as_a_checkpoint(queue: RunQueue) -> None:
    name = submit_run(queue, "stopped", LONG)
    until(queue, name, lambda run: run.state.epochs_done >= 2)
    asked_at = time.time()
    queue.stop(name)
    run = ended(queue, name)
    # A loose bound, since this machine may be busy; the figure is in the benchmark.
    assert run.state.ended - asked_at < 30  # type: ignore[operator]
    assert run.state.standing == "stopped"
    model = load_checkpoint(queue.folder.checkpoints / name)
    epochs = run.state.epochs_done
    assert model.metadata["training"]["finished_epochs"] == epochs == len(model.metadata["history"]) >= 2


@pytest.mark.nightly
def test_a_run_of_an_uploaded_zip_that_was_stopped_is_resumed_from_its_pictures(
    queue: RunQueue, tmp_path: Path
) -> None:
    name = submit_run(queue, "zip", LONG, data="zip", address="later", batch_size=4)
    queue.stop(name)
    ended(queue, name)
    folder = queue.folder.folder(name)
    class_folders(folder / "data", {"n01440764": "red", "n03445777": "green"}, count=3)
    request = queue.folder.read(name).request
    queue.folder.change_request(folder, replace(request, address=str(folder / "data")))
    queue.resume(name)
    until(queue, name, lambda run: run.state.epochs_done >= 1)
    queue.stop(name)
    run = ended(queue, name)
    assert run.state.standing == "stopped"
    assert (folder / "data").is_dir()
    queue.resume(name)
    until(queue, name, lambda second: second.state.epochs_done > run.state.epochs_done)
    queue.stop(name)
    assert ended(queue, name).state.standing == "stopped"


def test_a_run_that_no_line_knows_can_be_stopped_and_deleted(queue: RunQueue) -> None:
    folder = queue.folder.create("lost", RunRequest("bundled", "shipped", FinetuneConfig(start_from=START)))
    queue.stop(folder.name)
    assert queue.folder.read("lost").state.standing == "stopped"
    queue.folder.delete("lost")
    assert "lost" not in queue.folder.names()


@pytest.mark.nightly
def test_a_run_that_is_stopped_before_it_is_in_line_does_not_begin(queue: RunQueue) -> None:
    config = FinetuneConfig(start_from=START, training=TrainingConfig(epochs=1))
    queue.folder.create("early", RunRequest("bundled", "shipped", config))
    queue.stop("early")  # while its pictures are still unpacked, say
    queue.submit("early")
    assert queue.position("early") is None
    submit_run(queue, "later", 1)
    until(queue, "later", lambda run: run.state.standing in ENDED)
    early = queue.folder.read("early").state
    assert (early.standing, early.started) == ("stopped", None)


@pytest.mark.nightly
def test_a_waiting_run_is_taken_out_of_line(queue: RunQueue) -> None:
    first, second = submit_run(queue, "goes", LONG), submit_run(queue, "waits", 1)
    queue.stop(second)
    assert queue.folder.read(second).state.standing == "stopped"
    assert queue.position(second) is None
    queue.stop(first)
    ended(queue, first)


@pytest.mark.nightly
def test_killed_in_the_middle_it_is_interrupted_and_resumed_it_ends_as_if_nothing_had_happened(queue: RunQueue) -> None:
    whole = ended(queue, submit_run(queue, "whole", 40))
    assert whole.state.standing == "finished"
    name = submit_run(queue, "killed", 40)
    until(queue, name, lambda run: run.state.epochs_done >= 2)
    os.kill(worker_pid(queue), signal.SIGKILL)
    run = ended(queue, name)
    assert run.state.standing == "interrupted"
    assert "SIGKILL" in run.state.sentence
    assert "resume" in run.state.sentence
    assert 2 <= run.state.epochs_done < 40
    queue.resume(name)
    run = ended(queue, name)
    assert (run.state.standing, run.state.epochs_done) == ("finished", 40)
    expected, actual = tensors(queue, "whole"), tensors(queue, name)
    assert expected.keys() == actual.keys()
    assert all(torch.equal(expected[key], actual[key]) for key in expected)
    assert [epoch["number"] for epoch in run.epochs()] == list(range(41))


@pytest.mark.nightly
def test_a_loss_that_is_no_number_keeps_the_last_good_epoch_and_says_when(queue: RunQueue) -> None:
    # One step an epoch; each multiplies the weights by about -80, until float32 ends.
    run = ended(queue, submit_run(queue, "explodes", 200, learning_rate=90.0, weight_decay=0.9, batch_size=1000))
    assert run.state.standing == "failed"
    assert "learning_rate" in run.state.sentence
    checkpoint = load_checkpoint(queue.folder.checkpoints / "explodes")
    assert checkpoint.metadata["training"]["finished_epochs"] == run.state.epochs_done >= 1
    after = ended(queue, submit_run(queue, "after", 1))
    assert after.state.standing == "finished"


@pytest.mark.nightly
def test_bad_data_fails_in_one_sentence_and_the_next_run_is_made(queue: RunQueue, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    run = ended(queue, submit_run(queue, "empty", 1, data="folder", address=str(tmp_path / "empty")))
    assert run.state.standing == "failed"
    assert "no labelled pictures" in run.state.sentence
    folders = class_folders(tmp_path / "data", {"n01440764": "red", "n03445777": "green", "unicorn": "blue"}, count=6)
    (folders / "n01440764" / "broken.png").write_text("no picture")
    run = ended(queue, submit_run(queue, "pictures", 2, data="folder", address=str(folders)))
    assert run.state.standing == "finished"
    assert any("broken.png" in note for note in run.notes())
    assert any("unicorn" in note for note in run.notes())
    assert run.last("encoded")["done"] > 0  # type: ignore[index]
    assert run.epochs()[-1]["held_out_loss"] is not None  # one picture of each class was set aside


@pytest.mark.nightly
def test_a_run_that_takes_longer_than_it_may_is_stopped_and_keeps_its_epochs(queue: RunQueue) -> None:
    config = FinetuneConfig(start_from=START, training=TrainingConfig(epochs=LONG))
    folder = queue.folder.create("too long", RunRequest("bundled", "shipped", config, seconds=8.0))
    queue.submit(folder.name)
    run = ended(queue, folder.name)
    assert run.state.standing == "stopped"
    assert run.state.sentence.startswith("Stopped after 8 s, the limit of a run here: ")
    if run.state.epochs_done:  # none where the machine is busy
        assert f"epoch {run.state.epochs_done} of {LONG} is kept" in run.state.sentence
        assert load_checkpoint(queue.folder.checkpoints / folder.name).metadata["training"]["finished_epochs"] >= 1


@pytest.mark.nightly
def test_runs_of_two_folders_stand_in_one_line(queue: RunQueue, tmp_path: Path) -> None:
    other = queue.beside(RunFolder(tmp_path))
    first, second = submit_run(queue, "same name", LONG), submit_run(other, "same name", 1)
    assert first == second
    until(queue, first, lambda run: run.state.standing == "running")
    assert (queue.position(first), other.position(second)) == (0, 1)
    other.stop(second)
    assert other.folder.read(second).state.standing == "stopped"
    assert queue.folder.read(first).state.standing == "running"
    queue.stop(first)
    ended(queue, first)


def test_an_app_that_outlives_another_on_its_work_folder_says_which_runs_were_cut_off(tmp_path: Path) -> None:
    first = queue_of(tmp_path)
    second = queue_of(tmp_path)
    try:
        name = first.folder.create("left", RunRequest("bundled", "shipped", FinetuneConfig(start_from=START))).name
        time.sleep(1.2)  # the second looks once a second
        assert second.folder.read(name).state.standing == "queued"
        first.close()
        assert until(second, name, lambda run: run.state.standing == "interrupted")
    finally:
        second.close()


@pytest.mark.nightly
def test_a_worker_ends_with_its_app_and_the_next_app_finds_the_run_interrupted(tmp_path: Path) -> None:
    queue = queue_of(tmp_path)
    try:
        name = submit_run(queue, "orphan", LONG)
        until(queue, name, lambda run: run.state.epochs_done >= 1)
        process = queue._lanes["cpu"]._worker._process  # type: ignore[union-attr]
        process.stdin.close()  # what the kernel does when the app dies  # type: ignore[union-attr]
        assert process.wait(timeout=PATIENCE_S) == 3
    finally:
        queue.close()
    later = queue_of(tmp_path)
    later.close()
    assert later.folder.read(name).state.standing == "interrupted"


@pytest.mark.nightly
def test_what_nobody_holds_is_marked_as_interrupted_and_what_somebody_holds_is_left(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    for name, standing in [("held", "running"), ("dead", "running"), ("waiting", "queued"), ("done", "finished")]:
        change_state(runs.create(name, REQUESTS[0]), standing=standing, epochs_done=2)
    with locked(runs.runs / "held"):
        mark_interrupted(runs)
    assert {run.name: run.state.standing for run in runs.read_all()} == {
        "held": "running", "dead": "interrupted", "waiting": "interrupted", "done": "finished",
    }  # fmt: skip
    assert "after epoch 2 of 3, which is kept; resume it" in runs.read("dead").state.sentence
    assert "while this run was waiting; resume it" in runs.read("waiting").state.sentence
