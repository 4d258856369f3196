"""The look of every plot: its colours, its axes, and the two kinds of plot that several screens draw.

The figures read on a light and on a dark page, in colour and without it: series differ by dash and marker as well as by
colour. Only traces and attributes that plotly.js 3 knows are used: Gradio bundles it, and it drops others without a
word. No figure has a title, since the screen has one above it. Dragging does nothing until a visitor chooses it in the
tool bar, so that a finger on a phone scrolls the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go
else:  # for annotations: plotly takes long to import, and the page opens without a figure
    go = SimpleNamespace(Figure=Any)

from bsig.explain.drawing.colours import MARKS, NOTICE_PAPER, TINT
from bsig.ui.components.theme import FONT

GREY = MARKS["grey"]
GRID = "rgba(125, 135, 148, 0.25)"
LETTERS = {"color": GREY, "family": ", ".join(FONT), "size": 13}
SMALL_LETTERS, NUMBER_LETTERS = 12, 15
"""Sizes in pixels: of words and ticks as `--text-xs`, of marks as `--text-xxs`, of numbers in bars as `--text-md`."""
TRANSPARENT = "rgba(0,0,0,0)"
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
SERIES: dict[str, dict[str, str]] = {
    "softmax": {"colour": MARKS["softmax"], "dash": "solid", "name": "Softmax"},
    "sigmoid": {"colour": MARKS["sigmoid"], "dash": "dash", "name": "Sigmoid"},
    "centred": {"colour": MARKS["centred"], "dash": "dot", "name": "Class-centred"},
    "shift": {"colour": MARKS["shift"], "dash": "dashdot", "name": "Fitted shift"},
}


def base_figure(x_title: str, y_title: str, height: int | None = 320) -> go.Figure:
    """An empty figure: transparent, grey letters that the page's style sheet overrides, few tools.

    Args:
        x_title: what the x axis counts.
        y_title: what the y axis counts.
        height: in pixels; None leaves it to the page.
    """
    from plotly.graph_objects import Figure

    axis = {"gridcolor": GRID, "zerolinecolor": GREY, "zerolinewidth": 1, "linecolor": GREY, "automargin": True}
    return Figure(
        layout={
            "paper_bgcolor": TRANSPARENT,
            "plot_bgcolor": TRANSPARENT,
            "font": LETTERS,
            "margin": {"l": 50, "r": 16, "t": 40, "b": 44},
            "height": height,
            "legend": LEGEND,
            "hovermode": "x unified",
            "hoverlabel": {"bgcolor": TINT, "bordercolor": GREY, "font": {**LETTERS, "color": NOTICE_PAPER}},
            "dragmode": False,
            "uirevision": "keep",
            "modebar": {
                "remove": ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "pan2d"],
                "bgcolor": TRANSPARENT,
                "color": GREY,
            },
            "xaxis": {**axis, "title": {"text": x_title, "font": LETTERS}},
            "yaxis": {**axis, "title": {"text": y_title, "font": LETTERS}},
        }
    )


def lines_over_delta(
    deltas: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    *,
    y_title: str,
    marks: dict[str, float] | None = None,
    names: dict[str, str] | None = None,
) -> go.Figure:
    """One line a series over delta; vertical marks with words where something stands on the axis.

    Args:
        deltas: the common x values, added to every channel weight.
        series: key of `SERIES` -> values from 0 to 1; None leaves a gap.
        y_title: what the values are.
        marks: words -> delta.
        names: other names for the legend.
    """
    figure = base_figure("delta, added to every channel weight", y_title)
    for key, values in series.items():
        look = SERIES[key]
        figure.add_scatter(
            x=list(deltas),
            y=list(values),
            mode="lines",
            name=(names or {}).get(key, look["name"]),
            line={"color": look["colour"], "dash": look["dash"], "width": 2.5},
            hovertemplate="%{y:.3f}",
        )
    for words, delta in (marks or {}).items():
        figure.add_vline(x=delta, line={"color": GREY, "width": 1.5, "dash": "dot"})
        figure.add_annotation(x=delta, y=0.02, yref="paper", text=words, showarrow=False, textangle=-90, xshift=-9,
                              yanchor="bottom", font={"size": SMALL_LETTERS})  # fmt: skip
    figure.update_yaxes(range=[-0.02 if _lowest(series) >= 0 else -1.02, 1.04])
    return figure


def grouped_bars(
    groups: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    y_title: str,
    names: dict[str, str] | None = None,
) -> go.Figure:
    """Bars of shares (0 to 1) side by side, one colour and pattern a series, each with its number above."""
    figure = base_figure("", y_title)
    patterns = {"softmax": "", "sigmoid": "/", "centred": ".", "shift": "x"}
    for key, values in series.items():
        look = SERIES[key]
        figure.add_bar(
            x=list(groups),
            y=list(values),
            name=(names or {}).get(key, look["name"]),
            marker={
                "color": look["colour"],
                "pattern": {"shape": patterns[key], "fillmode": "overlay", "solidity": 0.25},
            },
            text=["" if value is None else f"{100 * value:.3g} %" for value in values],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{x}: %{text}",
        )
    figure.update_layout(barmode="group", hovermode="closest")
    figure.update_yaxes(rangemode="tozero", tickformat=".0%")
    return figure


def _lowest(series: Mapping[str, Sequence[float | None]]) -> float:
    return min((value for values in series.values() for value in values if value is not None), default=0.0)
