"""A run is a folder: what is written is read back whole, names stay inside, folders of before still open."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_requests import REQUESTS

from bsig.inputs.errors import InputError
from bsig.inputs.files import is_locked, locked
from bsig.training.config import DampingConfig, FlatShiftConfig, SoftmaxHeadConfig
from bsig.training.runs.events import EVENTS
from bsig.training.runs.folder import (
    REQUEST,
    STATE,
    RunFolder,
    ask_to_stop,
    change_state,
    change_state_if,
    is_asked_to_stop,
)
from bsig.training.runs.run import RunRequest, RunState
from bsig.training.runs.words import status


@pytest.fixture
def runs(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


@pytest.mark.parametrize("request_", REQUESTS)
def test_what_is_asked_is_kept_and_changed_in_its_folder(runs: RunFolder, request_: RunRequest) -> None:
    folder = runs.create("mine", request_)
    assert runs.read("mine").request == request_
    runs.change_request(folder, replace(request_, address="elsewhere"))
    assert runs.read("mine").request == replace(request_, address="elsewhere")


# A folder as the version before this one left it: 'workers' beside the parts of the config.
OLD_REQUEST = """\
{"data": "zip", "address": "/w/runs/birds-full/data/birds", "config": { "backbone": "tf_efficientnet_lite0",
"start_from": "/p/checkpoints/imagenet1k-efficientnet_lite0", "softmax_head": {"epochs": 100, "learning_rate": 0.03,
"weight_decay": 0.0005}, "training": {"branch": "full", "epochs": 10, "learning_rate": 0.2, "schedule": "cosine",
"batch_size": 32, "momentum": 0.9, "weight_decay": 0.0005, "positive_weight": null, "stay_near_softmax": 0.0,
"initialisation": "clone", "seed": 0}, "views": {"count": 2, "smallest_area": 0.35, "seed": 0}, "device": "cpu",
"half_precision": false, "flat_shift": {"ridge": 0.3, "absent_area": 0.1, "seed": 0}, "damping": {"strength": 20.0,
"pictures": 16, "temper": 0.25, "most_pictures": 4000}, "encode_every_step": false, "workers": 3}, "probe_class":
"golf ball", "seconds": 600.0, "estimated_seconds": 41.5, "keeps_features": false}"""
OLD_STATE = """{"standing": "stopped", "sentence": "stopped on request before epoch 3, step 2 of 6.", "phase": "",
"epochs_done": 2, "checkpoint": "birds-full", "created": 1760000000.25, "started": 1760000001.5, "ended": 1760000090}"""
OLD_EVENTS = """{"kind": "phase", "at": 1760000002.0, "phase": "training"}
{"kind": "start", "at": 1760000003.0, "classes": 10, "softmax_own_area": 0.6, "softmax_absent_area": 0.45}
{"kind": "epoch", "at": 1760000004.0, "own_area": 0.6, "absent_area": 0.45, "number": 0}
{"kind": "epoch", "at": 1760000005.0, "number": 1, "loss": 0.5, "sigmoid_accuracy": 0.7, "absent_area": 0.2}
"""


def test_a_folder_of_the_version_before_still_opens(runs: RunFolder) -> None:
    folder = runs.runs / "birds-full"
    folder.mkdir(parents=True)
    (folder / REQUEST).write_text(OLD_REQUEST)
    (folder / STATE).write_text(OLD_STATE)
    (folder / EVENTS).write_text(OLD_EVENTS)
    old = runs.read("birds-full")
    config = old.request.config
    assert (config.encoding.workers, config.views.count, config.training.epochs) == (3, 2, 10)
    assert (config.softmax_head, config.damping) == (SoftmaxHeadConfig(), DampingConfig())
    assert config.flat_shift == FlatShiftConfig()
    assert (old.request.probe_class, old.request.seconds, old.request.keeps_features) == ("golf ball", 600.0, False)
    assert (old.state.standing, old.state.epochs_done, old.state.ended) == ("stopped", 2, 1760000090)
    assert [epoch["absent_area"] for epoch in old.epochs()] == [0.45, 0.2]
    assert "fell from 45 % to 20 %" in status(old, None)
    assert change_state(folder, standing="queued").epochs_done == 2


def test_settings_that_break_a_rule_are_refused_when_read(runs: RunFolder) -> None:
    folder = runs.create("mine", REQUESTS[0])
    request = json.loads((folder / REQUEST).read_text())
    request["config"]["training"]["epochs"] = 0
    (folder / REQUEST).write_text(json.dumps(request))
    with pytest.raises(InputError, match=r"run 'mine' is damaged .*epochs"):
        runs.read("mine")
    assert runs.read_all() == []


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ("my run", "my-run"),
        ("../../etc/passwd", "etc-passwd"),
        ("  ", "finetune"),
        ("a" * 300, "a" * 80),
        ("é!", "finetune"),
    ],
)
def test_any_wish_becomes_a_name_inside_the_folder(runs: RunFolder, wish: str, name: str) -> None:
    folder = runs.create(wish, REQUESTS[0])
    assert folder == runs.runs / name
    assert runs.create(wish, REQUESTS[0]).name == f"{name}-2"
    (runs.checkpoints / f"{name}-3").mkdir(parents=True)
    assert runs.create(wish, REQUESTS[0]).name == f"{name}-4"


@given(wish=st.text(max_size=60))
def test_no_wish_escapes(tmp_path_factory: pytest.TempPathFactory, wish: str) -> None:
    runs = RunFolder(tmp_path_factory.mktemp("runs"))
    assert runs.create(wish, REQUESTS[0]).parent == runs.runs


def test_a_taken_name_is_not_given_again(runs: RunFolder) -> None:
    assert runs.create("birds", REQUESTS[0], ["birds", "birds-2"]).name == "birds-3"


@pytest.mark.parametrize("name", ["", ".", "..", "../runs/mine", "no", "mine/", "/"])
def test_a_name_that_is_no_run_is_refused_in_words(runs: RunFolder, name: str) -> None:
    runs.create("mine", REQUESTS[0])
    with pytest.raises(InputError, match="must be one of: mine"):
        runs.read(name)
    with pytest.raises(InputError, match="must be one of"):
        runs.delete(name)


def test_states_are_replaced_whole_while_others_read(runs: RunFolder) -> None:
    folder = runs.create("mine", REQUESTS[0])
    broken: list[str] = []

    def read() -> None:
        for _ in range(300):
            try:
                RunState(**json.loads((folder / STATE).read_text()))
            except (ValueError, OSError) as error:
                broken.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(300):
        change_state(folder, epochs_done=number, sentence="x" * number)
    reader.join()
    assert broken == []
    assert runs.read("mine").state.epochs_done == 299


def test_threads_that_change_a_state_at_once_lose_none_of_it(runs: RunFolder) -> None:
    folder = runs.create("mine", REQUESTS[0])
    changes = [{"epochs_done": 7}, {"sentence": "seven"}, {"phase": "saving"}, {"ended": 7.0}]
    start, failed = threading.Barrier(len(changes)), []

    def change(values: dict[str, object]) -> None:
        start.wait()
        try:
            for _ in range(60):
                change_state(folder, **values)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=change, args=(values,)) for values in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = runs.read("mine").state
    assert failed == []
    assert (state.epochs_done, state.sentence, state.phase, state.ended) == (7, "seven", "saving", 7.0)
    assert list(folder.glob(".*.partial")) == []


def test_processes_that_change_a_state_at_once_lose_none_of_it(runs: RunFolder) -> None:
    folder = runs.create("mine", REQUESTS[0])
    children = []
    for change in ({"epochs_done": 7}, {"sentence": "seven"}, {"phase": "saving"}):
        child = os.fork()
        if child == 0:
            try:
                for _ in range(60):
                    change_state(folder, **change)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    state = runs.read("mine").state
    assert (state.epochs_done, state.sentence, state.phase) == (7, "seven", "saving")


def test_a_state_is_changed_only_where_it_still_is_what_it_is_thought_to_be(runs: RunFolder) -> None:
    folder = runs.create("mine", REQUESTS[0])
    assert change_state_if(lambda state: state.standing == "queued", folder, standing="interrupted")
    assert not change_state_if(lambda state: state.standing == "queued", folder, standing="running")
    assert runs.read("mine").state.standing == "interrupted"


def test_only_an_ended_run_is_deleted_and_its_checkpoint_with_it(runs: RunFolder) -> None:
    folder = runs.create("mine", REQUESTS[0])
    (runs.checkpoints / "mine").mkdir(parents=True)
    (runs.checkpoints / ".mine.training").mkdir()
    with pytest.raises(InputError, match="is queued; stop it before"):
        runs.delete("mine")
    change_state(folder, standing="stopped")
    runs.delete("mine")
    assert runs.names() == []
    assert list(runs.checkpoints.iterdir()) == []


def test_the_mark_to_stop(runs: RunFolder) -> None:
    folder = runs.create("mine", REQUESTS[0])
    assert not is_asked_to_stop(folder)
    ask_to_stop(folder)
    assert is_asked_to_stop(folder)


def test_a_lock_is_held_while_its_block_runs(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with locked(tmp_path) as is_mine:
        assert is_mine
        assert is_locked(tmp_path)
        with locked(tmp_path) as second:
            assert not second
    assert not is_locked(tmp_path)
