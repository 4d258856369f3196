"""The Sign collapse screen's plots: channels by their two weights, the collapse curve, evidence for and against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bsig.explain.drawing.colours import MARKS, NOTICE_PAPER, PAPER
from bsig.explain.wording import number_text
from bsig.ui.plots.look import GREY, NUMBER_LETTERS, SERIES, SMALL_LETTERS, base_figure, go

# Channels that lose their positive sign, that gain one, and that keep theirs.
LOST, GAINED, KEPT = MARKS["lost"], MARKS["gained"], GREY
# As the maps' red for and blue against.
FOR, AGAINST = MARKS["for"], MARKS["against"]
# In the order of `QUADRANTS`; the corner's text stands where the diagonal leaves room.
CORNERS: tuple[dict[str, Any], ...] = (
    {"x": 0.52, "y": 0.995, "xanchor": "left", "yanchor": "top"},
    {"x": 0.005, "y": 0.48, "xanchor": "left", "yanchor": "top"},
    {"x": 0.995, "y": 0.005, "xanchor": "right", "yanchor": "bottom"},
    {"x": 0.005, "y": 0.995, "xanchor": "left", "yanchor": "top"},
)
DOT_COLOURS = (KEPT, KEPT, LOST, GAINED, KEPT)
MARGIN = {"l": 44, "r": 14, "t": 40, "b": 44}
LARGEST_DOT = 26.0
SMALLEST_DOT, SMALLEST_TURNED = 3.5, 6.5


def weights_scatter(
    softmax_weights: Float[np.ndarray, " k"],
    sigmoid_weights: Float[np.ndarray, " k"],
    evidence_share: Float[np.ndarray, " k"] | None,
    quadrant: Int[np.ndarray, " k"],
    labels: Sequence[str],
    limit: float | None = None,
) -> go.Figure:
    """One dot a channel: its weight in the softmax branch (x) and in the sigmoid branch (y), on equal axes.

    Args:
        softmax_weights: in the weights' unit.
        sigmoid_weights: likewise.
        evidence_share: of each channel on the picture, summing to one: the dot's area; None draws all alike.
        quadrant: for each channel the index of its entry in `bsig.explain.diagnostics.sign_collapse.QUADRANTS`.
        labels: what is written in each of the four quadrants, in that order; line breaks as `<br>`.
        limit: where both axes end, about; None for the largest weight.
    """
    figure = base_figure("weight in the softmax branch", "weight in the sigmoid branch", height=None)
    largest = float(max(np.abs(softmax_weights).max(initial=0), np.abs(sigmoid_weights).max(initial=0)))
    limit = 1.06 * (limit or largest or 1.0)
    _draw_quadrants(figure, limit, labels)
    sizes = _dot_sizes(evidence_share, len(softmax_weights))
    shares = np.full(len(softmax_weights), np.nan) if evidence_share is None else 100 * evidence_share
    for index, colour in enumerate(DOT_COLOURS):
        channels = np.flatnonzero(quadrant == index)
        if not len(channels):
            continue
        is_flipped = colour != KEPT
        figure.add_scatter(
            x=softmax_weights[channels],
            y=sigmoid_weights[channels],
            mode="markers",
            marker={
                "size": np.maximum(sizes[channels], SMALLEST_TURNED) if is_flipped else sizes[channels],
                "color": colour,
                "opacity": 0.9 if is_flipped else 0.45,
                "symbol": "diamond" if is_flipped else "circle",
                "line": {"width": 0},
            },
            customdata=np.stack([channels, shares[channels]], axis=1).astype(np.float32),
            hovertemplate=(
                "<b>Channel %{customdata[0]:.0f}</b><br>softmax %{x:+.4g}<br>sigmoid %{y:+.4g}"
                + ("" if evidence_share is None else "<br>%{customdata[1]:.2g} % of the evidence here")
                + "<extra></extra>"
            ),
        )
    axis = {"range": [-limit, limit], "zeroline": True, "constrain": "domain", "nticks": 7}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis, scaleanchor="x", scaleratio=1)
    # Another picture or zoom brings its own axes; only the same figure again keeps what a visitor zoomed to.
    return figure.update_layout(
        showlegend=False, hovermode="closest", uirevision=f"{limit:.4g}", margin={"l": 56, "r": 12, "t": 12, "b": 48}
    )


def collapse_figure(
    branch: str,
    deltas: Sequence[float],
    evidence_left: Sequence[float] | None,
    positive_area: Sequence[float],
    probability: Sequence[float] | None,
    margin: float | None,
) -> go.Figure:
    """One branch: what is left of its heatmap, and what its probability notices, while delta is taken away.

    Args:
        branch: `softmax` or `sigmoid`, for colour and names.
        deltas: taken from every channel weight, from 0 up.
        evidence_left: share of the positive evidence at 0, from 1 down; None where there is none.
        positive_area: share of cells above zero.
        probability: of the class; None where a delta has no meaning for the head.
        margin: the delta at which half of the evidence is gone, if that happens at all.
    """
    figure = base_figure("delta, taken from every weight", "", height=360)
    colour = SERIES[branch]["colour"]
    lines: tuple[tuple[str, Sequence[float] | None, dict[str, Any]], ...] = (
        ("evidence left", evidence_left, {"color": colour, "width": 3.5}),
        ("positive area", positive_area, {"color": colour, "width": 2, "dash": "dash"}),
        ("probability", probability, {"color": GREY, "width": 3, "dash": "dot"}),
    )
    for name, values, line in lines:
        if values is not None:
            figure.add_scatter(
                x=list(deltas), y=list(values), mode="lines", name=name, line=line, hovertemplate="%{y:.3p}"
            )
    if margin is not None and evidence_left is not None and margin <= deltas[-1]:
        _mark_margin(figure, margin, colour)
    highest = max(1.0, *(evidence_left or [0.0]))
    figure.update_yaxes(range=[-0.03, 1.04 * highest], tickformat=".0%", nticks=6)
    figure.update_xaxes(range=[0, deltas[-1]], nticks=4, hoverformat=".3g")
    return figure.update_layout(uirevision=f"{deltas[-1]:.4g}", margin=MARGIN)


def budget_figure(budgets: Mapping[str, tuple[float, float]], unit: str) -> go.Figure:
    """How much speaks for the class and how much against it: two bars a branch, from zero; a diamond for the rest.

    Args:
        budgets: branch -> (for, at least zero; against, at most zero), means over the picture.
        unit: of these numbers.
    """
    figure = base_figure(f"mean over the picture, {unit}", "", height=200)
    names = [name.title() for name in budgets]
    for side, (title, colour) in enumerate((("for the class", FOR), ("against", AGAINST))):
        values = [budget[side] for budget in budgets.values()]
        figure.add_bar(
            y=names,
            x=values,
            orientation="h",
            name=title,
            marker={"color": colour},
            text=[number_text(value) for value in values],
            textposition="inside",
            insidetextanchor="end",
            textangle=0,
            textfont={"color": NOTICE_PAPER, "size": NUMBER_LETTERS},
            hovertemplate="%{y}, " + title + ": %{x:+.3g}<extra></extra>",
        )
    net = [sum(budget) for budget in budgets.values()]
    figure.add_scatter(
        y=names,
        x=net,
        mode="markers",
        name="what is left over",
        marker={"symbol": "diamond", "size": 13, "color": PAPER, "line": {"color": NOTICE_PAPER, "width": 2}},
        hovertemplate="%{y}, left over: %{x:+.3g}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, zeroline=False)
    figure.update_xaxes(zeroline=True, zerolinewidth=2, nticks=7)
    return figure.update_layout(
        barmode="relative", bargap=0.35, hovermode="closest", uirevision=f"{budgets}", margin={**MARGIN, "t": 10},
        showlegend=False,
    )  # fmt: skip


def _draw_quadrants(figure: go.Figure, limit: float, labels: Sequence[str]) -> None:
    """The two quadrants of opposite sign shaded, the line of equal weights, and a text in each corner."""
    for (x, y), colour in (((limit, -limit), LOST), ((-limit, limit), GAINED)):
        shade = {"fillcolor": colour, "opacity": 0.1, "line": {"width": 0}, "layer": "below"}
        figure.add_shape(type="rect", x0=0, y0=0, x1=x, y1=y, **shade)
    ends = {"x0": -limit, "y0": -limit, "x1": limit, "y1": limit}
    figure.add_shape(type="line", **ends, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")
    for text, corner in zip(labels, CORNERS, strict=False):
        figure.add_annotation(
            text=text, showarrow=False, align=corner["xanchor"], font={"size": SMALL_LETTERS}, xref="x domain",
            yref="y domain", **corner,
        )  # fmt: skip


def _dot_sizes(evidence_share: Float[np.ndarray, " k"] | None, count: int) -> Float[np.ndarray, " k"]:
    """Diameters in pixels, so that areas are to each other as the shares, down to a smallest dot."""
    largest = 0.0 if evidence_share is None else float(evidence_share.max(initial=0))
    if evidence_share is None or largest == 0:
        return np.full(count, SMALLEST_DOT + 2, dtype=np.float32)
    return np.maximum(LARGEST_DOT * np.sqrt(evidence_share / largest), SMALLEST_DOT).astype(np.float32)


def _mark_margin(figure: go.Figure, margin: float, colour: str) -> None:
    """A diamond where half is gone, and its words in two lines, for which a narrow plot has room."""
    figure.add_shape(
        type="line", x0=margin, x1=margin, y0=0, y1=0.5, line={"color": colour, "width": 1.5, "dash": "dot"}
    )
    figure.add_scatter(
        x=[margin], y=[0.5], mode="markers", showlegend=False, hovertemplate="half is gone<extra></extra>",
        marker={"color": colour, "size": 11, "symbol": "diamond"},
    )  # fmt: skip
    figure.add_annotation(
        x=margin, y=0.5, text=f"half gone<br>at {margin:.3g}", showarrow=False, align="left", xanchor="left",
        yanchor="bottom", xshift=8, yshift=4,
    )  # fmt: skip
