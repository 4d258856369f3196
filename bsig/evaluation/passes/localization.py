"""Localization of a whole data set: the classes with boxes against their boxes, those with a mask against it.

A part of the pass leaves, for each distinct map, bits (which threshold localizes which class of a picture) and pixel
counts; `tables.py` forms accuracies from those of all parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32, UInt8, UInt16

from bsig.evaluation.metrics.localization import (
    HISTOGRAM_EDGES,
    BoxesAtThresholds,
    best_ious,
    best_ious_of_boxes,
    boxes_at_thresholds,
    centred_box_map,
    centred_gaussian_map,
    full_box_map,
    localized,
    packed,
    pixel_histograms,
    random_map,
    scaled_boxes,
    score_map,
)
from bsig.evaluation.passes.annotated_pictures import PresentClass

Array = np.ndarray
FIXED_MAPS: dict[str, Callable[[], Array]] = {
    "full-box": full_box_map,
    "centred-box": centred_box_map,
    "centred-gaussian": centred_gaussian_map,
}


def localization_arrays(
    classes: Sequence[PresentClass], maps: Mapping[str, Float[Array, "n h w"]], seed: int
) -> dict[str, Array]:
    """`places KEY` and `pixels KEY` of each map and of the baselines that look at no picture (`BLIND_TITLES`).

    `places KEY` has a row a class with boxes: which threshold localizes it, in bits. `pixels KEY` has a row a class
    with a mask: object pixels and others in each thousandth of the score. `maps` are those of the classes.
    """
    boxed = np.array([i for i, present in enumerate(classes) if present.boxes_xyxy], dtype=np.int64)
    masks = [(i, present.mask) for i, present in enumerate(classes) if present.mask is not None]
    truths = [scaled_boxes(classes[i].boxes_xyxy, classes[i].size_wh) for i in boxed]
    rows, columns = next(iter(maps.values())).shape[1:]
    noise = np.array([random_map((rows, columns), seed, present.position) for present in classes], np.float32)
    noise = noise.reshape(-1, rows, columns)
    arrays: dict[str, Array] = {}
    for key, signed_maps in [*maps.items(), ("random", noise)]:
        arrays[f"places {key}"] = packed(localized(best_ious(signed_maps[boxed], truths)))
        arrays[f"pixels {key}"] = _pixel_counts([(score_map(signed_maps[i]), mask) for i, mask in masks])
    for key in FIXED_MAPS:
        score, boxes = _fixed_map(key)
        arrays[f"places {key}"] = packed(localized(best_ious_of_boxes([boxes] * len(boxed), truths)))
        arrays[f"pixels {key}"] = _pixel_counts([(score, mask) for _, mask in masks])
    return arrays


@lru_cache(maxsize=len(FIXED_MAPS))
def _fixed_map(key: str) -> tuple[Float32[Array, "H W"], BoxesAtThresholds]:
    """A baseline that is the same for every picture, so that its boxes are searched once."""
    score = score_map(FIXED_MAPS[key]())
    return score, boxes_at_thresholds(score)


def _pixel_counts(pairs: Sequence[tuple[Array, UInt8[Array, "H W"]]]) -> UInt16[Array, "m 2 t"]:
    """The histograms of several pictures, which have fewer than 65,536 pixels each."""
    histograms = [pixel_histograms(score, mask) for score, mask in pairs]
    return np.array(histograms, np.uint16).reshape(len(pairs), 2, len(HISTOGRAM_EDGES) - 1)
