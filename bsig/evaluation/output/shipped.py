"""Results that travel with a checkpoint: `results.json` beside its tensors, small, with everything a screen shows.

    {"format_version": 1, "made_by": ..., "metrics": {...}, "runs": [an evaluation each, without what repeats]}

Numbers are rounded to four digits. A table that equals another one up to the unit of its maps (`map_sources.py`) only
names it. Curves that no screen draws and sentences about single files stay in `evaluate --out`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.folder import RESULTS
from bsig.model.dual_branch import DualBranch

FORMAT_VERSION = 1
DIGITS = 4
MAX_BYTES = 16 * 2**20
SENTENCES_KEPT = 5
IN_THE_MAPS_UNIT = ("own_mass", "absent_mass")
KEPT = ("checkpoint", "checkpoint_sha256", "backbone", "branch", "data", "split", "settings", "counts", "accuracy",
        "versions")  # fmt: skip
TABLE_KEPT = ("columns", "localization_curves", "delta_curve", "by_class", "differ_most")
Numbers = list[Any]
SHIPPED_SETTINGS: dict[str, Any] = {
    "methods": tuple(key for key, method in CAM_METHODS.items() if not method.is_slow),
    "weights": tuple(TREATMENTS),
    "mosaics": 150,
    "faithfulness_methods": ("cam",),
}
"""Score-CAM runs the network 1,280 times a map: days for a table. Faithfulness costs some 40 runs a map: CAM alone."""


@dataclass(frozen=True)
class ShippedRun:
    """One data set that a checkpoint is measured on.

    Attributes:
        class_map: the model's classes that the set's stand for, where names do not match.
        faithfulness: pictures that are scored for it.
    """

    data: str
    class_map: dict[str, str]
    faithfulness: int = 0


SHIPPED_RUNS = (
    ShippedRun("imagenet20", {}, faithfulness=16),
    ShippedRun("shapes5", {"airplane": "404", "bicycle": "671", "boat": "814", "car": "817", "motorbike": "670"}),
    ShippedRun("birds10", {}),
)
A_CLASS_OF = {"imagenet20": "n02123045", "shapes5": "n02690373", "birds10": "001.Black_footed_Albatross"}


def shipped_runs(model: DualBranch) -> list[ShippedRun]:
    """The data sets whose classes the checkpoint has."""
    return [run for run in SHIPPED_RUNS if A_CLASS_OF[run.data] in {*model.class_ids, *model.class_names}]


def short_results(results: Mapping[str, Any]) -> dict[str, Any]:
    """What `checkpoint.json` keeps: the table of signed CAM."""
    tables = [table for table in results["tables"] if (table["method"], table["weights"]) == ("cam", "signed")]
    return {**results, "tables": tables}


def compact(results: Mapping[str, Any]) -> dict[str, Any]:
    """One evaluation without what repeats: estimates as lists, equal tables named."""
    run = {key: results[key] for key in KEPT}
    run["counts"] = {**run["counts"], "sentences": run["counts"]["sentences"][:SENTENCES_KEPT]}
    run["accuracy"] = {key: _numbers(found) for key, found in run["accuracy"].items()}
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []
    tables = []
    for table in results["tables"]:
        said = {key: table[key] for key in ("method", "weights", "treatment", "unit")}
        body = _rounded({key: _body(key, table[key]) for key in TABLE_KEPT})
        without_unit = _without_unit(body)
        twin = next((names for names, other in seen if other == without_unit), None)
        if twin:
            said["like"] = {**twin, "mass_factor": _mass_factor(table, _found(results, **twin))}
        else:
            seen.append(({"method": table["method"], "weights": table["weights"]}, without_unit))
            said |= body
        tables.append(said)
    return {**run, "tables": tables}


def expanded(run: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """As `bsig.evaluation.evaluate.evaluate` gave it, rounded and without what is not kept."""
    tables: list[dict[str, Any]] = []
    for said in run["tables"]:
        like = said.get("like")
        body = said
        factor = 1.0
        if like:
            body, factor = _found(run, like["method"], like["weights"]), like["mass_factor"]
        columns = {
            key: {"title": column["title"], "metrics": {
                name: _estimate(numbers, factor if name in IN_THE_MAPS_UNIT else 1.0)
                for name, numbers in column["metrics"].items()
            }}
            for key, column in body["columns"].items()
        }  # fmt: skip
        names = {key: said[key] for key in ("method", "weights", "treatment", "unit")}
        tables.append(names | {key: body[key] for key in TABLE_KEPT if key != "columns"} | {"columns": columns})
    accuracy = {key: _estimate(numbers) for key, numbers in run["accuracy"].items()}
    return {**run, "accuracy": accuracy, "tables": tables, "metrics": dict(metrics)}


def written_results(runs: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any], made_by: str) -> str:
    """The text of `results.json`: a run's tables on a line each, so that changes can be read."""
    head = {"format_version": FORMAT_VERSION, "made_by": made_by, "metrics": metrics}
    lines = [json.dumps(head, ensure_ascii=False)[:-1] + ', "runs": [']
    for at, run in enumerate(runs):
        said = {key: value for key, value in run.items() if key != "tables"}
        lines.append(json.dumps(said, ensure_ascii=False)[:-1] + ', "tables": [')
        rows = [json.dumps(table, ensure_ascii=False, separators=(",", ":")) for table in run["tables"]]
        lines.append(",\n".join(rows))
        lines.append("]}" + ("," if at + 1 < len(runs) else ""))
    return "\n".join([*lines, "]}"]) + "\n"


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The evaluations that ship with a checkpoint, expanded; none where there is no such file.

    Raises:
        InputError: the file is not what `written_results` wrote.
    """
    file = folder / RESULTS
    if not file.is_file():
        return []
    if file.stat().st_size > MAX_BYTES:
        raise InputError(f"checkpoint '{folder.name}': {RESULTS} is over {MAX_BYTES >> 20} MB; make it again.")
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        is_newer = said["format_version"] > FORMAT_VERSION
        runs = [] if is_newer else [expanded(run, said["metrics"]) for run in said["runs"]]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, StopIteration, RecursionError) as error:
        raise InputError(
            f"checkpoint '{folder.name}': {RESULTS} cannot be read ({type(error).__name__}); copy it again or make it "
            "again with evaluate-shipped."
        ) from error
    if is_newer:
        raise InputError(
            f"checkpoint '{folder.name}': {RESULTS} has `format_version` (={said['format_version']}), newer than "
            f"{FORMAT_VERSION}; update bsig to read it."
        )
    return runs


def _found(results: Mapping[str, Any], method: str, weights: str) -> Mapping[str, Any]:
    return next(one for one in results["tables"] if (one["method"], one["weights"]) == (method, weights))


def _body(key: str, value: Any) -> Any:
    if key != "columns":
        return value
    return {
        name: {
            "title": column["title"],
            "metrics": {metric: _numbers(found) for metric, found in column["metrics"].items()},
        }
        for name, column in value.items()
    }


def _numbers(found: Mapping[str, Any]) -> Numbers:
    """`[value, low, high, n]`, and the same three of the difference behind them where there is one."""
    numbers = [found["value"], found["low"], found["high"], found["n"]]
    difference = found.get("difference")
    if difference:
        numbers += [difference["value"], difference["low"], difference["high"], difference["n"]]
    return _rounded(numbers)


def _estimate(numbers: Numbers, factor: float = 1.0) -> dict[str, Any]:
    def part(four: Numbers) -> dict[str, Any]:
        *values, count = four
        scaled = [None if value is None else value * factor for value in values]
        return dict(zip(("value", "low", "high"), scaled, strict=True)) | {"n": count}

    found = part(numbers[:4])
    return found | {"difference": part(numbers[4:8])} if len(numbers) > 4 else found


def _without_unit(body: dict[str, Any]) -> dict[str, Any]:
    """What is compared: all but evidence in the map's own unit, and columns that stand in one table alone."""
    columns = {
        key: {name: numbers for name, numbers in column["metrics"].items() if name not in IN_THE_MAPS_UNIT}
        for key, column in body["columns"].items()
        if not key.startswith("delta") and "+" not in key
    }
    return {"columns": columns, "curves": body["localization_curves"].get("sigmoid"), "by_class": body["by_class"]}


def _mass_factor(table: Mapping[str, Any], twin: Mapping[str, Any]) -> float:
    own, other = (one["columns"]["softmax"]["metrics"]["own_mass"]["value"] for one in (table, twin))
    return own / other if other else 1.0


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value
