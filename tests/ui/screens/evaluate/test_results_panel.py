"""The results that are shown: each part from the results alone."""

from __future__ import annotations

from bsig.evaluation.metrics.catalogue import METRICS
from bsig.evaluation.output.shipped import read_results
from bsig.evaluation.output.words import first_rows, rows_of
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT
from bsig.model.presence import PresenceCalibration, ReliabilityBin
from bsig.ui.plots.frontier import OTHER_SYMBOLS
from bsig.ui.screens.evaluate.results_panel import calibration_figure, shown_results
from bsig.ui.screens.evaluate.tables import table_of


def test_a_screen_without_results_says_what_to_do() -> None:
    results = shown_results(None, "cam", "signed", None)
    assert "measure your own pictures" in results.finding
    assert (results.table, results.localization, results.pictures) == ("", None, ())


def test_shipped_results_have_tables_and_plots_and_name_their_files() -> None:
    shipped = read_results(CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT)[0]
    results = shown_results(shipped, "cam", "signed", None)
    table = table_of(shipped, "cam", "signed")
    assert table is not None
    assert results.table.count("<tr>") == len(first_rows(table)) + 1
    assert results.all_rows.count("<tr>") == len(rows_of(table, list(METRICS))) + 1
    assert results.delta is not None
    assert results.frontier is not None
    names = {name for trace in results.frontier.data for name in trace.hovertemplate.split("<br>")}
    assert {"softmax", "sigmoid", "softmax map x sigmoid probability"} <= names
    assert "Sigmoid branch less softmax" in results.published
    assert "may not be passed on" in results.files
    assert not results.pictures


def test_the_reliability_diagram_is_of_the_results_else_of_the_calibration_and_its_axis_says_which() -> None:
    fitted = PresenceCalibration(0.7, 5.0, 2000, reliability=(ReliabilityBin(0.9, 0.8, 10),))
    measured = {"calibration": {"calibrated": {"reliability": [{"probability": 0.2, "share": 0.1, "count": 3}]}}}

    def diagram(results: dict, calibration: PresenceCalibration | None) -> tuple[str, tuple[float, ...]]:
        figure = calibration_figure(results, calibration)
        return figure.layout.xaxis.title.text, figure.data[1].y

    assert diagram(measured, fitted) == ("calibrated probability", (0.1,))
    assert diagram({}, fitted) == ("calibrated probability<br>(2,000 calibration pictures)", (0.8,))
    assert calibration_figure({}, None) is None


def test_every_point_of_the_frontier_has_a_mark_of_its_own_and_its_name_in_the_legend_or_below() -> None:
    results = shown_results(read_results(CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT)[0], "cam", "signed", None)
    assert results.frontier is not None
    points = [trace for trace in results.frontier.data if trace.mode == "markers"]
    assert len({trace.marker.symbol for trace in points}) == len(points) > 4
    others = [trace for trace in points if not trace.showlegend]
    assert {trace.name for trace in points} - {trace.name for trace in others} == {"Softmax", "Sigmoid"}
    for trace in others:
        assert f"<li>{OTHER_SYMBOLS[trace.marker.symbol]} {trace.name}</li>" in results.frontier_names
