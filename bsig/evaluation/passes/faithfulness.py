"""Faithfulness over a data set: some pictures that the softmax branch gets right, both branches' maps, one judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bsig.evaluation.metrics.faithfulness import STEPS, faithfulness
from bsig.evaluation.passes.pictures import squashed
from bsig.inputs.datasets.samples import Sample
from bsig.inputs.images import crop_image, input_tensor
from bsig.model.dual_branch import DualBranch

Array = np.ndarray
KEYS = ("deletion_auc", "insertion_auc", "road", "average_drop", "increase_in_confidence")
COLUMNS = ("softmax", "centred", "sigmoid", "features", "random-head")


def faithful_pictures(softmax_top1: Float[Array, " n"], count: int, seed: int) -> Int[Array, " m"]:
    """Up to `count` pictures that the softmax branch gets right, drawn over all of them."""
    return np.sort(np.random.default_rng(seed).permutation(np.flatnonzero(softmax_top1 == 1))[: max(count, 0)])


def faithfulness_part(
    model: DualBranch, sample: Sample, label: int, maps: Mapping[str, Float[Array, "h w"]]
) -> dict[str, Array]:
    """`scores KEY` (1, len(KEYS)) of each map of the picture's own class; some 45 forward passes each."""
    preprocessing = squashed(model)
    inputs = input_tensor(crop_image(sample.open(), preprocessing), preprocessing).to(model.device)[0]
    probability = softmax_probability(model, label)
    return {
        f"scores {key}": np.array([astuple(faithfulness(probability, inputs, torch.from_numpy(one).to(inputs), STEPS))])
        for key, one in maps.items()
    }


def softmax_probability(model: DualBranch, class_index: int) -> Callable[[Tensor], Tensor]:
    """Normalised pictures -> the frozen softmax branch's probability of one class."""

    def probability(inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return model.softmax_logits(model.features(inputs)).softmax(dim=1)[:, class_index]

    return probability
