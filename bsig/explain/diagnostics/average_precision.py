"""How well the cells of maps rank: average precision, without a threshold and without a zero."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float


def average_precision(values: Float[np.ndarray, " n"], is_right: Float[np.ndarray, " n"]) -> float:
    """The average precision of cells by their values, level by level; cells of equal value are one level.

    `is_right` is the share of each cell that is right, 0 to 1; NaN where none is.
    """
    order = np.argsort(-values, kind="stable")
    last_of_level = np.flatnonzero(np.diff(values[order], append=-np.inf))
    right = is_right[order].cumsum(dtype=np.float64)[last_of_level]
    if right[-1] == 0:
        return math.nan
    return float((right / (last_of_level + 1) * np.diff(right, prepend=0)).sum() / right[-1])
