"""The frontier as an SVG for README and docs, drawn by matplotlib on a white sheet.

The numbers stand in its description, so that a test can hold the drawing and the results together.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from bsig.evaluation.frontier import DELTA, Frontier, FrontierLine, FrontierPoint
from bsig.explain.drawing.colours import INK, PAGE, QUIET
from bsig.explain.wording import number_text

GREY = QUIET
LOOKS = {"softmax": (PAGE["softmax"][0], "o", 90), "sigmoid": (PAGE["sigmoid"][0], "D", 90)}
OTHER_LOOK = (QUIET, "s", 42)
AXES_HEIGHT, LABEL_HEIGHT = 200.0, 10.0
"""In printer's points: from the lowest to the highest place, and a name."""
AXES = ("one object: cells inside the box above cells outside (AUC)", "several objects: right quarter of a mosaic")


def frontier_svg(frontier: Frontier, title: str) -> str:
    """The picture: points by name, untrained lines in grey, better to the upper right."""
    from matplotlib import rc_context  # only here: it takes long to import
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "bsig"}):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(AXES[0])
        axes.set_ylabel(AXES[1])
        axes.set_title(title, fontsize=10, loc="left", color=INK)
        axes.grid(alpha=0.25)
        for line in frontier.lines:
            _draw_line(axes, line)
        offsets = _label_offsets(frontier.points)
        for point in frontier.points:
            _draw_point(axes, point, offsets[point.keys])
        axes.annotate("better", (1.0, 1.07), (0.9, 1.02), xycoords="axes fraction", color=GREY, ha="center",
                      arrowprops={"arrowstyle": "->", "color": GREY})  # fmt: skip
        axes.margins(x=0.12, y=0.1)
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Description": description(frontier)})
    return content.getvalue()


def frontier_file(run: Mapping[str, Any]) -> str:
    """The name of the run's picture."""
    return f"frontier-{run['checkpoint']}-{run['data']}.svg"


def description(frontier: Frontier) -> str:
    """All points and lines in words: 'softmax 0.901 0.610; sigmoid ...; line delta: -0.02 0.834 0.730, ...'."""
    points = [f"{', '.join(point.keys)} {point.x:.3f} {point.y:.3f}" for point in frontier.points]
    outside = [f"{', '.join(point.keys)} {point.x:.3f} {point.y:.3f} (left of the picture)"
               for point in frontier.outside]  # fmt: skip
    lines = [
        f"line {line.name}: " + ", ".join(f"{number:g} {x:.3f} {y:.3f}" for number, x, y in line.points)
        for line in frontier.lines
    ]
    return "; ".join([*points, *outside, *lines])


def line_title(line: FrontierLine) -> str:
    """What the line's number is."""
    return "softmax with delta, untrained" if line.name == DELTA else f"{line.name}, by its number"


def _draw_line(axes: Any, line: FrontierLine) -> None:
    _, xs, ys = zip(*line.points, strict=True)
    axes.plot(xs, ys, "-", marker=".", color=GREY, linewidth=1.6, zorder=1)
    for number, x, y in line.points[::2]:
        axes.annotate(number_text(number), (x, y), (4, 5), textcoords="offset points", fontsize=7, color=GREY)
    axes.annotate(line_title(line), (xs[0], ys[0]), (0, -16), textcoords="offset points", fontsize=8, color=GREY)


def _label_offsets(points: Sequence[FrontierPoint]) -> dict[tuple[str, ...], float]:
    """How far above its point each name stands, in printer's points: from the top down, no name on another."""
    heights = [point.y for point in points]
    scale = AXES_HEIGHT / max(max(heights) - min(heights), 1e-6)
    offsets, lowest = {}, float("inf")
    for point in sorted(points, key=lambda point: -point.y):
        is_branch = any(key in point.keys for key in LOOKS)
        lowest = min(point.y * scale + (3 if is_branch else -11), lowest - LABEL_HEIGHT)
        offsets[point.keys] = lowest - point.y * scale
    return offsets


def _draw_point(axes: Any, point: FrontierPoint, offset: float) -> None:
    look = next((LOOKS[key] for key in LOOKS if key in point.keys), OTHER_LOOK)
    colour, mark, size = look
    axes.scatter([point.x], [point.y], s=size, c=colour, marker=mark, zorder=2)
    weight = "bold" if look is not OTHER_LOOK else "normal"
    axes.annotate(point.titles[0], (point.x, point.y), (9, offset), fontsize=8.5,
                  textcoords="offset points", color=colour, fontweight=weight)  # fmt: skip
