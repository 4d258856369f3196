"""The Evaluate screen's parts as HTML, figures and lists: pure, from results to what is shown."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from bsig.evaluation.metrics.catalogue import METRICS
from bsig.evaluation.output.words import Row, best_blind, finding, first_rows, left_out, result_title, rows_of
from bsig.explain.methods import TREATMENTS
from bsig.inputs.images import read_image
from bsig.ui.components.html import explained
from bsig.ui.plots.evaluation import classes_figure, delta_figure, localization_figure
from bsig.ui.screens.evaluate.kept import OwnSet
from bsig.ui.screens.evaluate.own_pictures import SIDES

THUMBNAIL = (320, 320)
SHOWN_COLUMNS = {
    "softmax": "Softmax",
    "sigmoid": "Sigmoid",
    "delta-0.01": "Untrained −0.01",
    "softmax*sigmoid": "Gated",
    "random-head": "Random head",
}
PLOTS = (
    ("localization", "Objects found, against the threshold", "Largest blob above the threshold, IoU 0.5 with the box. "
     "The best threshold is chosen afterwards, for every head its own."),
    ("delta", "What training is worth", "The grey line needs no training: one number taken from every softmax "
     "weight. Training is worth it where the branch lies to the upper left."),
    ("classes", "Each class", "Sigmoid branch less softmax; a class has few pictures, so there are no intervals."),
)  # fmt: skip


def table_of(results: Mapping[str, Any], method: str, weights: str) -> Mapping[str, Any] | None:
    """The table of one method and treatment; None where it was not measured."""
    return next((one for one in results["tables"] if (one["method"], one["weights"]) == (method, weights)), None)


def screen_of(results: Mapping[str, Any] | None, method: str, weights: str, own: OwnSet | None) -> list[Any]:
    """Every output of the screen: finding, table, all rows, three plots, gallery, list."""
    nothing = [None, None, None, gr.Gallery(visible=False), ""]
    if results is None:
        words = "No results ship with this checkpoint: measure your own pictures below, or run evaluate-shipped."
        return [finding_html(words), "", "", *nothing]
    table = table_of(results, method, weights)
    if table is None:
        have = ", ".join(f"{one['method']} {one['weights']}" for one in results["tables"])
        return [finding_html(f"{method}, {weights} was not measured here; there is: {have}."), "", "", *nothing]
    rows = gallery_rows(table, own)
    pictures = [(_thumbnail(file), f"{row['class']}\n{words}") for row, file, words in rows]
    accuracy = results["accuracy"]
    small = (
        f"{result_title(results)}. Right class first: softmax {100 * accuracy['softmax_top1']['value']:.1f} %, sigmoid "
        f"branch {100 * accuracy['sigmoid_top1']['value']:.1f} %. {TREATMENTS[weights]} " + " ".join(left_out(results))
    )
    return [
        finding_html(finding(table), small),
        first_table_html(table),
        all_rows_html(table),
        localization_figure(table),
        delta_figure(table),
        classes_figure(table["by_class"]),
        gr.Gallery(value=pictures, visible=bool(pictures)),
        note(f"Numbers: {_differ_by(table)}, softmax → sigmoid.")
        if pictures
        else differing_html(table, own is not None),
    ]


def gallery_rows(table: Mapping[str, Any] | None, own: OwnSet | None) -> list[tuple[Mapping[str, Any], Path, str]]:
    """The pictures that differ most and are kept: row, file, words."""
    if table is None or own is None:
        return []
    return [
        (row, own.files[row["key"]], f"{title}\n{row['softmax']:.2f} → {row['sigmoid']:.2f}")
        for side, title in SIDES.items()
        for row in table["differ_most"][side]
        if row["key"] in own.files
    ]


def _thumbnail(file: Path) -> Image.Image:
    picture = read_image(file)
    picture.thumbnail(THUMBNAIL)
    return picture


def first_table_html(table: Mapping[str, Any]) -> str:
    """The rows that answer the question: both branches, the difference with its interval, the baselines."""
    columns = {key: title for key, title in SHOWN_COLUMNS.items() if key in table["columns"]}
    heads = [
        "Measure",
        "Softmax",
        "Sigmoid",
        "Sigmoid − softmax [95 %]",
        *list(columns.values())[2:],
        "Best without looking",
    ]
    head = "".join(f"<th{' class=number' if at else ''}>{explained(text)}</th>" for at, text in enumerate(heads))
    lines = [_first_line(row, columns, table) for row in first_rows(table)]
    words = (
        "↑ higher is better, ↓ lower. Intervals: paired bootstrap over pictures; * excludes zero. Untrained: 0.01 "
        "taken from every softmax weight. Gated: softmax map times sigmoid probability. Without looking: best of "
        "full picture, a centred box, a centred blob and noise."
    )
    return (
        f'<table class="bsig-table bsig-measured"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
        f"{note(words)}"
    )


def _first_line(row: Row, columns: Mapping[str, str], table: Mapping[str, Any]) -> str:
    def cell(key: str, kind: str = "number") -> str:
        value = row.values.get(key, "-")
        return f'<td class="{kind}" data-name="{html.escape(columns[key])}">{value}</td>'

    word = row.verdict.word
    mark = word if word in ("better", "worse") else ""
    difference = (
        f'<td class="number wide"><span class="bsig-verdict {mark}">{html.escape(word)}</span>'
        f"<small>{html.escape(row.verdict.text)}</small></td>"
    )
    blind = best_blind(table, row.key)
    last = f"{blind[0]}<small>{html.escape(blind[1])}</small>" if blind else "-"
    more = "".join(cell(key) for key in list(columns)[2:])
    return (
        f"<tr><td><b>{explained(row.title)} {row.arrow}</b><small>{html.escape(row.meaning)}</small></td>"
        f"{cell('softmax', 'number main')}{cell('sigmoid', 'number main')}{difference}{more}"
        f'<td class="number" data-name="Best without looking">{last}</td></tr>'
    )


def all_rows_html(table: Mapping[str, Any]) -> str:
    """Every metric and column, the value alone; intervals are in the CSV that the command writes."""
    names = list(table["columns"])
    head = "<th>metric</th>" + "".join(f'<th class="number">{explained(name)}</th>' for name in names)
    body = []
    for row in rows_of(table, list(METRICS)):
        cells = "".join(f'<td class="number">{row.values[name]}</td>' for name in names)
        body.append(f"<tr><td>{explained(row.title)} {row.arrow}<br></td>{cells}</tr>")
    titles = "; ".join(f"{name}: {table['columns'][name]['title']}" for name in names)
    return (
        f'<table class="bsig-table bsig-all"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
        + (note(f"* the difference to softmax excludes zero. {titles}."))
    )


def _differ_by(table: Mapping[str, Any]) -> str:
    is_auc = table["differ_most"]["by"] == "inside_auc"
    return "AUC inside against outside" if is_auc else "positive area of the own class less that of absent ones"


def differing_html(table: Mapping[str, Any], is_own: bool) -> str:
    """The files whose maps differ most, by name."""
    differ = table["differ_most"]
    lines = "".join(
        f"<tr><td>{title}</td><td>{html.escape(row['key'])}</td><td>{html.escape(row['class'])}</td>"
        f'<td class="number">{row["softmax"]:.2f}</td><td class="number">{row["sigmoid"]:.2f}</td></tr>'
        for side, title in SIDES.items()
        for row in differ[side]
    )
    if not lines:
        return note("No picture differs.")
    by = _differ_by(table)
    why = (
        ""
        if is_own
        else "The pictures of this set may not be passed on, so they are named here and not shown: with your own "
        "pictures (below) they are, and open in Compare."
    )
    head = "<tr><th>Better</th><th>file</th><th>class</th>" + "".join(
        f'<th class="number">{explained(name)}</th>' for name in ("softmax", "sigmoid")
    )
    below = note(f"By {by}. {why}")
    return f'<table class="bsig-table bsig-files"><thead>{head}</thead><tbody>{lines}</tbody></table>{below}'


def progress_html(done: int, total: int, seconds: float) -> str:
    """Done of total, the remaining time, a bar."""
    if not total or not done:
        return note("Reading and loading …") + '<progress class="bsig-progress"></progress>'
    left = seconds / done * (total - done)
    words = note(f"{done} of {total} pictures or as long; about {left:.0f} s left.")
    return f'{words}<progress class="bsig-progress" value="{done}" max="{total}"></progress>'


def finding_html(text: str, small: str = "") -> str:
    """The sentence that stands above everything, and what it rests on."""
    below = f"<small>{html.escape(small)}</small>" if small else ""
    return f'<div class="bsig-finding" role="status">{html.escape(text)}{below}</div>'


def note(text: str) -> str:
    """A remark in small letters; nothing for no text."""
    return f'<p class="bsig-note">{html.escape(text)}</p>' if text else ""
