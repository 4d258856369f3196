"""The frontier on the Evaluate screen: where one object against where several, as plotly draws it."""

from __future__ import annotations

from itertools import cycle

from bsig.evaluation.frontier import Frontier, FrontierPoint
from bsig.evaluation.output.frontier_svg import line_title
from bsig.ui.components import html
from bsig.ui.plots.look import GREY, SERIES, base_figure, go

AXES = ("one object<br>(AUC inside against outside)", "several objects<br>(right quarter of a mosaic)")
SYMBOLS = {"softmax": "circle", "sigmoid": "diamond"}
OTHER_SYMBOLS = {
    "square": "■", "triangle-up": "▲", "triangle-down": "▼", "cross": "✚", "x": "✖", "star": "★", "pentagon": "⬟",
    "hexagon": "⬢", "square-open": "□", "triangle-up-open": "△", "triangle-down-open": "▽", "star-open": "☆",
}  # fmt: skip
"""Plotly's marks of the other points, and the same as letters."""


def frontier_figure(frontier: Frontier | None) -> go.Figure | None:
    """Every column as a point, untrained baselines as lines; better is to the upper right. None without a frontier.

    The points stand too close to each other for names beside them, and are too many for a legend on a phone: the
    branches are in the legend, the others in `frontier_key`.
    """
    if frontier is None:
        return None
    figure = base_figure(*AXES, height=400)
    for line in frontier.lines:
        figure.add_scatter(
            x=[x for _, x, _ in line.points],
            y=[y for _, _, y in line.points],
            mode="lines+markers",
            name=line_title(line),
            line={"color": GREY, "width": 2},
            marker={"size": 5},
            customdata=[number for number, _, _ in line.points],
            hovertemplate="%{customdata:+g}: %{x:.3f}, %{y:.3f}<extra></extra>",
        )
    others = cycle(OTHER_SYMBOLS)
    for point in frontier.points:
        key = _branch(point)
        look = SERIES[key] if key else {"colour": GREY, "name": point.titles[0]}
        figure.add_scatter(
            x=[point.x],
            y=[point.y],
            mode="markers",
            name=look["name"],
            showlegend=key is not None,
            cliponaxis=False,
            marker={"color": look["colour"], "size": 13 if key else 9, "symbol": SYMBOLS[key] if key else next(others)},
            hovertemplate=f"{'<br>'.join(point.titles)}<br>%{{x:.3f}}, %{{y:.3f}}<extra></extra>",
        )
    return figure.update_layout(hovermode="closest")


def frontier_key(frontier: Frontier | None) -> html.Html:
    """The names of the points that are no branch, each behind its mark; empty without a frontier."""
    others = [point.titles[0] for point in frontier.points if not _branch(point)] if frontier else []
    names = (f"{mark} {title}" for mark, title in zip(cycle(OTHER_SYMBOLS.values()), others, strict=False))
    return html.bullets(list(names), kind="bsig-key")


def _branch(point: FrontierPoint) -> str | None:
    return next((key for key in SYMBOLS if key in point.keys), None)
