"""The Evaluate screen's results as HTML: pure, from results to what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bsig.evaluation.metrics.catalogue import METRICS
from bsig.evaluation.output.words import Row, best_blind, class_title, first_rows, rows_of
from bsig.ui.components import html
from bsig.ui.screens.evaluate.kept import KeptEvaluation
from bsig.ui.screens.evaluate.own_pictures import SIDES, PicturesCheck

SHOWN_COLUMNS = {
    "softmax": "Softmax",
    "sigmoid": "Sigmoid",
    "delta-0.01": "Untrained −0.01",
    "softmax*sigmoid": "Gated",
    "random-head": "Random head",
}
BLIND = "Best without looking"


def table_of(results: Mapping[str, Any], method: str, weights: str) -> Mapping[str, Any] | None:
    """The table of one method and treatment; None where it was not measured."""
    tables = {(table["method"], table["weights"]): table for table in results["tables"]}
    return tables.get((method, weights))


def gallery_rows(
    table: Mapping[str, Any] | None, evaluation: KeptEvaluation | None
) -> list[tuple[Mapping[str, Any], Path, str]]:
    """The pictures that differ most and are kept: row, file, words."""
    if table is None or evaluation is None:
        return []
    return [
        (row, evaluation.files[row["key"]], f"{title}\n{row['softmax']:.2f} → {row['sigmoid']:.2f}")
        for side, title in SIDES.items()
        for row in table["differ_most"][side]
        if row["key"] in evaluation.files
    ]


def first_table_html(table: Mapping[str, Any]) -> html.Html:
    """The rows that answer the question: both branches, the difference with its interval, the baselines."""
    columns = {key: title for key, title in SHOWN_COLUMNS.items() if key in table["columns"]}
    baselines = {key: title for key, title in columns.items() if key not in ("softmax", "sigmoid")}
    titles = [*map(html.number, ("Softmax", "Sigmoid")), html.number("Sigmoid − softmax [95 %]", class_="number wide"),
              *map(html.number, (*baselines.values(), BLIND))]  # fmt: skip
    rows = [_first_row(row, baselines, table) for row in first_rows(table)]
    words = (
        "↑ higher is better, ↓ lower. Intervals: paired bootstrap over pictures; * excludes zero. Untrained: 0.01 "
        "taken from every softmax weight. Gated: softmax map times sigmoid probability. Without looking: best of "
        "full picture, a centred box, a centred blob and noise."
    )
    measures = html.table(["Measure", *titles], rows, kind="bsig-measured")
    return html.joined(measures, html.note(words))


def _first_row(row: Row, baselines: Mapping[str, str], table: Mapping[str, Any]) -> list[str | html.Cell]:
    def value(key: str, kind: str = "number") -> html.Cell:
        return html.cell(row.values.get(key, "-"), class_=kind, data_name=SHOWN_COLUMNS[key])

    word = row.verdict.word
    mark = word if word in ("better", "worse") else ""
    difference = html.joined(
        html.element("span", word, class_=f"bsig-verdict {mark}".strip()), html.element("small", row.verdict.text)
    )
    blind = best_blind(table, row.key)
    without_looking = html.joined(blind[0], html.element("small", blind[1])) if blind else "-"
    return [
        html.joined(html.bold(_title(row)), html.element("small", row.meaning)),
        value("softmax", "number main"),
        value("sigmoid", "number main"),
        html.cell(difference, class_="number wide"),
        *(value(key) for key in baselines),
        html.number(without_looking, data_name=BLIND),
    ]


def _title(row: Row) -> html.Html:
    return html.joined(html.explained(row.title), " ", row.arrow)


def all_rows_html(table: Mapping[str, Any]) -> html.Html:
    """Every metric and column, the value alone; intervals are in the CSV that the command writes."""
    names = list(table["columns"])
    rows: list[list[str | html.Cell]] = [
        [_title(row), *(html.number(row.values[name]) for name in names)] for row in rows_of(table, list(METRICS))
    ]
    titles = "; ".join(f"{name}: {table['columns'][name]['title']}" for name in names)
    return html.joined(
        html.table(["metric", *(html.number(name) for name in names)], rows, kind="bsig-all"),
        html.note(f"* the difference to softmax excludes zero. {titles}."),
    )


def difference_words(table: Mapping[str, Any]) -> str:
    """The number by which the pictures that differ most are chosen."""
    is_auc = table["differ_most"]["by"] == "inside_auc"
    return "AUC inside against outside" if is_auc else "positive area of the own class less that of absent ones"


def differing_html(table: Mapping[str, Any], is_own: bool) -> html.Html:
    """The files whose maps differ most, by name."""
    rows: list[list[str | html.Cell]] = [
        [
            title,
            html.cell(Path(row["key"]).name, title=row["key"]),
            class_title(row["class"]),
            html.number(f"{row['softmax']:.2f}"),
            html.number(f"{row['sigmoid']:.2f}"),
        ]
        for side, title in SIDES.items()
        for row in table["differ_most"][side]
    ]
    if not rows:
        return html.note("No picture differs.")
    reason = (
        ""
        if is_own
        else "The pictures of this set may not be passed on, so they are named here and not shown: with your own "
        "pictures (above) they are, and open in Compare."
    )
    columns: list[str | html.Cell] = ["Better", "File", "Class", html.number("Softmax"), html.number("Sigmoid")]
    return html.joined(
        html.table(columns, rows, kind="bsig-files"), html.note(f"By {difference_words(table)}. {reason}")
    )


def check_html(check: PicturesCheck) -> html.Html:
    """A check of own pictures, before they are measured: a sentence, and a line for each class that is left out."""
    return html.joined(html.note(check.words, role="status"), html.bullets(check.remarks))
