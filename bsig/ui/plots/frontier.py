"""The frontier on the Evaluate screen: where one object against where several, as plotly draws it."""

from __future__ import annotations

from bsig.evaluation.frontier import Frontier
from bsig.evaluation.output.frontier_svg import line_title
from bsig.ui.plots.look import GREY, SERIES, base_figure, go

AXES = ("one object<br>(AUC inside against outside)", "several objects<br>(right quarter of a mosaic)")
SYMBOLS = {"softmax": "circle", "sigmoid": "diamond"}


def frontier_figure(frontier: Frontier | None) -> go.Figure | None:
    """Every column as a point, untrained baselines as lines; better is to the upper right. None without a frontier."""
    if frontier is None:
        return None
    figure = base_figure(*AXES, height=400)
    middle = (min(point.x for point in frontier.points) + max(point.x for point in frontier.points)) / 2
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
    for point in frontier.points:
        key = next((key for key in SYMBOLS if key in point.keys), None)
        title = SERIES[key]["name"] if key else point.titles[0].removeprefix("softmax, ")
        figure.add_scatter(
            x=[point.x],
            y=[point.y],
            mode="markers+text",
            name=title,
            text=[title],
            textposition="middle right" if key else f"bottom {'left' if point.x > middle else 'right'}",
            showlegend=False,
            cliponaxis=False,
            marker={"color": SERIES[key]["colour"] if key else GREY, "size": 13 if key else 8,
                    "symbol": SYMBOLS[key] if key else "square"},
            hovertemplate=f"{'<br>'.join(point.titles)}<br>%{{x:.3f}}, %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    return figure.update_layout(hovermode="closest", margin={"r": 72})
