"""The Sign collapse screen's figures show the numbers they are given, and only what plotly.js 3 can draw."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from bsig.ui.plots.collapse import (
    AGAINST,
    FOR,
    GAINED,
    KEPT,
    LOST,
    SMALLEST_DOT,
    SMALLEST_TURNED,
    budget_figure,
    collapse_figure,
    weights_scatter,
)

SOFTMAX = np.array([0.4, -0.2, 0.1, -0.05, 0.0], dtype=np.float32)
SIGMOID = np.array([0.3, -0.5, -0.1, 0.02, 0.1], dtype=np.float32)
QUADRANT = np.array([0, 1, 2, 3, 4])
SHARE = np.array([0.64, 0.16, 0.04, 0.16, 0.0], dtype=np.float32)
LABELS = ["for in both", "against in both", "for to against", "against to for"]


def scatter(**changes: Any) -> go.Figure:
    arguments: dict[str, Any] = {
        "softmax_weights": SOFTMAX,
        "sigmoid_weights": SIGMOID,
        "evidence_share": SHARE,
        "quadrant": QUADRANT,
        "labels": LABELS,
        **changes,
    }
    return weights_scatter(**arguments)


def test_every_channel_is_a_dot_at_its_two_weights_coloured_by_what_its_sign_does() -> None:
    dots = {
        int(channel): (x, y, trace.marker.color)
        for trace in scatter().data
        for x, y, (channel, _) in zip(trace.x, trace.y, trace.customdata, strict=True)
    }
    colours = [KEPT, KEPT, LOST, GAINED, KEPT]
    assert dots == {k: (SOFTMAX[k], SIGMOID[k], colours[k]) for k in range(5)}


def test_axes_are_equal_and_symmetric_and_hold_every_channel() -> None:
    layout = scatter().layout
    assert layout.xaxis.range == layout.yaxis.range == (-layout.xaxis.range[1], layout.xaxis.range[1])
    assert layout.xaxis.range[1] > 0.5
    assert (layout.yaxis.scaleanchor, layout.yaxis.scaleratio) == ("x", 1)


def test_the_axes_can_be_made_to_end_near_zero() -> None:
    assert scatter(limit=0.1).layout.xaxis.range[1] == pytest.approx(0.106)


def test_the_shaded_quadrants_are_those_of_opposite_sign() -> None:
    shaded = {shape.fillcolor: (shape.x1, shape.y1) for shape in scatter().layout.shapes if shape.type == "rect"}
    assert shaded[LOST][0] > 0 > shaded[LOST][1]
    assert shaded[GAINED][0] < 0 < shaded[GAINED][1]


def test_each_label_stands_in_its_quadrant() -> None:
    places = {note.text: (note.x > 0.5, note.y > 0.5) for note in scatter().layout.annotations}
    assert places == dict(zip(LABELS, [(True, True), (False, False), (True, False), (False, True)], strict=True))


def test_areas_are_to_each_other_as_the_shares_down_to_a_smallest_dot() -> None:
    size = {
        int(c): s for trace in scatter().data for (c, _), s in zip(trace.customdata, trace.marker.size, strict=True)
    }
    assert (size[0] / size[1]) ** 2 == pytest.approx(4)
    assert size[2] >= SMALLEST_TURNED
    assert size[4] == SMALLEST_DOT


def test_without_evidence_the_dots_are_alike_and_nothing_is_said_of_shares() -> None:
    figure = scatter(evidence_share=None)
    assert len({float(size) for trace in figure.data if trace.marker.color == KEPT for size in trace.marker.size}) == 1
    assert not any("evidence" in trace.hovertemplate for trace in figure.data)
    assert "NaN" not in figure.to_json()


def test_weights_of_zero_still_have_axes() -> None:
    nothing = np.zeros(5, dtype=np.float32)
    figure = scatter(softmax_weights=nothing, sigmoid_weights=nothing, evidence_share=None, quadrant=np.full(5, 4))
    assert figure.layout.xaxis.range[1] > 0


def curve(**changes: Any) -> go.Figure:
    arguments: dict[str, Any] = {
        "branch": "softmax",
        "deltas": [0.0, 0.1, 0.2],
        "evidence_left": [1.0, 0.5, 0.1],
        "positive_area": [0.8, 0.6, 0.2],
        "probability": [0.3, 0.3, 0.3],
        "margin": 0.1,
        **changes,
    }
    return collapse_figure(**arguments)


def test_a_branchs_curve_has_evidence_area_and_probability_each_with_a_dash_of_its_own() -> None:
    lines = [trace for trace in curve().data if trace.mode == "lines"]
    assert [list(line.y) for line in lines] == [[1.0, 0.5, 0.1], [0.8, 0.6, 0.2], [0.3, 0.3, 0.3]]
    assert len({line.line.dash for line in lines}) == 3


def test_the_margin_is_marked_where_half_is_left_and_said_in_a_number() -> None:
    figure = curve()
    (mark,) = [trace for trace in figure.data if trace.mode == "markers"]
    assert (mark.x[0], mark.y[0]) == (0.1, 0.5)
    assert [note.text for note in figure.layout.annotations] == ["half gone<br>at 0.1"]


@pytest.mark.parametrize("changes", [{"margin": None}, {"evidence_left": None}, {"margin": 0.3}])
def test_no_mark_where_there_is_no_margin_or_it_lies_outside(changes: dict[str, Any]) -> None:
    assert not curve(**changes).layout.annotations


def test_a_probability_that_is_not_known_is_not_drawn() -> None:
    assert not any("probability" in (trace.name or "") for trace in curve(probability=None).data)


def test_evidence_that_grows_stays_inside_the_axis() -> None:
    assert curve(evidence_left=[1.0, 1.4, 0.1]).layout.yaxis.range[1] > 1.4


def test_budget_bars_lie_on_both_sides_of_zero_with_the_rest_marked() -> None:
    speaks_for, speaks_against, left_over = budget_figure(
        {"softmax": (3.0, -1.0), "sigmoid": (2.0, -4.0)}, "logits"
    ).data
    assert (list(speaks_for.x), speaks_for.marker.color) == ([3.0, 2.0], FOR)
    assert (list(speaks_against.x), speaks_against.marker.color) == ([-1.0, -4.0], AGAINST)
    assert list(left_over.x) == [2.0, -2.0]
    assert list(left_over.y) == ["Softmax", "Sigmoid"]


def every_figure() -> list[go.Figure]:
    return [scatter(), curve(), budget_figure({"softmax": (3.0, -1.0)}, "logits")]


def test_figures_are_transparent_have_no_title_and_let_a_finger_scroll_the_page() -> None:
    for figure in every_figure():
        layout = figure.layout
        assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
        assert layout.title.text is None
        assert layout.dragmode is False


def test_figures_use_the_two_traces_that_every_plotly_draws_and_are_plain_json() -> None:
    for figure in every_figure():
        content = json.loads(figure.to_json())
        assert {trace["type"] for trace in content["data"]} <= {"scatter", "bar"}
