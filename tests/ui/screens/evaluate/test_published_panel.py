"""The paper's tables on the Evaluate screen: red where a cell falls, nothing invented where no cell is shared."""

from __future__ import annotations

from bsig.evaluation.output.shipped import read_results
from bsig.evaluation.published.beside import equal_rows, rows_beside
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT
from bsig.ui.components import html
from bsig.ui.screens.evaluate.published_panel import NOTHING, published_html


def test_every_cell_that_falls_is_red() -> None:
    for results in read_results(CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT):
        text, rows = published_html(results), equal_rows(rows_beside(results))
        assert text.count("<tr>") == 1 + len(rows)
        published = sum(cell.falls for alike in rows for row in alike for cell in row.published)
        measured = sum(cell.falls for alike in rows for cell in alike[0].measured)
        assert text.count("bsig-verdict worse") == published + measured
        assert ("ReCAM" in text) is bool(results["counts"]["mosaics"])


def test_no_shared_cell_is_said() -> None:
    for results in (None, {"tables": []}):
        assert html.escaped(NOTHING) in published_html(results)
