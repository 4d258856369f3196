"""The shipped results as Markdown: what the README quotes, row by row, from `checkpoints/*/results.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bsig.evaluation.metrics.catalogue import ARROWS, BLIND_TITLES, METRICS
from bsig.evaluation.output.shipped import read_results, table_of

ROWS = (
    "own_area", "absent_area", "absent_area_at_own_70", "inside_auc", "box_iou", "mosaic", "mosaic_quarter",
    "gt_known", "top1_loc", "max_box_acc_v2", "pxap",
)  # fmt: skip
COLUMNS = ("softmax", "sigmoid", "softmax+fitted", "delta-0.01", "softmax*sigmoid")
TITLES = {
    "softmax": "softmax", "sigmoid": "sigmoid", "softmax+fitted": "softmax, one fitted bias",
    "delta-0.01": "untrained delta −0.01", "softmax*sigmoid": "softmax map × sigmoid probability",
    "centred": "class-centred", "full-box": "full-image box", "centred-box": "centred box",
    "centred-gaussian": "centred Gaussian", "random": "random map", "random-head": "random head",
    "features": "sum of features",
}  # fmt: skip
BASELINES = ("centred", "features", "random-head", *BLIND_TITLES)


def results_markdown(checkpoints: Sequence[Path]) -> str:
    """All tables of signed CAM as Markdown: a section for each checkpoint and data set."""
    return "\n\n".join(_section(run) for folder in checkpoints for run in read_results(folder))


def main_table(run: Mapping[str, Any], columns: Sequence[str] = COLUMNS) -> str:
    """The table of signed CAM: rows of `ROWS`, a column a head, and the sigmoid branch's paired difference."""
    by_key = table_of(run, "cam", "signed")["columns"]
    keys = [key for key in columns if key in by_key]
    head = [*keys[:2], "sigmoid − softmax [95 %]", *keys[2:]]
    lines = [
        _row(f"{run['counts']['used']} pictures, `cam`, signed", (TITLES.get(key, key) for key in head)),
        _row("---", ["---"] * len(head)),
    ]
    for key in ROWS:
        if key not in by_key["softmax"]["metrics"]:
            continue
        cells = [_value(by_key[column]["metrics"].get(key)) for column in keys]
        cells.insert(2, _difference(by_key["sigmoid"]["metrics"].get(key)))
        lines.append(_row(f"{METRICS[key].title} {ARROWS[METRICS[key].better]}".rstrip(), cells))
    if "softmax+fitted" in keys:  # not below baselines that are no classifiers
        accuracy = run["accuracy"]
        cells = [_value(accuracy["softmax_top1"]), _value(accuracy["sigmoid_top1"]), _difference(accuracy)]
        cells += ["as softmax"] * (len(head) - 3)
        lines.append(_row("top-1 of the branch as a classifier ↑", cells))
    return "\n".join(lines)


def _row(title: str, cells: Iterable[str]) -> str:
    return f"| {' | '.join([title, *cells])} |"


def _section(run: Mapping[str, Any]) -> str:
    tables = [
        f"## {run['checkpoint']} on {run['data']} ({run['split']})",
        main_table(run),
        "Baselines, the same rows:",
        main_table(run, ("softmax", "sigmoid", *BASELINES)),
    ]
    return "\n\n".join(tables)


def _value(estimate: Mapping[str, Any] | None) -> str:
    return "" if not estimate or estimate["value"] is None else f"{estimate['value']:.3f}"


def _difference(estimate: Mapping[str, Any] | None) -> str:
    difference = (estimate or {}).get("difference")
    if not difference or difference["low"] is None:
        return ""
    return f"{difference['value']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]"
