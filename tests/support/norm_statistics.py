"""Networks whose BatchNorm does something, as after training."""

from __future__ import annotations

import torch
from torch import nn


def with_statistics(network: nn.Module) -> nn.Module:
    """The network with BatchNorm that does something, as after training."""
    generator = torch.Generator().manual_seed(5)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low, high in ((layer.running_mean, -0.2, 0.2), (layer.running_var, 0.5, 2.0)):
                tensor.uniform_(low, high, generator=generator)
            with torch.no_grad():
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.uniform_(-0.5, 0.5, generator=generator)
    return network.eval().requires_grad_(False)
