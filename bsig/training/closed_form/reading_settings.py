"""The settings of readings, from class labels of training pictures: which numbers a checkpoint starts with.

    lambda  levelled        where zero lies: the largest balanced accuracy of `map + lambda log q > 0`, the mean of the
                            share of the own class's cells that is above zero and of the share of absent classes' cells
                            that is not; softmax's map
    a       sigmoid-logit   whether and where at once: the largest class-aware precision in mosaics of two pictures
    mu      competition     of different classes, whose places are known by construction. Cells of the left picture's
                            class in the left half are right; its cells in the right half are wrong, and so are all
                            cells of absent classes; the sigmoid branch's map
    gamma   finer           where alone: the largest precision within each mosaic's map of the left picture's class,
                            the mean over mosaics

A picture's neighbour in its mosaic is of the class whose centred softmax row is most like its own: the contrast of
Finer-CAM is for just such classes. Mosaics are made of stored features, so that no seam is seen.

Class labels know no place within a picture of one object, and a mosaic does not ask for it. More competition and more
contrast find the half better and mark less of an object: on imagenet20 val mu 0.5 and gamma 1, which were fitted, cost
0.03 and 0.09 of AUC, and a 0.4 costs 0.11 of IoU above zero (LOG.md). So shipped checkpoints keep their defaults.
The branch has seen these pictures, so a presence that was not calibrated on others is too sure of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from bsig.explain.diagnostics.absent_classes import absent_classes
from bsig.explain.diagnostics.average_precision import average_precision
from bsig.explain.pooled_reading import PooledReading
from bsig.explain.readings import READINGS, Setting, levelled, log_presence, readings_of, settings_of
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch
from bsig.training.features.labels import NO_CLASS

PICTURES_AT_ONCE = 16
ABSENT_A_PICTURE = 10
LAMBDAS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
VALUES: dict[tuple[str, str], tuple[float, ...]] = {
    ("levelled", "lambda"): LAMBDAS,
    ("sigmoid-logit", "a"): (0.25, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0),
    ("competition", "mu"): (0.0, 0.1, 0.25, 0.5, 0.75, 1.0),
    ("finer", "gamma"): (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
}
"""The values that are tried, in ascending order; of equally good ones the first is taken."""


@dataclass(frozen=True)
class SettingFit:
    """One setting: the best of `VALUES`, with its score and that of the reading's default, 0 to 1."""

    reading: str
    key: str
    value: float
    score: float
    default: float
    default_score: float


@torch.no_grad()
def setting_fits(
    model: DualBranch,
    features: Float[Tensor, "n k h w"],
    labels: Int[Tensor, "n ..."],
    readings: Sequence[str] | None = None,
    seed: int = 0,
) -> list[SettingFit]:
    """A fit for each of these readings that is exact for CAM and has a setting in `VALUES`.

    None for readings of mosaics where fewer than two classes have a picture of theirs alone.

    Args:
        features: of training pictures, as `DualBranch.features` gives them.
        labels: the model's classes of each, as `features/labels.py` has them; the first one's map is the own one.
        readings: keys of `READINGS`; None for all.
        seed: of the absent classes.
    """
    if not model.softmax_head.cam_is_exact:
        return []
    exact, fits = readings_of(model, "cam", "signed"), []
    mosaics = mosaics_of_two(model, labels)
    for (reading, key), values in VALUES.items():
        if reading not in exact or (readings is not None and reading not in readings):
            continue
        if reading == "levelled":
            scores = _balanced_accuracies(model, features, labels, values, seed)
        elif len(mosaics):
            score = _mosaic_scorer(model, features, labels, mosaics, seed)
            scores = [score(reading, {key: value}) for value in values]
        else:
            continue
        best, default = int(np.argmax(scores)), _setting(reading, key).default
        fits.append(SettingFit(reading, key, values[best], scores[best], default, scores[values.index(default)]))
    return fits


