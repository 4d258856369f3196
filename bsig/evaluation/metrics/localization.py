"""Maps -> boxes -> MaxBoxAccV2, GT-known and Top-1 localization; maps against masks -> PxAP.

As in the public evaluation code (Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR
2020, arXiv 2007.04178, section 4, and its code):

    score map    resized to 224 x 224 (bicubic), less its minimum, over its maximum; all zeros if constant or not finite
    boxes        of the map in 8 bits, at t = 0, 0.001, ..., 1 of its maximum: bounding rectangles of the contours of
                 what is above; no contour gives the box 0 0 0 0
    IoU          of boxes with inclusive pixel ends: a box x0 y0 x1 y1 holds (x1 - x0 + 1) (y1 - y0 + 1) pixels

    MaxBoxAccV2  all contours, the best threshold for each IoU level, the mean over 0.3, 0.5, 0.7
    GT-known     the largest contour alone, IoU 0.5; at the threshold 0.2 and at the best
    Top-1 Loc    the same, where the softmax branch's class is right too
    PxAP         area under the precision-recall curve of all pixels of all pictures; ignored ones left out

The best threshold is chosen on the pictures that are scored, as the protocol has it; an interval chooses it anew in
each draw. Only levels that occur are searched: 8 bits have 256, so a thousand thresholds are at most that many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Num, UInt8

from bsig.inputs.datasets.samples import Box
from bsig.inputs.errors import InputError

Array = np.ndarray
SIZE = 224
THRESHOLDS = np.arange(1001) / 1000
FIXED_THRESHOLD = 0.2
IOU_LEVELS = (0.3, 0.5, 0.7)
NO_BOX = (0, 0, 0, 0)
CENTRED_SIDE = 0.7
CURVE_POINTS = 51
HISTOGRAM_EDGES = np.append(np.arange(1000) / 1000, [1.0, 2.0, 3.0])


def score_map(signed_map: Float[Array, "h w"], size: int = SIZE) -> Float32[Array, "H W"]:
    """The map at `size` x `size`, from 0 to 1; all zeros if it is constant or not finite."""
    # Tested before resizing: interpolating a constant leaves rounding noise, which the scaling would blow up.
    if not np.isfinite(signed_map).all() or signed_map.min() == signed_map.max():
        return np.zeros((size, size), np.float32)
    resized = cv2.resize(signed_map.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    resized = resized - resized.min()
    return resized / resized.max()


@dataclass(frozen=True)
class BoxesAtThresholds:
    """The boxes of one score map at every threshold; thresholds that see the same pixels share an entry.

    Attributes:
        entry: which entry belongs to each threshold.
        all_contours: by entry, boxes x0 y0 x1 y1; at least one.
        largest: by entry, the box of the contour with the largest area.
    """

    entry: Int[Array, " t"]
    all_contours: list[Int[Array, "_ 4"]]
    largest: Int[Array, "e 4"]


def boxes_at_thresholds(score: Float[Array, "H W"], thresholds: Float[Array, " t"] = THRESHOLDS) -> BoxesAtThresholds:
    """Boxes of what lies above each threshold of the map's maximum.

    Raises:
        InputError: the scores are not from 0 to 1.
    """
    if not np.isfinite(score).all() or score.min() < 0 or score.max() > 1:
        raise InputError("`score` must be finite and from 0 to 1; use `score_map`.")
    grey = (score * 255).astype(np.uint8)
    cuts = (thresholds * int(grey.max())).astype(int)
    # Above a cut lies what lies above the highest occurring value that is not over it: -1 where all of it does.
    values = np.unique(grey)
    places = np.searchsorted(values, cuts, side="right") - 1
    distinct_places, entry = np.unique(places, return_inverse=True)
    contours = [_contour_boxes(grey, int(values[place]) if place >= 0 else -1) for place in distinct_places]
    return BoxesAtThresholds(entry, [boxes for boxes, _ in contours], np.array([largest for _, largest in contours]))


def _contour_boxes(grey: UInt8[Array, "H W"], cut: int) -> tuple[Int[Array, "_ 4"], Int[Array, " 4"]]:
    """The boxes of all contours of `grey > cut`, and that of the contour with the largest area."""
    _, above = cv2.threshold(grey, cut, 255, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(above, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return np.array([NO_BOX]), np.array(NO_BOX)
    boxes = np.array([cv2.boundingRect(contour) for contour in contours], dtype=np.int64)
    # The public code does the same: the far end is one pixel beyond the contour's, but never beyond the picture.
    boxes[:, 2:] = np.minimum(boxes[:, 2:] + boxes[:, :2], (grey.shape[1] - 1, grey.shape[0] - 1))
    areas = [cv2.contourArea(contour) for contour in contours]
    return boxes, boxes[areas.index(max(areas))]


def scaled_boxes(boxes_xyxy: Sequence[Box], picture_wh: tuple[int, int]) -> Int[Array, "g 4"]:
    """Ground-truth boxes on `SIZE` x `SIZE` pixels, cut off to whole numbers as the public code does it."""
    return (np.array(boxes_xyxy, np.float64).reshape(-1, 4) * SIZE / np.tile(picture_wh, 2)).astype(int)


def box_ious(boxes: Int[Array, "m 4"], truth: Int[Array, "g 4"]) -> Float[Array, "m g"]:
    """IoU of each pair of boxes with inclusive ends; 0 for pairs without any pixel."""
    x0y0 = np.maximum(boxes[:, None, :2], truth[None, :, :2])
    x1y1 = np.minimum(boxes[:, None, 2:], truth[None, :, 2:])
    shared = np.maximum(x1y1 - x0y0 + 1, 0).prod(axis=2)
    areas, truth_areas = ((each[:, 2:] - each[:, :2] + 1).prod(axis=1) for each in (boxes, truth))
    joint = areas[:, None] + truth_areas - shared
    return np.divide(shared, joint, out=np.zeros(shared.shape), where=joint > 0)


@dataclass(frozen=True)
class BestIous:
    """The best IoU of each picture at each threshold: of all contours (MaxBoxAccV2), of the largest one (GT-known)."""

    all_contours: Float[Array, "n t"]
    largest: Float[Array, "n t"]


def best_ious(maps: Float[Array, "n h w"], truths: Sequence[Int[Array, "_ 4"]]) -> BestIous:
    """The IoUs of signed maps of each picture's class."""
    return best_ious_of_boxes([boxes_at_thresholds(score_map(signed_map)) for signed_map in maps], truths)


