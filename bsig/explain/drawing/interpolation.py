"""From a map's grid to pixels: the weight of each cell in each pixel, so that a picture is two products of matrices.

    rows, columns = interpolation(0, height, height, h), interpolation(0, width, width, w)
    rows @ map @ columns.T                                (H, W)

Bilinear between the centres of cells and constant beyond them, or blocks of one value. Pillow's resize gives the same
numbers up to the rounding of float32 and takes eight times as long for a small grid.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Float


@lru_cache(maxsize=64)
def interpolation(
    start: int | float, stop: int | float, side: int, cells: int, smooth: bool = True
) -> Float[np.ndarray, "pixels cells"]:
    """The weight of each cell in each pixel inside a box, along one side; a row sums to one. Not to be changed.

    Args:
        start, stop: where the box of all cells begins and ends, in pixels.
        side: of the picture, in pixels.
        cells: of the map along this side.
        smooth: bilinear; else each pixel has the value of the cell that it lies in.
    """
    centres = np.asarray(pixels_inside(start, stop, side)) + 0.5
    places = (centres - start) / (stop - start) * cells - 0.5
    places = np.clip(places if smooth else np.floor(places + 0.5), 0, cells - 1)
    below = np.minimum(places.astype(int), max(cells - 2, 0))
    share = places - below
    weights = np.zeros((len(centres), cells), dtype=np.float32)
    rows = np.arange(len(centres))
    weights[rows, below] = 1 - share
    if cells > 1:
        weights[rows, below + 1] = share
    weights.setflags(write=False)  # it is shared
    return weights


def pixels_inside(start: int | float, stop: int | float, side: int) -> range:
    """The pixels whose centres lie from `start` to `stop`."""
    return range(max(0, math.ceil(start - 0.5)), min(side, math.ceil(stop - 0.5)))
