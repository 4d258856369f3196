"""A timm classifier cut in two at a feature map: an encoder and a head that hold only what each of them runs.

    cut_network(model, example, at)   ->  encoder: input -> features (b, k, h, w);  head: features -> logits (b, c)

No family of networks is named here. The model is run once and its layers are traced (`traced_run.py`): layers that
have finished when the feature map is there belong to the encoder, all others to the head, and in each part the other's
layers are replaced by ones that pass their input on (`substitution.py`). Four things are not looked up but measured on
a random input, with random weights in the last linear layer (`last_linear.random_copy`): whether the two parts give the
logits of the whole, whether the head sees only the mean over the grid, whether class activation maps are exact, and
whether the tokens' grid still has an influence. What cannot be cut exactly is refused in words.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bsig.inputs.errors import InputError, first_line
from bsig.model.checkpoints.names import LAST
from bsig.model.cutting.class_attention import ClassAttentionHead, ResumedTail, cut_before_reading, layer_before_reading
from bsig.model.cutting.encoders import TimmEncoder
from bsig.model.cutting.last_linear import last_linear_of, random_copy
from bsig.model.cutting.layout import CutError, GridLayout, layout_of
from bsig.model.cutting.substitution import substituted, with_only_children, without_layers, without_own_tensors
from bsig.model.cutting.traced_run import TracedRun, traced
from bsig.model.heads import ClassificationHead, PooledLinearHead, Tail, TailHead

# Gradient times feature is balanced over the grid when its sum is below this share of its terms' sizes.
BALANCE = 0.01


class _PrefixNorm(nn.Module):
    """A block's first norm, for the prefix tokens alone: the grid's tokens went through it in the encoder."""

    def __init__(self, norm: nn.Module, prefix: int) -> None:
        super().__init__()
        self.norm = norm
        self.prefix = prefix

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.cat((self.norm(tokens[:, : self.prefix]), tokens[:, self.prefix :]), dim=1)


@dataclass(frozen=True)
class Parts:
    """A classifier in two parts: input -> features, features -> logits.

    Attributes:
        features_at: the layer behind which the features are taken, in timm's names; `last` for the whole encoder.
        grid_hw: rows and columns of the features at the model's own input size.
    """

    encoder: TimmEncoder
    head: ClassificationHead
    features_at: str
    grid_hw: tuple[int, int]


def cut_network(model: nn.Module, example: Float[Tensor, "1 3 H W"], at: str = LAST) -> Parts:
    """Encoder and head of a timm classifier, cut at its last feature map or behind the layer `at`.

    With `last`, a transformer that reads its class token alone is cut inside of its last block, behind the block's
    first norm: after the block the grid's tokens have no influence any more, and before that norm every product of
    gradient and feature is zero by construction (a layer norm does not see the size of its input, so the gradient is
    orthogonal to it). The parts hold the model's own layers; it must not be used afterwards.

    Raises:
        InputError: there is no such layer.
        CutError: the parts do not give the logits of the whole, or cannot be run alone.
    """
    model.eval().requires_grad_(False)
    try:
        classifier, substitutes = last_linear_of(model)
        headless = substituted(model, substitutes)
        with torch.no_grad():
            expected = model(example)
            parts = _parts(headless, random_copy(classifier), example, at)
            parts.head.linear = classifier  # in the random copy's place
            logits = parts.head.eval()(parts.encoder(example))
    except InputError:
        raise
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError) as error:
        reason = first_line(error)[:120]
        raise CutError(f"its parts cannot be run alone ({type(error).__name__}: {reason})") from error
    if not same(logits, expected):
        raise CutError("its parts do not give the logits of the whole")
    return parts


# --- where to cut -----------------------------------------------------------------------------------------------------


def _parts(headless: Any, probe: nn.Linear, example: Tensor, at: str) -> Parts:
    """The two parts of a network without its last linear layer, under the probe's weights; run without gradients."""
    if at != LAST:
        return _cut_behind(headless, probe, example, at)
    native, run = traced(headless, lambda: headless.forward_features(example))
    if isinstance(native, tuple | list) and all(isinstance(each, Tensor) and each.ndim == 3 for each in native):
        sizes = " and ".join(str(each.shape[1] - 1) for each in native)
        raise CutError(f"its logits read {len(native)} grids at once, of {sizes} tokens, which no one map holds")
    if not isinstance(native, Tensor):
        raise CutError("its feature map is not one tensor")
    layout = layout_of(headless, native, example)
    _, head_run = traced(headless, lambda: headless.forward_head(native))
    # A layer that runs in both halves stays in both.
    encoder = TimmEncoder(without_layers(headless, head_run.children - run.children), layout)
    tail = Tail(without_own_tensors(with_only_children(headless, head_run.children)))
    if layout.axes == "NLC" and _grid_has_no_influence(tail, probe, native, layout):
        reading = layer_before_reading(headless, run.finished)
        if reading is None:
            return _cut_inside_last_block(headless, probe, example)
        encoder, tail, native, layout = cut_before_reading(headless, example, reading)
        return assembled(encoder, tail, probe, native, layout, reading)
    return assembled(encoder, tail, probe, native, layout, LAST)


