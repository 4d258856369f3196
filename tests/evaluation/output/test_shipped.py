"""Results that travel with a checkpoint: small, complete up to rounding, refused in words, true to a fresh run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bsig import list_checkpoints, load_checkpoint
from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.evaluate import evaluate
from bsig.evaluation.metrics.catalogue import METRICS
from bsig.evaluation.output.shipped import compact, expanded, read_results, results_text, shipped_runs, short_results
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import RESULTS
from bsig.model.checkpoints.save import check_target

SHIPPED = [path.parent for path in sorted(CHECKPOINTS_FOLDER.glob(f"*/{RESULTS}"))]
MOST_BYTES = 1_000_000
needs_shipped = pytest.mark.skipif(not SHIPPED, reason="no checkpoint here ships results")


def test_what_is_written_is_what_was_measured_up_to_rounding(results: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / RESULTS).write_text(results_text([compact(results)], results["metrics"], "a test"))
    (run,) = read_results(tmp_path)
    for before, after in zip(results["tables"], run["tables"], strict=True):
        assert (before["method"], before["weights"]) == (after["method"], after["weights"])
        for name, column in before["columns"].items():
            for key, number in column["metrics"].items():
                estimate = after["columns"][name]["metrics"][key]
                assert estimate["n"] == number["n"]
                for part in ("value", "low", "high"):
                    expected = None if number[part] is None else pytest.approx(number[part], rel=2e-3, abs=1e-9)
                    assert estimate[part] == expected, (name, key)
        assert [row["key"] for row in after["differ_most"]["sigmoid_better"]] == [
            row["key"] for row in before["differ_most"]["sigmoid_better"]
        ]
    assert run["accuracy"]["softmax_top1"]["value"] == pytest.approx(
        results["accuracy"]["softmax_top1"]["value"], rel=1e-3
    )


def test_equal_tables_are_only_named(results: dict[str, Any]) -> None:
    tables = {(table["method"], table["weights"]): table for table in compact(results)["tables"]}
    assert tables["grad-cam", "signed"]["like"]["method"] == "cam"
    assert tables["layer-cam", "signed"]["like"] == {"method": "cam", "weights": "nonnegative",
                                                     "mass_factor": pytest.approx(1 / 49)}  # fmt: skip
    assert "like" not in tables["cam", "nonnegative"]
    assert "columns" not in tables["eigen-cam", "nonnegative"]


def test_the_short_form_is_signed_cam(results: dict[str, Any]) -> None:
    assert [(table["method"], table["weights"]) for table in short_results(results)["tables"]] == [("cam", "signed")]


def test_a_checkpoint_without_results_has_none(tmp_path: Path) -> None:
    assert read_results(tmp_path) == []


def test_results_beside_the_tensors_are_part_of_a_checkpoint_folder(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(CHECKPOINTS_FOLDER / "birds10-efficientnet_lite0", folder)
    (folder / RESULTS).write_text("{}")
    check_target(folder)  # may be replaced
    assert [row["name"] for row in list_checkpoints(tmp_path)] == ["copy"]
    assert load_checkpoint(folder).num_classes == 10


def test_each_checkpoint_is_measured_where_it_has_the_classes() -> None:
    assert [run.data for run in shipped_runs(load_checkpoint())] == ["imagenet20", "shapes5"]
    assert [run.data for run in shipped_runs(load_checkpoint("birds10-efficientnet_lite0"))] == ["birds10"]


@needs_shipped
@pytest.mark.parametrize("folder", SHIPPED, ids=lambda path: path.name)
def test_shipped_results_are_small_whole_and_of_these_tensors(folder: Path) -> None:
    assert (folder / RESULTS).stat().st_size < MOST_BYTES
    described = json.loads((folder / "checkpoint.json").read_text())
    for run in read_results(folder):
        assert run["checkpoint_sha256"] == described["tensors_sha256"], "made before the checkpoint was trained again"
        names = {(table["method"], table["weights"]) for table in run["tables"]}
        if folder.name.endswith("lite2"):  # measured with --quick
            assert names == {("cam", "signed")}
        else:
            assert names == {(key, weights) for key in CAM_METHODS if key != "score-cam" for weights in TREATMENTS}
        for table in run["tables"]:
            for column in table["columns"].values():
                assert set(column["metrics"]) <= set(METRICS)
            assert len(table["differ_most"]["softmax_better"]) <= 8


@needs_shipped
def test_a_slice_measured_again_lies_within_the_shipped_numbers(shared_data: Path) -> None:
    """The pictures of the gallery are scored again: each one's AUC in both branches is the one that ships."""
    folder = next(path for path in SHIPPED if path.name.startswith("birds10"))
    (run,) = read_results(folder)
    table = next(each for each in run["tables"] if (each["method"], each["weights"]) == ("cam", "signed"))
    rows = [*table["differ_most"]["softmax_better"][:3], *table["differ_most"]["sigmoid_better"][:2]]
    every = read_dataset(shared_data / "birds10", "val")
    for row in rows:
        (sample,) = [each for each in every.samples if each.key == row["key"]]
        images = LabelledImages("birds10", "val", (sample,))
        part = evaluate(load_checkpoint(folder), images, EvaluationConfig(mosaics=0, resamples=5))
        for branch in ("softmax", "sigmoid"):
            value = part["tables"][0]["columns"][branch]["metrics"]["inside_auc"]["value"]
            assert value == pytest.approx(row[branch], abs=2e-3)


def test_expanding_keeps_the_runs_own_entries(results: dict[str, Any]) -> None:
    whole = expanded(compact(results), results["metrics"])
    assert whole["settings"] == results["settings"]
    assert whole["counts"]["used"] == 6
