"""Mosaics of four pictures for the grid pointing game, made on the fly (Boehle et al., CVPR 2021).

Sources are pictures of four classes that the softmax branch gets right with a confidence above `MOSAIC_CONFIDENCE` when
it sees them alone. The whole mosaic is one input.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image

from bsig.dual_branch import DualBranch
from bsig.evaluation_pass import Ask, Gathered, Progress, branch_probabilities, squashed
from bsig.evidence_columns import column_maps
from bsig.images import crop_image, input_batch

Array = np.ndarray
MOSAIC_CONFIDENCE = 0.8


def mosaic_sources(gathered: Gathered, count: int, seed: int) -> Int[Array, "n 4"]:
    """For each mosaic four pictures of four classes, drawn by class, each right and above `MOSAIC_CONFIDENCE` alone.

    Empty where fewer than four classes have such a picture.
    """
    sure = (gathered.softmax_top1 == 1) & (gathered.confidence > MOSAIC_CONFIDENCE)
    of_class = {int(label): np.flatnonzero(sure & (gathered.labels == label)) for label in gathered.labels[sure]}
    if len(of_class) < 4:
        return np.zeros((0, 4), np.int64)
    random = np.random.default_rng(seed)
    classes = np.array(sorted(of_class))
    return np.array(
        [[random.choice(of_class[label]) for label in random.choice(classes, 4, replace=False)] for _ in range(count)]
    )


def mosaic_maps(
    model: DualBranch,
    gathered: Gathered,
    sources: Int[Array, "n 4"],
    asks: Sequence[Ask],
    *,
    batch_size: int,
    progress: Progress,
) -> list[dict[str, Float[Array, "n 4 h w"]]]:
    """Each column's maps of the four classes of each mosaic, by the position of its `Ask`: one forward pass a mosaic.

    A mosaic is twice the input size in rows and columns: each picture keeps the pixels that it had alone.
    """
    parts: list[list[dict[str, Array]]] = [[] for _ in asks]
    step, preprocessing = max(batch_size // 4, 1), squashed(model)
    for start in range(0, len(sources), step):
        chosen = sources[start : start + step]
        tiles = [
            _mosaic([crop_image(gathered.pictures[i].sample.open(), preprocessing) for i in four]) for four in chosen
        ]
        features = model.features(input_batch(tiles, preprocessing).to(model.device))
        classes = torch.from_numpy(gathered.labels[chosen]).to(features.device)
        probabilities = branch_probabilities(model, features)
        for kept, ask in zip(parts, asks, strict=True):
            maps = column_maps(ask.columns, features, classes, probabilities, ask.method, ask.treatment)
            kept.append({key: value.detach().float().cpu().numpy() for key, value in maps.items()})
        progress(start + len(chosen), len(sources))
    return [{key: np.concatenate([part[key] for part in kept]) for key in kept[0]} for kept in parts]


def _mosaic(crops: Sequence[Image.Image]) -> Image.Image:
    width, height = crops[0].size
    whole = Image.new("RGB", (2 * width, 2 * height))
    for quarter, crop in enumerate(crops):
        whole.paste(crop, (quarter % 2 * width, quarter // 2 * height))
    return whole
