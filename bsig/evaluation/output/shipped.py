"""Results that travel with a checkpoint: `results.json` beside its tensors, small, with everything a screen shows.

    {"format_version": 1, "made_by": ..., "metrics": {...}, "runs": [an evaluation each, without what repeats]}

Numbers are rounded to four digits. A table that equals another one up to the unit of its maps (`map_sources.py`) only
names it. Curves that no screen draws and sentences about single files stay in `evaluate --out`. `results_file.py` says
what the file must hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.metrics.catalogue import IN_THE_MAPS_UNIT
from bsig.evaluation.output.results_file import FORMAT_VERSION, Number, parsed_results
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.names import RESULTS
from bsig.model.dual_branch import DualBranch

DIGITS = 4
MAX_BYTES = 16 * 2**20
SENTENCES_KEPT = 5
WHOLE_SET = 10**6
KEPT = ("checkpoint", "checkpoint_sha256", "backbone", "branch", "data", "split", "settings", "counts", "accuracy",
        "versions")  # fmt: skip
ESTIMATE = ("value", "low", "high", "n")
TABLE_NAMES = ("method", "weights", "treatment", "unit")
TABLE_ADDED = ("beyond_untrained",)
"""What tables of older files lack."""
OF_CAM_ALONE = ("delta", "competition", "window", "softmax-", "sigmoid-")
TABLE_KEPT = ("columns", "localization_curves", "delta_curve", "by_class", "differ_most")


@dataclass(frozen=True)
class ShippedRun:
    """One data set that a checkpoint is measured on.

    Attributes:
        data: name of its folder.
        some_class: one of its classes, by the id or name of the model: checkpoints that have it are measured on it.
        class_map: the model's classes that the set's stand for, where names do not match.
        faithfulness: pictures that are scored for it; average drop is measured on all.
    """

    data: str
    some_class: str
    class_map: dict[str, str] = field(default_factory=dict)
    faithfulness: int = 0

    @property
    def config(self) -> EvaluationConfig:
        """All methods and treatments.

        Score-CAM is left out: it runs the network 1,280 times a map, days for a table. Faithfulness costs some 40 runs
        a map: CAM alone.
        """
        return EvaluationConfig(
            methods=tuple(key for key, method in CAM_METHODS.items() if not method.is_slow),
            weights=tuple(TREATMENTS),
            faithfulness=self.faithfulness,
            faithfulness_methods=("cam",),
            drop_pictures=WHOLE_SET if self.faithfulness else 0,
            class_map=self.class_map,
        )

    @property
    def quick_config(self) -> EvaluationConfig:
        """Signed CAM alone, without the scores that run the network again for each map."""
        return EvaluationConfig(class_map=self.class_map)


SHIPPED_RUNS = (
    ShippedRun("imagenet20", "n02123045", faithfulness=16),
    ShippedRun("shapes5", "n02690373",
               {"airplane": "404", "bicycle": "671", "boat": "814", "car": "817", "motorbike": "670"}),
    ShippedRun("birds10", "001.Black_footed_Albatross"),
)  # fmt: skip


def shipped_runs(model: DualBranch) -> list[ShippedRun]:
    """The data sets whose classes the checkpoint has."""
    return [run for run in SHIPPED_RUNS if run.some_class in {*model.class_ids, *model.class_names}]


def short_results(results: Mapping[str, Any]) -> dict[str, Any]:
    """The results with the table of signed CAM alone: what `checkpoint.json` keeps."""
    return {**results, "tables": [table_of(results, "cam", "signed")]}


def table_of(results: Mapping[str, Any], method: str, weights: str) -> Mapping[str, Any]:
    """The table of a method and a treatment.

    Raises:
        ValueError: there is none.
    """
    for table in results["tables"]:
        if (table["method"], table["weights"]) == (method, weights):
            return table
    raise ValueError(f"no table of {method}, {weights}")


def compact(results: Mapping[str, Any]) -> dict[str, Any]:
    """One evaluation without what repeats: estimates as lists, equal tables named."""
    run = {key: results[key] for key in KEPT}
    run["counts"] = {**run["counts"], "sentences": run["counts"]["sentences"][:SENTENCES_KEPT]}
    run["accuracy"] = {key: _numbers(estimate) for key, estimate in run["accuracy"].items()}
    whole: list[tuple[Mapping[str, Any], dict[str, Any]]] = []
    tables = []
    for table in results["tables"]:
        entry = {key: table[key] for key in TABLE_NAMES}
        body = _rounded({key: table[key] for key in (*TABLE_KEPT, *TABLE_ADDED) if key in table})
        body["columns"] = {
            key: column | {"metrics": {name: _numbers(estimate) for name, estimate in column["metrics"].items()}}
            for key, column in table["columns"].items()
        }
        likeness = _without_unit(body)
        twin = next((other for other, other_likeness in whole if other_likeness == likeness), None)
        if twin:
            factor = _mass_factor(table, twin)
            entry["like"] = {"method": twin["method"], "weights": twin["weights"], "mass_factor": factor}
        else:
            whole.append((table, likeness))
            entry |= body
        tables.append(entry)
    return {**run, "tables": tables}


def expanded(run: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The results that `compact` was given, rounded and without what is not kept.

    Raises:
        ValueError: a table names another one that is not there.
    """
    tables = [_expanded_table(run, table) for table in run["tables"]]
    accuracy = {key: _estimate(numbers) for key, numbers in run["accuracy"].items()}
    return {**run, "accuracy": accuracy, "tables": tables, "metrics": dict(metrics)}


