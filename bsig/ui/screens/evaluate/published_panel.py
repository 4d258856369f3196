"""The Evaluate screen's comparison with the paper's tables as HTML: pure, from results to what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bsig.evaluation.output.paper import changed_text, recam_sentence, row_title, summary_sentence
from bsig.evaluation.published.beside import MeasuredCell, RowBeside, equal_rows, rows_beside
from bsig.evaluation.published.recam import claim_rows
from bsig.evaluation.published.tables import NETWORKS, PublishedCell
from bsig.explain.wording import signed
from bsig.ui.components import html

TREATMENT_TITLES = {"paper": "Here, as published", "signed": "Here, both signed", "nonnegative": "Here, both clamped"}
INTRODUCTION = (
    "Sigmoid branch less softmax, in points. Red with ▼: the sigmoid branch is worse. * the 95 % interval excludes "
    "zero. Published: sigmoid clamped, softmax signed, no intervals, other networks and data, so compare changes and "
    "not levels. Sources and commands: assets/docs/paper.md."
)
NOTHING = (
    "These results share no cell with the paper's tables: they need CAM or Grad-CAM on pictures with boxes or masks."
)


def published_html(results: Mapping[str, Any] | None) -> html.Html:
    """The published changes beside the measured ones, with a sentence on each treatment and on ReCAM's claim."""
    rows = rows_beside(results) if results else []
    if not results or not rows:
        return html.note(NOTHING)
    present = {cell.treatment for row in rows for cell in row.measured}
    treatments = {key: title for key, title in TREATMENT_TITLES.items() if key in present}
    lines = [_line(alike, treatments, results["counts"]) for alike in equal_rows(rows)]
    titles = [*NETWORKS, *treatments.values()]
    table = html.table(["Measure", *(html.number(title) for title in titles)], lines, kind="bsig-measured")
    claims = claim_rows(results)
    recam = f"Mosaics and ReCAM's claim that binary cross-entropy spoils such maps. {recam_sentence(claims)}"
    words = [summary_sentence(rows), recam if claims else ""]
    return html.joined(html.note(INTRODUCTION), table, *(html.note(text.replace("`", "")) for text in words))


def _line(
    alike: Sequence[RowBeside], treatments: Mapping[str, str], counts: Mapping[str, Any]
) -> list[str | html.Cell]:
    own_cells = {cell.treatment: cell for cell in alike[0].measured}
    columns = [[cell for row in alike for cell in row.published if cell.network == network] for network in NETWORKS]
    return [
        html.bold(row_title(alike, counts)),
        *(html.number(_published(cells), data_name=name) for name, cells in zip(NETWORKS, columns, strict=True)),
        *(
            html.cell(_measured(own_cells.get(key)), class_="number wide", data_name=title)
            for key, title in treatments.items()
        ),
    ]


def _published(cells: Sequence[PublishedCell]) -> html.Html:
    """One change a published row, below each other: of CAM and Grad-CAM, or of two data sets."""
    several = len({cell.data for cell in cells}) > 1
    lines = [
        html.element("div", _marked(f"{cell.data} " if several else "", signed(cell.change, 2), cell.falls))
        for cell in cells
    ]
    return html.joined(*lines) if lines else html.escaped("-")


def _measured(cell: MeasuredCell | None) -> html.Html:
    return _marked("", changed_text(cell), cell.falls) if cell else html.escaped("-")


def _marked(name: str, text: str, falls: bool) -> html.Html:
    return html.joined(name, html.element("span", text, class_="bsig-verdict worse") if falls else text)
