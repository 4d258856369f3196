"""Measure both branches: does zero mean something, does the map know its class, where does it look, at what accuracy.

    results = evaluate(model, read_dataset("imagenet20", "val"), methods=["cam"], weights=["signed"])
    print(format_table(results))          # bsig.evaluation_table

One pass over the pictures; for each method and treatment one table whose columns are `bsig.evidence_columns` and whose
rows are `bsig.metrics.METRICS`. Every number has a 95 % interval over pictures and its difference to the softmax
column a paired one. `results` is ready for JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from bsig.cams import TREATMENTS, cam_method, clamps_weights
from bsig.checkpoints import library_versions
from bsig.datasets import ClassMatch, LabelledImages, match_classes
from bsig.dual_branch import DualBranch
from bsig.errors import InputError
from bsig.evaluation_pass import (
    Ask,
    ColumnMaps,
    Gathered,
    Progress,
    gather,
)
from bsig.evidence_columns import CURVE_DELTAS, DELTAS, columns_of, delta_key
from bsig.faithfulness import STEPS
from bsig.faithfulness_scores import COLUMNS, faithfulness_values
from bsig.intervals import RESAMPLES, Estimate, estimate, mean_over, resampling_weights
from bsig.localization_scores import BLIND_TITLES, blind_places, localization_values, places_of_maps
from bsig.metrics import METRICS
from bsig.mosaics import MOSAIC_CONFIDENCE, mosaic_maps, mosaic_sources
from bsig.regions import inside_auc
from bsig.specificity import (
    area_curves,
    evidence_masses,
    mean_curve,
    pointing_scores,
    positive_areas,
    roc_points,
    zero_tests,
)

Array = np.ndarray
Values = dict[str, tuple[Float[Array, " r"], int]]
FORMAT_VERSION = 1
SENTENCES_KEPT = 100
SHOWN_DIFFERENCES = 8
CURVE_POINTS = 41


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
    limit: int | None = None,
    class_map: Mapping[str, str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    batch_size: int = 32,
    progress: Progress | None = None,
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
        faithfulness: pictures to score insertion, deletion, drop and increase on, among those that softmax gets right;
            each costs some 160 forward passes a table. 0 leaves it out.
        limit: only so many pictures, drawn over the whole split; None for all.
        class_map: class of the data set -> class of the model (name, id or index), where names do not match.
        resamples: draws of the intervals.
        seed: of absent classes, mosaics, draws and `limit`.
        batch_size: pictures a forward pass.
        progress: called with (done, total) forward passes, about: a mosaic counts as four pictures.

    Raises:
        InputError: unknown method or treatment, one that this head does not allow, or no usable picture.
    """
    progress = progress or _silent
    asks = _asks(model, methods, weights)
    images = _limited(images, limit, seed)
    match = matched(model, images, class_map)
    pool = range(model.num_classes) if absent_from == "model" else sorted(set(match.index_of.values()))
    usable = sum(sample.class_name in match.index_of for sample in images.samples)
    a_picture = 2 * (STEPS + 1) * len(COLUMNS) * len(asks)
    total = usable + 4 * mosaics + a_picture * faithfulness
    gathered = gather(
        model, images, match, asks, pool,
        absent_per_image=absent_per_image, batch_size=batch_size, seed=seed,
        progress=lambda done, _: progress(done, total),
    )  # fmt: skip
    sources = mosaic_sources(gathered, mosaics, seed) if mosaics else np.zeros((0, 4), np.int64)
    in_mosaics: list[dict[str, Array]] = [{} for _ in asks]
    if len(sources):
        in_mosaics = mosaic_maps(
            model, gathered, sources, asks,
            batch_size=batch_size, progress=lambda done, _: progress(usable + 4 * done, total),
        )  # fmt: skip
    faithful = faithfulness_values(
        model, gathered, gathered.maps, faithfulness,
        resamples=resamples, seed=seed, progress=lambda done: progress(usable + 4 * mosaics + a_picture * done, total),
    )  # fmt: skip
    draws = resampling_weights(len(gathered.labels), resamples, seed)
    mosaic_draws = resampling_weights(max(len(sources), 1), resamples, seed + 1)
    return {
        "format_version": FORMAT_VERSION,
        "checkpoint": model.name,
        "checkpoint_sha256": model.metadata.get("tensors_sha256"),
        "backbone": model.backbone_name,
        "branch": model.branch_kind,
        "data": images.name,
        "split": images.split,
        "settings": {
            "crop_mode": "squash",
            "input_size_hw": list(model.preprocessing.input_size_hw),
            "grid_hw": list(gathered.coverage.shape[1:]),
            "absent_per_image": int(gathered.absent.shape[1]),
            "absent_from": absent_from,
            "mosaic_confidence": MOSAIC_CONFIDENCE,
            "class_map": dict(class_map or {}),
            "resamples": resamples,
            "limit": limit,
            "seed": seed,
        },
        "softmax_weight_std": float(model.softmax_head.last_linear.weight.detach().std()),
        "counts": _counts(images, match, gathered, len(sources)),
        "accuracy": _accuracy(gathered, draws),
        "metrics": {
            key: {"title": one.title, "family": one.family, "better": one.better, "note": one.note}
            for key, one in METRICS.items()
        },
        "tables": [
            _table(ask, maps, mosaic, faith, gathered, draws, mosaic_draws, seed)
            for ask, maps, mosaic, faith in zip(asks, gathered.maps, in_mosaics, faithful, strict=True)
        ],
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


def _silent(done: int, total: int) -> None:
    """No progress is shown."""


def _asks(model: DualBranch, methods: Sequence[str], weights: Sequence[str]) -> list[Ask]:
    if not methods or not weights:
        raise InputError("`methods` and `weights` must each name at least one, e.g. 'cam' and 'signed'.")
    plain, curve = columns_of(model, DELTAS), columns_of(model, _curve_deltas())
    asks = []
    for key in dict.fromkeys(methods):
        for treatment in dict.fromkeys(weights):
            method = cam_method(key)
            clamps_weights(treatment, "softmax")  # refuses an unknown treatment before anything is computed
            with_curve = key == "cam" and treatment == "signed"
            asks.append(Ask(method, treatment, curve if with_curve else plain))
    return asks


def _curve_deltas() -> tuple[float, ...]:
    return tuple(dict.fromkeys([*DELTAS, *(delta for delta in CURVE_DELTAS if delta)]))


def _limited(images: LabelledImages, limit: int | None, seed: int) -> LabelledImages:
    if limit is None or limit >= len(images.samples):
        return images
    if limit < 1:
        raise InputError(f"`limit` (={limit}) must be at least 1 picture.")
    chosen = np.sort(np.random.default_rng(seed).choice(len(images.samples), limit, replace=False))
    return LabelledImages(images.name, images.split, tuple(images.samples[i] for i in chosen))


def _counts(images: LabelledImages, match: ClassMatch, gathered: Gathered, mosaics: int) -> dict[str, Any]:
    with_region = np.isfinite(gathered.coverage[:, 0, 0])
    notes = gathered.notes
    return {
        "listed": len(images.samples),
        "used": len(gathered.pictures),
        "unreadable": len(notes.unreadable),
        "of_unmatched_classes": sum(sample.class_name not in match.index_of for sample in images.samples),
        "without_boxes_or_mask": int((~with_region).sum()),
        "with_boxes": sum(bool(picture.boxes_xyxy) for picture in gathered.pictures),
        "with_mask": sum(picture.mask is not None for picture in gathered.pictures),
        "boxes_or_masks_cut_or_left_out": len(notes.regions),
        "mosaics": mosaics,
        "unmatched_classes": list(match.unmatched),
        "sentences": [*notes.unreadable, *notes.regions][:SENTENCES_KEPT],
    }


def _accuracy(gathered: Gathered, draws: Array) -> dict[str, Estimate]:
    softmax, sigmoid = mean_over(gathered.softmax_top1, draws), mean_over(gathered.sigmoid_top1, draws)
    count = len(gathered.labels)
    return {
        "softmax_top1": estimate(softmax, count),
        "sigmoid_top1": estimate(sigmoid, count),
        "difference": estimate(sigmoid - softmax, count),
    }


def _table(
    ask: Ask,
    maps: dict[str, ColumnMaps],
    in_mosaics: dict[str, Array],
    faithful: dict[str, Values],
    gathered: Gathered,
    draws: Array,
    mosaic_draws: Array,
    seed: int,
) -> dict[str, Any]:
    shown = columns_shown(ask)
    places = {key: places_of_maps(maps[key].own, gathered) for key in shown if ask.columns[key].gate is None}
    values = {
        key: zero_tests(maps[key].own, maps[key].absent, gathered.coverage, draws)
        # A gate is one positive number a map; it changes no place.
        | localization_values(places[ask.columns[key].source], gathered, draws)
        | _pointing(in_mosaics.get(key), mosaic_draws)
        | faithful.get(key, {})
        for key in shown
    }
    blind = {key: localization_values(found, gathered, draws) for key, found in blind_places(gathered, seed).items()}
    return {
        "method": ask.method.key,
        "weights": ask.treatment,
        "treatment": TREATMENTS[ask.treatment],
        "unit": ask.method.unit,
        "columns": {
            key: {"title": ask.columns[key].title, "metrics": _with_differences(values[key], values["softmax"], key)}
            for key in shown
        }
        | {
            key: {"title": BLIND_TITLES[key], "metrics": _with_differences(found, values["softmax"], key)}
            for key, found in blind.items()
        },
        "localization_curves": {key: found.curve() for key, found in places.items()},
        "area_curves": {key: _area_points(maps[key], gathered.coverage) for key in shown},
        "roc_over_pictures": {key: _roc(maps[key]) for key in shown},
        "delta_curve": _delta_curve(ask, maps, in_mosaics, gathered),
        "by_class": _by_class(gathered, maps),
        "differ_most": _differ_most(gathered, maps),
    }


def columns_shown(ask: Ask) -> list[str]:
    """The table's columns; further deltas are points of the curve alone."""
    return [key for key, column in ask.columns.items() if column.delta is None or column.delta in DELTAS]


def _with_differences(values: Values, softmax: Values, column: str) -> dict[str, dict[str, Any]]:
    """Each metric's estimate, and where the column is another one its difference to softmax, drawn in pairs."""
    found: dict[str, dict[str, Any]] = {}
    for key in (key for key in METRICS if key in values):
        drawn, count = values[key]
        found[key] = dict(estimate(drawn, count))
        if column != "softmax":
            found[key]["difference"] = estimate(drawn - softmax[key][0], min(count, softmax[key][1]))
    return found


def _pointing(maps: Array | None, draws: Array) -> Values:
    if maps is None:
        return {}
    scores = pointing_scores(maps)
    named = {
        "mosaic": scores.at_zero,
        "mosaic_area": scores.positive_area,
        "mosaic_at_30": scores.at_share_of_maximum,
        "mosaic_quarter": scores.at_quarter_area,
        "mosaic_maximum": scores.maximum,
    }
    return {key: (mean_over(value, draws), int(np.isfinite(value).sum())) for key, value in named.items()}


def _area_points(maps: ColumnMaps, coverage: Array) -> list[dict[str, float]]:
    """Own-class against absent-class area from level to level, for drawing."""
    curves = area_curves(maps.own, maps.absent, coverage)
    everyone = np.ones((1, len(maps.own)), np.float32)
    own, absent = mean_curve(curves.own, everyone)[0], mean_curve(curves.absent, everyone)[0]
    chosen = np.unique(np.linspace(0, len(curves.levels) - 1, CURVE_POINTS).round().astype(int))
    return [{"level": float(curves.levels[i]), "own": float(own[i]), "absent": float(absent[i])} for i in chosen]


def _roc(maps: ColumnMaps) -> list[dict[str, float]]:
    return roc_points(evidence_masses(maps.own), evidence_masses(maps.absent))


def _delta_curve(
    ask: Ask, maps: dict[str, ColumnMaps], in_mosaics: dict[str, Array], gathered: Gathered
) -> list[dict[str, Any]]:
    """The plain softmax head with `delta` on every weight, from delta to delta: values without intervals."""
    deltas = sorted({column.delta for column in ask.columns.values() if column.delta is not None} | {0.0}, reverse=True)
    points = []
    for delta in deltas:
        key = delta_key(delta) if delta else "softmax"
        everyone, mosaics = np.ones((1, len(gathered.labels)), np.float32), np.ones((1, len(in_mosaics.get(key, [0]))))
        values = zero_tests(maps[key].own, maps[key].absent, gathered.coverage, everyone)
        values |= _pointing(in_mosaics.get(key), mosaics)
        point: dict[str, Any] = {"delta": delta}
        points.append(point | {name: _plain(drawn[0]) for name, (drawn, _) in values.items()})
    return points


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _by_picture(gathered: Gathered, maps: ColumnMaps) -> dict[str, Float[Array, " n"]]:
    return {
        "own_area": positive_areas(maps.own),
        "absent_area": positive_areas(maps.absent).mean(axis=1),
        "inside_auc": inside_auc(maps.own, gathered.coverage),
    }


def _by_class(gathered: Gathered, maps: dict[str, ColumnMaps]) -> list[dict[str, Any]]:
    """Means over each class's pictures, softmax and sigmoid; without intervals, a class has few pictures."""
    scores = {branch: _by_picture(gathered, maps[branch]) for branch in ("softmax", "sigmoid")}
    rows = []
    names = {picture.label: picture.sample.class_name for picture in gathered.pictures}
    for label in np.unique(gathered.labels):
        chosen = gathered.labels == label
        row: dict[str, Any] = {"class": names[int(label)], "class_index": int(label), "n": int(chosen.sum())}
        for branch, found in scores.items():
            row[branch] = {key: _mean(value[chosen]) for key, value in found.items()}
        rows.append(row)
    return rows


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _differ_most(gathered: Gathered, maps: dict[str, ColumnMaps]) -> dict[str, Any]:
    """The pictures where the branches differ most in either direction: by AUC, or without boxes by own less absent."""
    softmax, sigmoid = (_by_picture(gathered, maps[branch]) for branch in ("softmax", "sigmoid"))
    by = "inside_auc" if np.isfinite(sigmoid["inside_auc"]).any() else "own_area - absent_area"

    def score(found: dict[str, Array]) -> Array:
        return found["inside_auc"] if by == "inside_auc" else found["own_area"] - found["absent_area"]

    difference = score(sigmoid) - score(softmax)
    order = [int(i) for i in np.argsort(difference, kind="stable") if np.isfinite(difference[i])]

    def rows(chosen: list[int]) -> list[dict[str, Any]]:
        return [
            {
                "key": gathered.pictures[i].sample.key,
                "class": gathered.pictures[i].sample.class_name,
                "class_index": int(gathered.labels[i]),
                "softmax": float(score(softmax)[i]),
                "sigmoid": float(score(sigmoid)[i]),
            }
            for i in chosen
        ]

    return {
        "by": by,
        "sigmoid_better": rows([i for i in order[::-1][:SHOWN_DIFFERENCES] if difference[i] > 0]),
        "softmax_better": rows([i for i in order[:SHOWN_DIFFERENCES] if difference[i] < 0]),
    }
