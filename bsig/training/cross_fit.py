"""Logits of pictures that a branch did not see, where every picture is trained on: cross-fitting.

    fold_of_picture          n pictures -> k folds, each class dealt out evenly
    for each fold:           a branch trained as the one that is kept, without the fold; its logits of the fold

A branch is surer of pictures it was trained on, so that its logits there are no measure of others (Platt 1999, section
2.3, has the same remedy). The branches of the folds are thrown away; the one that is kept has seen every picture.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bsig.inputs.counts import counted
from bsig.inputs.errors import InputError
from bsig.model.heads import ClassificationHead
from bsig.model.presence import PresenceCalibration
from bsig.training.closed_form.calibration import FEWEST_PICTURES, fit_presence
from bsig.training.features.fresh import FreshFeatures
from bsig.training.features.part import FeaturesPart
from bsig.training.features.pooled import TrainingFeatures

FOLDS = 5
MOST_NUMBERS = 20_000_000
"""Logits that are held at once: 20,000 pictures of 1,000 classes, 160 MB."""


def left_out_presence(
    head: ClassificationHead,
    features: TrainingFeatures,
    held_out: TrainingFeatures | None,
    classes: int,
    branch_of: Callable[[TrainingFeatures], ClassificationHead],
    *,
    name: str,
    seed: int = 0,
) -> PresenceCalibration:
    """Returns the presence of a branch, on training pictures by a cross-fit or else on pictures that were held out.

    Args:
        head: the trained branch.
        branch_of: trains a branch on some of the training pictures.
        name: of the data set, for `PresenceCalibration.source`.

    Raises:
        InputError: neither can be done; the sentence says why not.
    """
    refusal = _cross_fit_refusal(features, classes)
    if refusal is None:
        logits, labels = cross_fitted_logits(features, branch_of, seed=seed)
        source = f"{len(labels)} training pictures of '{name}', each read by a branch that was trained without it"
    elif held_out is not None:
        check_size(held_out.count, classes)
        logits, labels = held_out_logits(head, held_out)
        source = f"{counted(len(labels), 'picture')} held out of the training on '{name}'"
    else:
        raise InputError(refusal)
    return fit_presence(logits, labels, source)


def check_size(pictures: int, classes: int) -> None:
    """Refuses more logits than are held at once.

    Raises:
        InputError: there are more.
    """
    if pictures * classes > MOST_NUMBERS:
        raise InputError(
            f"{pictures} pictures of {classes} classes are too many to calibrate on; use at most "
            f"{MOST_NUMBERS // classes}."
        )


def _cross_fit_refusal(features: TrainingFeatures, classes: int) -> str | None:
    """Returns why a cross-fit cannot be done; None where it can."""
    remedy = "calibrate the checkpoint with `python -m bsig calibrate` on pictures that it was not trained on"
    if isinstance(features, FreshFeatures):
        return f"no features were kept to train further branches on; {remedy}."
    if features.count < FEWEST_PICTURES:
        return f"{features.count} training pictures are too few, it takes {FEWEST_PICTURES}; {remedy}."
    if features.count * classes > MOST_NUMBERS:
        return f"{features.count} pictures of {classes} classes are too many for a cross-fit; {remedy}."
    single = int((all_labels(features).bincount() == 1).sum())
    if single:
        return f"{single} of the classes have one picture, so that a cross-fit leaves none to train on; {remedy}."
    return None


def fold_of_picture(labels: Int[Tensor, " n"], folds: int, seed: int = 0) -> Int[Tensor, " n"]:
    """Returns the fold of each picture: a class's pictures go to different folds in turn, drawn from the seed."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    order = order[labels[order].argsort(stable=True)]
    folds_of = torch.empty_like(labels)
    folds_of[order] = torch.arange(len(labels)) % folds
    return folds_of


def cross_fitted_logits(
    features: TrainingFeatures,
    branch_of: Callable[[TrainingFeatures], ClassificationHead],
    *,
    folds: int = FOLDS,
    seed: int = 0,
) -> tuple[Float[Tensor, "m c"], Int[Tensor, " m"]]:
    """Returns logits and labels, the same in all processes; each picture's come from a branch that did not see it.

    Args:
        branch_of: trains a branch on some of the pictures.

    Raises:
        InputError: as `branch_of`.
    """
    labels = all_labels(features)
    folds_of = fold_of_picture(labels, folds, seed)
    parts = []
    for fold in range(folds):
        held_out = FeaturesPart(features, folds_of == fold)
        if held_out.count:
            head = branch_of(FeaturesPart(features, folds_of != fold))
            parts.append(held_out_logits(head, held_out))
    logits, held_out_labels = (torch.cat(each) for each in zip(*parts, strict=True))
    return logits, held_out_labels


@torch.no_grad()
def held_out_logits(
    head: ClassificationHead, features: TrainingFeatures
) -> tuple[Float[Tensor, "m c"], Int[Tensor, " m"]]:
    """Returns a branch's logits and the labels of the first views of pictures, of all processes in all of them."""
    device = head.last_linear.weight.device
    rows = [(head.logits(pooled.to(device)).cpu(), labels.cpu()) for pooled, labels in features.first_views()]
    gathered = [row for part in features.processes.gathered(rows) for row in part]
    logits, labels = (torch.cat(each) for each in zip(*gathered, strict=True))
    return logits, labels


def all_labels(features: TrainingFeatures) -> Int[Tensor, " n"]:
    """Returns the labels of all pictures in the order of their numbers, in all processes."""
    own = [labels.cpu() for _, labels in features.first_views()]
    return torch.cat([labels for part in features.processes.gathered(own) for labels in part])
