"""Measure both branches: does zero mean something, does the map know its class, where does it look, at what accuracy.

    config = EvaluationConfig(methods=("cam",), weights=("signed",))
    results = evaluate(model, read_dataset("imagenet20", "val"), config)
    print(format_table(results))          # bsig.evaluation.output.text

For each method and treatment one table: its columns are `columns.py`, its rows `METRICS`. Every number has a 95 %
interval over pictures, and its difference to the softmax column a paired one.

Memory does not grow with methods and treatments: parts lie on disk (`passes/measure.py`), tables read one map of all
pictures at a time.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bsig.evaluation.columns import CURVE_DELTAS, DELTAS, columns_of
from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.map_sources import TableRequest
from bsig.evaluation.metrics.catalogue import METRICS
from bsig.evaluation.metrics.intervals import Estimate, estimate, mean_over
from bsig.evaluation.passes.measure import Progress, measure
from bsig.evaluation.passes.measurements import Measurements
from bsig.evaluation.passes.mosaics import MOSAIC_CONFIDENCE
from bsig.evaluation.passes.parts_on_disk import PartialResults
from bsig.evaluation.passes.presence import calibration_measures
from bsig.evaluation.passes.work import Work
from bsig.evaluation.tables import Tables
from bsig.explain.methods import cam_method
from bsig.inputs.counts import counted_classes
from bsig.inputs.datasets.classes import ClassMatch, match_classes
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.errors import InputError
from bsig.inputs.files import temporary_place
from bsig.model.dual_branch import DualBranch
from bsig.model.versions import library_versions
from bsig.training.processes import ALONE, Processes

FORMAT_VERSION = 1
SENTENCES_KEPT = 100


def evaluate(
    model: DualBranch,
    images: LabelledImages,
    config: EvaluationConfig = EvaluationConfig(),  # noqa: B008  frozen
    *,
    processes: Processes = ALONE,
    progress: Progress | None = None,
    partial: Path | None = None,
) -> dict[str, Any] | None:
    """All tables of one checkpoint on one split, ready for JSON; None in all processes but the first.

    Args:
        model: both branches.
        images: one split; boxes and masks are used where there are any.
        config: what is measured.
        processes: those that share the pictures.
        progress: called with about (done, total) forward passes.
        partial: folder for parts that are done; a run that was killed goes on from there, to the same numbers. It
            stays until the caller removes it. None for a temporary one.

    Raises:
        InputError: unknown method or treatment, one that this head does not allow, or no usable picture.
    """
    images = _sampled(images, config.limit, config.seed)
    match = class_match(model, images, config.class_map)
    absent_pool = range(model.num_classes) if config.absent_from == "model" else sorted(set(match.index_of.values()))
    most_present = _most_present(images, match)
    absent_count = _absent_count(config, absent_pool, most_present)
    siblings = sorted(set(match.index_of.values()))
    sibling_count = max(min(config.siblings_per_image, len(siblings) - most_present), 0)
    work = Work(
        model, images, match.index_of, table_requests(model, config), tuple(absent_pool), absent_count, tuple(siblings),
        sibling_count, config,
    )  # fmt: skip
    with ExitStack() as stack:

        def open_parts() -> PartialResults:
            folder = (
                partial
                or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bsig-", dir=temporary_place())))
                / "parts"
            )
            return PartialResults(folder, work.fingerprint())

        measurements = measure(work, open_parts, processes, progress)
        return _results(measurements, match) if measurements else None


def class_match(model: DualBranch, images: LabelledImages, class_map: Mapping[str, str]) -> ClassMatch:
    """The model's index of each class of the data set, through `class_map` where it names one."""
    return match_classes(images.class_names, model.class_names, model.class_ids, class_map)


def _sampled(images: LabelledImages, limit: int | None, seed: int) -> LabelledImages:
    """`limit` pictures, drawn over the whole split; all of them where `limit` is None or larger."""
    if limit is None or limit >= len(images.samples):
        return images
    positions = np.sort(np.random.default_rng(seed).choice(len(images.samples), limit, replace=False))
    return LabelledImages(images.name, images.split, tuple(images.samples[i] for i in positions))


def _most_present(images: LabelledImages, match: ClassMatch) -> int:
    """The number of classes in the picture that has most of them."""
    counts = (sum(name in match.index_of for name in sample.class_names) for sample in images.samples)
    return max(counts, default=1)


def _absent_count(config: EvaluationConfig, pool: Sequence[int], present: int) -> int:
    """How many absent classes every picture can be asked for, where one has so many that are present.

    Raises:
        InputError: the pool has one class alone, or a picture has all of it, so none is absent.
    """
    if not pool:  # no picture is usable either, and that sentence names the reason
        return 0
    if len(pool) < 2:
        raise InputError(f"`absent_from` gives {len(pool)} class; at least 2 are needed to ask for one that is absent.")
    if present >= len(pool):
        raise InputError(
            f"a picture holds {counted_classes(present)}, and `absent_from` gives {len(pool)}: none of them is absent; "
            "list fewer, or take `absent_from` (='model')."
        )
    return min(config.absent_per_image, len(pool) - present)


