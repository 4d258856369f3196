"""The charts of a training, epoch by epoch; epoch 0 is the branch before training.

While the run goes on they are a few lines of SVG that the page renews each second (`charts_html`): plotly takes the
browser half a second for four plots, and nothing on the page moves meanwhile. Once the run has ended they are plotly's
(`training_figure`), with a number under the pointer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bsig.ui.components import html
from bsig.ui.plots.look import GREY, SERIES, base_figure, go

Epochs = Sequence[Mapping[str, Any]]
HEIGHT = 270
MOST_TICKS = 6
SVG_SIZE = 1000
"""Units from side to side and from top to bottom; the style sheet stretches them over the chart's room."""
DASHES = {"solid": "", "dash": "7 4", "dot": "2 3"}
"""Names of plotly's dashes -> lengths in pixels."""


@dataclass(frozen=True)
class Line:
    """One measure over the epochs, and its look.

    Attributes:
        key: of the measure among those of an epoch.
        series: of `SERIES`, whose colour it has.
        marker: of its points; None for a line alone.
        unless: a measure in whose absence alone the line is drawn.
        is_constant: it stands in the run's start and not in each epoch.
    """

    key: str
    name: str
    series: str
    dash: str
    marker: str | None = None
    unless: str | None = None
    is_constant: bool = False

    @property
    def colour(self) -> str:
        """As CSS writes it."""
        return SERIES[self.series]["colour"]

    def points(self, epochs: Epochs, start: Mapping[str, Any] | None) -> list[tuple[int, float]]:
        """Epochs and values; none where nothing was measured."""
        if not epochs or any(epoch.get(self.unless or "") is not None for epoch in epochs):
            return []
        if self.is_constant:
            last = max(1, *(epoch["number"] for epoch in epochs))
            return [(0, start[self.key]), (last, start[self.key])] if start else []
        return [(epoch["number"], epoch[self.key]) for epoch in epochs if epoch.get(self.key) is not None]


@dataclass(frozen=True)
class Chart:
    """Lines that share their axes.

    Attributes:
        number: the format of a value.
        ticks: the format of the ticks in plotly's words; empty for its own choice.
        span: lowest and highest value of the axis; None leaves an end to the values.
    """

    title: str
    y_title: str
    lines: tuple[Line, ...]
    number: str = ".1%"
    ticks: str = ".0%"
    span: tuple[float | None, float | None] = (None, None)


CHARTS: dict[str, Chart] = {
    "loss": Chart(
        "Loss",
        "loss",
        (
            Line("loss", "training", "sigmoid", "solid", "circle"),
            Line("held_out_loss", "held out", "centred", "dash", "diamond"),
        ),
        number=".4f",
        ticks="",
    ),
    "accuracy": Chart(
        "Accuracy",
        "top-1 accuracy",
        (
            Line("sigmoid_accuracy", "sigmoid, training", "sigmoid", "solid", "circle"),
            Line("held_out_sigmoid_accuracy", "sigmoid, held out", "centred", "dash", "diamond"),
            Line("held_out_softmax_accuracy", "softmax, held out (frozen)", "softmax", "dot"),
            Line(
                "softmax_accuracy", "softmax, training (frozen)", "softmax", "dot", unless="held_out_softmax_accuracy"
            ),
        ),
    ),
    "areas": Chart(
        "Positive area of the maps",
        "positive area",
        (
            Line("absent_area", "absent classes", "sigmoid", "solid", "circle"),
            Line("own_area", "predicted class", "centred", "dash", "diamond"),
            Line("softmax_absent_area", "softmax, absent classes", "softmax", "dot", is_constant=True),
        ),
        span=(0.0, 1.0),
    ),
    "branch": Chart(
        "Distance from the softmax head",
        "share",
        (
            Line("sign_disagreement", "weights of opposite sign", "sigmoid", "solid", "circle"),
            Line("shared_energy_share", "shared by all classes", "centred", "dash", "diamond"),
        ),
        ticks=".3~p",
        span=(0.0, None),
    ),
}
"""Loss: class-balanced binary cross-entropy, of the training pictures while they train, of held-out ones after.
Accuracy: top-1 of the sigmoid branch beside the frozen softmax branch's. Areas: of classes that are there and of absent
ones, against where the softmax maps stand. Branch: how far it has gone from the softmax head."""


