"""Plots of the Logit shift screen: what moves over delta, and what all classes share."""

from __future__ import annotations

from collections.abc import Mapping

from bsig.explain.diagnostics.logit_shift import DeltaCurve
from bsig.explain.diagnostics.shift_survey import DELTAS, SharedShare
from bsig.ui.plots.look import go, grouped_bars, lines_over_delta


def movement_figures(curves: Mapping[str, DeltaCurve], fitted_delta: float | None) -> tuple[go.Figure, ...]:
    """Over delta: correlation with the original map, overlap of the strongest cells, positive area.

    Args:
        curves: by branch.
        fitted_delta: where the shift that labels chose stands on the axis; None where it does not.
    """
    marks = {} if fitted_delta is None else {"zero chosen by labels": fitted_delta}
    correlations = {key: [move.correlation for move in curve.movement] for key, curve in curves.items()}
    overlaps = {key: [move.top_iou for move in curve.movement] for key, curve in curves.items()}
    areas = {key: curve.positive_area for key, curve in curves.items()}
    return tuple(
        lines_over_delta(DELTAS.tolist(), series, y_title=title, marks=marks)
        for series, title in (
            (correlations, "correlation with the original map"),
            (overlaps, "IoU of the top 20 % of cells"),
            (areas, "positive area (share of the picture)"),
        )
    )


def shared_figure(shares: Mapping[str, SharedShare]) -> go.Figure:
    """The shared component's share of each head's energy, and of this class's map, by branch."""
    series = {key: [share.energy, share.map] for key, share in shares.items()}
    return grouped_bars(["of the head", "of this map"], series, y_title="shared component")
