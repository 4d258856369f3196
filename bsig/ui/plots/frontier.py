"""The frontier on the Evaluate screen: where one object against where several, as plotly draws it."""

from __future__ import annotations

from itertools import cycle

from bsig.evaluation.frontier import Frontier
from bsig.evaluation.output.frontier_svg import line_title
from bsig.ui.plots.look import GREY, SERIES, base_figure, go

AXES = ("one object<br>(AUC inside against outside)", "several objects<br>(right quarter of a mosaic)")
SYMBOLS = {"softmax": "circle", "sigmoid": "diamond"}
OTHER_SYMBOLS = (
    "square", "triangle-up", "triangle-down", "cross", "x", "star", "pentagon", "hexagon", "square-open",
    "triangle-up-open", "triangle-down-open", "cross-open", "x-open", "star-open",
)  # fmt: skip


def frontier_figure(frontier: Frontier | None) -> go.Figure | None:
    """Every column as a point, untrained baselines as lines; better is to the upper right. None without a frontier.

    The points stand too close to each other for names beside them: the branches have theirs, the others a mark each.
    """
    if frontier is None:
        return None
    figure = base_figure(*AXES, height=480)
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
        key = next((key for key in SYMBOLS if key in point.keys), None)
        look = SERIES[key] if key else {"colour": GREY, "name": point.titles[0]}
        figure.add_scatter(
            x=[point.x],
            y=[point.y],
            mode="markers",
            name=look["name"],
            cliponaxis=False,
            marker={"color": look["colour"], "size": 13 if key else 9, "symbol": SYMBOLS[key] if key else next(others)},
            hovertemplate=f"{'<br>'.join(point.titles)}<br>%{{x:.3f}}, %{{y:.3f}}<extra></extra>",
        )
    return figure.update_layout(hovermode="closest")