def training_figure(chart: Chart, epochs: Epochs, start: Mapping[str, Any] | None) -> go.Figure:
    """The chart as plotly draws it, with whole epochs on the axis.

    Args:
        chart: one of `CHARTS`.
        epochs: the measures of each.
        start: what was measured before the first.
    """
    figure = base_figure("epoch", chart.y_title, HEIGHT)
    last = max((epoch["number"] for epoch in epochs), default=1)
    # Whole epochs only: plotly would label the middle between 0 and 1 as another 1.
    ticks = {"dtick": 1} if last <= MOST_TICKS else {"nticks": MOST_TICKS}
    figure.update_xaxes(rangemode="tozero", tickformat="d", **ticks)
    low, high = chart.span
    if high is not None:
        figure.update_yaxes(range=[-0.02, high + 0.02])
    elif low is not None:
        figure.update_yaxes(rangemode="tozero")
    if chart.ticks:
        figure.update_yaxes(tickformat=chart.ticks)
    for line in chart.lines:
        points = line.points(epochs, start)
        if not points:
            continue
        figure.add_scatter(
            x=[number for number, _ in points],
            y=[value for _, value in points],
            mode="lines+markers" if line.marker else "lines",
            name=line.name,
            line={"color": line.colour, "dash": line.dash, "width": 2.5},
            marker={"symbol": line.marker or "circle", "size": 7, "line": {"width": 1, "color": GREY}},
            hovertemplate=f"%{{y:{chart.number}}}",
        )
    return figure


def charts_html(epochs: Epochs, start: Mapping[str, Any] | None) -> html.Html:
    """All charts as SVG: each with its lines' names and newest values; empty before there is an epoch."""
    if not epochs:
        return html.Html()
    charts = (chart_html(chart, epochs, start) for chart in CHARTS.values())
    return html.element("div", *charts, class_="bsig-plots")


def chart_html(chart: Chart, epochs: Epochs, start: Mapping[str, Any] | None) -> html.Html:
    """The chart as SVG. What the page renews from one second to the next are points and numbers alone.

    The letters stand beside the SVG and not in it: it is stretched to the width that it gets.
    """
    lines = [(line, points) for line in chart.lines if (points := line.points(epochs, start))]
    values = [value for _, points in lines for _, value in points] or [0.0]
    low, high = (end if end is not None else choose(values) for end, choose in zip(chart.span, (min, max), strict=True))
    last = max(1, *(epoch["number"] for epoch in epochs))
    polylines = (
        html.element(
            "polyline", points=_svg_points(points, last, low, high), stroke=line.colour,
            stroke_dasharray=DASHES[line.dash],
        )
        for line, points in lines
    )  # fmt: skip
    names = [
        html.element(
            "li", _sample(line), html.element("span", line.name), " ",
            html.bold(_value_text(points[-1][1], chart)),
        )
        for line, points in lines
    ]  # fmt: skip
    side = f"0 0 {SVG_SIZE} {SVG_SIZE}"
    svg = html.element("svg", *polylines, viewBox=side, preserveAspectRatio="none", aria_hidden="true")
    ends = [html.element("span", _value_text(end, chart).replace(".0 %", " %")) for end in (high, low)]
    epochs_shown = [html.element("span", f"epoch {number}") for number in (0, last)]
    return html.element(
        "div",
        html.heading(chart.title),
        html.element("ul", *names),
        html.element("div", *ends, class_="ends"),
        svg,
        html.element("div", *epochs_shown, class_="epochs"),
        class_="bsig-chart",
    )


def _value_text(value: float, chart: Chart) -> str:
    return format(value, chart.number).replace("%", " %")


def _sample(line: Line) -> html.Html:
    """A piece of the line, before its name."""
    stroke = html.element(
        "polyline", points="0,4 24,4", stroke=line.colour, stroke_dasharray=DASHES[line.dash]
    )  # fmt: skip
    return html.element("svg", stroke, viewBox="0 0 24 8", class_="sample", aria_hidden="true")


def _svg_points(points: Sequence[tuple[int, float]], last: int, low: float, high: float) -> str:
    """Places in units of the SVG, whose y runs down; a level line where the axis has no length."""
    height = high - low
    places = (
        (SVG_SIZE * number / last, SVG_SIZE * (high - value) / height if height else SVG_SIZE / 2)
        for number, value in points
    )
    return " ".join(f"{x:.0f},{y:.0f}" for x, y in places)