def _cut_inside_last_block(headless: Any, probe: nn.Linear, example: Tensor) -> Parts:
    """The parts of a transformer whose head reads prefix tokens alone, cut behind the first norm of its last block.

    It is cut behind the block before, and then the norm of the grid's tokens moves from head to encoder. The block's
    own sum `x + attention(norm(x))` then adds to normed tokens on the grid, which is wrong there and does no harm:
    nothing reads the grid behind the last block.
    """
    blocks = getattr(headless, "blocks", None)
    if not isinstance(blocks, nn.Sequential | nn.ModuleList) or len(blocks) < 2 or not hasattr(blocks[-1], "norm1"):
        raise CutError("its last feature map has no influence on its logits")
    parts = _cut_behind(headless, probe, example, f"blocks.{len(blocks) - 2}")
    head = parts.head
    if not isinstance(head, TailHead) or not isinstance(head.body, Tail) or head.body.blocks is None:
        raise CutError("its last block cannot be run alone")
    block: Any = head.body.blocks[0]
    # A copy: the head's norm, which serves the prefix tokens, is trained with the sigmoid branch; the encoder's is not.
    parts.encoder.grid_norm = copy.deepcopy(block.norm1)
    head.body.blocks[0] = substituted(block, {"norm1": _PrefixNorm(block.norm1, head.layout.prefix)})
    return replace(parts, features_at=f"blocks.{len(blocks) - 1}.norm1")


def _cut_behind(headless: Any, probe: nn.Linear, example: Tensor, at: str) -> Parts:
    """The parts on both sides of a layer inside of `forward_features`; the rest of that becomes part of the head."""
    layers = dict(headless.named_modules())
    if at not in layers or not at:
        raise InputError(f"`feature_stage` (='{at}') must be '{LAST}' or a layer of the network.")
    whole, run = traced(headless, lambda: headless.forward_features(example), at=at)
    _, head_run = traced(headless, lambda: headless.forward_head(whole))
    if run.output is None:
        raise CutError(f"its layer '{at}' gives no single tensor")
    behind = run.largest_within(run.finished - run.before) | (head_run.children - run.children)
    layout = layout_of(headless, run.output, example)
    tail = _tail_of_blocks(headless, at, run, head_run) or _tail_of_rest(headless, run, head_run)
    # Passing on is exact for a chain of layers only: a skip connection around the cut would be lost.
    if not same(tail(run.output), headless.forward_head(whole).flatten(1)):
        raise CutError(f"what it runs behind '{at}' is not a chain of layers")
    return assembled(TimmEncoder(without_layers(headless, behind), layout), tail, probe, run.output, layout, at)


def _tail_of_rest(headless: Any, run: TracedRun, head_run: TracedRun) -> Tail:
    """All that runs behind the cut, as `forward_features` with the layers before the cut passed through."""
    model = without_layers(headless, run.largest_within(run.before))
    model = with_only_children(model, run.children | head_run.children)
    return Tail(without_own_tensors(model), runs_features=True)


def _tail_of_blocks(headless: Any, at: str, run: TracedRun, head_run: TracedRun) -> Tail | None:
    """The transformer blocks behind the cut, to be run one by one; None where the cut is not behind a block.

    `forward_features` cannot be run from the middle there: what it does before the blocks (class token, positions) is
    not made of layers that could be passed through. What each block was called with beside the tokens is kept.
    """
    kind, _, number = at.rpartition(".")
    blocks = getattr(headless, "blocks", None)
    if kind != "blocks" or not isinstance(blocks, nn.Sequential | nn.ModuleList) or not hasattr(headless, "norm"):
        return None
    later = list(blocks)[int(number) + 1 :]
    if not later or not all(id(block) in run.arguments for block in later):
        return None
    arguments = [run.arguments[id(block)] for block in later]
    model = with_only_children(headless, head_run.children | {"norm"})
    return Tail(without_own_tensors(model), blocks=nn.ModuleList(later), block_arguments=arguments)


