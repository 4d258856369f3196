"""A network's last linear layer, whose rows are the classes, and what stands in its place while the network is cut."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from bsig.model.cutting.layout import CutError
from bsig.model.cutting.substitution import PassThrough


class _BesideZeros(nn.Module):
    """Puts zeros before and behind its input, so that a mean of two such outputs holds both inputs side by side."""

    def __init__(self, before: int, behind: int) -> None:
        super().__init__()
        self.zeros = (before, behind)

    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.pad(inputs, self.zeros)


def last_linear_of(model: Any) -> tuple[nn.Linear, dict[str, nn.Module]]:
    """A copy of the last linear layer, and by name what takes its place so that the network ends with its input.

    A network that averages two classifiers (distilled DeiT) has one here, with both weights side by side:
    `((W1 z1 + b1) + (W2 z2 + b2)) / 2 = [W1 W2] [z1 z2] / 2 + (b1 + b2) / 2`. The network's own average, taken of the
    two inputs side by side with zeros, supplies the half of the weights' term.

    Raises:
        CutError: the network ends in no linear layer with a row a class, or in more than two.
    """
    if isinstance(getattr(model, "aux_head", None), nn.Module):
        raise CutError(
            "to its class token's logits it adds, class by class, half of the highest logit among its tokens, which no "
            "last linear layer gives (a network that was trained without: --model-kwargs use_aux_head=false)"
        )
    classifier = model.get_classifier()
    classifiers = list(classifier) if isinstance(classifier, tuple | list | nn.ModuleList) else [classifier]
    names = {id(module): name for name, module in model.named_modules()}
    layers = [_linear_within(module, model.num_classes) for module in classifiers]
    places = [names[id(layer)] for layer in layers]
    if len(layers) == 1:
        return as_linear(layers[0]), {places[0]: PassThrough()}
    if len(layers) > 2:
        raise CutError(f"it ends in {len(layers)} classifiers")
    first, second = (as_linear(layer) for layer in layers)
    both = nn.Linear(first.in_features + second.in_features, first.out_features)
    with torch.no_grad():
        both.weight.copy_(torch.cat((first.weight, second.weight), dim=1))
        both.bias.copy_((first.bias + second.bias) / 2)
    substitutes = (_BesideZeros(0, second.in_features), _BesideZeros(first.in_features, 0))
    return both.requires_grad_(False), dict(zip(places, substitutes, strict=True))


def random_copy(linear: nn.Linear) -> nn.Linear:
    """A layer of the same shape with random weights.

    Networks start with zeros in their last layer, under which any two inputs give the same logits. Under random weights
    a difference cannot hide.
    """
    probe, generator = copy.deepcopy(linear), torch.Generator().manual_seed(1)
    probe.weight.copy_(torch.randn(probe.weight.shape, generator=generator))
    probe.bias.copy_(torch.randn(probe.bias.shape, generator=generator))
    return probe


def _linear_within(classifier: nn.Module, num_classes: int) -> nn.Module:
    """The last layer of a classifier with one row, or one 1x1 filter, a class."""
    layers = [
        layer
        for layer in classifier.modules()
        if (isinstance(layer, nn.Linear) and layer.out_features == num_classes)
        or (isinstance(layer, nn.Conv2d) and layer.out_channels == num_classes and layer.kernel_size == (1, 1))
    ]
    if not layers and num_classes == 0:
        raise CutError("it has no classifier: its published weights end with the features")
    if not layers:
        raise CutError(f"it ends in {type(classifier).__name__}, in which there is no linear layer with a row a class")
    return layers[-1]


def as_linear(layer: Any) -> nn.Linear:
    """The layer as a linear one with a bias: a 1x1 convolution is one, and no bias is a bias of zero."""
    weight = layer.weight.detach().flatten(1).clone()
    linear = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], dtype=weight.dtype)
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().clone()
    linear.load_state_dict({"weight": weight, "bias": bias})
    return linear.requires_grad_(False)
