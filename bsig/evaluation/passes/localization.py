"""Localization of a whole data set: the pictures with boxes against their boxes, those with a mask against it.

A part of the pass leaves, for each distinct map, bits (which threshold localizes which picture) and pixel counts;
accuracies are formed from those of all parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8, UInt16

from bsig.evaluation.metrics.localization import (
    Box,
    BoxesAtThresholds,
    Localized,
    accuracy_curve,
    best_ious,
    best_ious_of_boxes,
    box_accuracies,
    boxes_at_thresholds,
    centred_box_map,
    centred_gaussian_map,
    full_box_map,
    localized,
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
FIXED_MAPS: dict[str, Callable[[], Array]] = {
    "full-box": full_box_map,
    "centred-box": centred_box_map,
    "centred-gaussian": centred_gaussian_map,
}


@runtime_checkable
class Annotated(Protocol):
    """The ground truth of a picture."""

    @property
    def position(self) -> int:
        """The picture's place in the data set; it seeds the random map."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the stored picture, the pixels that boxes count in."""

    @property
    def boxes_xyxy(self) -> tuple[Box, ...]:
        """Boxes in pixels of the stored picture; empty without."""

    @property
    def mask(self) -> UInt8[Array, "H W"] | None:
        """1 for the object, 255 for what is ignored, 0 for the rest; None without a mask."""


def localization_arrays(
    pictures: Sequence[Annotated], maps: Mapping[str, Float[Array, "n h w"]], seed: int
) -> dict[str, Array]:
    """`places KEY` and `pixels KEY` of each map and of the baselines that look at no picture (`BLIND_TITLES`).

    Args:
        pictures: with their ground truth.
        maps: by key, of each picture's own class.
        seed: of the random map.

    Returns:
        `places KEY`, a row a picture with boxes: which threshold localizes it, in bits. `pixels KEY`, a row a picture
        with a mask: object pixels and others in each thousandth of the score.
    """
    boxed = np.array([i for i, picture in enumerate(pictures) if picture.boxes_xyxy], dtype=np.int64)
    masks = [(i, picture.mask) for i, picture in enumerate(pictures) if picture.mask is not None]
    truths = [scaled_boxes(pictures[i].boxes_xyxy, pictures[i].size_wh) for i in boxed]
    grid_h, grid_w = next(iter(maps.values())).shape[1:]
    noise = np.array([random_map((grid_h, grid_w), seed, picture.position) for picture in pictures], np.float32)
    noise = noise.reshape(-1, grid_h, grid_w)
    arrays: dict[str, Array] = {}
    for key, signed_maps in [*maps.items(), ("random", noise)]:
        ious = best_ious(signed_maps[boxed], truths)
        arrays[f"places {key}"] = localized(ious).packed()
        arrays[f"pixels {key}"] = _pixel_counts([(score_map(signed_maps[i]), mask) for i, mask in masks])
    for key in FIXED_MAPS:
        score, boxes = _fixed_map(key)
        arrays[f"places {key}"] = localized(best_ious_of_boxes([boxes] * len(boxed), truths)).packed()
        arrays[f"pixels {key}"] = _pixel_counts([(score, mask) for _, mask in masks])
    return arrays


@lru_cache(maxsize=len(FIXED_MAPS))
def _fixed_map(key: str) -> tuple[Float32[Array, "H W"], BoxesAtThresholds]:
    """A baseline that is the same for every picture, so that its boxes are searched once."""
    score = score_map(FIXED_MAPS[key]())
    return score, boxes_at_thresholds(score)


def _pixel_counts(pairs: Sequence[tuple[Array, UInt8[Array, "H W"]]]) -> UInt16[Array, "m 2 t"]:
    """Object pixels and others in each thousandth of the score; a picture has fewer than 65,536."""
    histograms = [pixel_histograms(score, mask) for score, mask in pairs]
    if not histograms:
        return np.zeros((0, 2, 1002), np.uint16)
    return np.array(histograms, np.uint16).reshape(len(histograms), 2, -1)


@dataclass(frozen=True)
class LocalizationCounts:
    """What the localization scores of one map are made of.

    Attributes:
        localized: which threshold localizes which of the pictures with boxes, in their order; None without any.
        pixels: object pixels and others of the pictures with a mask; None without any.
    """

    localized: Localized | None
    pixels: UInt16[Array, "m 2 t"] | None

    def curve(self) -> list[dict[str, float]]:
        """GT-known localization against the threshold, for drawing."""
        return accuracy_curve(self.localized) if self.localized else []


def localization_values(
    counts: LocalizationCounts,
    boxed: Int[Array, " m"],
    masked: Int[Array, " l"],
    softmax_top1: Float[Array, " n"],
    weights: Float[Array, "r n"],
) -> Values:
    """The value of each metric (`METRICS`) for each draw, and how many pictures it rests on."""
    values: Values = {}
    if counts.localized is not None:
        accuracies = box_accuracies(counts.localized, softmax_top1[boxed], weights[:, boxed])
        values |= {key: (accuracy, len(boxed)) for key, accuracy in accuracies.items()}
    if counts.pixels is not None:
        objects, others = (counts.pixels[:, at].astype(np.float64) for at in (0, 1))
        values["pxap"] = (pixel_average_precision(objects, others, weights[:, masked]), len(masked))
    return values
