"""The Evaluate screen's plots: localization against the threshold, the delta curve, the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bsig.evaluation.output.words import class_title
from bsig.ui.plots.look import GREY, SERIES, base_figure, go

BASELINES: dict[str, dict[str, str]] = {
    "features": {"colour": GREY, "dash": "dashdot", "name": "Sum of features"},
    "random-head": {"colour": SERIES["shift"]["colour"], "dash": "longdash", "name": "Random head"},
}
CLASSES_SHOWN = 30


def localization_figure(table: Mapping[str, Any]) -> go.Figure | None:
    """GT-known localization against the threshold, a line a head; None without boxes."""
    figure = base_figure("threshold (share of the maximum)", "objects found (IoU 0.5)")
    looks = {**SERIES, **BASELINES}
    has_curve = False
    for key, points in table["localization_curves"].items():
        if key not in looks or not points:
            continue
        look = looks[key]
        has_curve = True
        figure.add_scatter(
            x=[point["threshold"] for point in points],
            y=[point["gt_known"] for point in points],
            mode="lines",
            name=look["name"],
            line={"color": look["colour"], "dash": look["dash"], "width": 3 if key in ("softmax", "sigmoid") else 1.5},
            hovertemplate="%{y:.1%}",
        )
    figure.update_yaxes(rangemode="tozero", tickformat=".0%")
    return figure if has_curve else None


def delta_figure(table: Mapping[str, Any]) -> go.Figure | None:
    """Absent-class area and ordering of the untrained softmax head with delta, and the two branches on the same axes.

    A trained branch is worth its training where its point lies to the upper left of the curve.
    """
    points = [point for point in table["delta_curve"] if point.get("absent_area") is not None]
    y_key = "inside_auc" if all(point.get("inside_auc") is not None for point in points) else "cell_auc"
    if len(points) < 2:
        return None
    y_title = "AUC inside / outside" if y_key == "inside_auc" else "AUC own / absent"
    figure = base_figure("positive area, absent class", y_title)
    figure.add_scatter(
        x=[point["absent_area"] for point in points],
        y=[point[y_key] for point in points],
        mode="lines+markers",
        name="Softmax with delta, untrained",
        line={"color": GREY, "width": 2},
        marker={"size": 6},
        customdata=[point["delta"] for point in points],
        hovertemplate="delta %{customdata:+g}: area %{x:.1%}, AUC %{y:.3f}<extra></extra>",
    )
    looks = {"centred": ("circle-open", 20), "softmax": ("circle", 12), "sigmoid": ("diamond", 14)}
    for key, (symbol, size) in looks.items():
        metrics = table["columns"][key]["metrics"]
        figure.add_scatter(
            x=[metrics["absent_area"]["value"]],
            y=[metrics[y_key]["value"]],
            mode="markers",
            name=SERIES[key]["name"],
            marker={"color": SERIES[key]["colour"], "size": size, "symbol": symbol, "line": {"width": 2}},
            hovertemplate=SERIES[key]["name"] + ": area %{x:.1%}, AUC %{y:.3f}<extra></extra>",
        )
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    return figure.update_layout(hovermode="closest")


def classes_figure(rows: Sequence[Mapping[str, Any]]) -> go.Figure | None:
    """Each class's difference (sigmoid less softmax): absent area and AUC; the most different ones where many."""
    class_rows = [row for row in rows if _difference(row, "absent_area") is not None]
    if not class_rows:
        return None
    class_rows = sorted(class_rows, key=lambda row: _difference(row, "inside_auc") or 0.0)
    if len(class_rows) > CLASSES_SHOWN:
        class_rows = class_rows[: CLASSES_SHOWN // 2] + class_rows[-CLASSES_SHOWN // 2 :]
    names = [class_title(str(row["class"]))[:22] for row in class_rows]
    figure = base_figure("", "", height=140 + 22 * len(class_rows))
    for key, title, colour, symbol in (
        ("inside_auc", "AUC (right is better)", SERIES["sigmoid"]["colour"], "diamond"),
        ("absent_area", "absent area (left is better)", SERIES["centred"]["colour"], "circle"),
    ):
        values = [_difference(row, key) for row in class_rows]
        if any(value is not None for value in values):
            figure.add_scatter(
                x=values, y=names, mode="markers", name=title,
                marker={"color": colour, "size": 10, "symbol": symbol}, hovertemplate="%{y}: %{x:+.3f}<extra></extra>",
            )  # fmt: skip
    figure.update_xaxes(zeroline=True, zerolinewidth=2, nticks=4)
    figure.update_yaxes(type="category", automargin=True)
    return figure.update_layout(
        hovermode="closest", legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "xref": "paper"}
    )


def _difference(row: Mapping[str, Any], key: str) -> float | None:
    softmax, sigmoid = row["softmax"].get(key), row["sigmoid"].get(key)
    return None if softmax is None or sigmoid is None else sigmoid - softmax
