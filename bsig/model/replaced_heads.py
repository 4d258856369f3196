"""A classifier that was replaced by several layers: read off its tensors, written as text, and built again.

    ("Linear(512, 64)", "ReLU()", "Dropout()", "Linear(64, 3)")

A state dict holds the layers with weights and, in their numbers, gaps where layers without weights stood. Which
activation stood there it does not tell: ReLU unless another is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor, nn

from bsig.inputs.errors import InputError

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh,
                                           "sigmoid": nn.Sigmoid, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU,
                                           "hardswish": nn.Hardswish, "none": nn.Identity}  # fmt: skip
LAYERS: dict[str, type[nn.Module]] = {
    **{kind.__name__: kind for kind in (nn.Linear, nn.BatchNorm1d, nn.LayerNorm, nn.PReLU, nn.Dropout)},
    **{kind.__name__: kind for kind in ACTIVATIONS.values()},
}
LAYER = re.compile(r"(?P<kind>\w+)\((?P<sizes>\d{1,6}(, \d{1,6})?)?\)")
MAX_LAYERS = 16
MAX_NUMBERS = 2**26


def replaced_head(tensors: dict[str, Tensor], activation: str | None) -> tuple[tuple[str, ...], bool]:
    """The layers of a numbered chain, and whether an activation was assumed.

    Args:
        tensors: by name within the chain: '0.weight', '0.bias', '3.weight', ...
        activation: a key of `ACTIVATIONS`; None for ReLU.

    Raises:
        InputError: the names are no numbers, or a layer is of no known kind.
    """
    numbers: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        place, _, leaf = name.partition(".")
        if not place.isdecimal() or "." in leaf:
            raise InputError(
                f"its classifier is no chain of numbered layers ('{name}'); build the network in Python and give it to "
                "bsig.DualBranch.from_model."
            )
        numbers.setdefault(int(place), {})[leaf] = tensor
    layers: list[str] = []
    assumed, activated = False, True  # nothing stands before the first linear layer but a dropout
    for number in range(max(numbers) + 1):
        if number not in numbers:
            layers.append("Dropout()" if activated else f"{ACTIVATIONS[activation or 'relu'].__name__}()")
            assumed, activated = assumed or not activated, True
            continue
        layers.append(_layer(numbers[number]))
        if layers[-1].startswith(("Linear", "PReLU")):
            activated = layers[-1].startswith("PReLU")
    if not layers[-1].startswith("Linear"):
        raise InputError("its classifier does not end in a linear layer; give it to bsig.DualBranch.from_model.")
    return tuple(layers), assumed and activation is None


def check_head_layers(layers: Sequence[str]) -> None:
    """Refuses what is no text of `replaced_head`, or far too large.

    Raises:
        InputError: one sentence.
    """
    matches = [LAYER.fullmatch(layer) for layer in layers]
    if len(layers) > MAX_LAYERS or not all(match and match["kind"] in LAYERS for match in matches):
        raise InputError(f"`head_layers` (={list(layers)[:MAX_LAYERS]}) must be layers such as 'Linear(512, 64)'.")
    numbers = [[int(size) for size in (match["sizes"] or "0").split(", ")] for match in matches if match]
    if sum(size[0] * size[-1] for size in numbers) > MAX_NUMBERS:
        raise InputError(f"`head_layers` (={list(layers)}) has more than {MAX_NUMBERS:,} weights; that is no head.")


def built_head(layers: Sequence[str]) -> nn.Sequential:
    """The chain with any weights."""
    check_head_layers(layers)
    modules = []
    for layer in layers:
        match = LAYER.fullmatch(layer)
        sizes = match["sizes"] if match else None
        kind = LAYERS[layer.partition("(")[0]]
        modules.append(kind(*(int(size) for size in sizes.split(", ")) if sizes else ()))
    return nn.Sequential(*modules)


def _layer(tensors: dict[str, Tensor]) -> str:
    weight = tensors.get("weight")
    if weight is None:
        raise InputError("its classifier has a layer without weights; give it to bsig.DualBranch.from_model.")
    if weight.ndim == 2 and set(tensors) <= {"weight", "bias"}:
        return f"Linear({weight.shape[1]}, {weight.shape[0]})"
    if weight.ndim == 1 and "running_mean" in tensors:
        return f"BatchNorm1d({len(weight)})"
    if weight.ndim == 1 and "bias" not in tensors:
        return f"PReLU({len(weight)})"
    if weight.ndim == 1:
        return f"LayerNorm({len(weight)})"
    raise InputError(
        f"its classifier has a layer of {sorted(tensors)}, which is not known here; give the network to "
        "bsig.DualBranch.from_model."
    )