def best_ious_of_boxes(boxes: Sequence[BoxesAtThresholds], truths: Sequence[Int[Array, "_ 4"]]) -> BestIous:
    """The IoUs of each picture's boxes, which a baseline shares between pictures."""
    rows = [_best_ious(of_picture, truth) for of_picture, truth in zip(boxes, truths, strict=True)]
    ious = np.array(rows, np.float64).reshape(len(rows), 2, len(THRESHOLDS))
    return BestIous(ious[:, 0], ious[:, 1])


def _best_ious(boxes: BoxesAtThresholds, truth: Int[Array, "g 4"]) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
    """The best IoU at each threshold, of all contours and of the largest one.

    The boxes of all entries are compared in one call; `reduceat` then takes the best of each entry's stretch.
    """
    every = np.concatenate(boxes.all_contours)
    firsts = np.cumsum([0, *(len(entry) for entry in boxes.all_contours[:-1])])
    best = np.maximum.reduceat(box_ious(every, truth).max(axis=1), firsts)
    return best[boxes.entry], box_ious(boxes.largest, truth).max(axis=1)[boxes.entry]


def localized(ious: BestIous) -> Bool[Array, "n 4 t"]:
    """Which pictures each threshold localizes: the largest contour at IoU 0.5, then all at each of `IOU_LEVELS`."""
    return np.stack([ious.largest >= 0.5, *(ious.all_contours >= level for level in IOU_LEVELS)], axis=1)


def packed(is_localized: Bool[Array, "n 4 t"]) -> UInt8[Array, "n 4 bytes"]:
    """Eight thresholds a byte, for keeping."""
    return np.packbits(is_localized, axis=2)


def unpacked(bits: UInt8[Array, "n 4 bytes"]) -> Bool[Array, "n 4 t"]:
    """The inverse of `packed`."""
    return np.unpackbits(bits, axis=2, count=len(THRESHOLDS)).astype(bool)


