"""The report's plots as SVG: drawn by matplotlib on a white sheet, in dashes and words as well as in colours.

An SVG is text that draws itself at any size, so that a printed page is sharp; letters are outlines, so that no font has
to be on the reader's machine.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from bsig.explain.diagnostics.collapse_report import TRAINED, CollapseReport, TrainedBranch
from bsig.explain.diagnostics.logit_shift import DeltaCurve, delta_curve
from bsig.explain.diagnostics.sign_collapse import FLIPPED, quadrant_of_channels
from bsig.explain.explainer import EncodedImage
from bsig.explain.wording import number_text

SOFTMAX, SIGMOID, GREY = "#c2410c", "#3b5bdb", "#57606a"
COLOURS = {"softmax": SOFTMAX, "sigmoid": SIGMOID}
LOST, GAINED = "#b0185a", "#0b7a5e"
LARGEST_DELTA = 0.05
"""As far as the Logit shift screen goes."""


def collapse_svg(report: CollapseReport, branch: TrainedBranch) -> str:
    """What is left of one branch's heatmap, and what its probability notices, while delta is taken away."""
    curve = report.curves["softmax" if branch == "softmax" else "sigmoid"]
    probability = (
        report.probabilities["softmax" if branch == "softmax" else "sigmoid"] if report.probabilities else None
    )
    figure, axes = _figure()
    colour = COLOURS[branch]
    lines = (
        ("positive evidence left", curve.cells_left, colour, "-", 2.4),
        ("positive area", curve.positive_area, colour, "--", 1.5),
        ("probability", probability, GREY, ":", 2.2),
    )
    for name, values, ink, dash, width in lines:
        if values is not None:
            axes.plot(curve.deltas, [100 * value for value in values], dash, color=ink, linewidth=width, label=name)
    axes.set_xlabel("delta, taken from every weight")
    axes.set_ylabel("%")
    axes.set_ylim(-3, 106)
    axes.set_xlim(0, curve.deltas[-1] or 1)
    axes.legend(fontsize=8, frameon=False)
    return _svg(figure)


def channels_svg(report: CollapseReport) -> str:
    """One mark a channel: its weight in both branches; diamonds and triangles where the branches disagree."""
    softmax, sigmoid = (report.weights[branch].cpu().numpy() for branch in TRAINED)
    quadrant = quadrant_of_channels(*(report.weights[branch] for branch in TRAINED)).cpu().numpy()
    figure, axes = _figure()
    groups = (
        ("same sign in both", ~((quadrant == FLIPPED[0]) | (quadrant == FLIPPED[1])), GREY, ".", 9),
        ("for → against", quadrant == FLIPPED[0], LOST, "D", 15),
        ("against → for", quadrant == FLIPPED[1], GAINED, "^", 17),
    )
    for name, chosen, colour, mark, size in groups:
        if chosen.any():
            axes.scatter(softmax[chosen], sigmoid[chosen], s=size, c=colour, marker=mark, linewidths=0,
                         alpha=0.75, label=f"{name} ({chosen.sum()})")  # fmt: skip
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_xlabel("weight in the softmax branch")
    axes.set_ylabel("weight in the sigmoid branch")
    axes.legend(fontsize=8, frameon=False)
    return _svg(figure)


def budget_svg(budgets: Mapping[TrainedBranch, tuple[float, float]], unit: str) -> str:
    """How much speaks for the class and how much against it, two bars a branch, with their numbers."""
    figure, axes = _figure()
    names: Sequence[TrainedBranch] = list(budgets)
    for side, (title, colour, hatch) in enumerate((("for", "#d6604d", ""), ("against", "#9cc3de", "///"))):
        values = [budgets[name][side] for name in names]
        axes.barh([name.title() for name in names], values, 0.5, color=colour, hatch=hatch, edgecolor="white",
                  label=title)  # fmt: skip
        for row, value in enumerate(values):
            axes.annotate(number_text(value), (value, row), ha="right" if value > 0 else "left",
                          va="center", fontsize=8, xytext=(-3 if value > 0 else 3, 0), textcoords="offset points",
                          bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"})  # fmt: skip
    axes.axvline(0, color=GREY, linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel(f"mean over the picture, {unit}")
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return _svg(figure)


def shift_curves(encoded: EncodedImage, class_index: int) -> dict[str, DeltaCurve]:
    """What all three maps do while delta is added to every weight; of a head of average pool and one linear layer."""
    softmax, sigmoid = (head.last_linear for head in (encoded.model.softmax_head, encoded.model.sigmoid_head))
    deltas = torch.linspace(-LARGEST_DELTA, LARGEST_DELTA, 41)
    curves = {}
    for name, layer in (("softmax", softmax), ("sigmoid", sigmoid), ("class-centred", softmax)):
        weight, bias = layer.weight.detach(), layer.bias.detach()
        curves[name] = delta_curve(
            encoded.features[0], weight, bias, class_index, torch.ones_like(weight[0]), deltas,
            centred=name == "class-centred",
        )  # fmt: skip
    return curves


def movement_svg(curves: Mapping[str, DeltaCurve]) -> str:
    """Correlation of each map with what it is at delta 0."""
    moved = {name: [step.correlation for step in curve.movement] for name, curve in curves.items()}
    return _over_delta(curves, moved, "correlation with the map at 0", (-1.06, 1.06))


def area_svg(curves: Mapping[str, DeltaCurve]) -> str:
    """Positive area of each map."""
    area = {name: [100 * share for share in curve.positive_area] for name, curve in curves.items()}
    return _over_delta(curves, area, "positive area, %", (-3.0, 106.0))


def _over_delta(
    curves: Mapping[str, DeltaCurve],
    series: Mapping[str, Sequence[float | None]],
    title: str,
    ends: tuple[float, float],
) -> str:
    figure, axes = _figure()
    looks = {"softmax": (SOFTMAX, "-"), "sigmoid": (SIGMOID, "--"), "class-centred": (GAINED, ":")}
    for name, values in series.items():
        colour, dash = looks[name]
        known = [math.nan if value is None else value for value in values]
        axes.plot(curves[name].deltas, known, dash, color=colour, linewidth=2.2, label=name)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_xlabel("delta, added to every weight")
    axes.set_ylabel(title)
    axes.set_ylim(*ends)
    axes.legend(fontsize=8, frameon=False)
    return _svg(figure)


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # only here: it takes long to import, and few ask for a report

    figure = Figure(figsize=(4.6, 2.9), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    axes.grid(alpha=0.25)
    return figure, axes


def _svg(figure: Any) -> str:
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
