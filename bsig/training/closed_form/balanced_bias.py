"""One number added to every class's bias, from labels: the least that a zero needs.

    t = argmin_t  sum_i sum_c  BCE_p(z_ic + t, y_ic),    p = C - 1 for the one positive of each picture

The class-balanced loss of the sigmoid branch (Oh and Noh, BMVC 2025) with everything frozen but one bias that all
classes share. Softmax cannot see it. A map drawn with its bias, `M_c + b_c + t`, then has a zero that labels chose,
while no place has moved before another: the baseline that any sigmoid branch's zero has to stand beside.
"""

from __future__ import annotations

import torch

from bsig.model.heads import ClassificationHead
from bsig.training.features.pooled import TrainingFeatures

STEPS = 30
LARGEST_STEP = 4.0
ENOUGH = 1e-6


@torch.no_grad()
def balanced_bias(head: ClassificationHead, features: TrainingFeatures) -> float:
    """Returns `t` over the first views of all pictures, by Newton's method: the loss is convex in it.

    A step is cut to `LARGEST_STEP`: far from the minimum all sigmoids are flat, and a full step would leap over it.
    """
    value = 0.0
    for _ in range(STEPS):
        slope, curvature = _slope_and_curvature(head, features, value)
        step = -slope / curvature if curvature > 0 else 0.0
        value += max(-LARGEST_STEP, min(LARGEST_STEP, step))
        if abs(step) < ENOUGH:
            break
    return value


def _slope_and_curvature(head: ClassificationHead, features: TrainingFeatures, value: float) -> tuple[float, float]:
    """Returns both derivatives of the loss by `t`; a positive counts as much as all negatives of its picture."""
    device = head.last_linear.weight.device
    sums = torch.zeros(2, dtype=torch.float64)
    for pooled, labels in features.first_views():
        logits = head.logits(pooled.to(device)).double()
        yes = (logits + value).sigmoid()
        own = yes.gather(1, labels.to(device)[:, None])
        weight = logits.shape[1] - 1
        spread = yes * (1 - yes)
        own_spread = own * (1 - own)
        sums += torch.stack(
            [
                yes.sum() - own.sum() - weight * (1 - own).sum(),
                spread.sum() - own_spread.sum() + weight * own_spread.sum(),
            ]
        ).cpu()
    features.processes.sum_up([sums])
    return float(sums[0]), float(sums[1])
