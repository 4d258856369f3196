"""The frontier: *where one object* against *where several*, every column of a table as a point, baselines as lines.

    x = AUC inside against outside     places on the object rank above places beside it; 0.5 is chance
    y = mosaic, at equal area          the strongest quarter of the cells lies in the right quarter; 0.25 is chance

Both are free of zero: no number added to a map moves a point. A column without these scores is no point. A line is
softmax with a number on every weight (`delta_curve`, untrained), or columns whose keys differ by their last number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

X_METRIC, Y_METRIC = "inside_auc", "mosaic_quarter"
SAME_PLACE = 5e-4
REACH = 0.12
"""How far below the best AUC the picture reaches; what lies beyond is named beside it."""
NUMBERED = re.compile(r"^(?P<family>.*?[^\d.+-])(?P<number>[+-]?\d+(?:\.\d+)?)$")
DELTA = "delta"


@dataclass(frozen=True)
class FrontierPoint:
    """One place: the columns that lie there, and their titles.

    Attributes:
        keys: of the table's columns; the first one is the simplest.
    """

    keys: tuple[str, ...]
    titles: tuple[str, ...]
    x: float
    y: float


@dataclass(frozen=True)
class FrontierLine:
    """Untrained baselines with a number: name of the family, (number, x, y) in the order of the numbers."""

    name: str
    points: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Frontier:
    """What the picture shows of one table; `outside` are points too far left to be drawn."""

    points: tuple[FrontierPoint, ...]
    outside: tuple[FrontierPoint, ...]
    lines: tuple[FrontierLine, ...]


def frontier_of(table: Mapping[str, Any]) -> Frontier | None:
    """The frontier of a method and treatment; None where softmax or the sigmoid branch lacks one of the scores."""
    places = {key: place for key, column in table["columns"].items() if (place := _place(column["metrics"]))}
    if not {"softmax", "sigmoid"} <= set(places):
        return None
    lines = _lines(table, places)
    on_lines = {key for key in places if key.startswith(DELTA)} if any(line.name == DELTA for line in lines) else set()
    points = _points({key: place for key, place in places.items() if key not in on_lines}, table["columns"])
    left_end = max(point.x for point in points) - REACH
    return Frontier(
        tuple(point for point in points if point.x >= left_end),
        tuple(point for point in points if point.x < left_end),
        tuple(line for line in (_cut(line, left_end) for line in lines) if len(line.points) > 1),
    )


def height_of_line(line: FrontierLine, x: float) -> float | None:
    """The line's y at this x, straight between its points: the highest of several, None beside it."""
    heights = []
    for (_, x0, y0), (_, x1, y1) in zip(line.points, line.points[1:], strict=False):
        if min(x0, x1) <= x <= max(x0, x1):
            heights.append(max(y0, y1) if x0 == x1 else y0 + (y1 - y0) * (x - x0) / (x1 - x0))
    return max(heights, default=None)


def frontier_sentence(frontier: Frontier) -> str:
    """What the sigmoid branch gains over the untrained line at the same AUC, in words."""
    point = next(point for point in (*frontier.points, *frontier.outside) if "sigmoid" in point.keys)
    line = next((line for line in frontier.lines if line.name == DELTA), None)
    height = height_of_line(line, point.x) if line else None
    if height is None:
        return "The sigmoid branch lies beside the untrained line."
    word = "above" if point.y > height else "below" if point.y < height else "on"
    return (
        f"At the same AUC ({point.x:.3f}) the sigmoid branch reaches {point.y:.3f} on mosaics, the untrained line "
        f"{height:.3f}: the branch lies {abs(point.y - height):.3f} {word} it."
    )


def _place(metrics: Mapping[str, Any]) -> tuple[float, float] | None:
    x, y = ((metrics.get(metric) or {}).get("value") for metric in (X_METRIC, Y_METRIC))
    return None if x is None or y is None else (float(x), float(y))


def _points(places: Mapping[str, tuple[float, float]], columns: Mapping[str, Mapping[str, Any]]) -> list[FrontierPoint]:
    """The places, with columns that lie at the same one together: a gate or a bias changes no order of places."""
    groups: list[tuple[tuple[float, float], list[str]]] = []
    for key, (x, y) in places.items():
        for (other_x, other_y), keys in groups:
            if abs(x - other_x) < SAME_PLACE and abs(y - other_y) < SAME_PLACE:
                keys.append(key)
                break
        else:
            groups.append(((x, y), [key]))
    return [
        FrontierPoint(tuple(keys), tuple(str(columns[key]["title"]) for key in keys), x, y) for (x, y), keys in groups
    ]


def _lines(table: Mapping[str, Any], places: Mapping[str, tuple[float, float]]) -> list[FrontierLine]:
    curve = [
        (float(point[DELTA]), float(point[X_METRIC]), float(point[Y_METRIC]))
        for point in table["delta_curve"]
        if point.get(X_METRIC) is not None and point.get(Y_METRIC) is not None
    ]
    families: dict[str, list[tuple[float, float, float]]] = {}
    for key, place in places.items():
        match = NUMBERED.match(key)
        if match and not (match["family"] == DELTA and curve):
            families.setdefault(match["family"], []).append((float(match["number"]), *place))
    lines = [FrontierLine(DELTA, tuple(sorted(curve)))] if curve else []
    return [*lines, *(FrontierLine(name, tuple(sorted(row))) for name, row in families.items() if len(row) > 1)]


def _cut(line: FrontierLine, left_end: float) -> FrontierLine:
    return FrontierLine(line.name, tuple(point for point in line.points if point[1] >= left_end))


def frontiers(runs: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Frontier]]:
    """The frontier of signed CAM of each run that has one."""
    pairs = []
    for run in runs:
        table = next((each for each in run["tables"] if (each["method"], each["weights"]) == ("cam", "signed")), None)
        frontier = frontier_of(table) if table else None
        if frontier:
            pairs.append((run, frontier))
    return pairs