def _expanded_table(run: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    like = table.get("like")
    body, factor = (table_of(run, like["method"], like["weights"]), like["mass_factor"]) if like else (table, 1.0)
    absent = [key for key in TABLE_KEPT if key not in body]
    if absent:
        raise ValueError(f"no {absent[0]}")
    columns = {
        key: {"title": column["title"], "metrics": {
            name: _estimate(numbers, factor if name in IN_THE_MAPS_UNIT else 1.0)
            for name, numbers in column["metrics"].items()
        }}
        for key, column in body["columns"].items()
    }  # fmt: skip
    names = {key: table[key] for key in TABLE_NAMES}
    entries = {key: body[key] for key in (*TABLE_KEPT, *TABLE_ADDED) if key in body}
    return names | entries | {"columns": columns}


def results_text(runs: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any], made_by: str) -> str:
    """The text of `results.json`: a table on a line, so that changes can be read."""
    head = {"format_version": FORMAT_VERSION, "made_by": made_by, "metrics": metrics}
    texts = []
    for run in runs:
        entries = {key: value for key, value in run.items() if key != "tables"}
        tables = [json.dumps(table, ensure_ascii=False, separators=(",", ":")) for table in run["tables"]]
        texts.append(json.dumps(entries, ensure_ascii=False)[:-1] + ', "tables": [\n' + ",\n".join(tables) + "\n]}")
    return json.dumps(head, ensure_ascii=False)[:-1] + ', "runs": [\n' + ",\n".join(texts) + "\n]}\n"


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The evaluations that ship with a checkpoint, expanded; none where there is no such file.

    Raises:
        InputError: the file is not what `results_text` writes.
    """
    file = folder / RESULTS
    if not file.is_file():
        return []
    name = f"checkpoint '{folder.name}': {RESULTS}"
    if file.stat().st_size > MAX_BYTES:
        raise InputError(f"{name} is over {MAX_BYTES >> 20} MB; make it again.")
    results = parsed_results(file.read_bytes(), name)
    try:
        return [expanded(run, results["metrics"]) for run in results["runs"]]
    except ValueError as error:
        raise InputError(
            f"{name} cannot be read ({error}); copy it again or make it again with evaluate-shipped."
        ) from error


def _numbers(estimate: Mapping[str, Any]) -> list[Number]:
    """`[value, low, high, n]`, and the same four of the difference behind them where there is one."""
    estimates = [estimate, difference] if (difference := estimate.get("difference")) else [estimate]
    return _rounded([part[name] for part in estimates for name in ESTIMATE])


def _estimate(numbers: Sequence[Number], factor: float = 1.0) -> dict[str, Any]:
    """The inverse of `_numbers`, all but the counts multiplied by a factor."""
    scaled = [number if number is None or at % 4 == 3 else number * factor for at, number in enumerate(numbers)]
    estimate: dict[str, Any] = dict(zip(ESTIMATE, scaled[:4], strict=True))
    if len(scaled) > 4:
        estimate["difference"] = dict(zip(ESTIMATE, scaled[4:], strict=True))
    return estimate


def _without_unit(body: dict[str, Any]) -> dict[str, Any]:
    """What is compared: all but evidence in the map's own unit, and columns that stand in one table alone."""
    columns = {
        key: {name: numbers for name, numbers in column["metrics"].items() if name not in IN_THE_MAPS_UNIT}
        for key, column in body["columns"].items()
        if not key.startswith(OF_CAM_ALONE) and "+" not in key
    }
    return {"columns": columns, "curves": body["localization_curves"].get("sigmoid"), "by_class": body["by_class"]}


def _mass_factor(table: Mapping[str, Any], twin: Mapping[str, Any]) -> float:
    """How many times the twin's unit this table's unit is."""
    mass, twin_mass = (each["columns"]["softmax"]["metrics"]["own_mass"]["value"] for each in (table, twin))
    return mass / twin_mass if twin_mass else 1.0


def _rounded(value: Any) -> Any:
    """The same with every float at `DIGITS` significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return value
