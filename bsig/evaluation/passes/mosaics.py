"""Mosaics of four pictures for the grid pointing game, made on the fly (Boehle et al., CVPR 2021).

Sources are pictures of four classes that the softmax branch gets right with a confidence above `MOSAIC_CONFIDENCE` when
it sees them alone. The whole mosaic is one input, twice the input size in rows and columns, so that each picture keeps
the pixels that it had alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from bsig.evaluation.map_sources import MapSource
from bsig.evaluation.passes.pictures import maps_and_gates, squashed
from bsig.inputs.datasets.samples import Sample
from bsig.inputs.images import crop_image, input_batch
from bsig.model.dual_branch import DualBranch

Array = np.ndarray
MOSAIC_CONFIDENCE = 0.8


def mosaic_sources(
    labels: Int[Array, " n"], softmax_top1: Float[Array, " n"], confidence: Float[Array, " n"], count: int, seed: int
) -> Int[Array, "m 4"]:
    """For each mosaic four pictures of four classes, drawn by class, each right and above `MOSAIC_CONFIDENCE` alone.

    Empty where fewer than four classes have such a picture.
    """
    sure = (softmax_top1 == 1) & (confidence > MOSAIC_CONFIDENCE)
    of_class = {int(label): np.flatnonzero(sure & (labels == label)) for label in labels[sure]}
    if len(of_class) < 4 or count < 1:
        return np.zeros((0, 4), np.int64)
    random = np.random.default_rng(seed)
    classes = np.array(sorted(of_class))
    return np.array(
        [[random.choice(of_class[label]) for label in random.choice(classes, 4, replace=False)] for _ in range(count)]
    )


def mosaic_part(
    model: DualBranch, sources: dict[str, MapSource], mosaics: Sequence[Sequence[tuple[Sample, int]]]
) -> dict[str, Array]:
    """Arrays of a few mosaics of four (sample, label), one forward pass each: `maps KEY` (n, 4, h, w), gates (n, 4)."""
    preprocessing = squashed(model)
    tiles = [_mosaic([crop_image(sample.open(), preprocessing) for sample, _ in four]) for four in mosaics]
    features = model.features(input_batch(tiles, preprocessing).to(model.device))
    labels = np.array([[label for _, label in four] for four in mosaics], np.int64)
    maps, gates = maps_and_gates(model, features, labels, sources)
    return gates | {f"maps {key}": one for key, one in maps.items()}


def _mosaic(crops: Sequence[Image.Image]) -> Image.Image:
    width, height = crops[0].size
    whole = Image.new("RGB", (2 * width, 2 * height))
    for quarter, crop in enumerate(crops):
        whole.paste(crop, (quarter % 2 * width, quarter // 2 * height))
    return whole
