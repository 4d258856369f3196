"""The reliability diagram: how often a class was there, by the probability that it was given."""

from __future__ import annotations

from collections.abc import Sequence

from bsig.model.presence import ReliabilityBin
from bsig.ui.plots.look import GREY, SERIES, base_figure, go


def reliability_figure(bins: Sequence[ReliabilityBin], title: str = "calibrated probability") -> go.Figure | None:
    """Share of present classes against the probability, a point a tenth; None where nothing was measured.

    Args:
        bins: the tenths that are not empty, in order.
        title: which probability it is.

    On the diagonal a probability says what it means; above it the branch is too unsure, below it too sure.
    """
    if not bins:
        return None
    figure = base_figure(title, "share that is present")
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="as it should be", line={"color": GREY, "dash": "dot", "width": 2},
        hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=[each.probability for each in bins],
        y=[each.share for each in bins],
        mode="lines+markers",
        name="sigmoid branch",
        line={"color": SERIES["sigmoid"]["colour"], "width": 3},
        customdata=[each.count for each in bins],
        hovertemplate="said %{x:.1%}, present %{y:.1%} of %{customdata:,} pairs<extra></extra>",
    )
    figure.update_xaxes(tickformat=".0%", range=[-0.02, 1.02])
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.02])
    return figure
