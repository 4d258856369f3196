"""Measure both branches: does zero mean something, does the map know its class, where does it look, at what accuracy.

    results = evaluate(model, read_dataset("imagenet20", "val"), methods=["cam"], weights=["signed"])
    print(format_table(results))          # bsig.evaluation.output.text

One pass over the pictures; for each method and treatment one table whose columns are `columns.py` and whose
rows are `METRICS`. Every number has a 95 % interval over pictures and its difference to the softmax
column a paired one. `results` is ready for JSON.

Memory does not grow with methods and treatments: parts lie on disk (`work.py`), tables read one map of all
pictures at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bsig.evaluation.columns import CURVE_DELTAS, DELTAS, columns_of
from bsig.evaluation.map_sources import Ask, source_of
from bsig.evaluation.metrics.catalogue import METRICS
from bsig.evaluation.metrics.intervals import RESAMPLES, Estimate, estimate, mean_over
from bsig.evaluation.passes.mosaics import MOSAIC_CONFIDENCE
from bsig.evaluation.passes.parts_on_disk import PartialResults
from bsig.evaluation.passes.pictures import Progress
from bsig.evaluation.passes.work import Measured, Work, measure
from bsig.evaluation.tables import Tables
from bsig.explain.methods import cam_method, clamps_weights
from bsig.inputs.datasets.datasets import ClassMatch, LabelledImages, match_classes
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.folder import library_versions
from bsig.model.dual_branch import DualBranch
from bsig.training.team import Team

FORMAT_VERSION = 1
SENTENCES_KEPT = 100


def evaluate(
    model: DualBranch,
    images: LabelledImages,
    *,
    methods: Sequence[str] = ("cam",),
    weights: Sequence[str] = ("signed",),
    absent_per_image: int = 10,
    absent_from: Literal["model", "data"] = "model",
    mosaics: int = 150,
    faithfulness: int = 0,
    faithfulness_methods: Sequence[str] | None = None,
    limit: int | None = None,
    class_map: Mapping[str, str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    batch_size: int = 32,
    progress: Progress | None = None,
    partial: Path | None = None,
) -> dict[str, Any]:
    """All tables of one checkpoint on one split, ready for JSON.

    Args:
        model: both branches.
        images: one split of a data set; boxes and masks are used where there are any.
        methods: keys of `CAM_METHODS`, without Score-CAM.
        weights: keys of `TREATMENTS`.
        absent_per_image: classes asked for that are not the picture's; fewer where the model has fewer.
        absent_from: draw them from all classes of the model or only from those of the data set.
        mosaics: of the grid pointing game; 0 leaves it out.
        faithfulness: pictures to score insertion, deletion, ROAD, drop and increase on, among those that softmax gets
            right; each costs some 40 forward passes a map. 0 leaves it out.
        faithfulness_methods: which methods' maps are scored on them; None for all.
        limit: only so many pictures, drawn over the whole split; None for all.
        class_map: class of the data set -> class of the model (name, id or index), where names do not match.
        resamples: draws of the intervals.
        seed: of absent classes, mosaics, draws and `limit`.
        batch_size: pictures a forward pass.
        progress: called with (done, total) forward passes, about: a mosaic counts as four pictures.
        partial: folder for parts that are done; a run that was killed goes on from there, to the same numbers. It
            stays until the caller removes it. None for a temporary one.

    Raises:
        InputError: unknown method or treatment, one that this head does not allow, or no usable picture.
    """
    results = evaluate_in_team(
        model, images, Team(),
        methods=methods, weights=weights, absent_per_image=absent_per_image, absent_from=absent_from, mosaics=mosaics,
        faithfulness=faithfulness, faithfulness_methods=faithfulness_methods, limit=limit, class_map=class_map,
        resamples=resamples, seed=seed, batch_size=batch_size, progress=progress, partial=partial,
    )  # fmt: skip
    return results or {}


def evaluate_in_team(
    model: DualBranch,
    images: LabelledImages,
    team: Team,
    *,
    methods: Sequence[str],
    weights: Sequence[str],
    absent_per_image: int = 10,
    absent_from: Literal["model", "data"] = "model",
    mosaics: int = 150,
    faithfulness: int = 0,
    faithfulness_methods: Sequence[str] | None = None,
    limit: int | None = None,
    class_map: Mapping[str, str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    batch_size: int = 32,
    progress: Progress | None = None,
    partial: Path | None = None,
) -> dict[str, Any] | None:
    """As `evaluate`, the pictures shared among the team's processes; results for the first, None for the others."""
    if resamples < 1 or batch_size < 1:
        raise InputError(f"`resamples` (={resamples}) and `batch_size` (={batch_size}) must be at least 1.")
    images = limited(images, limit, seed)
    match = matched(model, images, class_map)
    pool = range(model.num_classes) if absent_from == "model" else sorted(set(match.index_of.values()))
    asks = _asks(model, methods, weights)
    work = Work(
        model, images, match.index_of, asks, tuple(pool), _absent_count(absent_per_image, pool), max(mosaics, 0),
        max(faithfulness, 0), tuple(faithfulness_methods or methods), seed, batch_size,
    )  # fmt: skip
    with ExitStack() as stack:

        def open_parts() -> PartialResults:
            folder = partial or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bsig-"))) / "parts"
            return PartialResults(folder, work.fingerprint())

        measured = measure(work, open_parts, team, progress or _silent)
        if measured is None:
            return None
        settings = {
            "absent_from": absent_from, "class_map": dict(class_map or {}), "resamples": resamples, "limit": limit,
            "seed": seed,
        }  # fmt: skip
        return _results(measured, match, settings)


