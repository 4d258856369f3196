"""Does a map's zero mean something, and does the map know its class? Numbers on signed maps at grid resolution.

    absent-class test    share of cells above zero (and evidence mass) for the class that is there, against classes
                         that are not: at zero, at equal own-class area, as a curve, as a ROC over pictures
    sign at zero         `map > 0` against boxes or masks: IoU, precision, recall
    order of places      cells inside against outside, area under the ROC: no threshold, no zero
    class-aware          average precision over the cells of all maps, own class and absent ones together: whether
    precision            and where in one number, no threshold
    grid pointing game   mosaics of four pictures: how much of a class's positive evidence lies in its own quarter
                         (Boehle et al., CVPR 2021; Rao et al., CVPR 2022)

A head that pushes its zero up has a smaller area for every class, the present one too, and wins every score at zero.
So each of these stands beside one that cannot be bought with a threshold: the area at equal own-class area, the share
at 30 % of the map's maximum, the AUC.

`n` pictures, `a` absent classes each, `h w` cells; `coverage` is that of `regions.py`. Each formula stands as plain
loops in tests/reference.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bsig.evaluation.metrics.intervals import Values, means_over, ratio_over
from bsig.evaluation.metrics.regions import covered_by_boxes, inside_auc, region_scores
from bsig.explain.diagnostics.average_precision import average_precision
from bsig.inputs.errors import InputError

Array = np.ndarray
OWN_AREAS = (0.7, 0.5)
SHARE_OF_MAXIMUM = 0.3
CURVE_LEVELS = 256
CURVE_POINTS = 41
ROWS_AT_ONCE = 50


# The absent-class test.


def positive_areas(maps: Float[Array, "*n h w"]) -> Float[Array, "*n"]:
    """Share of cells above zero of each map, from 0 to 1; a cell of exactly zero is not positive."""
    return (maps > 0).mean(axis=(-2, -1), dtype=np.float64)


def evidence_masses(maps: Float[Array, "*n h w"]) -> Float[Array, "*n"]:
    """`mean_hw relu(map)` of each map, in the map's unit."""
    return np.maximum(maps, 0).mean(axis=(-2, -1), dtype=np.float64)


def equal_area_level(own: Float[Array, "n h w"], own_area: float) -> float:
    """The level that `own_area` of all cells of all own-class maps reach: the `ceil(own_area * n * h * w)`-th largest.

    Raises:
        InputError: `own_area` is not in (0, 1].
    """
    if not 0 < own_area <= 1:
        raise InputError(f"`own_area` (={own_area}) must be above 0 and at most 1, a share of the cells.")
    # A product that is whole on paper can come out above it in floating point; its ceiling would be one cell too many.
    rank = max(math.ceil(own_area * own.size * (1 - 1e-12)), 1)
    return float(np.partition(own.ravel(), own.size - rank)[own.size - rank])


def absent_area_at_own_area(own: Float[Array, "n h w"], absent: Float[Array, "n a h w"], own_area: float) -> float:
    """Share of the absent classes' cells at `equal_area_level`: no constant added to all maps changes it."""
    return float((absent >= equal_area_level(own, own_area)).mean(dtype=np.float64))


@dataclass(frozen=True)
class AreaCurves:
    """What lies at or above each level, a picture a row; levels ascend, in the map's unit.

    Attributes:
        own, absent: share of cells of the own-class map, and of the absent classes' maps together.
        box_iou: IoU of the own-class region with the boxes or mask; NaN without.
    """

    levels: Float[Array, " l"]
    own: Float[Array, "n l"]
    absent: Float[Array, "n l"]
    box_iou: Float[Array, "n l"]


def area_curves(
    own: Float[Array, "n h w"], absent: Float[Array, "n a h w"], coverage: Float[Array, "n h w"]
) -> AreaCurves:
    """Areas at up to twice `CURVE_LEVELS` levels: evenly over the ranks of all own and of all absent cells.

    The levels of `OWN_AREAS` are among them.
    """
    exact = [equal_area_level(own, area) for area in OWN_AREAS]
    levels = np.unique(np.concatenate([_at_even_ranks(own), _at_even_ranks(absent), exact]))
    area = _tail_shares(own, levels, None)
    inside = _tail_shares(own, levels, coverage)
    covered = coverage.mean(axis=(1, 2))[:, None]
    union = area + covered - inside
    box_iou = np.divide(inside, union, out=np.zeros_like(union), where=union != 0)
    return AreaCurves(levels, area, _tail_shares(absent, levels, None), box_iou)