def mosaics_of_two(model: DualBranch, labels: Int[Tensor, "n ..."]) -> list[tuple[int, int]]:
    """(left, right) for each picture of one class alone: the picture, and one of the class that is most like its own.

    Classes are alike by the cosine of their centred softmax rows; the pictures of the right one take turns.
    """
    rows = labels.reshape(len(labels), -1).cpu()
    is_alone = (rows != NO_CLASS).sum(dim=1) == 1
    positions: dict[int, list[int]] = {}
    for position in is_alone.nonzero()[:, 0].tolist():
        positions.setdefault(int(rows[position].max()), []).append(position)
    if len(positions) < 2:
        return []
    classes = sorted(positions)
    weight = model.softmax_head.last_linear.weight.detach().float().cpu()
    centred = F.normalize(weight - weight.mean(dim=0), dim=1)[classes]
    likeness = (centred @ centred.T).fill_diagonal_(-torch.inf)
    mosaics = []
    for row, label in enumerate(classes):
        others = positions[classes[int(likeness[row].argmax())]]
        mosaics += [(left, others[turn % len(others)]) for turn, left in enumerate(positions[label])]
    return sorted(mosaics)


def _mosaic_scorer(
    model: DualBranch, features: Tensor, labels: Tensor, mosaics: Sequence[tuple[int, int]], seed: int
) -> Callable[[str, dict[str, float]], float]:
    """What gives the `mosaic_precision` of a reading with some settings."""
    weight = model.sigmoid_head.last_linear.weight.detach()
    own = labels.reshape(len(labels), -1).max(dim=1).values

    def score(reading: str, settings: dict[str, float]) -> float:
        pooled = PooledReading(model, reading, settings_of(model, reading, settings))
        parts = []
        for start in range(0, len(mosaics), PICTURES_AT_ONCE):
            left, right = torch.tensor(mosaics[start : start + PICTURES_AT_ONCE]).T
            classes = asked_classes(torch.stack([own[left], own[right]], dim=1), model.num_classes, seed, start)
            mosaic = torch.cat([features[left], features[right]], dim=3)
            maps = pooled.maps("sigmoid", torch.einsum("bmk,bkhw->bmhw", weight[classes], mosaic), mosaic, classes)
            parts.append(maps.cpu().numpy())
        return mosaic_precision(np.concatenate(parts), within_maps=READINGS[reading].question == "where")

    return score


def mosaic_precision(maps: Float[np.ndarray, "n m h w"], *, within_maps: bool) -> float:
    """Average precision of the cells in the left half of each mosaic's first map, 0 to 1.

    Among all cells of all maps; or, `within_maps`, among those of the same map, the mean over mosaics.
    """
    is_right = np.zeros(maps.shape)
    is_right[:, 0, :, : maps.shape[3] // 2] = 1
    if within_maps:
        pairs = zip(maps[:, 0], is_right[:, 0], strict=True)
        return float(np.mean([average_precision(one_map.ravel(), right.ravel()) for one_map, right in pairs]))
    return average_precision(maps.ravel(), is_right.ravel())


def _balanced_accuracies(
    model: DualBranch, features: Tensor, labels: Tensor, values: Sequence[float], seed: int
) -> list[float]:
    """Of softmax's map, levelled with each of these numbers."""
    weight = model.softmax_head.last_linear.weight.detach()
    shares = np.zeros((len(values), 2))
    for start in range(0, len(features), PICTURES_AT_ONCE):
        batch = features[start : start + PICTURES_AT_ONCE]
        classes = asked_classes(labels[start : start + PICTURES_AT_ONCE], model.num_classes, seed, start)
        maps = torch.einsum("bmk,bkhw->bmhw", weight[classes], batch)
        log_q = log_presence(model, model.sigmoid_logits(batch)).gather(1, classes)
        for row, value in enumerate(values):
            shares[row] += len(batch) * np.array(shares_above_zero(levelled(maps, log_q, value)))
    own, absent = (shares / max(len(features), 1)).T
    return [float(score) for score in (own + 1 - absent) / 2]


def _setting(reading: str, key: str) -> Setting:
    return next(setting for setting in READINGS[reading].settings if setting.key == key)


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