def _results(measured: Measured, match: ClassMatch, settings: dict[str, Any]) -> dict[str, Any]:
    work, model = measured.work, measured.work.model
    tables = Tables(measured, settings["resamples"])
    return {
        "format_version": FORMAT_VERSION,
        "checkpoint": model.name,
        "checkpoint_sha256": model.metadata.get("tensors_sha256"),
        "backbone": model.backbone_name,
        "branch": model.branch_kind,
        "data": work.images.name,
        "split": work.images.split,
        "settings": {
            "crop_mode": "squash",
            "input_size_hw": list(model.preprocessing.input_size_hw),
            "grid_hw": list(measured.coverage.shape[1:]),
            "absent_per_image": work.absent_count,
            "mosaic_confidence": MOSAIC_CONFIDENCE,
            "faithfulness": len(measured.faithful),
            "faithfulness_methods": list(work.faithful_methods) if len(measured.faithful) else [],
            **settings,
        },
        "softmax_weight_std": float(model.softmax_head.last_linear.weight.detach().std()),
        "counts": _counts(measured, match),
        "accuracy": _accuracy(measured, tables.draws),
        "metrics": {
            key: {"title": one.title, "family": one.family, "better": one.better, "note": one.note}
            for key, one in METRICS.items()
        },
        "tables": [tables.table(ask) for ask in work.asks],
        "versions": library_versions(),
    }


def matched(model: DualBranch, images: LabelledImages, class_map: Mapping[str, str] | None = None) -> ClassMatch:
    """The model's index of each class of the data set, through `class_map` where it names one."""
    named = class_map or {}
    found = match_classes([named.get(name, name) for name in images.class_names], model.class_names, model.class_ids)
    index_of = {
        name: found.index_of[named.get(name, name)]
        for name in images.class_names
        if named.get(name, name) in found.index_of
    }
    return ClassMatch(index_of, tuple(name for name in images.class_names if name not in index_of))


def limited(images: LabelledImages, limit: int | None, seed: int) -> LabelledImages:
    """Only so many pictures, drawn over the whole split.

    Raises:
        InputError: `limit` is below 1.
    """
    if limit is None:
        return images
    if limit < 1:
        raise InputError(f"`limit` (={limit}) must be at least 1 picture.")
    if limit >= len(images.samples):
        return images
    chosen = np.sort(np.random.default_rng(seed).choice(len(images.samples), limit, replace=False))
    return LabelledImages(images.name, images.split, tuple(images.samples[i] for i in chosen))


def _silent(done: int, total: int) -> None:
    """No progress is shown."""


def _absent_count(wanted: int, pool: Sequence[int]) -> int:
    count = min(wanted, len(set(pool)) - 1)
    if pool and count < 1:
        raise InputError(
            f"`absent_from` gives {len(set(pool))} class; at least 2 are needed to ask for one that is absent."
        )
    return max(count, 0)


def _asks(model: DualBranch, methods: Sequence[str], weights: Sequence[str]) -> tuple[Ask, ...]:
    if not methods or not weights:
        raise InputError("`methods` and `weights` must each name at least one, e.g. 'cam' and 'signed'.")
    every = columns_of(model, _curve_deltas())  # heads are copies: made once, shared by all tables
    plain = {key: column for key, column in every.items() if column.delta is None and not column.with_bias}
    asks = []
    for key in dict.fromkeys(methods):
        for treatment in dict.fromkeys(weights):
            method = cam_method(key)
            clamps_weights(treatment, "softmax")  # refuses an unknown treatment before anything is computed
            # A delta or a bias moves the zero of CAM's signed map; clamped weights have given the zero up.
            ask = Ask(method, treatment, every if key == "cam" and treatment == "signed" else plain)
            source_of(ask.columns["softmax"], method, treatment)  # refuses a method that cannot be evaluated
            asks.append(ask)
    return tuple(asks)


def _curve_deltas() -> tuple[float, ...]:
    return tuple(dict.fromkeys([*DELTAS, *(delta for delta in CURVE_DELTAS if delta)]))


def _counts(measured: Measured, match: ClassMatch) -> dict[str, Any]:
    images, notes = measured.work.images, measured.notes
    return {
        "listed": len(images.samples),
        "used": len(measured.labels),
        "unreadable": len(notes.unreadable),
        "of_unmatched_classes": sum(sample.class_name not in match.index_of for sample in images.samples),
        "without_boxes_or_mask": int(np.isnan(measured.coverage[:, 0, 0]).sum()),
        "with_boxes": len(measured.boxed),
        "with_mask": len(measured.masked),
        "boxes_or_masks_cut_or_left_out": len(notes.regions),
        "mosaics": len(measured.mosaics),
        "unmatched_classes": list(match.unmatched),
        "sentences": [*notes.unreadable, *notes.regions][:SENTENCES_KEPT],
    }


def _accuracy(measured: Measured, draws: np.ndarray) -> dict[str, Estimate]:
    softmax, sigmoid = (mean_over(measured.rows(f"{branch}_top1"), draws) for branch in ("softmax", "sigmoid"))
    count = len(measured.labels)
    return {
        "softmax_top1": estimate(softmax, count),
        "sigmoid_top1": estimate(sigmoid, count),
        "difference": estimate(sigmoid - softmax, count),
    }