def _at_even_ranks(maps: Array) -> Array:
    """The values of `CURVE_LEVELS` cells, evenly spread over the ranks of all cells, ascending."""
    ranks = np.linspace(0, maps.size - 1, CURVE_LEVELS).round().astype(int)
    return np.sort(maps, axis=None)[ranks]


def _tail_shares(maps: Array, levels: Array, cell_weights: Array | None) -> Float[Array, "n l"]:
    """The mean over each picture's cells of `weight * (value >= level)`."""
    count, cells = len(maps), maps[0].size
    # How many levels a value reaches; a histogram of that, summed from the top, is the tail at every level at once.
    bins = np.searchsorted(levels, maps.reshape(count, -1), side="right")
    places = (bins + (len(levels) + 1) * np.arange(count)[:, None]).ravel()
    weights = None if cell_weights is None else cell_weights.reshape(count, -1).ravel()
    histogram = np.bincount(places, weights, minlength=count * (len(levels) + 1)).reshape(count, -1)
    return histogram[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:] / cells


def mean_curve(curve: Float[Array, "n l"], weights: Float[Array, "r n"]) -> Float[Array, "r l"]:
    """The mean over pictures at each level, for each draw; pictures with NaN are left out."""
    is_known = np.isfinite(curve[:, 0])
    draws = weights[:, is_known].astype(np.float64)
    with np.errstate(invalid="ignore"):
        return (draws @ curve[is_known]) / draws.sum(axis=1, keepdims=True)


def at_own_area(own: Float[Array, "r l"], other: Float[Array, "r l"], own_area: float) -> Float[Array, " r"]:
    """`other` at the level where `own`, which falls from level to level, is `own_area`; linear in between."""
    last = np.clip((own >= own_area).sum(axis=1) - 1, 0, own.shape[1] - 2)[:, None]

    above, below = np.take_along_axis(own, np.hstack([last, last + 1]), axis=1).T
    fall = above - below
    share = np.divide(above - own_area, fall, out=np.zeros_like(fall), where=fall > 0)
    start, end = np.take_along_axis(other, np.hstack([last, last + 1]), axis=1).T
    return start + np.clip(share, 0, 1) * (end - start)


def area_between(own: Float[Array, "r l"], absent: Float[Array, "r l"]) -> Float[Array, " r"]:
    """Area under own-class area against absent-class area, all levels: the chance that an own cell outranks an absent.

    0.5 is a map that does not know its class. Cells of all pictures are compared with each other.
    """
    ones, zeros = np.ones((len(own), 1)), np.zeros((len(own), 1))
    y = np.concatenate([ones, own, zeros], axis=1)
    x = np.concatenate([ones, absent, zeros], axis=1)
    return ((x[:, :-1] - x[:, 1:]) * (y[:, :-1] + y[:, 1:]) / 2).sum(axis=1)


def picture_auc(
    own: Float[Array, " n"], absent: Float[Array, "n a"], weights: Float[Array, "r n"]
) -> Float[Array, " r"]:
    """Area under the ROC over pictures: the chance that a picture's own class scores above an absent one; ties half.

    Each picture is one positive and `a` negatives; `own` and `absent` are their scores (positive area or mass).
    """
    scores = np.concatenate([own, absent.ravel()])
    picture = np.concatenate([np.arange(len(own)), np.repeat(np.arange(len(own)), absent.shape[1])])
    is_own = np.arange(len(scores)) < len(own)
    order = np.argsort(scores, kind="stable")
    first_of_tie = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    picture, is_own = picture[order], is_own[order]
    return np.concatenate(
        [
            _weighted_auc(weights[start : start + ROWS_AT_ONCE, picture].astype(np.float64), is_own, first_of_tie)
            for start in range(0, len(weights), ROWS_AT_ONCE)
        ]
    )


