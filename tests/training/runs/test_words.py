"""Words say where a run stands, from its state and events alone."""

from __future__ import annotations

import pytest
from run_requests import REQUESTS, run

from bsig.explain.wording import duration
from bsig.training.config import DampingConfig, FinetuneConfig, FlatShiftConfig, SimilarClassesConfig, TrainingConfig
from bsig.training.runs.run import ENDED, RunRequest, RunState
from bsig.training.runs.words import can, effect, held_out_rise, progress, settings_rows, status


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
    state = RunState("running", phase="training", epochs_done=2)
    at = progress(run(state, {"kind": "phase", "at": 0.0}, {"kind": "epoch", "at": 1.0, "number": 0}))
    assert (at.share, at.words, at.seconds_left) == (2 / 3, "epoch 2 of 3", None)


@pytest.mark.parametrize(
    ("position", "words"), [(0, "Starting"), (1, "this one is next"), (3, "place 3 in line"), (None, "Starting")]
)
def test_a_waiting_run_says_its_place(position: int | None, words: str) -> None:
    assert words in status(run(RunState("queued")), position)


@pytest.mark.parametrize("standing", ["stopped", "failed", "interrupted"])
def test_how_it_ended_is_said_with_its_reason(standing: str) -> None:
    text = status(run(RunState(standing, sentence="the loss is nan in epoch 2")), None)  # type: ignore[arg-type]
    assert text == f"{standing.capitalize()}: the loss is nan in epoch 2"


def test_a_stop_is_said_once() -> None:
    stopped = RunState("stopped", sentence="stopped on request before epoch 7, step 19 of 32.")
    assert status(run(stopped), None) == "Stopped on request before epoch 7, step 19 of 32."


def test_a_finished_run_says_what_it_did_to_the_maps() -> None:
    epochs = [{"kind": "epoch", "at": 0, "number": n, "absent_area": area} for n, area in [(0, 0.45), (3, 0.1)]]
    text = status(run(RunState("finished", started=5.0, ended=9.0), *epochs), None)
    assert text.startswith(
        "Finished: 3 epochs in 4 s. Positive area for classes that are not there fell from 45 % to 10 %"
    )


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (0.45, 0.1, "fell from 45 % to 10 %"), (0.1, 0.45, "rose from 10 % to 45 %"), (0.163, 0.161, "stayed at 16 %"),
        (0.0, 0.0, "stayed at 0 %"), (0.0004, 0.0002, "stayed under 0.1 %"), (1.0, 1.0, "stayed at 100 %"),
        (0.0004, 0.0, "fell from under 0.1 % to 0 %"),
    ],
)  # fmt: skip
def test_areas_that_read_the_same_are_said_as_one(first: float, last: float, words: str) -> None:
    epochs = [{"kind": "epoch", "at": 0, "number": n, "absent_area": area} for n, area in [(0, first), (3, last)]]
    assert f"for classes that are not there {words} of the watched pictures" in effect(run(RunState(), *epochs))


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


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "under 1 s"), (8.4, "8 s"), (89.0, "89 s"), (180.0, "3 min"), (9000.0, "2.5 h")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_closed_forms_are_listed_and_a_flat_shift_takes_no_epochs() -> None:
    training = TrainingConfig(branch="shift")
    flat = RunRequest("folder", "/data", FinetuneConfig(training=training, flat_shift=FlatShiftConfig(absent_area=0.2)))
    rows = dict(settings_rows(run(RunState(), request_=flat)))
    assert rows["Flat shift"] == "absent classes positive on 20 % of the cells"
    assert "Damping" not in rows
    finished = run(RunState("finished", started=5.0, ended=9.0), request_=flat)
    assert status(finished, None) == "Finished: the flat shift, which takes no epochs, in 4 s."
    damped = RunRequest("folder", "/data", FinetuneConfig(damping=DampingConfig(7.5)))
    assert dict(settings_rows(run(RunState(), request_=damped)))["Damping"] == "strength 7.5"
    mixed = RunRequest("folder", "/data", FinetuneConfig(similar_classes=SimilarClassesConfig(0.5, 9)))
    sentence = dict(settings_rows(run(RunState(), request_=mixed)))["Similar classes"]
    assert sentence == "9 a class, mixed in with a share of 0.5"


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([0.9, 0.5, 0.6, 0.7], "lowest after epoch 2 (0.500) and has risen to 0.700"),
        ([0.9, 0.5, 0.6], ""),  # one epoch may be chance
        ([0.9, 0.5, 0.6, 0.505], ""),  # by a hundredth
        ([0.9, 0.8, 0.7, 0.6], ""),
        ([0.0, 0.0, 0.0, 0.0], ""),
        ([0.0, 0.0, 0.0, 0.0004], ""),  # both read 0.000
        ([0.5, 0.001, 0.0011, 0.0014], ""),  # both read 0.001
        ([], ""),
    ],
)
def test_a_held_out_loss_that_rises_is_said(losses: list[float], words: str) -> None:
    events = [{"kind": "epoch", "at": 0, "number": n + 1, "held_out_loss": loss} for n, loss in enumerate(losses)]
    remark = held_out_rise(run(RunState("finished"), {"kind": "epoch", "at": 0, "number": 0}, *events))
    assert words in remark
    assert bool(remark) == bool(words)
