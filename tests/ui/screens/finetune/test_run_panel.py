"""The plots of a long run stay small, and know of a calibration only where there is one."""

from __future__ import annotations

from dataclasses import replace

from bsig.training.runs.folder import RunFolder
from bsig.training.runs.run import RunRequest
from bsig.ui.screens.finetune.form import Form
from bsig.ui.screens.finetune.run_panel import POINTS_DRAWN, Seen, run_html, run_presence, thinned
from bsig.ui.workbench import Workbench


def test_a_long_run_is_drawn_by_few_epochs_its_first_and_last_among_them() -> None:
    for count in (0, 1, 2, POINTS_DRAWN, POINTS_DRAWN + 1, 5003):
        epochs = [{"number": number} for number in range(count)]
        points = thinned(epochs)
        assert len(points) <= POINTS_DRAWN + 1
        assert points[:1] == epochs[:1]
        assert points[-1:] == epochs[-1:]
        numbers = [epoch["number"] for epoch in points]
        assert numbers == sorted(set(numbers))
        if count <= POINTS_DRAWN:
            assert points == epochs


def test_a_run_without_a_checkpoint_has_no_calibration(bench: Workbench, runs: RunFolder) -> None:
    folder = runs.create("bare", RunRequest("bundled", "x", Form().config(bench)))
    assert run_presence(runs.read(folder.name)) is None


def test_the_page_follows_a_run_as_long_as_it_goes_on(bench: Workbench, runs: RunFolder) -> None:
    run = runs.read(runs.create("followed", RunRequest("bundled", "x", Form().config(bench))).name)
    assert run.state.standing == "queued"
    words = run_html(run, 1, "abc")
    assert words.startswith('<div data-follows="run followed" data-drawn="abc" data-press="run-news">')
    end = replace(run, state=replace(run.state, standing="stopped"))
    assert "data-follows" not in run_html(end, None, "abc")


def test_the_stamp_of_a_run_changes_with_anything_that_there_is_to_draw() -> None:
    states = [
        Seen("a"),
        Seen("b"),
        Seen("a", newest=1),
        Seen("a", stamps=(1,)),
        Seen("a", position=2),
        Seen("a", runs=3),
    ]
    assert len({state.stamp for state in states}) == len(states)
    assert Seen("a", stamps=(1,)).stamp == states[3].stamp
