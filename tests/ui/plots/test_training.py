"""A training's charts: whole epochs on the axis, and the same values in the page's own lines as in plotly's."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bsig.ui.plots.training import CHARTS, MOST_TICKS, SVG_SIZE, chart_html, charts_html, training_figure

START = {"softmax_absent_area": 0.5}


def measures(last: int) -> list[dict[str, Any]]:
    return [
        {"number": number, "loss": 0.5 - 0.1 * number, "absent_area": 0.4, "sigmoid_accuracy": 0.1 * number,
         "softmax_accuracy": 0.3, "sign_disagreement": 0.2 * number}
        for number in range(last + 1)
    ]  # fmt: skip


@pytest.mark.parametrize("key", CHARTS)
def test_few_epochs_have_a_tick_each_and_many_have_few(key: str) -> None:
    def axis(last: int) -> tuple[int | None, int | None]:
        figure = training_figure(CHARTS[key], measures(last), START)
        return figure.layout.xaxis.dtick, figure.layout.xaxis.nticks

    assert axis(1) == (1, None)  # 0 and 1: not 0, a half that reads 1, and 1
    assert axis(MOST_TICKS) == (1, None)
    assert axis(400) == (None, MOST_TICKS)


@pytest.mark.parametrize("key", CHARTS)
def test_a_running_chart_has_the_lines_of_the_plot_with_their_newest_values(key: str) -> None:
    chart, epochs = CHARTS[key], measures(3)
    page = chart_html(chart, epochs, START)
    for line, values in ((trace.name, trace.y) for trace in training_figure(chart, epochs, START).data):
        assert f"<span>{line}</span> <b>{format(values[-1], chart.number).replace('%', ' %')}</b>" in page
    assert len(re.findall("<li>", page)) == len(training_figure(chart, epochs, START).data) > 0


def test_a_point_of_a_running_chart_stands_where_its_epoch_and_value_say() -> None:
    loss = chart_html(CHARTS["loss"], measures(2), None)  # 0.5, 0.4, 0.3 on an axis from 0.3 to 0.5
    assert f'points="0,0 {SVG_SIZE // 2},{SVG_SIZE // 2} {SVG_SIZE},{SVG_SIZE}"' in loss
    area = chart_html(CHARTS["areas"], measures(1), START)  # 0.4 and 0.5 on an axis from 0 to 1
    assert f'points="0,600 {SVG_SIZE},600"' in area
    assert f'points="0,500 {SVG_SIZE},500"' in area


def test_the_frozen_branch_is_drawn_on_training_pictures_only_where_none_are_held_out() -> None:
    epochs = measures(1)
    assert "softmax, training (frozen)" in chart_html(CHARTS["accuracy"], epochs, None)
    held_out = [{**epoch, "held_out_softmax_accuracy": 0.2} for epoch in epochs]
    words = chart_html(CHARTS["accuracy"], held_out, None)
    assert "softmax, training (frozen)" not in words
    assert "softmax, held out (frozen)" in words


def test_before_the_first_epoch_there_is_no_chart() -> None:
    assert charts_html([], START) == ""
