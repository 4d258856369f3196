"""The published cells beside the same cells measured here: matched by method, metric and treatment.

    rows = rows_beside(results)            # results of `evaluate`, or a run of `read_results`
    rows[0].published, rows[0].measured    # one cell a published network, one a treatment

The networks and the data differ from the paper's unless they were taken from there, so a row compares changes, not
levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bsig.evaluation.metrics.intervals import excludes_zero
from bsig.evaluation.published.tables import PublishedCell, is_worse, published_cells

MEASURED_AS = {"top1_loc": ("top1_loc_at_20", "top1_loc"), "gt_known": ("gt_known_at_20", "gt_known")}
"""Published metric -> the measured ones beside it: its threshold is 0.2 by default in that code and in no table."""
SHOWN_TREATMENTS = ("paper", "signed", "nonnegative")
PER_CENT = 100.0

Estimate = Mapping[str, Any]


@dataclass(frozen=True)
class MeasuredCell:
    """One cell that was measured here, in per cent and points.

    Attributes:
        treatment: a key of `TREATMENTS`.
        change: sigmoid branch less softmax.
        low, high: the 95 % interval of the change; None where it has none.
        falls: whether the sigmoid branch is worse.
        is_clear: whether the interval excludes zero.
        count: the pictures.
    """

    treatment: str
    softmax: float
    sigmoid: float
    change: float
    low: float | None
    high: float | None
    falls: bool
    is_clear: bool
    count: int


@dataclass(frozen=True)
class RowBeside:
    """One method and metric: the published cells and the measured ones.

    Attributes:
        metric: key in `METRICS` of the measured metric.
    """

    method: str
    metric: str
    published: tuple[PublishedCell, ...]
    measured: tuple[MeasuredCell, ...]


def rows_beside(results: Mapping[str, Any]) -> list[RowBeside]:
    """A row for each published method and metric that the results hold, in the published order."""
    groups: dict[tuple[str, str], list[PublishedCell]] = {}
    for cell in published_cells():
        groups.setdefault((cell.method, cell.metric), []).append(cell)
    rows = []
    for (method, metric), cells in groups.items():
        for key in MEASURED_AS.get(metric, (metric,)):
            own_cells = measured_cells(results, method, key)
            if own_cells:
                rows.append(RowBeside(method, key, tuple(cells), own_cells))
    return rows


def measured_cells(results: Mapping[str, Any], method: str, metric: str) -> tuple[MeasuredCell, ...]:
    """One cell for each treatment in which the method was measured; none where the metric was not."""
    tables = {table["weights"]: table for table in results["tables"] if table["method"] == method}
    cells = []
    for treatment in SHOWN_TREATMENTS:
        columns = tables[treatment]["columns"] if treatment in tables else {}
        estimates = [columns[key]["metrics"].get(metric) for key in ("softmax", "sigmoid") if key in columns]
        if len(estimates) == 2 and all(estimate and estimate["value"] is not None for estimate in estimates):
            cells.append(_measured_cell(treatment, metric, estimates))
    return tuple(cells)


def _measured_cell(treatment: str, metric: str, estimates: Sequence[Estimate]) -> MeasuredCell:
    softmax, sigmoid = estimates
    difference = sigmoid["difference"]
    low, high = (None if difference[end] is None else PER_CENT * difference[end] for end in ("low", "high"))
    return MeasuredCell(
        treatment=treatment,
        softmax=PER_CENT * softmax["value"],
        sigmoid=PER_CENT * sigmoid["value"],
        change=PER_CENT * difference["value"],
        low=low,
        high=high,
        falls=is_worse(metric, difference["value"]),
        is_clear=excludes_zero(difference),
        count=int(difference["n"]),
    )


def equal_rows(rows: Sequence[RowBeside]) -> list[list[RowBeside]]:
    """The rows in groups that measured the same, as CAM and Grad-CAM do with an average pool and one linear layer."""
    groups: dict[tuple[str, tuple[MeasuredCell, ...]], list[RowBeside]] = {}
    for row in rows:
        groups.setdefault((row.metric, row.measured), []).append(row)
    return list(groups.values())


def summary(rows: Sequence[RowBeside]) -> dict[str, tuple[int, int, int]]:
    """The numbers of cells that get clearly better, clearly worse, and neither, by treatment.

    Rows that measured the same count once.
    """
    counts: dict[str, tuple[int, int, int]] = {}
    all_cells = [cell for alike in equal_rows(rows) for cell in alike[0].measured]
    for treatment in SHOWN_TREATMENTS:
        cells = [cell for cell in all_cells if cell.treatment == treatment]
        if cells:
            fallen, clear = sum(cell.is_clear and cell.falls for cell in cells), sum(cell.is_clear for cell in cells)
            counts[treatment] = (clear - fallen, fallen, len(cells) - clear)
    return counts