def _weighted_auc(weights: Array, is_own: Array, first_of_tie: Array) -> Array:
    """The AUC of each draw, its scores sorted: equal ones are one step; half of its negatives count as beaten."""
    above = np.add.reduceat(weights * is_own, first_of_tie, axis=1)
    below = np.add.reduceat(weights * ~is_own, first_of_tie, axis=1)
    beaten = below.cumsum(axis=1) - below / 2
    with np.errstate(invalid="ignore"):
        return (above * beaten).sum(axis=1) / (above.sum(axis=1) * below.sum(axis=1))


def roc_points(
    own: Float[Array, " n"], absent: Float[Array, "n a"], points: int = CURVE_POINTS
) -> list[dict[str, float]]:
    """The ROC over pictures for drawing: at `points` levels the share of own and of absent classes at or above it."""
    levels = np.quantile(np.concatenate([own, absent.ravel()]), np.linspace(0, 1, points))
    return [
        {"level": float(level), "own": float((own >= level).mean()), "absent": float((absent >= level).mean())}
        for level in np.unique(levels)
    ]


# Class-aware precision.


def class_aware_precision(
    maps: Float[Array, "n m h w"], is_right: Float[Array, "n m h w"], weights: Float[Array, "r n"]
) -> Float[Array, " r"]:
    """Average precision of right cells among all cells of all maps, for each draw of pictures; no threshold, no zero.

    `AP = sum_l precision_l (recall_l - recall_{l+1})` over levels l, as PxAP (Choe et al., CVPR 2020), with the maps of
    absent classes among them: a cell counts `is_right` (0 to 1, the share of it inside box or mask, zero in an absent
    class's map) as right and the rest as wrong. Row 0, every picture once, is exact, equal values one level; the other
    draws go by up to twice `CURVE_LEVELS` levels. Pictures with NaN in `is_right` are left out; NaN without any.
    """
    is_known = np.isfinite(is_right).all(axis=(1, 2, 3))
    maps, is_right, draws = maps[is_known], is_right[is_known], weights[:, is_known].astype(np.float64)
    if not len(maps):
        return np.full(len(weights), np.nan)
    levels = np.unique(np.concatenate([_at_even_ranks(maps), _at_even_ranks(maps[is_right > 0])]))
    right, every = draws @ _tail_shares(maps, levels, is_right), draws @ _tail_shares(maps, levels, None)
    total = draws @ is_right.mean(axis=(1, 2, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(every > 0, right / every, 0)
        gained = -np.diff(right, axis=1, append=0) / total[:, None]
    values = (precision * gained).sum(axis=1)
    values[0] = average_precision(maps.ravel(), is_right.ravel())
    return values


def own_cells(coverage: Float[Array, "n h w"], classes: int) -> Float[Array, "n m h w"]:
    """Which cells are right, for maps of `classes` classes of which the first is the picture's own."""
    is_right = np.zeros((len(coverage), classes, *coverage.shape[1:]))
    is_right[:, 0] = coverage
    return is_right


# The grid pointing game.


def pointing_scores(maps: Float[Array, "n 4 h w"]) -> dict[str, Float[Array, " n"]]:
    """Scores of the place of a class's evidence in mosaics of four pictures, by metric (`METRICS`).

    Map `q` of each mosaic is for the class of quarter q (0 1 above 2 3); a score is the mean over the four, without
    those that have no evidence, NaN where none has. A cell that two quarters share (odd grids) counts for each with
    its share.
    """
    rows, columns = maps.shape[-2:]
    quarters = quarter_coverage((rows, columns))
    positive = np.maximum(maps, 0).astype(np.float64)
    highest = maps.max(axis=(-2, -1), keepdims=True)
    evidence = {
        "mosaic": positive,
        "mosaic_at_30": np.where(maps >= SHARE_OF_MAXIMUM * highest, positive, 0),
        "mosaic_quarter": _strongest_quarter(maps),
        "mosaic_maximum": (maps == highest).astype(np.float64),
    }
    shares = {key: _share_in_own_quarter(cells, quarters) for key, cells in evidence.items()}
    return shares | {"mosaic_area": positive_areas(maps).mean(axis=1)}


def quarter_coverage(grid_hw: tuple[int, int]) -> Float[Array, "4 h w"]:
    """Share of each cell that lies in the top left, top right, bottom left, bottom right quarter."""
    corners = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)]
    return np.stack([covered_by_boxes([(x, y, x + 1, y + 1)], (2, 2), grid_hw) for x, y in corners])


