"""Features, weights, biases and shift vectors: a head small enough for paper, and random ones on a prime-sized grid."""

from __future__ import annotations

import torch
from torch import Tensor

from bsig.explain.diagnostics.logit_shift import class_centred_head, class_map
from bsig.model.heads import shifted_rows

DOUBLE = torch.float64
CLASSES, CHANNELS, ROWS, COLUMNS = 5, 23, 3, 7

# 2 classes, 3 channels, 1x2 grid: small enough to work out on paper.
FEATURES = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[1.0, 1.0]]], dtype=DOUBLE)
WEIGHT = torch.tensor([[2.0, 1.0, 0.0], [0.0, -1.0, 2.0]], dtype=DOUBLE)
BIAS = torch.tensor([0.5, -0.5], dtype=DOUBLE)


def random_head(seed: int, dtype: torch.dtype = DOUBLE) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features after a ReLU, weight, bias and a shift vector of the weights' own size."""
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(CHANNELS, ROWS, COLUMNS, generator=draw).clamp(min=0)
    weight, bias, vector = (
        torch.randn(*size, generator=draw) for size in ((CLASSES, CHANNELS), (CLASSES,), (CHANNELS,))
    )
    return features.to(dtype), weight.to(dtype), bias.to(dtype), vector.to(dtype)


def class_maps(features: Tensor, weight: Tensor) -> Tensor:
    """The maps of all classes, (c, h, w)."""
    return torch.stack([class_map(features, weight, index) for index in range(len(weight))])


def class_centred_map(features: Tensor, weight: Tensor, class_index: int) -> Tensor:
    """`(W[c] - w_bar) . F`, (h, w)."""
    return class_map(features, class_centred_head(weight), class_index)


def shifted_probabilities(
    pooled: Tensor, weight: Tensor, bias: Tensor, vector: Tensor, activation: str
) -> tuple[Tensor, Tensor]:
    """Probabilities of head `W` and of head `W + 1 v^T`, each (b, c)."""
    before, after = (pooled @ rows.T + bias for rows in (weight, shifted_rows(weight, vector)))
    if activation == "sigmoid":
        return before.sigmoid(), after.sigmoid()
    return before.softmax(dim=1), after.softmax(dim=1)
