"""Localization of a whole data set: the pictures with boxes against their boxes, those with a mask against it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bsig.evaluation_pass import Gathered
from bsig.localization import (
    BestIous,
    accuracy_curve,
    best_ious,
    best_ious_of_one,
    box_accuracies,
    centred_box_map,
    centred_gaussian_map,
    full_box_map,
    pixel_average_precision,
    pixel_histograms,
    random_map,
    scaled_boxes,
    score_map,
)

Array = np.ndarray
Values = dict[str, tuple[Float[Array, " r"], int]]
BLIND_TITLES = {
    "full-box": "baseline: the full-image box",
    "centred-box": "baseline: a centred box, 70 % of each side",
    "centred-gaussian": "baseline: a centred Gaussian",
    "random": "baseline: a random map",
}


@dataclass(frozen=True)
class Places:
    """What localization scores are made of.

    Attributes:
        ious: of the pictures with boxes, in their order; None without any.
        objects, others: pixel histograms of the pictures with a mask; None without any.
    """

    ious: BestIous | None
    objects: Float[Array, "m t"] | None
    others: Float[Array, "m t"] | None

    def curve(self) -> list[dict[str, float]]:
        """GT-known localization against the threshold, for drawing."""
        return accuracy_curve(self.ious) if self.ious else []


def places_of_maps(maps: Float[Array, "n h w"], gathered: Gathered) -> Places:
    """Every picture's own map against its boxes and its mask."""
    boxed, masked = _with_boxes(gathered), _with_mask(gathered)
    ious = best_ious(maps[boxed], _truths(gathered, boxed)) if len(boxed) else None
    return Places(ious, *_histograms([score_map(maps[i]) for i in masked], gathered, masked))


def blind_places(gathered: Gathered, seed: int) -> dict[str, Places]:
    """Baselines that look at no picture, by the keys of `BLIND_TITLES`."""
    boxed, masked = _with_boxes(gathered), _with_mask(gathered)
    fixed = {"full-box": full_box_map(), "centred-box": centred_box_map(), "centred-gaussian": centred_gaussian_map()}
    found = {}
    for key, one in fixed.items():
        ious = best_ious_of_one(one, _truths(gathered, boxed)) if len(boxed) else None
        found[key] = Places(ious, *_histograms([one] * len(masked), gathered, masked))
    grid_hw = (gathered.coverage.shape[1], gathered.coverage.shape[2])
    noise = np.stack([random_map(grid_hw, seed, picture.position) for picture in gathered.pictures])
    return found | {"random": places_of_maps(noise, gathered)}


def localization_values(places: Places, gathered: Gathered, weights: Float[Array, "r n"]) -> Values:
    """Metric key (`bsig.metrics.METRICS`) -> its value for each draw, and how many pictures it rests on."""
    values: Values = {}
    if places.ious is not None:
        boxed = _with_boxes(gathered)
        accuracies = box_accuracies(places.ious, gathered.softmax_top1[boxed], weights[:, boxed])
        values |= {key: (found, len(boxed)) for key, found in accuracies.items()}
    if places.objects is not None and places.others is not None:
        masked = _with_mask(gathered)
        values["pxap"] = (pixel_average_precision(places.objects, places.others, weights[:, masked]), len(masked))
    return values


def _with_boxes(gathered: Gathered) -> Int[Array, " m"]:
    return np.array([i for i, one in enumerate(gathered.pictures) if one.boxes_xyxy], dtype=np.int64)


def _with_mask(gathered: Gathered) -> Int[Array, " m"]:
    return np.array([i for i, one in enumerate(gathered.pictures) if one.mask is not None], dtype=np.int64)


def _truths(gathered: Gathered, boxed: Int[Array, " m"]) -> list[Int[Array, "_ 4"]]:
    return [scaled_boxes(gathered.pictures[i].boxes_xyxy, gathered.pictures[i].size_wh) for i in boxed]


def _histograms(scores: list[Array], gathered: Gathered, masked: Int[Array, " m"]) -> tuple[Array | None, Array | None]:
    if not len(masked):
        return None, None
    found = [pixel_histograms(one, gathered.pictures[i].mask) for one, i in zip(scores, masked, strict=True)]
    return np.array([one for one, _ in found]), np.array([one for _, one in found])