def _grid_has_no_influence(tail: Tail, probe: nn.Linear, native: Tensor, layout: GridLayout) -> bool:
    """Whether other tokens on the grid leave every logit as it is, bit for bit: then the head reads the prefix alone.

    Channels are exchanged and shifted, so that neither a mean over tokens nor a norm over channels hides the change.
    """
    other = native.clone()
    other[:, layout.prefix :] = torch.roll(other[:, layout.prefix :], 1, dims=2) + 1.0
    return torch.equal(probe(tail(native)), probe(tail(other)))


# --- what kind of head it is ------------------------------------------------------------------------------------------


def assembled(encoder: TimmEncoder, tail: Tail, probe: nn.Linear, native: Tensor, layout: GridLayout, at: str) -> Parts:
    """Encoder and head, with the simplest kind of head that gives the logits of the probe (the last linear layer).

    `native` is the network's feature map at the cut; the encoder's layout is completed here.
    """
    expected = probe(tail(native))
    if layout.prefix:
        # Tokens that nothing reads need no room: the logits are the same with zeros in their place.
        without_prefix = native.clone()
        without_prefix[:, : layout.prefix] = 0.0
        layout = replace(layout, carries_prefix=not same(probe(tail(without_prefix)), expected))
        encoder.layout = layout
    features = layout.grid(native)
    head: ClassificationHead = PooledLinearHead(probe)
    if layout.channels != probe.in_features or not same(head(features[:, : layout.channels]), expected):
        kind = ClassAttentionHead if isinstance(tail, ResumedTail) else TailHead
        head = kind(tail, probe, layout, pools_first=_pools_first(tail, probe, layout, features, expected))
    if not same(head(features), expected):
        raise CutError("its parts do not give the logits of the whole")
    head.maps_balance = head.pools_first and not head.cam_is_exact and maps_balance(head, features)
    return Parts(encoder, head, at, (features.shape[2], features.shape[3]))


def maps_balance(head: ClassificationHead, features: Tensor) -> bool:
    """Whether gradient times feature sums to nothing over channels and cells, beside the size of its terms."""
    leaf = features.clone().requires_grad_(True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(head.map_logits(leaf)[:, 0].sum(), leaf)
    # The head pools first, so its gradient is the same on every cell and the features' means are enough.
    product = gradient * leaf.detach().mean(dim=(2, 3), keepdim=True)
    return float(product.sum().abs()) < BALANCE * float(product.abs().sum())


def _pools_first(tail: Tail, probe: nn.Linear, layout: GridLayout, features: Tensor, expected: Tensor) -> bool:
    """Whether the mean over the grid, as a grid of one cell, gives the same logits as the whole grid.

    It must do so under redrawn weights too. Attention that nobody has trained is nearly even, so it looks like a mean;
    a checkpoint is loaded into such a network.
    """
    if layout.carries_prefix:
        return False
    mean, whole = layout.native(features.mean(dim=(2, 3), keepdim=True)), layout.native(features)
    try:
        if not same(probe(tail(mean)), expected):
            return False
        redrawn = _redrawn(tail)
        return same(probe(redrawn(mean)), probe(redrawn(whole)))
    except (RuntimeError, AssertionError, ValueError):
        return False  # a grid of one cell is too small for it, so it does look at the cells


def _redrawn(tail: Tail) -> Tail:
    """A copy of the tail with random weights, twice as large as those that keep the size of their inputs."""
    other, generator = copy.deepcopy(tail), torch.Generator().manual_seed(2)
    for parameter in other.parameters():
        inputs = parameter[0].numel() if parameter.ndim > 1 else 1
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2 / math.sqrt(inputs)))
    return other


def same(logits: Tensor, expected: Tensor) -> bool:
    """Equal up to float32 rounding, measured by the largest of the expected values."""
    size = float(expected.abs().max())
    return logits.shape == expected.shape and torch.allclose(logits, expected, rtol=1e-4, atol=1e-4 * size)
