"""The plots of a long run stay small, and know of a calibration only where there is one."""

from __future__ import annotations

from dataclasses import replace

import gradio as gr
from in_process import loops_closed

from bsig.training.runs.folder import RunFolder
from bsig.training.runs.run import RunRequest
from bsig.ui.plots.training import CHARTS
from bsig.ui.screens.finetune.form import Form
from bsig.ui.screens.finetune.run_panel import (
    POINTS_DRAWN,
    build_run_panel,
    live_html,
    picture_epoch,
    run_answers,
    run_html,
    run_presence,
    thinned,
)
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
    words = run_html(run, 1, "queued")
    assert words.startswith('<div data-follows="run followed" data-drawn="queued" data-press="run-news">')
    end = replace(run, state=replace(run.state, standing="stopped"))
    assert "data-follows" not in run_html(end, None, "stopped")


def test_a_run_that_goes_on_shows_its_charts_and_no_plot_and_an_ended_one_the_reverse(
    bench: Workbench, runs: RunFolder
) -> None:
    queued = runs.read(runs.create("shown", RunRequest("bundled", "x", Form().config(bench))).name)
    epochs = tuple({"kind": "epoch", "number": number, "loss": 1 / (1 + number)} for number in range(3))
    running = replace(queued, state=replace(queued.state, standing="running"), events=epochs)
    live = live_html(running, "signed")
    assert live.startswith('<div data-follows="run-pictures signed shown">')
    assert live.count("bsig-chart") == len(CHARTS)
    assert "<b>0.3333</b>" in live
    assert "data-file" not in live  # this run watches no picture
    end = replace(running, state=replace(running.state, standing="finished"))
    with loops_closed(), gr.Blocks():
        panel = build_run_panel(is_public=False)
        both = [run_answers(panel, run, [], None, "signed") for run in (running, end)]
    assert [bool(answers[panel.live]) for answers in both] == [True, False]
    assert [answers[panel.plot_row].visible for answers in both] == [False, True]
    assert [answers[panel.plots["loss"]] is None for answers in both] == [True, False]


def test_a_long_run_draws_few_pictures_and_never_one_that_is_still_to_come() -> None:
    epochs = [picture_epoch(newest) for newest in range(5001)]
    assert epochs[:50] == list(range(50))
    assert all(epoch <= newest < epoch * 1.05 + 1 for newest, epoch in enumerate(epochs))
    assert len(set(epochs)) < 50 + 25 * 7
