"""Faithfulness over a data set: some pictures that the softmax branch gets right, both branches' maps, one judge."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bsig.evaluation.metrics.faithfulness import faithfulness
from bsig.evaluation.passes.annotated_pictures import squashed
from bsig.evaluation.passes.work import Work
from bsig.inputs.images import crop_image
from bsig.inputs.tensors import input_tensor

Array = np.ndarray


def faithful_pictures(softmax_top1: Float[Array, " n"], count: int, seed: int) -> Int[Array, " m"]:
    """Rows of up to `count` pictures that the softmax branch gets right, drawn over all of them."""
    return np.sort(np.random.default_rng(seed).permutation(np.flatnonzero(softmax_top1 == 1))[:count])


def faithfulness_part(work: Work, position: int, maps: Mapping[str, Float[Array, "h w"]]) -> dict[str, Array]:
    """`scores KEY` (1, scores) of each map of the picture's own class, judged by the frozen softmax branch."""
    sample, model, preprocessing = work.images.samples[position], work.model, squashed(work.model)
    label = work.label(sample)
    inputs = input_tensor(crop_image(sample.open(), preprocessing), preprocessing).to(model.device)[0]

    @torch.no_grad()
    def probability(pictures: Tensor) -> Tensor:
        return model.softmax_logits(model.features(pictures)).softmax(dim=1)[:, label]

    return {
        f"scores {key}": np.array([faithfulness(probability, inputs, torch.from_numpy(array).to(inputs))])
        for key, array in maps.items()
    }
