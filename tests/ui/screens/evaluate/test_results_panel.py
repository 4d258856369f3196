"""The results that are shown: each part from the results alone."""

from __future__ import annotations

from bsig.evaluation.metrics.catalogue import METRICS
from bsig.evaluation.output.shipped import read_results
from bsig.evaluation.output.words import first_rows, rows_of
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT
from bsig.ui.screens.evaluate.results_panel import shown_results
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
