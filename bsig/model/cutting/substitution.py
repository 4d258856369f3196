"""Copies of a network in which some layers, given by name, are replaced; all other layers are shared with it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn


class PassThrough(nn.Module):
    """Gives back its input, whatever else it is called with: it stands where the other part's layers were."""

    def forward(self, inputs: Any, *_others: Any, **_keywords: Any) -> Any:
        """The input."""
        return inputs


def substituted(module: nn.Module, substitutes: Mapping[str, nn.Module], path: str = "") -> nn.Module:
    """The module with layers replaced by name; the module itself is not changed.

    Only the containers on the way to a substitute are copied, each without its layers (`copy.copy`), so no weight is
    held twice. `path` is the name of `module` in the network, for the recursion.
    """
    if path in substitutes:
        return substitutes[path]
    if not any(name.startswith(f"{path}." if path else "") for name in substitutes):
        return module
    clone = copy.copy(module)
    clone._modules = {
        name: None if child is None else substituted(child, substitutes, f"{path}.{name}" if path else name)
        for name, child in module._modules.items()
    }
    return clone


def without_layers(model: nn.Module, names: set[str]) -> nn.Module:
    """The model with these layers replaced by `PassThrough`."""
    return substituted(model, {name: PassThrough() for name in names})


def with_only_children(model: nn.Module, children: set[str]) -> nn.Module:
    """The model with all of its own children but these replaced by `PassThrough`."""
    return without_layers(model, {name for name, _ in model.named_children()} - children)


def without_own_tensors(model: nn.Module) -> nn.Module:
    """The model without the tensors that belong to itself (class token, positions); its layers keep theirs.

    The encoder has used them already. In the head they would be stored and trained a second time, to no effect.
    """
    clone = copy.copy(model)
    clone._parameters, clone._buffers = dict.fromkeys(model._parameters), dict.fromkeys(model._buffers)
    return clone
