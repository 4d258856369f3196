"""Intervals by resampling pictures: the same draws for every head, so that differences are paired.

    weights = resampling_weights(n)        row 0: every picture once; row r: how often draw r took each picture
    values  = mean_over(scores, weights)   value 0 is the measured one, the rest is what other draws would have given
    estimate(values, n)                    the measured value with its 95 % percentile interval

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3. A difference between two heads is
`estimate(values_a - values_b)` with the same `weights`: what both heads find hard in a picture cancels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from bsig.evaluation.config import RESAMPLES
from bsig.inputs.errors import InputError

Array = np.ndarray
Estimate = dict[str, float | int | None]
Values = dict[str, tuple[Float[Array, " r"], int]]
INTERVAL = (0.025, 0.975)


def resampling_weights(count: int, resamples: int = RESAMPLES, seed: int = 0) -> Float[Array, "r n"]:
    """How often each of `count` pictures is drawn: ones in row 0, then `resamples` draws of `count` with replacement.

    Raises:
        InputError: nothing to draw from, or fewer than one draw.
    """
    if count < 1:
        raise InputError(f"`count` (={count}) must be at least 1 picture.")
    if resamples < 1:
        raise InputError(f"`resamples` (={resamples}) must be at least 1.")
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.concatenate([np.ones((1, count)), draws]).astype(np.float32)


def mean_over(scores: Float[Array, " n"], weights: Float[Array, "r n"]) -> Float[Array, " r"]:
    """The weighted mean of the pictures' scores for each draw; NaN scores are left out, a draw of none is NaN."""
    return ratio_over(scores, np.ones(len(scores)), weights)


def means_over(scores: Mapping[str, Float[Array, " n"]], weights: Float[Array, "r n"]) -> Values:
    """`mean_over` of each metric, and how many pictures it rests on."""
    return {key: (mean_over(each, weights), int(np.isfinite(each).sum())) for key, each in scores.items()}


def ratio_over(
    above: Float[Array, " n"], below: Float[Array, " n"], weights: Float[Array, "r n"]
) -> Float[Array, " r"]:
    """`sum_i w_i above_i / sum_i w_i below_i` for each draw; a picture with NaN in either is left out of both."""
    is_known = np.isfinite(above) & np.isfinite(below)
    total = weights[:, is_known].astype(np.float64) @ np.stack([above[is_known], below[is_known]], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total[:, 1] == 0, np.nan, total[:, 0] / total[:, 1])


def estimate(values: Float[Array, " r"], count: int) -> Estimate:
    """`value` (row 0), `low` and `high` (its 95 % interval), `n`; None where a number is not defined."""
    draws = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or len(draws) == 0:
        return {"value": finite_or_none(values[0]), "low": None, "high": None, "n": count}
    low, high = np.quantile(draws, INTERVAL)
    return {"value": float(values[0]), "low": float(low), "high": float(high), "n": count}


def excludes_zero(difference: Mapping[str, Any] | None) -> bool:
    """Whether the interval of a difference (an estimate) lies on one side of zero; False without one."""
    if not difference or difference["low"] is None:
        return False
    return difference["low"] > 0 or difference["high"] < 0


def finite_or_none(value: float) -> float | None:
    """The number, ready for JSON; None for NaN and infinity."""
    return float(value) if np.isfinite(value) else None
