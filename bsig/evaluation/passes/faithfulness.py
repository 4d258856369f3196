"""Faithfulness over a data set: some pictures that the softmax branch gets right, both branches' maps, one judge."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bsig.evaluation.map_sources import gated
from bsig.evaluation.metrics.faithfulness import drops_and_increases, faithfulness, masked_by
from bsig.evaluation.passes.annotated_pictures import squashed
from bsig.evaluation.passes.work import Work
from bsig.inputs.images import crop_image
from bsig.inputs.tensors import input_tensor

Array = np.ndarray


def faithful_rows(is_likeliest: Float[Array, " n"], count: int, seed: int) -> Int[Array, " m"]:
    """Up to `count` rows whose class is the likeliest for the softmax branch, so at most one a picture."""
    return np.sort(np.random.default_rng(seed).permutation(np.flatnonzero(is_likeliest == 1))[:count])


@torch.no_grad()
def drop_arrays(
    work: Work,
    inputs: Float[Tensor, "b 3 H W"],
    features: Float[Tensor, "b k h w"],
    picture_rows: Int[Array, " n"],
    positions: Int[Array, " n"],
    arrays: Mapping[str, Array],
) -> dict[str, Array]:
    """`drop KEY GATE` (n, 2), average drop and increase of each present class; NaN for pictures that are not asked.

    The whole picture's probability comes from its stored features; the picture under the map needs a forward pass.
    `picture_rows` and `positions` are the picture of each present class: its row here, its place in the data set.
    """
    rows = np.flatnonzero([int(position) in work.drop_positions for position in positions])
    inputs, features = inputs[picture_rows[rows]], features[picture_rows[rows]]
    labels = torch.from_numpy(arrays["label"][rows])[:, None].to(features.device)
    whole = work.model.softmax_logits(features).softmax(dim=1).gather(1, labels)[:, 0]
    answers = {}
    for (key, gate), source in work.drop_sources.items():
        maps = gated(work.model, source, gate, lambda name: arrays[name])[rows, 0]
        scores = np.full((len(positions), 2), np.nan)
        if len(rows):
            masked = work.model.fast_features(masked_by(inputs, torch.from_numpy(maps).to(inputs)))
            masked_probability = work.model.softmax_logits(masked).softmax(dim=1).gather(1, labels)[:, 0]
            scores[rows] = drops_and_increases(whole, masked_probability).double().cpu().numpy()
        answers[drop_name(key, gate)] = scores
    return answers


def drop_name(key: str, gate: str | None) -> str:
    """The name of the array that holds a map's drops."""
    return f"drop {key} {gate or 'plain'}"


def faithfulness_part(
    work: Work, position: int, label: int, maps: Mapping[str, Float[Array, "h w"]]
) -> dict[str, Array]:
    """`scores KEY` (1, scores) of each map of a picture's class, judged by the frozen softmax branch."""
    sample, model, preprocessing = work.images.samples[position], work.model, squashed(work.model)
    inputs = input_tensor(crop_image(sample.open(), preprocessing), preprocessing).to(model.device)[0]

    @torch.no_grad()
    def probability(pictures: Tensor) -> Tensor:
        return model.softmax_logits(model.fast_features(pictures)).softmax(dim=1)[:, label]

    return {
        f"scores {key}": np.array([faithfulness(probability, inputs, torch.from_numpy(array).to(inputs))])
        for key, array in maps.items()
    }