def _strongest_quarter(maps: Array) -> Array:
    """One for the `h * w / 4` (rounded up) cells with the largest values of each map, zero for the rest."""
    flat = maps.reshape(*maps.shape[:-2], -1)
    order = np.argsort(-flat, axis=-1, kind="stable")[..., : math.ceil(flat.shape[-1] / 4)]
    is_strong = np.zeros(flat.shape)
    np.put_along_axis(is_strong, order, 1.0, axis=-1)
    return is_strong.reshape(maps.shape)


def _share_in_own_quarter(evidence: Float[Array, "n 4 h w"], quarters: Float[Array, "4 h w"]) -> Float[Array, " n"]:
    """The share of each map's evidence in its own quarter, the mean over a mosaic's maps that have any."""
    with np.errstate(invalid="ignore"):
        shares = (evidence * quarters).sum(axis=(-2, -1)) / evidence.sum(axis=(-2, -1))
    is_known = np.isfinite(shares)
    total = np.where(is_known, shares, 0).sum(axis=1)
    return np.divide(total, is_known.sum(axis=1), out=np.full(len(shares), np.nan), where=is_known.any(axis=1))


# All of the zero tests of one head, for every draw of pictures.


@dataclass(frozen=True)
class ZeroTests:
    """The numbers of one head's maps.

    Attributes:
        values: by metric (`METRICS`).
        area_curve, roc: own-class against absent-class area from level to level, and the ROC, for drawing.
        by_picture: some metrics of each picture.
    """

    values: Values
    area_curve: list[dict[str, float]]
    roc: list[dict[str, float]]
    by_picture: dict[str, Float[Array, " n"]]


def zero_tests(
    own: Float[Array, "n h w"],
    absent: Float[Array, "n a h w"],
    coverage: Float[Array, "n h w"],
    weights: Float[Array, "r n"],
) -> ZeroTests:
    """All zero tests; row 0 of `weights` takes every picture once."""
    own_areas, absent_areas = positive_areas(own), positive_areas(absent)
    own_masses, absent_masses = evidence_masses(own), evidence_masses(absent)
    scores = {
        "own_area": own_areas,
        "absent_area": absent_areas.mean(axis=1),
        "own_mass": own_masses,
        "absent_mass": absent_masses.mean(axis=1),
        **region_scores(own > 0, coverage),
        "inside_auc": inside_auc(own, coverage),
    }
    curves = area_curves(own, absent, coverage)
    own_curve, absent_curve, iou_curve = (
        mean_curve(curve, weights) for curve in (curves.own, curves.absent, curves.box_iou)
    )
    count = len(own)
    values = means_over(scores, weights) | {
        "cell_auc": (area_between(own_curve, absent_curve), count),
        "picture_auc_area": (picture_auc(own_areas, absent_areas, weights), count),
        "picture_auc_mass": (picture_auc(own_masses, absent_masses, weights), count),
        "mass_ratio": (ratio_over(scores["absent_mass"], own_masses, weights), count),
    }
    for share in OWN_AREAS:
        name = f"at_own_{round(100 * share)}"
        absent_values = at_own_area(own_curve, absent_curve, share)
        absent_values[0] = absent_area_at_own_area(own, absent, share)
        values[f"absent_area_{name}"] = (absent_values, count)
        values[f"box_iou_{name}"] = (at_own_area(own_curve, iou_curve, share), values["box_iou"][1])
    by_picture = {key: scores[key] for key in ("own_area", "absent_area", "inside_auc")}
    roc = roc_points(own_masses, absent_masses)
    return ZeroTests(values, _area_points(curves.levels, own_curve[0], absent_curve[0]), roc, by_picture)


def _area_points(levels: Array, own: Array, absent: Array) -> list[dict[str, float]]:
    """`CURVE_POINTS` points of the curves, evenly over the levels."""
    points = np.unique(np.linspace(0, len(levels) - 1, CURVE_POINTS).round().astype(int))
    return [{"level": float(levels[i]), "own": float(own[i]), "absent": float(absent[i])} for i in points]
