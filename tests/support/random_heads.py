"""Features, weights, biases and shift vectors: a head small enough for paper, and random ones on a prime-sized grid."""

from __future__ import annotations

import torch
from torch import Tensor

from bsig.explain.diagnostics.logit_shift import class_map

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
