"""A run is a folder: what is written is read back, half-written lines are left out, words say where it stands."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsig.inputs.errors import InputError
from bsig.inputs.files import is_locked, locked
from bsig.training.config import TrainingConfig
from bsig.training.features.augmentation import Views
from bsig.training.finetune import FinetuneConfig, SoftmaxHeadConfig
from bsig.training.runs.queue import mark_interrupted
from bsig.training.runs.run import (
    ENDED,
    EVENTS,
    REQUEST,
    STATE,
    Run,
    RunFolder,
    RunRequest,
    RunState,
    add_event,
    ask_to_stop,
    change_state,
    is_asked_to_stop,
    request_from_json,
    request_to_json,
)
from bsig.training.runs.words import can, progress, settings_rows, status

REQUESTS = [
    RunRequest("bundled", "features", FinetuneConfig(), seconds=120.0, estimated_seconds=3.5, keeps_features=False),
    RunRequest(
        "folder",
        "/data",
        FinetuneConfig(
            "resnet18", None, SoftmaxHeadConfig(7), TrainingConfig("shift", 5, seed=3), Views(4, seed=3), "cuda:1", True
        ),
        "golf ball",
    ),
]


@pytest.fixture
def runs(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_is_read_back_as_it_was_asked(runs: RunFolder, request_: RunRequest) -> None:
    assert request_from_json(json.loads(json.dumps(request_to_json(request_)))) == request_
    folder = runs.create("mine", request_)
    assert runs.read("mine").request == request_
    runs.change_address(folder, "elsewhere")
    assert runs.read("mine").request == replace(request_, address="elsewhere")


def test_settings_that_break_a_rule_are_refused_when_read(runs: RunFolder) -> None:
    folder = runs.create("mine", REQUESTS[0])
    said = json.loads((folder / REQUEST).read_text())
    said["config"]["training"]["epochs"] = 0
    (folder / REQUEST).write_text(json.dumps(said))
    with pytest.raises(InputError, match=r"run 'mine' is damaged .*epochs"):
        runs.read("mine")
    assert runs.read_all() == []


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("my run", "my-run"),
        ("../../etc/passwd", "etc-passwd"),
        ("  ", "finetune"),
        ("a" * 300, "a" * 80),
        ("é!", "finetune"),
    ],
)
def test_any_wish_becomes_a_name_inside_the_folder(runs: RunFolder, wanted: str, name: str) -> None:
    folder = runs.create(wanted, REQUESTS[0])
    assert folder == runs.runs / name
    assert runs.create(wanted, REQUESTS[0]).name == f"{name}-2"
    (runs.checkpoints / f"{name}-3").mkdir(parents=True)
    assert runs.create(wanted, REQUESTS[0]).name == f"{name}-4"


@given(wanted=st.text(max_size=60))
def test_no_wish_escapes(tmp_path_factory: pytest.TempPathFactory, wanted: str) -> None:
    runs = RunFolder(tmp_path_factory.mktemp("runs"))
    assert runs.create(wanted, REQUESTS[0]).parent == runs.runs


@pytest.mark.parametrize("name", ["", ".", "..", "../runs/mine", "no", "mine/", "/"])
def test_a_name_that_is_no_run_is_refused_in_words(runs: RunFolder, name: str) -> None:
    runs.create("mine", REQUESTS[0])
    with pytest.raises(InputError, match="must be one of: mine"):
        runs.read(name)
    with pytest.raises(InputError, match="must be one of"):
        runs.delete(name)


def test_a_line_that_a_crash_cut_short_is_left_out(runs: RunFolder) -> None:
    folder = runs.create("mine", REQUESTS[0])
    add_event(folder, "epoch", number=1, loss=0.5)
    add_event(folder, "epoch", number=2, loss=0.4)
    with (folder / EVENTS).open("a") as file:
        file.write('{"kind": "epoch", "num')
    assert [epoch["number"] for epoch in runs.read("mine").epochs()] == [1, 2]


def test_an_epoch_that_was_repeated_after_a_crash_counts_once_with_its_last_figures(runs: RunFolder) -> None:
    folder = runs.create("mine", REQUESTS[0])
    for number, loss in [(0, 1.0), (1, 0.9), (2, 0.8), (0, 1.0), (2, 0.7), (3, 0.6)]:
        add_event(folder, "epoch", number=number, loss=loss)
    assert [(epoch["number"], epoch["loss"]) for epoch in runs.read("mine").epochs()] == [
        (0, 1.0), (1, 0.9), (2, 0.7), (3, 0.6)
    ]  # fmt: skip


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

    def change(wanted: dict[str, object]) -> None:
        start.wait()
        try:
            for _ in range(60):
                change_state(folder, **wanted)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=change, args=(wanted,)) for wanted in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = runs.read("mine").state
    assert failed == []
    assert (state.epochs_done, state.sentence, state.phase, state.ended) == (7, "seven", "saving", 7.0)
    assert list(folder.glob(".*.partial")) == []


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


# --- who is at work ---------------------------------------------------------------------------------------------------


def test_a_lock_is_held_while_its_block_runs(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with locked(tmp_path) as mine:
        assert mine
        assert is_locked(tmp_path)
        with locked(tmp_path) as second:
            assert not second
    assert not is_locked(tmp_path)


def test_what_nobody_holds_is_marked_as_interrupted_and_what_somebody_holds_is_left(runs: RunFolder) -> None:
    for name, standing in [("held", "running"), ("dead", "running"), ("waiting", "queued"), ("done", "finished")]:
        change_state(runs.create(name, REQUESTS[0]), standing=standing, epochs_done=2)
    with locked(runs.runs / "held"):
        mark_interrupted(runs)
    assert {run.name: run.state.standing for run in runs.read_all()} == {
        "held": "running", "dead": "interrupted", "waiting": "interrupted", "done": "finished",
    }  # fmt: skip
    assert "after epoch 2 of 3, which is kept; resume it" in runs.read("dead").state.sentence
    assert "while this run was waiting; resume it" in runs.read("waiting").state.sentence


# --- words ------------------------------------------------------------------------------------------------------------


def run(state: RunState, *events: dict[str, object], request_: RunRequest = REQUESTS[0]) -> Run:
    return Run("mine", Path(), request_, state, tuple(events))


def test_remaining_time_of_encoding_is_what_is_left_at_the_rate_so_far() -> None:
    running = RunState("running", phase="encoding pictures")
    events = [{"kind": "phase", "at": 100.0}, {"kind": "encoded", "at": 110.0, "done": 25, "total": 100}]
    at = progress(run(running, *events))
    assert (at.share, at.seconds_left, at.words) == (0.25, 30.0, "25 of 100 pictures encoded")
    assert progress(run(running, events[0])).seconds_left is None
    assert status(run(running, *events), 0) == "Running: 25 of 100 pictures encoded, 30 s left."


def test_remaining_time_of_training_counts_epochs_of_this_turn_alone() -> None:
    running = RunState("running", phase="training")
    old = [{"kind": "epoch", "at": 10.0 + n, "number": n} for n in range(2)]  # before a crash
    phase = {"kind": "phase", "at": 100.0}
    new = [{"kind": "epoch", "at": 100.0, "number": 0}, {"kind": "epoch", "at": 104.0, "number": 2}]
    at = progress(run(running, *old, phase, *new))
    assert (at.share, at.seconds_left) == (2 / 3, 4.0)  # one epoch has been made in this turn, in 4 s; one is left


def test_a_resumed_run_goes_on_from_what_is_kept_not_from_zero() -> None:
    resumed = RunState("running", phase="training", epochs_done=2)
    at = progress(run(resumed, {"kind": "phase", "at": 0.0}, {"kind": "epoch", "at": 1.0, "number": 0}))
    assert (at.share, at.words, at.seconds_left) == (2 / 3, "epoch 2 of 3", None)


def test_a_taken_name_is_not_given_again(runs: RunFolder) -> None:
    assert runs.create("birds", REQUESTS[0], ["birds", "birds-2"]).name == "birds-3"


@pytest.mark.parametrize(
    ("position", "words"), [(0, "Starting"), (1, "this one is next"), (3, "place 3 in line"), (None, "Starting")]
)
def test_a_waiting_run_says_its_place(position: int | None, words: str) -> None:
    assert words in status(run(RunState("queued")), position)


@pytest.mark.parametrize("standing", ["stopped", "failed", "interrupted"])
def test_how_it_ended_is_said_with_its_reason(standing: str) -> None:
    text = status(run(RunState(standing, sentence="the loss is nan in epoch 2")), None)  # type: ignore[arg-type]
    assert text == f"{standing.capitalize()}: the loss is nan in epoch 2"


def test_a_finished_run_says_what_it_did_to_the_maps() -> None:
    epochs = [{"kind": "epoch", "at": 0, "number": n, "absent_area": area} for n, area in [(0, 0.45), (3, 0.1)]]
    text = status(run(RunState("finished", started=5.0, ended=9.0), *epochs), None)
    assert text.startswith(
        "Finished: 3 epochs in 4 s. Positive area for classes that are not there fell from 45 % to 10 %"
    )


def test_what_may_be_done_follows_from_how_it_stands() -> None:
    for standing in ("queued", "running", *ENDED):
        may = can(run(RunState(standing)))  # type: ignore[arg-type]
        assert may["stop"] == (standing in ("queued", "running")) != may["delete"]
        assert may["resume"] == (standing in ("stopped", "failed", "interrupted"))
        assert not may["download"]
    assert can(run(RunState("stopped", checkpoint="mine")))["download"]


def test_every_setting_is_listed_and_the_balanced_weight_is_a_number() -> None:
    start = {"kind": "start", "at": 0, "classes": 10}
    rows = dict(settings_rows(run(RunState(), start, request_=REQUESTS[1])))
    assert rows["Positive weight"] == "9 (class-balanced)"
    assert rows["Branch"] == "fitted shift"
    assert rows["Device"] == "cuda:1"
    assert rows["Views of each picture"] == "4"


def test_events_are_read_once_and_those_of_another_run_of_the_name_are_its_own(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    folder = runs.create("x", REQUESTS[0])
    add_event(folder, "note", text="one\u2028line")
    first = runs.read("x").events
    add_event(folder, "note", text="two")
    both = runs.read("x").events
    assert both[0] is first[0]  # not read again
    assert [event["text"] for event in both] == ["one\u2028line", "two"]
    with (folder / EVENTS).open("a") as file:
        file.write('{"kind": "note", "text": "cut sh')
    assert len(runs.read("x").events) == 2
    add_event(folder, "note", text="three")
    assert [event["text"] for event in runs.read("x").events] == ["one\u2028line", "two", "three"]
    change_state(folder, standing="stopped")
    runs.delete("x")
    again = runs.create("x", REQUESTS[0])
    for number in range(9):
        add_event(again, "note", text=f"longer than before {number}")
    assert len(runs.read("x").events) == 9
