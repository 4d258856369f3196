"""BatchNorm folded into the convolution before it: the same features up to rounding, in fewer steps.

    BN(W * x + b) = W' * x + b'      W' = W g / sqrt(v + e),   b' = (b - m) g / sqrt(v + e) + beta

with BatchNorm's stored mean `m`, variance `v`, scale `g`, offset `beta` and epsilon `e` (Jacob et al., CVPR 2018, arXiv
1712.05877, section 3.2). The products are PyTorch's (`torch.nn.utils.fusion`). Which BatchNorm follows which
convolution is not read from names: the network is run once, without weights, and the tensors are followed.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from jaxtyping import Float
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bsig.model.cutting.substitution import substituted

# Their forward pass is `weight * x + bias`; others may change the weight first (weight standardisation).
PLAIN_CONVOLUTIONS = (nn.Conv2d, Conv2dSame)
PLAIN_NORMS = (nn.BatchNorm2d, BatchNormAct2d)
Pair = tuple[str, str]  # names of a convolution and of the BatchNorm behind it


def fold_batch_norm(encoder: nn.Module, pairs: list[Pair]) -> nn.Module:
    """The encoder with each pair's BatchNorm folded into its convolution; all other layers are shared with it.

    The encoder is not changed. An activation that timm keeps inside of its BatchNorm stays.
    """
    layers: dict[str, Any] = dict(encoder.named_modules())
    substitutes: dict[str, nn.Module] = {}
    for convolution, norm in pairs:
        fused = fuse_conv_bn_eval(layers[convolution], layers[norm])
        substitutes[convolution] = fused.requires_grad_(False)
        substitutes[norm] = _what_is_left(layers[norm])
    return substituted(encoder, substitutes)


def foldable_pairs(encoder: nn.Module, example: Float[Tensor, "b 3 H W"]) -> list[Pair]:
    """Convolutions whose output goes into a BatchNorm, in the order of the network; each of the two runs once.

    Whether the output goes somewhere else too is not seen here. The caller compares the features.
    """
    layers = dict(encoder.named_modules())
    if not any(type(layer) in PLAIN_NORMS for layer in layers.values()):
        return []
    tensors = (*encoder.parameters(), *encoder.buffers())
    weightless = copy.deepcopy(encoder, {id(tensor): tensor.to("meta") for tensor in tensors})
    made_by: dict[int, str] = {}
    alive: list[Tensor] = []  # so that no two tensors of the run have one id
    runs: Counter[str] = Counter()
    pairs: list[Pair] = []

    def follow(name: str) -> Any:
        def hook(_layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            runs[name] += 1
            source = made_by.get(id(inputs[0]))
            if source is not None and type(layers[name]) in PLAIN_NORMS:
                pairs.append((source, name))
            alive.extend((inputs[0], output))
            if type(layers[name]) in PLAIN_CONVOLUTIONS:
                made_by[id(output)] = name

        return hook

    for name, layer in weightless.named_modules():
        if type(layer) in (*PLAIN_CONVOLUTIONS, *PLAIN_NORMS):
            layer.register_forward_hook(follow(name))
    with torch.no_grad():
        weightless(example.to("meta"))
    return [pair for pair in pairs if _can_be_folded(*pair, layers, runs)]


def _can_be_folded(convolution: str, norm: str, layers: dict[str, nn.Module], runs: Counter[str]) -> bool:
    has_statistics = getattr(layers[norm], "running_mean", None) is not None
    return has_statistics and runs[convolution] == runs[norm] == 1


def _what_is_left(norm: nn.Module) -> nn.Module:
    """What a BatchNorm does after its sum and product: timm's own activation, or nothing."""
    if isinstance(norm, BatchNormAct2d):
        return norm.act if isinstance(norm.drop, nn.Identity) else nn.Sequential(norm.drop, norm.act)
    return nn.Identity()