def box_accuracies(
    is_localized: Bool[Array, "n 4 t"], is_top1: Float[Array, " n"], weights: Float[Array, "r n"]
) -> dict[str, Float[Array, " r"]]:
    """The share of pictures localized by metric (`METRICS`), for each draw at its own best threshold."""
    fixed = int(np.argmin(np.abs(THRESHOLDS - FIXED_THRESHOLD)))
    levels = {
        f"max_box_acc_{round(100 * level)}": _accuracies(is_localized[:, at], weights).max(axis=1)
        for at, level in enumerate(IOU_LEVELS, start=1)
    }
    gt_known = _accuracies(is_localized[:, 0], weights)
    top1 = _accuracies(is_localized[:, 0] & (is_top1 == 1)[:, None], weights)
    return {
        "max_box_acc_v2": np.mean(list(levels.values()), axis=0),
        **levels,
        "gt_known": gt_known.max(axis=1),
        "gt_known_at_20": gt_known[:, fixed],
        "top1_loc": top1.max(axis=1),
        "top1_loc_at_20": top1[:, fixed],
    }


def _accuracies(is_right: Bool[Array, "n t"], weights: Float[Array, "r n"]) -> Float[Array, "r t"]:
    """The share of pictures that are right at each threshold, for each draw; NaN for a draw of none."""
    # Whole numbers below 2^24: float32 sums them exactly, at twice the speed.
    right = weights.astype(np.float32) @ is_right.astype(np.float32)
    with np.errstate(invalid="ignore"):
        return right.astype(np.float64) / weights.sum(axis=1, keepdims=True)


def accuracy_curve(is_localized: Bool[Array, "n 4 t"]) -> list[dict[str, float]]:
    """GT-known localization at `CURVE_POINTS` thresholds, for drawing."""
    share = is_localized[:, 0].mean(axis=0)
    points = np.linspace(0, len(THRESHOLDS) - 1, CURVE_POINTS).round().astype(int)
    return [{"threshold": float(THRESHOLDS[i]), "gt_known": float(share[i])} for i in points]


# Masks.


def pixel_histograms(score: Float[Array, "H W"], mask: UInt8[Array, "H W"]) -> Int[Array, "2 t"]:
    """How many object pixels, and how many others, fall into each thousandth of the score; 255 in `mask` is ignored.

    The last bin but one holds scores of exactly 1; the last is empty, as in the public code, which sums from there.
    """
    return np.stack([np.histogram(score[mask == value], HISTOGRAM_EDGES)[0] for value in (1, 0)])


def pixel_average_precision(histograms: Num[Array, "n 2 t"], weights: Float[Array, "r n"]) -> Float[Array, " r"]:
    """PxAP for each draw: `sum_t precision_t (recall_t - recall_{t+1})` over all pixels of the drawn pictures."""
    weighted = np.tensordot(weights.astype(np.float64), histograms.astype(np.float64), axes=1)
    true, false = weighted[..., ::-1].cumsum(axis=2).swapaxes(0, 1)
    positive = true + false  # pixels whose score reaches the threshold
    precision = np.divide(true, positive, out=np.zeros_like(true), where=positive > 0)
    with np.errstate(invalid="ignore"):
        recall = true / true[:, -1:]
    return (precision[:, 1:] * np.diff(recall, axis=1)).sum(axis=1)


# Baselines that look at no class.


def full_box_map() -> Float32[Array, "H W"]:
    """Ones but for a zero corner, without which the map is constant: its contour's box is the whole picture."""
    score = np.ones((SIZE, SIZE), np.float32)
    score[0, 0] = 0
    return score


def centred_box_map() -> Float32[Array, "H W"]:
    """Ones in a centred box of `CENTRED_SIDE` of each side, fixed in advance."""
    score = np.zeros((SIZE, SIZE), np.float32)
    first = round(SIZE * (1 - CENTRED_SIDE) / 2)
    score[first : SIZE - first, first : SIZE - first] = 1
    return score


def centred_gaussian_map() -> Float32[Array, "H W"]:
    """A Gaussian around the centre, standard deviation a quarter of the side."""
    places = (np.arange(SIZE) - (SIZE - 1) / 2) / (SIZE / 4)
    profile = np.exp(-(places**2) / 2)
    return np.outer(profile, profile).astype(np.float32)


def random_map(grid_hw: tuple[int, int], seed: int, position: int) -> Float32[Array, "h w"]:
    """Uniform noise on the grid, the same for the same seed and position."""
    return np.random.default_rng((seed, position)).random(grid_hw, dtype=np.float32)
