"""The settings of readings, from class labels of training pictures: which lambda a checkpoint starts with.

    lambda    sets where zero lies: the largest balanced accuracy of `map + lambda log q > 0`, the mean of the share of
              the own class's cells that is above zero and of the share of absent classes' cells that is not

The other settings keep their defaults, because class labels would choose them wrongly. The same criterion gives `a` of
the sigmoid-logit reading the flattest maps, which cover whole pictures. Mosaics give `mu` of the competition twice its
default, which costs the order of places in a single object's picture, and hardly ask what `gamma` of
Finer-CAM is for, the difference to similar classes. That `a` and `mu` would be worse was seen on pictures of imagenet20
val, so val entered the choice of these two (figures in LOG.md). `lambda` of the window was chosen on half of val.

The branch has seen these pictures, so a presence that was not calibrated on others is too sure of them.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bsig.explain.diagnostics.absent_classes import absent_classes
from bsig.explain.readings import levelled, log_presence, readings_of
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch
from bsig.training.features.labels import NO_CLASS

PICTURES_AT_ONCE = 16
ABSENT_A_PICTURE = 10
LAMBDAS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""The values that are tried, in ascending order; of equally good ones the first is taken."""


@torch.no_grad()
def fitted_settings(
    model: DualBranch, features: Float[Tensor, "n k h w"], labels: Int[Tensor, "n ..."], seed: int = 0
) -> dict[str, dict[str, float]]:
    """The best of `LAMBDAS` for softmax's map, as `readings` in `checkpoint.json` has it.

    Empty where CAM is not exact or the branch knows no presence.

    Args:
        features: of training pictures, as `DualBranch.features` gives them.
        labels: the model's classes of each, as `features/labels.py` has them; the first one's map is the own one.
        seed: of the absent classes.
    """
    if not model.softmax_head.cam_is_exact or "levelled" not in readings_of(model, "cam", "signed"):
        return {}
    weight = model.softmax_head.last_linear.weight.detach()
    shares = np.zeros((len(LAMBDAS), 2))
    for start in range(0, len(features), PICTURES_AT_ONCE):
        batch = features[start : start + PICTURES_AT_ONCE]
        classes = asked_classes(labels[start : start + PICTURES_AT_ONCE], model.num_classes, seed, start)
        maps = torch.einsum("bmk,bkhw->bmhw", weight[classes], batch)
        log_q = log_presence(model, model.sigmoid_logits(batch)).gather(1, classes)
        for row, value in enumerate(LAMBDAS):
            shares[row] += len(batch) * np.array(shares_above_zero(levelled(maps, log_q, value)))
    own, absent = (shares / max(len(features), 1)).T
    return {"levelled": {"lambda": LAMBDAS[int(np.argmax((own + 1 - absent) / 2))]}}


def asked_classes(labels: Int[Tensor, "b ..."], num_classes: int, seed: int = 0, first: int = 0) -> Int[Tensor, "b m"]:
    """Each picture's first class and, behind it, absent ones; `first` is the number of the first picture.

    Raises:
        InputError: a picture holds all classes, so none is absent.
    """
    present = [[label for label in row if label != NO_CLASS] for row in labels.reshape(len(labels), -1).tolist()]
    count = min(ABSENT_A_PICTURE, num_classes - max(map(len, present)))
    if count < 1:
        raise InputError(f"a picture holds all {num_classes} classes of the model, and none is absent; leave it out.")
    rows = [
        [classes[0], *absent_classes(range(num_classes), classes, count, seed=seed, position=first + number)]
        for number, classes in enumerate(present)
    ]
    return torch.tensor(rows, device=labels.device)


def shares_above_zero(maps: Float[Tensor, "b m h w"]) -> tuple[float, float]:
    """Share of cells above zero, 0 to 1: of the own classes, which come first, and of the absent ones."""
    positive = (maps > 0).double()
    return float(positive[:, :1].mean()), float(positive[:, 1:].mean())
