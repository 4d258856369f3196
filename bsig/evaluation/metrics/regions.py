"""Boxes and masks on the feature grid, and regions and maps scored against them.

`coverage` is the share of each cell that boxes or mask cover, from 0 to 1, the picture squashed onto the grid; NaN for
a picture that has neither. Scores go by area: they are the pixel scores of a map that is constant in each cell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from bsig.inputs.datasets.samples import Box

Array = np.ndarray


def covered_by_boxes(
    boxes_xyxy: Sequence[Box], picture_wh: tuple[int, int], grid_hw: tuple[int, int]
) -> Float[Array, "h w"]:
    """Share of each cell that lies in at least one box, from 0 to 1, the picture squashed onto the grid.

    Boxes are pixels of the picture, their ends taken as edges and cut off at the picture's. Exact: the plane is cut at
    every edge of a box or a cell, so that overlapping boxes do not count twice.
    """
    (width, height), (rows, columns) = picture_wh, grid_hw
    boxes = np.array(boxes_xyxy, np.float64).reshape(-1, 4) * np.tile([columns / width, rows / height], 2)
    x = np.unique(np.clip(np.concatenate([np.arange(columns + 1.0), boxes[:, 0], boxes[:, 2]]), 0, columns))
    y = np.unique(np.clip(np.concatenate([np.arange(rows + 1.0), boxes[:, 1], boxes[:, 3]]), 0, rows))
    middle_x, middle_y = (x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2
    inside = np.zeros((len(middle_y), len(middle_x)), bool)
    for x0, y0, x1, y1 in boxes:
        inside |= ((middle_y > y0) & (middle_y < y1))[:, None] & ((middle_x > x0) & (middle_x < x1))
    coverage = np.zeros(grid_hw)
    places = np.ix_(middle_y.astype(int), middle_x.astype(int))
    np.add.at(coverage, places, inside * np.outer(np.diff(y), np.diff(x)))
    return np.clip(coverage, 0, 1)


def covered_by_mask(mask: Bool[Array, "H W"], grid_hw: tuple[int, int]) -> Float[Array, "h w"]:
    """Share of each cell that the mask covers, from 0 to 1, the mask squashed onto the grid."""
    height, width = mask.shape
    along_y, along_x = _overlaps(height, grid_hw[0]), _overlaps(width, grid_hw[1])
    return along_y @ mask.astype(np.float64) @ along_x.T


def _overlaps(pixels: int, cells: int) -> Float[Array, "cells pixels"]:
    """Share of each cell that each pixel makes up, along one axis; rows sum to one."""
    edges = np.arange(pixels + 1) * (cells / pixels)
    low, high = np.arange(cells)[:, None], np.arange(1, cells + 1)[:, None]
    return np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)


def region_scores(region: Bool[Array, "n h w"], coverage: Float[Array, "n h w"]) -> dict[str, Float[Array, " n"]]:
    """IoU, precision and recall by area, by metric (`METRICS`); NaN for a picture without boxes or mask.

    A cell of the region counts with the share of it that is covered. An empty region has no precision: NaN.
    """
    area = region.sum(axis=(1, 2), dtype=np.float64)
    covered = coverage.sum(axis=(1, 2))
    shared = (region * coverage).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = shared / (area + covered - shared)
        return {"box_iou": iou, "box_precision": shared / area, "box_recall": shared / covered}


def inside_auc(maps: Float[Array, "n h w"], coverage: Float[Array, "n h w"]) -> Float[Array, " n"]:
    """Chance that a cell inside ranks above a cell outside, ties half; inside: at least half of it is covered.

    No threshold and no zero: adding a constant to a map, or scaling it, changes nothing. NaN for a picture without
    boxes or mask, or with no cell inside or none outside.
    """
    return np.array([_cells_auc(cells.ravel(), cover.ravel()) for cells, cover in zip(maps, coverage, strict=True)])


def _cells_auc(cells: Array, cover: Array) -> float:
    """The AUC of one map by counting: for each cell inside, the cells outside below it, and half of those equal."""
    inside, outside = cells[cover >= 0.5], np.sort(cells[cover < 0.5])
    if len(inside) == 0 or len(outside) == 0:
        return math.nan
    below = np.searchsorted(outside, inside, side="left") + np.searchsorted(outside, inside, side="right")
    return float(below.sum() / (2 * len(inside) * len(outside)))
