"""The report's plots as SVG: drawn by matplotlib on a white sheet, in dashes and words as well as in colours.

An SVG is text that draws itself at any size, so that a printed page is sharp; letters are outlines, so that no font has
to be on the reader's machine.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from bsig.explain.cams import TRAINED, TrainedBranch
from bsig.explain.diagnostics.collapse_report import CollapseReport
from bsig.explain.diagnostics.logit_shift import DeltaCurve
from bsig.explain.diagnostics.shift_survey import DELTAS
from bsig.explain.diagnostics.sign_collapse import FLIPPED, quadrant_of_channels
from bsig.explain.drawing.colours import MARKS, PAGE, QUIET
from bsig.explain.wording import number_text

# As words on a white sheet, which are darker than the marks of the screens' plots.
GREY = QUIET
LINES = {
    "softmax": ("softmax", PAGE["softmax"][0], "-"),
    "sigmoid": ("sigmoid", PAGE["sigmoid"][0], "--"),
    "centred": ("class-centred", PAGE["centred"][0], ":"),
}
"""Name, colour and dash of each branch's line."""


def collapse_svg(report: CollapseReport, branch: TrainedBranch) -> str:
    """A plot over delta of one branch: positive evidence left, positive area, and the probability of the class."""
    curve = report.curves[branch]
    probability = report.probability(branch)
    figure, axes = _figure("delta, taken from every weight", "%")
    colour = LINES[branch][1]
    lines = (
        ("positive evidence left", curve.cells_left, colour, "-", 2.4),
        ("positive area", curve.positive_area, colour, "--", 1.5),
        ("probability", probability, GREY, ":", 2.2),
    )
    for name, values, ink, dash, width in lines:
        if values is not None:
            axes.plot(curve.deltas, [100 * value for value in values], dash, color=ink, linewidth=width, label=name)
    axes.set_ylim(-3, 106)
    axes.set_xlim(0, curve.deltas[-1] or 1)
    return _svg(figure, axes)


def channels_svg(report: CollapseReport) -> str:
    """A scatter of the channels by their weight in both branches; diamonds and triangles where the signs differ."""
    softmax, sigmoid = (report.weights[branch].cpu().numpy() for branch in TRAINED)
    quadrant = quadrant_of_channels(*(report.weights[branch] for branch in TRAINED)).cpu().numpy()
    figure, axes = _figure("weight in the softmax branch", "weight in the sigmoid branch")
    groups = (
        ("same sign in both", ~((quadrant == FLIPPED[0]) | (quadrant == FLIPPED[1])), GREY, ".", 9),
        ("for → against", quadrant == FLIPPED[0], MARKS["lost"], "D", 15),
        ("against → for", quadrant == FLIPPED[1], PAGE["centred"][0], "^", 17),
    )
    for name, channels, colour, mark, size in groups:
        if channels.any():
            axes.scatter(softmax[channels], sigmoid[channels], s=size, c=colour, marker=mark, linewidths=0,
                         alpha=0.75, label=f"{name} ({channels.sum()})")  # fmt: skip
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axvline(0, color=GREY, linewidth=0.8)
    return _svg(figure, axes)


def budget_svg(budgets: Mapping[TrainedBranch, tuple[float, float]], unit: str) -> str:
    """Two bars a branch with their numbers: how much speaks for the class and how much against it."""
    figure, axes = _figure(f"mean over the picture, {unit}")
    names: Sequence[TrainedBranch] = list(budgets)
    for side, (title, colour, hatch) in enumerate((("for", MARKS["for"], ""), ("against", MARKS["against"], "///"))):
        values = [budgets[name][side] for name in names]
        axes.barh([name.title() for name in names], values, 0.5, color=colour, hatch=hatch,
                  edgecolor="white", label=title)  # fmt: skip
        for row, value in enumerate(values):
            axes.annotate(number_text(value), (value, row), ha="right" if value > 0 else "left",
                          va="center", fontsize=8, xytext=(-3 if value > 0 else 3, 0), textcoords="offset points",
                          bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"})  # fmt: skip
    axes.axvline(0, color=GREY, linewidth=1)
    axes.invert_yaxis()
    return _svg(figure, axes, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))


def movement_svg(curves: Mapping[str, DeltaCurve]) -> str:
    """A plot over delta: the correlation of each map with what it is at delta 0."""
    correlations = {branch: [step.correlation for step in curve.movement] for branch, curve in curves.items()}
    return _over_delta(correlations, "correlation with the map at 0", (-1.06, 1.06))


def area_svg(curves: Mapping[str, DeltaCurve]) -> str:
    """A plot over delta: the positive area of each map."""
    areas = {branch: [100 * share for share in curve.positive_area] for branch, curve in curves.items()}
    return _over_delta(areas, "positive area, %", (-3.0, 106.0))


def _over_delta(series: Mapping[str, Sequence[float | None]], title: str, ends: tuple[float, float]) -> str:
    figure, axes = _figure("delta, added to every weight", title)
    for branch, values in series.items():
        label, colour, dash = LINES[branch]
        with_gaps = [math.nan if value is None else value for value in values]
        axes.plot(DELTAS.tolist(), with_gaps, dash, color=colour, linewidth=2.2, label=label)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_ylim(*ends)
    return _svg(figure, axes)


def _figure(x_title: str, y_title: str = "") -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # only here: it takes long to import, and few ask for a report

    figure = Figure(figsize=(4.6, 2.9), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.set_xlabel(x_title, fontsize=9)
    axes.set_ylabel(y_title, fontsize=9)
    axes.grid(alpha=0.25)
    return figure, axes


def _svg(figure: Any, axes: Any, **legend: Any) -> str:
    axes.legend(fontsize=8, frameon=False, **legend)
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