def table_requests(model: DualBranch, config: EvaluationConfig) -> tuple[TableRequest, ...]:
    """A table for each method and treatment.

    Raises:
        InputError: one of them is unknown, or cannot be evaluated with this head.
    """
    deltas = tuple(dict.fromkeys([*DELTAS, *(delta for delta in CURVE_DELTAS if delta)]))
    columns = columns_of(model, deltas, config.readings)  # heads are copies: made once, shared by all tables
    requests = []
    for key, treatment in itertools.product(dict.fromkeys(config.methods), dict.fromkeys(config.weights)):
        fitting = {name: column for name, column in columns.items() if column.fits(key, treatment)}
        request = TableRequest(cam_method(key), treatment, fitting)
        request.source("softmax")  # refuses what cannot be evaluated before anything is computed
        requests.append(request)
    return tuple(requests)


def _results(measurements: Measurements, match: ClassMatch) -> dict[str, Any]:
    work, model = measurements.work, measurements.work.model
    tables = Tables(measurements)
    return {
        "format_version": FORMAT_VERSION,
        "checkpoint": model.name,
        "checkpoint_sha256": model.metadata.get("tensors_sha256"),
        "backbone": model.backbone_name,
        "branch": model.branch_kind,
        "data": work.images.name,
        "split": work.images.split,
        "settings": _settings(measurements),
        "softmax_weight_std": float(model.softmax_head.last_linear.weight.detach().std()),
        "counts": _counts(measurements, match),
        "accuracy": _accuracy(measurements, tables.picture_draws),
        "calibration": _calibration(measurements, tables.picture_draws),
        "metrics": {key: asdict(metric) for key, metric in METRICS.items()},
        "tables": [tables.table(request) for request in work.requests],
        "versions": library_versions(),
    }


def _settings(measurements: Measurements) -> dict[str, Any]:
    """The settings, with what was possible in place of what was asked for."""
    work, scored_pictures = measurements.work, len(measurements.faithful)
    return {
        **work.config.to_json(),
        "engine": work.model.engine,
        "crop_mode": "squash",
        "input_size_hw": list(work.model.preprocessing.input_size_hw),
        "grid_hw": list(measurements.coverage.shape[1:]),
        "absent_per_image": work.absent_count,
        "siblings_per_image": work.sibling_count,
        "mosaic_confidence": MOSAIC_CONFIDENCE,
        "faithfulness": scored_pictures,
        "faithfulness_methods": list(work.faithful_methods) if scored_pictures else [],
    }


def _counts(measurements: Measurements, match: ClassMatch) -> dict[str, Any]:
    images, notes = measurements.work.images, measurements.notes
    pictures, classes = len(measurements.picture_positions), len(measurements.labels)
    return {
        "listed": len(images.samples),
        "used": pictures,
        **({"present_classes": classes} if classes > pictures else {}),
        "unreadable": len(notes.unreadable),
        "of_unmatched_classes": sum(not sample.of_classes(match.index_of) for sample in images.samples),
        "without_boxes_or_mask": int(np.isnan(measurements.coverage[:, 0, 0]).sum()),
        "with_boxes": len(measurements.boxed),
        "with_mask": len(measurements.masked),
        "boxes_or_masks_cut_or_left_out": len(notes.regions),
        "mosaics": len(measurements.mosaics),
        "unmatched_classes": list(match.unmatched),
        "sentences": [*notes.unreadable, *notes.regions][:SENTENCES_KEPT],
    }


def _calibration(measurements: Measurements, draws: np.ndarray) -> dict[str, Any]:
    """How well the sigmoid branch's probabilities of presence hold; `calibrated` is left out where none is known."""
    kinds = ("class_balanced", "calibrated") if measurements.work.model.presence else ("class_balanced",)
    return {
        kind: calibration_measures(
            measurements.rows(f"presence {kind}"), measurements.rows(f"presence bins {kind}"), draws
        )
        for kind in kinds
    }


def _accuracy(measurements: Measurements, draws: np.ndarray) -> dict[str, Estimate]:
    softmax, sigmoid = (mean_over(measurements.rows(f"{branch}_top1"), draws) for branch in ("softmax", "sigmoid"))
    count = len(measurements.picture_positions)
    return {
        "softmax_top1": estimate(softmax, count),
        "sigmoid_top1": estimate(sigmoid, count),
        "difference": estimate(sigmoid - softmax, count),
    }
