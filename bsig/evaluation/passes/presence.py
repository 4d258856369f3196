"""Whether the sigmoid branch's probability of presence holds: on each picture, over all of the model's classes.

Twice: `class_balanced`, the sigmoid of the logit, and `calibrated` (`bsig.model.presence`), where the checkpoint has
it. A class that is in the picture and not labelled counts as absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bsig.evaluation.metrics.intervals import estimate, mean_over
from bsig.model.dual_branch import DualBranch
from bsig.model.presence import BINS, bins_of, expected_calibration_error, reliability_bins, reliability_sums

Array = np.ndarray
SHARES = ("present_above_half", "absent_above_half", "sibling_above_half")


@torch.no_grad()
def presence_arrays(
    model: DualBranch, features: Float[Tensor, "b k h w"], present: Sequence[Sequence[int]], siblings: Sequence[int]
) -> dict[str, Array]:
    """Numbers of each picture, under each kind of probability.

    `presence KIND` (b, 5): shares above 50 % of present classes, of absent ones and of the data set's other
    classes; the likeliest class's probability, and whether it is a present one. `presence bins KIND` (b, 10, 3): the
    sums of `bsig.model.presence.reliability_sums`.
    """
    logits = model.sigmoid_logits(features).double().cpu()
    probabilities = {"class_balanced": logits.sigmoid()}
    if model.presence:
        probabilities["calibrated"] = model.presence.probability(logits)
    is_present = torch.zeros(logits.shape, dtype=torch.bool)
    for row, classes in enumerate(present):
        is_present[row, list(classes)] = True
    is_sibling = torch.isin(torch.arange(logits.shape[1]), torch.tensor(list(siblings)))[None] & ~is_present
    arrays = {}
    for kind, values in probabilities.items():
        is_above, likeliest = values > 0.5, values.max(dim=1)
        shares = [
            (is_above & group).sum(dim=1) / group.sum(dim=1).double()  # none to ask for: not a number
            for group in (is_present, ~is_present, is_sibling)
        ]
        arrays[f"presence {kind}"] = torch.stack(
            [*shares, likeliest.values, is_present.gather(1, likeliest.indices[:, None])[:, 0].double()], dim=1
        ).numpy()
        sums = [reliability_sums(*pair).numpy() for pair in zip(values, is_present, strict=True)]
        arrays[f"presence bins {kind}"] = np.array(sums).reshape(-1, BINS, 3)
    return arrays


def calibration_measures(
    shares: Float[Array, "n 5"], bins: Float[Array, "n bins 3"], draws: Float[Array, "r n"]
) -> dict[str, Any]:
    """The rows of one kind of probability: shares with intervals, the error of the likeliest class, the diagram.

    `expected_calibration_error` is that of each picture's likeliest class (Guo et al. 2017); `reliability` is over all
    pairs of picture and class.
    """
    count = len(shares)
    likeliest = reliability_bins(torch.from_numpy(shares[:, 3]), torch.from_numpy(shares[:, 4]) > 0.5)
    return {
        **{name: estimate(mean_over(shares[:, at], draws), count) for at, name in enumerate(SHARES)},
        "expected_calibration_error": expected_calibration_error(likeliest),
        "reliability": [
            {"probability": each.probability, "share": each.share, "count": each.count}
            for each in bins_of(torch.from_numpy(bins.sum(axis=0)))
        ],
    }
