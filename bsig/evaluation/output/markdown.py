"""The shipped results as Markdown: what the README quotes, row by row, from `checkpoints/*/results.json`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bsig.evaluation.config import text_of_class_map
from bsig.evaluation.metrics.catalogue import ARROWS, BLIND_TITLES, METRICS
from bsig.evaluation.output.shipped import read_results, table_of
from bsig.evaluation.output.words import beyond_untrained, counts_text, drop_warning

ROWS = (
    "own_area", "absent_area", "absent_area_at_own_70", "cell_precision", "cell_precision_siblings",
    "cell_precision_own", "inside_auc", "box_iou", "mosaic", "mosaic_quarter", "mosaic_precision", "gt_known",
    "top1_loc", "max_box_acc_v2", "pxap",
)  # fmt: skip
PAGE_ROWS = (*ROWS, "average_drop", "increase_in_confidence")
COLUMNS = (
    "softmax", "sigmoid", "softmax*levelled", "softmax+fitted", "delta-0.01", "softmax*sigmoid", "competition",
    "window-log-p", "sigmoid-window",
)  # fmt: skip
TITLES = {
    "softmax": "softmax", "sigmoid": "sigmoid", "softmax+fitted": "softmax, one fitted bias",
    "delta-0.01": "untrained delta −0.01", "softmax*levelled": "softmax, levelled",
    "sigmoid*levelled": "sigmoid, levelled",
    "competition": "untrained competition 0.25", "softmax*presence": "softmax map × q",
    "softmax*log-p": "softmax + 2 log p", "window-log-p": "softmax + log p in a window",
    "softmax-window": "softmax, levelled in a window", "sigmoid-window": "sigmoid, levelled in a window",
    "centred*log-odds": "moved to softmax's log-odds", "centred*sigmoid-logit": "moved to the sigmoid's logit",
    "softmax*sigmoid": "softmax map × sigmoid probability",
    "centred": "class-centred", "full-box": "full-image box", "centred-box": "centred box",
    "centred-gaussian": "centred Gaussian", "random": "random map", "random-head": "random head",
    "features": "sum of features",
}  # fmt: skip
READINGS = ("sigmoid*levelled", "centred*sigmoid-logit", "centred*log-odds", "softmax*log-p", "softmax-window")
BASELINES = ("centred", "features", "random-head", *BLIND_TITLES)


def results_markdown(checkpoints: Sequence[Path]) -> str:
    """All tables of signed CAM as Markdown: a section for each checkpoint and data set."""
    return "\n\n".join(section(run) for folder in checkpoints for run in read_results(folder))


def main_table(run: Mapping[str, Any], columns: Sequence[str] = COLUMNS, rows: Sequence[str] = ROWS) -> str:
    """The table of signed CAM: which question a row answers, a column a head, the branch's paired difference."""
    by_key = table_of(run, "cam", "signed")["columns"]
    keys = [key for key in columns if key in by_key]
    head = [*keys[:2], "sigmoid − softmax [95 %]", *keys[2:]]
    titles = ["question", *(TITLES.get(key, key) for key in head)]
    lines = [_row(f"{counts_text(run['counts'])}, `cam`, signed", titles), _row("---", ["---"] * len(titles))]
    for key in rows:
        if key not in by_key["softmax"]["metrics"]:
            continue
        cells = [_value(by_key[column]["metrics"].get(key)) for column in keys]
        cells.insert(2, _difference(by_key["sigmoid"]["metrics"].get(key)))
        metric = METRICS[key]
        lines.append(_row(f"{metric.title} {ARROWS[metric.better]}".rstrip(), [metric.question, *cells]))
    if "softmax+fitted" in keys:  # not below baselines that are no classifiers
        accuracy = run["accuracy"]
        cells = [_value(accuracy["softmax_top1"]), _value(accuracy["sigmoid_top1"]), _difference(accuracy)]
        cells += ["as softmax"] * (len(head) - 3)
        lines.append(_row("top-1 of the branch as a classifier ↑", ["whether", *cells]))
    return "\n".join(lines)


def _row(title: str, cells: Iterable[str]) -> str:
    return f"| {' | '.join([title, *cells])} |"


def section(run: Mapping[str, Any]) -> str:
    """One run with its heading: the main table, what the branch adds, other readings, baselines."""
    table = table_of(run, "cam", "signed")
    tables = [
        f"## {run['checkpoint']} on {run['data']} ({run['split']})",
        main_table(run, rows=PAGE_ROWS),
        *filter(None, [beyond_untrained(table), drop_warning(table) or _without_drops(run)]),
        *_readings(run, table),
        "Baselines, the same rows:",
        main_table(run, ("softmax", "sigmoid", *BASELINES), PAGE_ROWS),
    ]
    return "\n\n".join(tables)


def _without_drops(run: Mapping[str, Any]) -> str:
    """That average drop was not measured, and the command that measures it."""
    class_map = run["settings"].get("class_map")
    names = f" --class-map {shlex.quote(text_of_class_map(class_map))}" if class_map else ""
    return (
        f"Average drop and increase in confidence were not measured here: `python -m bsig evaluate {run['data']} "
        f"--split {run['split']} --checkpoint {run['checkpoint']} --drop-pictures {run['counts']['used']}{names}` "
        "measures them."
    )


def _readings(run: Mapping[str, Any], table: Mapping[str, Any]) -> list[str]:
    """The table of the other readings, with its heading; nothing for results that were measured before them."""
    if not set(READINGS) & set(table["columns"]):
        return []
    return ["Other readings, the same rows:", main_table(run, ("softmax", "sigmoid", *READINGS), PAGE_ROWS)]


def _value(estimate: Mapping[str, Any] | None) -> str:
    return "" if not estimate or estimate["value"] is None else f"{estimate['value']:.3f}"


def _difference(estimate: Mapping[str, Any] | None) -> str:
    difference = (estimate or {}).get("difference")
    if not difference or difference["low"] is None:
        return ""
    return f"{difference['value']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]"
