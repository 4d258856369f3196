"""Features of a few classes around centres, a small head, and trainings of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bsig.inputs.errors import InputError
from bsig.model.heads import PooledLinearHead
from bsig.training.config import TrainingConfig
from bsig.training.features.pooled import PooledFeatures
from bsig.training.loop.train import TrainedHead, train_sigmoid_branch

CLASSES, CHANNELS = 5, 7


def toy_features(images: int = 31, views: int = 2, spread: float = 0.3, seed: int = 3) -> PooledFeatures:
    """Non-negative features around one centre a class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % CLASSES
    centres = 2 * torch.rand(CLASSES, CHANNELS, generator=generator)
    noise = spread * torch.randn(images, views, CHANNELS, generator=generator)
    return PooledFeatures((centres[labels][:, None] + noise).clamp(min=0), labels, ())


def toy_head(seed: int = 4) -> PooledLinearHead:
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(CHANNELS, CLASSES)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(CLASSES, CHANNELS, generator=generator))
        linear.bias.copy_(torch.randn(CLASSES, generator=generator))
    return PooledLinearHead(linear).eval().requires_grad_(False)


def trained(config: TrainingConfig, **options: object) -> TrainedHead:
    return train_sigmoid_branch(toy_head(), toy_features(), config, **options)


def same(first: TrainedHead, second: TrainedHead) -> bool:
    weights = [torch.equal(first.head.linear.weight, second.head.linear.weight)]
    weights.append(torch.equal(first.head.linear.bias, second.head.linear.bias))
    if first.shift:
        weights += [
            torch.equal(first.shift.vector, second.shift.vector),
            torch.equal(first.shift.bias, second.shift.bias),
        ]
    return all(weights) and first.history == second.history


def refusal(config: TrainingConfig, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        trained(config, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)
