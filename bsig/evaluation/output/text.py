"""An evaluation's numbers as a text that a person can read, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from bsig.evaluation.metrics.intervals import excludes_zero
from bsig.evaluation.output.words import NO_REGIONS, beyond_untrained, counts_text, drop_warning
from bsig.inputs.counts import counted
from bsig.inputs.datasets.classes import first_names

COLUMNS_ABREAST = 6
ARROWS = {"higher": "^", "lower": "v", "neither": " "}


def format_table(results: dict[str, Any]) -> str:
    """All tables of `evaluate.py`'s results: a row a metric, a column a head, 95 % intervals below."""
    lines = [*_head(results), *(line for table in results["tables"] for line in _table(table, results))]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _head(results: dict[str, Any]) -> list[str]:
    counts, accuracy, settings = results["counts"], results["accuracy"], results["settings"]
    difference = accuracy["difference"]
    lines = [
        f"{results['checkpoint']} ({results['branch']} branch) on {results['data']} ({results['split']}): "
        f"{counts['used']} of {counted(counts['listed'], 'picture')}, {_present_classes(counts)}"
        f"{counts['with_boxes']} with boxes, {counts['with_mask']} with a mask, {counted(counts['mosaics'], 'mosaic')}",
    ]
    for key, text in (
        ("unreadable", "unreadable"),
        ("of_unmatched_classes", "of classes that the checkpoint lacks"),
        ("boxes_or_masks_cut_or_left_out", "boxes or masks cut off or left out"),
    ):
        if counts[key]:
            names = f": {first_names(counts['unmatched_classes'], 5)}" if key == "of_unmatched_classes" else ""
            lines.append(f"left out: {counts[key]} {text}{names}")
    if not counts["with_boxes"] + counts["with_mask"]:
        lines.append(NO_REGIONS)
    return [
        *lines,
        *(f"  {sentence}" for sentence in counts["sentences"][:10]),
        f"top-1: softmax {_number(accuracy['softmax_top1'])}, sigmoid {_number(accuracy['sigmoid_top1'])}, "
        f"difference {difference['value']:+.3f} [{difference['low']:+.3f} {difference['high']:+.3f}]",
        f"{counted(settings['absent_per_image'], 'absent class', 'absent classes')} a picture, drawn from the "
        f"{settings['absent_from']}'s; "
        "pictures squashed to the input; 95 % intervals over pictures; * the difference to softmax excludes zero.",
        *_several_classes(counts),
        f"Better: {ARROWS['higher']} higher, {ARROWS['lower']} lower.",
    ]


def _table(table: dict[str, Any], results: dict[str, Any]) -> list[str]:
    names = list(table["columns"])
    several = f" ({counts_text(results['counts'])})" if "present_classes" in results["counts"] else ""
    lines = ["", f"{table['method']}, {table['weights']}: {table['treatment']}{several}"]
    for start in range(0, len(names), COLUMNS_ABREAST):
        lines += _block({name: table["columns"][name] for name in names[start : start + COLUMNS_ABREAST]}, results)
    return lines + [sentence for sentence in (beyond_untrained(table), drop_warning(table)) if sentence]


def _present_classes(counts: Mapping[str, Any]) -> str:
    key = "present_classes"
    return f"{counted(counts[key], 'present class', 'present classes')}, " if key in counts else ""


def _several_classes(counts: Mapping[str, Any]) -> list[str]:
    """What a row of the tables is a mean over, where pictures hold several classes."""
    if "present_classes" not in counts:
        return []
    return [
        "Each present class of a picture counts once, with its own boxes or mask; intervals draw pictures with all of "
        "their classes; top-1 is over pictures, right where the likeliest class is in the picture."
    ]


def _block(columns: dict[str, Any], results: dict[str, Any]) -> list[str]:
    metrics = [key for key in results["metrics"] if any(_is_measured(column, key) for column in columns.values())]
    widest = max((len(results["metrics"][key]["title"]) for key in metrics), default=0) + 4
    widths = {key: max(len(key), 13) + 2 for key in columns}
    lines = ["", " " * widest + "".join(key.rjust(widths[key] - 1) + " " for key in columns)]
    family = ""
    for key in metrics:
        metric = results["metrics"][key]
        if (heading := f"-- {metric['family']}: {metric['question']}") != family:
            family = heading
            lines.append(heading)
        estimates = {name: column["metrics"].get(key) for name, column in columns.items()}
        values = "".join(_cell(estimates[name]).rjust(widths[name]) for name in columns)
        intervals = "".join((_interval(estimates[name]) + " ").rjust(widths[name]) for name in columns)
        lines += [f"{ARROWS[metric['better']]} {metric['title']}".ljust(widest) + values, " " * widest + intervals]
    return lines + [f"   {name}: {column['title']}" for name, column in columns.items() if name != column["title"]]


def _is_measured(column: Mapping[str, Any], key: str) -> bool:
    return column["metrics"].get(key, {}).get("value") is not None


def _cell(estimate: Mapping[str, Any] | None) -> str:
    return _number(estimate) + ("*" if excludes_zero((estimate or {}).get("difference")) else " ")


def _number(estimate: Mapping[str, Any] | None) -> str:
    return "-" if estimate is None or estimate["value"] is None else f"{estimate['value']:.3f}"


def _interval(estimate: Mapping[str, Any] | None) -> str:
    return "" if estimate is None or estimate["low"] is None else f"{estimate['low']:.3f}-{estimate['high']:.3f}"


CSV_COLUMNS = ("method", "weights", "column", "metric", "better", "value", "low", "high", "n", "difference",
               "difference_low", "difference_high", "excludes_zero")  # fmt: skip


def csv_of(results: dict[str, Any]) -> str:
    """All numbers of all tables as CSV, one a line: value with its interval, difference to softmax with its own."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in results["tables"]:
        for key, column in table["columns"].items():
            for metric, estimate in column["metrics"].items():
                difference = estimate.get("difference") or {}
                names = [table["method"], table["weights"], key, metric, results["metrics"][metric]["better"]]
                numbers = [estimate[name] for name in ("value", "low", "high", "n")]
                numbers += [difference.get(name) for name in ("value", "low", "high")]
                writer.writerow([*names, *numbers, excludes_zero(difference) if difference else None])
    return text.getvalue()
