"""Faithfulness over a data set: some pictures that the softmax branch gets right, both branches' maps, one judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bsig.dual_branch import DualBranch
from bsig.evaluation_pass import ColumnMaps, Gathered, squashed
from bsig.faithfulness import STEPS, faithfulness
from bsig.images import crop_image, input_tensor
from bsig.intervals import mean_over, resampling_weights

Array = np.ndarray
Values = dict[str, tuple[Float[Array, " r"], int]]
KEYS = ("deletion_auc", "insertion_auc", "road", "average_drop", "increase_in_confidence")
COLUMNS = ("softmax", "centred", "sigmoid", "features", "random-head")


def faithfulness_values(
    model: DualBranch,
    gathered: Gathered,
    asked: list[dict[str, ColumnMaps]],
    count: int,
    *,
    resamples: int,
    seed: int,
    progress: Callable[[int], None],
) -> list[dict[str, Values]]:
    """By table, then by column: metric key -> its value for each draw, and how many pictures it rests on.

    Args:
        model: whose softmax branch judges.
        gathered: the pictures; those that the softmax branch gets right are drawn from.
        asked: each table's maps, by column.
        count: pictures, at most; each costs about 2 * `STEPS` forward passes a map.
        resamples: draws of the intervals.
        seed: of the choice of pictures and of the draws.
        progress: called with the number of pictures that are done.
    """
    right = np.flatnonzero(gathered.softmax_top1 == 1)
    chosen = np.sort(np.random.default_rng(seed).permutation(right)[:count])
    if len(chosen) == 0:
        return [{} for _ in asked]
    scores = np.zeros((len(asked), len(COLUMNS), len(KEYS), len(chosen)))
    for at, i in enumerate(chosen):
        picture = gathered.pictures[i]
        inputs = input_tensor(crop_image(picture.sample.open(), squashed(model)), squashed(model)).to(model.device)[0]
        probability = softmax_probability(model, int(gathered.labels[i]))
        for table, maps in enumerate(asked):
            for column, key in enumerate(COLUMNS):
                one = torch.from_numpy(maps[key].own[i]).to(model.device)
                scores[table, column, :, at] = astuple(faithfulness(probability, inputs, one, STEPS))
        progress(at + 1)
    draws = resampling_weights(len(chosen), resamples, seed)
    return [
        {
            key: {name: (mean_over(scores[table, column, at], draws), len(chosen)) for at, name in enumerate(KEYS)}
            for column, key in enumerate(COLUMNS)
        }
        for table in range(len(asked))
    ]


def softmax_probability(model: DualBranch, class_index: int) -> Callable[[Tensor], Tensor]:
    """Normalised pictures -> the frozen softmax branch's probability of one class."""

    def probability(inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return model.softmax_logits(model.features(inputs)).softmax(dim=1)[:, class_index]

    return probability
