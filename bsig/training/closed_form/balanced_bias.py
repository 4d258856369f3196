"""One number added to every class's bias, from labels: the least that a zero needs.

    t = argmin_t  sum_i sum_c  BCE_p(z_ic + t, y_ic),    p = (C - m) / m for the m positives of a picture

The class-balanced loss of the sigmoid branch (Oh and Noh, BMVC 2025) with everything frozen but one bias that all
classes share. Softmax cannot see it. A map drawn with its bias, `M_c + b_c + t`, then has a zero that labels chose,
while no place has moved before another: the baseline that any sigmoid branch's zero has to stand beside.
"""

from __future__ import annotations

import torch

from bsig.model.heads import ClassificationHead
from bsig.training.features.labels import is_present
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
        present = is_present(labels.to(device), logits.shape[1])
        positives = present.sum(dim=1, keepdim=True)
        # 1 for an absent class; what all absent ones weigh, shared among those that are there.
        weight = torch.where(present, (logits.shape[1] - positives) / positives, 1.0)
        sums += torch.stack([(weight * (yes - present.double())).sum(), (weight * yes * (1 - yes)).sum()]).cpu()
    features.processes.sum_up([sums])
    return float(sums[0]), float(sums[1])
