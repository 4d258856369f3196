"""The settings of readings, from class labels of training pictures: which lambda and mu a checkpoint starts with.

    lambda    sets where zero lies. On whole pictures: the largest balanced accuracy of `map > 0`, the mean of the share
              of the own class's cells that is above zero and of the share of absent classes' cells that is not
    mu        changes the order of places. On mosaics: the largest average precision of own quarters among all cells

Class labels alone do not say where a class is, but four pictures side by side do: the map of a class should speak in
its own quarter, in no other, and nowhere for a class that none of the four shows. Mosaics are made of stored features,
so nothing is encoded again: features (k, h, w) of four pictures become (k, 2 h, 2 w). What the encoder would see across
the seams is left out.

`a` of the sigmoid-logit reading and `gamma` of Finer-CAM are not fitted. Either criterion would choose the flattest
maps for `a`, which cover whole pictures, and mosaics do not ask what `gamma` is for, the difference to similar classes
(figures in LOG.md). The branch has seen these pictures, so a presence that was not calibrated on others is too sure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bsig.explain.diagnostics.absent_classes import absent_classes
from bsig.explain.readings import READINGS, pooled_inputs, readings_of, settings_of
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch

MOSAICS = 64
PICTURES_AT_ONCE = 16
ABSENT_A_PICTURE = 8
CANDIDATES: dict[tuple[str, str], tuple[float, ...]] = {
    ("levelled", "lambda"): (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0),
    ("competition", "mu"): (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0),
}
"""The values that are tried, in ascending order; of equally good ones the first is taken."""


class Asked(NamedTuple):
    """Features, the classes that are asked of each picture, and the cells that their maps should be positive in."""

    features: Float[Tensor, "n k h w"]
    classes: Int[Tensor, "n m"]
    is_right: Bool[Tensor, "n m h w"]


def fitted_settings(
    model: DualBranch, features: Float[Tensor, "n k h w"], labels: Int[Tensor, " n"], seed: int = 0
) -> dict[str, dict[str, float]]:
    """The best candidate of each setting of `CANDIDATES` by its reading, for `readings` in `checkpoint.json`.

    Readings that the model does not allow are left out; so is everything where CAM is not exact. Softmax's map is read.

    Args:
        features: of training pictures, as `DualBranch.features` gives them.
        labels: the model's class index of each.
        seed: of the mosaics and of their absent classes.

    Raises:
        InputError: the pictures are of fewer than four classes.
    """
    if not model.softmax_head.cam_is_exact:
        return {}
    allowed = readings_of(model, "cam", "signed")
    mosaics = feature_mosaics(features, labels, model.num_classes, seed)
    whole = whole_pictures(features, labels, model.num_classes, seed)
    fitted: dict[str, dict[str, float]] = {}
    for (reading, key), candidates in CANDIDATES.items():
        if reading in allowed:
            asked = whole if READINGS[reading].keeps_order else mosaics
            scores = [_score(model, reading, {key: value}, asked) for value in candidates]
            fitted[reading] = {key: candidates[int(np.argmax(scores))]}
    return fitted


def whole_pictures(
    features: Float[Tensor, "n k h w"], labels: Int[Tensor, " n"], num_classes: int, seed: int = 0
) -> Asked:
    """Each picture asked for its own class, which counts as everywhere, and for absent classes."""
    count = min(ABSENT_A_PICTURE, num_classes - 1)
    classes = [
        [label, *absent_classes(range(num_classes), [label], count, seed=seed, position=number)]
        for number, label in enumerate(labels.tolist())
    ]
    is_right = torch.zeros(len(features), 1 + count, *features.shape[2:], dtype=torch.bool)
    is_right[:, 0] = True
    return Asked(features, torch.tensor(classes, device=features.device), is_right)


def feature_mosaics(
    features: Float[Tensor, "n k h w"], labels: Int[Tensor, " n"], num_classes: int, seed: int = 0
) -> Asked:
    """`MOSAICS` mosaics of four pictures of four classes, each asked for those and for absent classes.

    Raises:
        InputError: fewer than four classes.
    """
    of_class = {int(label): (labels == label).nonzero()[:, 0].tolist() for label in labels.unique()}
    if len(of_class) < 4:
        raise InputError(f"the features are of {len(of_class)} classes; mosaics need pictures of at least 4.")
    random = np.random.default_rng(seed)
    tiles, classes = [], []
    for number in range(MOSAICS):
        present = random.choice(sorted(of_class), 4, replace=False).tolist()
        absent = absent_classes(range(num_classes), present, ABSENT_A_PICTURE, seed=seed, position=number)
        tiles.append(side_by_side(features[[int(random.choice(of_class[label])) for label in present]]))
        classes.append([*present, *absent])
    rows, columns = features.shape[2:]
    is_right = torch.zeros(MOSAICS, len(classes[0]), 2 * rows, 2 * columns, dtype=torch.bool)
    for quarter in range(4):
        top, left = quarter // 2 * rows, quarter % 2 * columns
        is_right[:, quarter, top : top + rows, left : left + columns] = True
    return Asked(torch.stack(tiles), torch.tensor(classes, device=features.device), is_right)


def side_by_side(features: Float[Tensor, "4 k h w"]) -> Float[Tensor, "k hh ww"]:
    """Four feature maps as one: 0 1 above 2 3."""
    top, bottom = torch.cat((features[0], features[1]), dim=2), torch.cat((features[2], features[3]), dim=2)
    return torch.cat((top, bottom), dim=1)


def sign_accuracy(maps: Float[Tensor, "*n"], is_right: Bool[Tensor, "*n"]) -> float:
    """The balanced accuracy of `map > 0`: the mean of both shares of cells on the right side of zero, 0 to 1."""
    positive = maps > 0
    return float((positive[is_right].double().mean() + (~positive[~is_right]).double().mean()) / 2)


def cell_precision(maps: Float[Tensor, "*n"], is_right: Bool[Tensor, "*n"]) -> float:
    """Average precision of the right cells among all, strongest first: the mean precision at each right cell, 0 to 1.

    Cells of equal value are counted in their order; a map in logits has hardly any.
    """
    order = maps.flatten().argsort(descending=True, stable=True)
    right = is_right.flatten()[order].double()
    precision = right.cumsum(0) / torch.arange(1, len(right) + 1, device=right.device)
    return float((precision * right).sum() / right.sum())


def _score(model: DualBranch, reading: str, given: Mapping[str, float], asked: Asked) -> float:
    settings = settings_of(model, reading, given)
    parts = []
    for start in range(0, len(asked.features), PICTURES_AT_ONCE):
        batch = slice(start, start + PICTURES_AT_ONCE)
        inputs = pooled_inputs(model, "softmax", asked.features[batch], asked.classes[batch], settings)
        parts.append(READINGS[reading].read(inputs).cpu())
    maps = torch.cat(parts)
    return (sign_accuracy if READINGS[reading].keeps_order else cell_precision)(maps, asked.is_right)
