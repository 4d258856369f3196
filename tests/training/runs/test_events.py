"""Events are lines: one that a crash cut short is left out, and none is read twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_requests import REQUESTS

from bsig.training.runs.events import EVENTS, add_event
from bsig.training.runs.folder import RunFolder, change_state


@pytest.fixture
def runs(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


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
    second = runs.create("x", REQUESTS[0])
    for number in range(9):
        add_event(second, "note", text=f"longer than before {number}")
    assert len(runs.read("x").events) == 9


def test_a_run_that_gets_the_name_and_the_file_number_of_another_has_its_own_events(runs: RunFolder) -> None:
    folder = runs.create("mine", REQUESTS[0])
    add_event(folder, "note", text="of the first visit")
    assert [event["text"] for event in runs.read("mine").events] == ["of the first visit"]
    # As a visitor's folder goes and comes again; on most file systems the new file gets the number of the old one.
    number = (folder / EVENTS).stat().st_ino
    (folder / EVENTS).write_text("")
    add_event(folder, "note", text="of the second visit, longer than the first")
    assert (folder / EVENTS).stat().st_ino == number
    assert [event["text"] for event in runs.read("mine").events] == ["of the second visit, longer than the first"]
