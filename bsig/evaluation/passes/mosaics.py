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

from bsig.evaluation.passes.annotated_pictures import squashed
from bsig.evaluation.passes.pictures import class_arrays
from bsig.evaluation.passes.work import Work
from bsig.inputs.images import crop_image
from bsig.inputs.tensors import input_batch

Array = np.ndarray
MOSAIC_CONFIDENCE = 0.8


def mosaic_sources(
    labels: Int[Array, " n"], softmax_top1: Float[Array, " n"], confidence: Float[Array, " n"], count: int, seed: int
) -> Int[Array, "m 4"]:
    """Four pictures of four classes for each mosaic, drawn by class, each right and above `MOSAIC_CONFIDENCE` alone.

    Empty where fewer than four classes have such a picture.
    """
    is_sure = (softmax_top1 == 1) & (confidence > MOSAIC_CONFIDENCE)
    classes = np.unique(labels[is_sure])
    if len(classes) < 4:
        count = 0
    rows = {int(label): np.flatnonzero(is_sure & (labels == label)) for label in classes}
    random = np.random.default_rng(seed)
    mosaics = [[random.choice(rows[label]) for label in random.choice(classes, 4, replace=False)] for _ in range(count)]
    return np.array(mosaics, np.int64).reshape(-1, 4)


def mosaic_part(work: Work, mosaics: Sequence[Sequence[int]]) -> dict[str, Array]:
    """The `class_arrays` of a few mosaics of four pictures of one class, by position; one forward pass each."""
    preprocessing = squashed(work.model)
    samples = [[work.usable[position] for position in four] for four in mosaics]
    tiles = [_mosaic([crop_image(sample.open(), preprocessing) for sample in four]) for four in samples]
    features = work.model.fast_features(input_batch(tiles, preprocessing).to(work.model.device))
    return class_arrays(
        work, features, np.array([[work.labels[sample.class_name] for sample in four] for four in samples])
    )


def _mosaic(crops: Sequence[Image.Image]) -> Image.Image:
    """Four crops of one size as one picture: 0 1 above 2 3."""
    width, height = crops[0].size
    whole = Image.new("RGB", (2 * width, 2 * height))
    for quarter, crop in enumerate(crops):
        whole.paste(crop, (quarter % 2 * width, quarter // 2 * height))
    return whole
