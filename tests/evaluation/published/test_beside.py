"""Published cells beside measured ones: matched by method, metric and treatment, numbers untouched."""

from __future__ import annotations

from typing import Any

import pytest

from bsig.evaluation.output.shipped import read_results, table_of
from bsig.evaluation.published.beside import equal_rows, measured_cells, rows_beside, summary
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT


def estimate(value: float, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": 7}


def made_table(method: str, weights: str, metric: str, softmax: float, change: dict[str, Any]) -> dict[str, Any]:
    sigmoid = {**estimate(softmax + change["value"]), "difference": change}
    return {"method": method, "weights": weights, "columns": {
        "softmax": {"metrics": {metric: estimate(softmax)}}, "sigmoid": {"metrics": {metric: sigmoid}},
    }}  # fmt: skip


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    return next(run for run in read_results(CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT) if run["data"] == "shapes5")


def test_a_row_holds_the_published_cells_of_its_method_and_metric(shipped: dict[str, Any]) -> None:
    rows = {(row.method, row.metric): row for row in rows_beside(shipped)}
    changes = {cell.network: cell.change for cell in rows["grad-cam", "pxap"].published}
    assert changes == {"VGG-16": 1.28, "ResNet-50": -0.32, "Inception-v3": -1.48}
    assert ("layer-cam", "pxap") not in rows
    assert ("cam", "average_drop") not in rows  # not measured on this set
    for metric in ("top1_loc", "gt_known"):
        assert rows["cam", metric].published == rows["cam", f"{metric}_at_20"].published


def test_a_measured_cell_is_the_tables_number_in_per_cent(shipped: dict[str, Any]) -> None:
    cells = {cell.treatment: cell for cell in measured_cells(shipped, "cam", "pxap")}
    for treatment, cell in cells.items():
        columns = table_of(shipped, "cam", treatment)["columns"]
        difference = columns["sigmoid"]["metrics"]["pxap"]["difference"]
        assert cell.softmax == 100 * columns["softmax"]["metrics"]["pxap"]["value"]
        assert (cell.change, cell.low, cell.high) == tuple(100 * difference[key] for key in ("value", "low", "high"))
        assert cell.falls == (difference["value"] < 0)
        assert cell.count == shipped["counts"]["with_mask"]
    assert list(cells) == ["paper", "signed", "nonnegative"]


@pytest.mark.parametrize(
    ("metric", "change", "falls", "is_clear"),
    [("gt_known", estimate(-0.1, -0.2, -0.05), True, True), ("gt_known", estimate(-0.1, -0.2, 0.1), True, False),
     ("average_drop", estimate(-0.1, -0.2, -0.05), False, True), ("average_drop", estimate(0.1), True, False)],
)  # fmt: skip
def test_red_follows_the_sign_and_the_asterisk_the_interval(
    metric: str, change: dict[str, Any], falls: bool, is_clear: bool
) -> None:
    results = {"tables": [made_table("cam", "paper", metric, 0.5, change)]}
    (cell,) = measured_cells(results, "cam", metric)
    assert (cell.falls, cell.is_clear) == (falls, is_clear)


def test_results_without_a_published_cell_have_no_row() -> None:
    assert rows_beside({"tables": [made_table("layer-cam", "paper", "gt_known", 0.5, estimate(0.1))]}) == []
    assert rows_beside({"tables": [made_table("cam", "paper", "inside_auc", 0.5, estimate(0.1))]}) == []
    without_value = made_table("cam", "paper", "gt_known", 0.5, estimate(0.1))
    without_value["columns"]["softmax"]["metrics"]["gt_known"]["value"] = None
    assert rows_beside({"tables": [without_value]}) == []


def test_equal_rows_of_cam_and_grad_cam_count_once() -> None:
    change = estimate(0.1, 0.05, 0.2)
    tables = [made_table(method, "signed", "pxap", 0.5, change) for method in ("cam", "grad-cam")]
    rows = rows_beside({"tables": tables})
    assert [[row.method for row in alike] for alike in equal_rows(rows)] == [["cam", "grad-cam"]]
    assert summary(rows) == {"signed": (1, 0, 0)}
    tables[1] = made_table("grad-cam", "signed", "pxap", 0.5, estimate(-0.1, -0.2, -0.05))
    assert summary(rows_beside({"tables": tables})) == {"signed": (1, 1, 0)}
