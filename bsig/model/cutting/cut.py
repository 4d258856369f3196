"""A timm classifier cut in two at a feature map: an encoder and a head that hold only what each of them runs.

    cut_network(model, example, at)   ->  encoder: input -> features (b, k, h, w);  head: features -> logits (b, c)

No family of networks is named here. The model is run once and watched: layers that have finished when the feature map
is there belong to the encoder, all others to the head, and in each part the other's layers are replaced by ones that
pass their input on. Whether the two parts then give the logits of the whole, whether the head sees only the mean over
the grid, whether class activation maps are exact, and whether the tokens' grid still has an influence, is not looked up
but measured on a random input, with random weights in the last linear layer (networks start with zeros there, for which
everything would hold). What cannot be cut exactly is refused in words.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bsig.inputs.errors import InputError
from bsig.model.heads import ClassificationHead, GridLayout, PooledLinearHead, Tail, TailHead

LAST = "last"


class Passed(nn.Module):
    """Gives back its input, whatever else it is called with: stands where the other part's layers were."""

    def forward(self, inputs: Any, *_others: Any, **_named: Any) -> Any:
        """The input."""
        return inputs


class _Beside(nn.Module):
    """Puts zeros before or behind its input: so the mean of two heads' inputs holds both side by side."""

    def __init__(self, *, first: bool) -> None:
        super().__init__()
        self.first = first

    def forward(self, inputs: Tensor) -> Tensor:
        nothing = torch.zeros_like(inputs)
        return torch.cat((inputs, nothing) if self.first else (nothing, inputs), dim=-1)


class _PrefixNorm(nn.Module):
    """A block's first norm for the tokens without a place; those of the grid have had theirs in the encoder."""

    def __init__(self, norm: nn.Module, prefix: int) -> None:
        super().__init__()
        self.norm = norm
        self.prefix = prefix

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.cat((self.norm(tokens[:, : self.prefix]), tokens[:, self.prefix :]), dim=1)


class TimmEncoder(nn.Module):
    """A timm model up to a feature map; `grid_norm`, where there is one, is applied to the grid's tokens alone."""

    def __init__(self, model: nn.Module, layout: GridLayout, grid_norm: nn.Module | None = None) -> None:
        super().__init__()
        self.model = model
        self.layout = layout
        self.grid_norm = grid_norm

    def forward(self, inputs: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k h w"]:
        """Features (b, k, h, w)."""
        model: Any = self.model
        native = model.forward_features(inputs)
        if self.grid_norm is not None:
            grid = self.grid_norm(native[:, self.layout.prefix :])
            native = torch.cat((native[:, : self.layout.prefix], grid), dim=1)
        return self.layout.grid(native)


@dataclass(frozen=True)
class Parts:
    """A classifier in two parts.

    Attributes:
        features_at: the layer after which the features are taken, in timm's names; `last` for the whole encoder.
        grid_hw: rows and columns of the features at the model's own input size.
    """

    encoder: TimmEncoder
    head: ClassificationHead
    features_at: str
    grid_hw: tuple[int, int]
    channels: int


def cut_network(model: nn.Module, example: Float[Tensor, "1 3 H W"], at: str = LAST) -> Parts:
    """Encoder and head of a timm classifier, cut at its last feature map or behind the layer `at`.

    With `last`, a transformer that reads its class token alone is cut inside of its last block, behind the block's
    first norm: after the block the grid's tokens have no influence any more, and before that norm every product of
    gradient and feature is zero by construction (a layer norm does not see the size of its input, so the gradient is
    orthogonal to it). The parts hold the model's own layers; it must not be used afterwards.

    Raises:
        InputError: there is no such layer, or the parts do not give the logits of the whole.
    """
    model.eval().requires_grad_(False)
    with _as_refusal():
        classifier, substitutes = _classifier(model)
        probe = _probe(classifier)
        headless = substituted(model, substitutes)
        with torch.no_grad():
            logits = model(example)
        parts = _parts(headless, probe, example, at)
        head = _with_linear(parts.head, classifier)
        with torch.no_grad():
            found = head(parts.encoder(example))
    if not _same(found, logits):
        raise CutError("its parts do not give the logits of the whole")
    return replace(parts, head=head)


class CutError(InputError):
    """The network cannot be taken apart in this way; the reason completes a sentence."""


@contextmanager
def _as_refusal() -> Iterator[None]:
    """Whatever a network raises when it is run in parts means that it cannot be."""
    try:
        yield
    except InputError:
        raise
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise CutError(f"its parts cannot be run alone ({type(error).__name__}: {reason[:120]})") from error


# --- the last linear layer --------------------------------------------------------------------------------------------


def _classifier(model: Any) -> tuple[nn.Linear, dict[str, nn.Module]]:
    """The last linear layer (two side by side where two are averaged), and what stands in its place."""
    found = model.get_classifier()
    parts = list(found) if isinstance(found, tuple | list | nn.ModuleList) else [found]
    names = {id(module): name for name, module in model.named_modules()}
    layers = [_last_linear(part, model.num_classes) for part in parts]
    places = [names[id(layer)] for layer in layers]
    if len(layers) == 1:
        return _as_linear(layers[0]), {places[0]: Passed()}
    if len(layers) > 2:
        raise CutError(f"it ends in {len(layers)} classifiers")
    first, second = (_as_linear(layer) for layer in layers)
    both = nn.Linear(first.in_features + second.in_features, first.out_features)
    with torch.no_grad():
        both.weight.copy_(torch.cat((first.weight, second.weight), dim=1))
        both.bias.copy_((first.bias + second.bias) / 2)
    return both.requires_grad_(False), {places[0]: _Beside(first=True), places[1]: _Beside(first=False)}


def _last_linear(classifier: nn.Module, num_classes: int) -> nn.Module:
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


def _as_linear(layer: Any) -> nn.Linear:
    """The layer as a linear one with a bias: a 1x1 convolution is one, and no bias is a bias of zero."""
    weight = layer.weight.detach().flatten(1).clone()
    linear = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], dtype=weight.dtype)
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().clone()
    linear.load_state_dict({"weight": weight, "bias": bias})
    return linear.requires_grad_(False)


def _probe(linear: nn.Linear) -> nn.Linear:
    """A layer of the same shape with random weights, under which a difference cannot hide."""
    probe, generator = copy.deepcopy(linear), torch.Generator().manual_seed(1)
    probe.weight.copy_(torch.randn(probe.weight.shape, generator=generator))
    probe.bias.copy_(torch.randn(probe.bias.shape, generator=generator))
    return probe


# --- where to cut -----------------------------------------------------------------------------------------------------


def _parts(headless: Any, probe: nn.Linear, example: Tensor, at: str) -> Parts:
    if at != LAST:
        return _cut_behind(headless, probe, example, at)
    with torch.no_grad():
        native, run = _watched(headless, lambda: headless.forward_features(example))
    if not isinstance(native, Tensor):
        raise CutError("its feature map is not one tensor")
    layout = _layout(headless, native, example)
    with torch.no_grad():
        _, in_head = _watched(headless, lambda: headless.forward_head(native))
    encoder = TimmEncoder(_without(headless, in_head.children - run.children), layout)
    tail = Tail(_without_own_tensors(_only(headless, in_head.children)))
    if layout.axes == "NLC" and _grid_has_no_influence(tail, probe, native, layout):
        return _cut_inside_last_block(headless, probe, example)
    return _assembled(encoder, tail, probe, native, layout, LAST)


def _cut_inside_last_block(headless: Any, probe: nn.Linear, example: Tensor) -> Parts:
    """Behind the first norm of the last block, of a transformer whose head reads prefix tokens alone.

    The block's own sum `x + attention(norm(x))` then holds normed tokens on the grid; nothing reads those.
    """
    blocks = getattr(headless, "blocks", None)
    if not isinstance(blocks, nn.Sequential | nn.ModuleList) or len(blocks) < 2 or not hasattr(blocks[-1], "norm1"):
        raise CutError("its last feature map has no influence on its logits")
    parts = _cut_behind(headless, probe, example, f"blocks.{len(blocks) - 2}")
    head = parts.head
    if not isinstance(head, TailHead) or not isinstance(head.body, Tail) or head.body.blocks is None:
        raise CutError("its last block cannot be run alone")
    block: Any = head.body.blocks[0]
    parts.encoder.grid_norm = copy.deepcopy(block.norm1)
    head.body.blocks[0] = substituted(block, {"norm1": _PrefixNorm(block.norm1, head.layout.prefix)})
    return replace(parts, features_at=f"blocks.{len(blocks) - 1}.norm1")


def _cut_behind(headless: Any, probe: nn.Linear, example: Tensor, at: str) -> Parts:
    """Cut behind a layer inside of `forward_features`; the rest of it becomes part of the head."""
    layers = dict(headless.named_modules())
    if at not in layers or not at:
        raise InputError(f"`feature_stage` (='{at}') must be '{LAST}' or a layer of the network.")
    with torch.no_grad():
        whole, run = _watched(headless, lambda: headless.forward_features(example), at=at)
        _, in_head = _watched(headless, lambda: headless.forward_head(whole))
    if run.output is None:
        raise CutError(f"its layer '{at}' gives no single tensor")
    behind = {name: Passed() for name in run.maximal(run.finished - run.before)}
    encoder_model = _without(substituted(headless, behind), in_head.children - run.children)
    layout = _layout(headless, run.output, example)
    tail = _blocks_tail(headless, at, run, in_head) or _rest_tail(headless, run, in_head)
    with torch.no_grad():
        if not _same(tail(run.output), headless.forward_head(whole).flatten(1)):
            raise CutError(f"what it runs behind '{at}' is not a chain of layers")
    return _assembled(TimmEncoder(encoder_model, layout), tail, probe, run.output, layout, at)


def _rest_tail(headless: Any, run: _Run, in_head: _Run) -> Tail:
    before = {name: Passed() for name in run.maximal(run.before)}
    model = _only(substituted(headless, before), run.children | in_head.children)
    return Tail(_without_own_tensors(model), runs_features=True)


def _blocks_tail(headless: Any, at: str, run: _Run, in_head: _Run) -> Tail | None:
    """Transformer blocks are run one by one: what comes before them (class token, places) is not made of layers."""
    kind, _, number = at.rpartition(".")
    blocks = getattr(headless, "blocks", None)
    if kind != "blocks" or not isinstance(blocks, nn.Sequential | nn.ModuleList) or not hasattr(headless, "norm"):
        return None
    later = list(blocks)[int(number) + 1 :]
    if not later or not all(id(block) in run.arguments for block in later):
        return None
    arguments = [run.arguments[id(block)] for block in later]
    model = _only(headless, in_head.children | {"norm"})
    return Tail(_without_own_tensors(model), blocks=nn.ModuleList(later), block_arguments=arguments)


# --- watching a run ---------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """What happened while a network ran.

    Attributes:
        finished: names of the layers that ran.
        before: those that had finished when the layer `at` had.
        output: of the layer `at`, if it is one tensor.
        arguments: what each layer was called with beside its first argument, by its id.
    """

    model: nn.Module
    finished: set[str]
    before: set[str]
    output: Tensor | None
    arguments: dict[int, dict[str, Any]]

    @property
    def children(self) -> set[str]:
        """Names of the model's own children that ran, or in which something ran."""
        return {name.split(".")[0] for name in self.finished}

    def maximal(self, names: set[str]) -> list[str]:
        """The largest subtrees in which something ran, and all that ran is in `names`."""
        found: list[str] = []

        def visit(module: nn.Module, path: str) -> None:
            for name, child in module.named_children():
                inner = f"{path}.{name}" if path else name
                ran = {each for each in self.finished if each == inner or each.startswith(f"{inner}.")}
                if ran and ran <= names:
                    found.append(inner)
                elif ran:
                    visit(child, inner)

        visit(self.model, "")
        return found


def _watched(model: nn.Module, run: Callable[[], Any], at: str = "") -> tuple[Any, _Run]:
    """Runs and notes which layers finished in which order. The model belongs to the caller alone; no hook stays."""
    seen = _Run(model, set(), set(), None, {})
    handles = []

    def note(name: str) -> Callable:
        def hook(module: nn.Module, positional: tuple, named: dict[str, Any], output: Any) -> None:
            seen.finished.add(name)
            if positional[1:]:
                named = {**named, "_positional": positional[1:]}
            seen.arguments[id(module)] = named
            if name == at and seen.output is None:
                seen.output = output if isinstance(output, Tensor) else None
                seen.before = set(seen.finished)

        return hook

    for name, module in model.named_modules():
        if name:
            handles.append(module.register_forward_hook(note(name), with_kwargs=True))
    try:
        return run(), seen
    finally:
        for handle in handles:
            handle.remove()


def substituted(module: nn.Module, substitutes: Mapping[str, nn.Module], path: str = "") -> nn.Module:
    """The module with layers replaced by name; the others are shared with it, the module itself is not changed."""
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


def _without(model: nn.Module, children: set[str]) -> nn.Module:
    """The model with some of its children replaced."""
    return substituted(model, {name: Passed() for name in children})


def _only(model: nn.Module, children: set[str]) -> nn.Module:
    """The model with all other children replaced."""
    return _without(model, {name for name, _ in model.named_children()} - children)


def _without_own_tensors(model: nn.Module) -> nn.Module:
    """Without the tensors that belong to the model itself (class token, positions); layers keep theirs."""
    clone = copy.copy(model)
    clone._parameters, clone._buffers = dict.fromkeys(model._parameters), dict.fromkeys(model._buffers)
    return clone


# --- the features' layout ---------------------------------------------------------------------------------------------


def _layout(model: Any, native: Tensor, example: Tensor) -> GridLayout:
    if native.ndim == 4:
        axes = getattr(model, "output_fmt", None)
        if str(axes).endswith("NHWC"):
            return GridLayout("NHWC", native.shape[3])
        return GridLayout("NCHW", native.shape[1])
    if native.ndim != 3:
        raise CutError(f"its feature map has {native.ndim} axes")
    prefix = int(getattr(model, "num_prefix_tokens", 0))
    grid_hw = _token_grid(model, native.shape[1] - prefix, example)
    return GridLayout("NLC", native.shape[2], prefix, grid_hw)


def _token_grid(model: Any, tokens: int, example: Tensor) -> tuple[int, int]:
    embedded = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if embedded is not None and embedded[0] * embedded[1] == tokens:
        return int(embedded[0]), int(embedded[1])
    height, width = example.shape[2:]
    rows = max(1, round(math.sqrt(max(tokens, 1) * height / width)))
    if rows * (tokens // rows) != tokens:
        raise CutError(f"its {tokens} tokens are not the cells of a grid")
    return rows, tokens // rows


def _grid_has_no_influence(tail: Tail, probe: nn.Linear, native: Tensor, layout: GridLayout) -> bool:
    other = native.clone()
    other[:, layout.prefix :] = torch.roll(other[:, layout.prefix :], 1, dims=2) + 1.0
    with torch.no_grad():
        return torch.equal(probe(tail(native)), probe(tail(other)))


# --- the head ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def _assembled(
    encoder: TimmEncoder, tail: Tail, probe: nn.Linear, native: Tensor, layout: GridLayout, at: str
) -> Parts:
    expected = probe(tail(native))
    if layout.prefix:
        without = native.clone()
        without[:, : layout.prefix] = 0.0
        layout = replace(layout, carries_prefix=not _same(probe(tail(without)), expected))
        encoder.layout = layout
    features = layout.grid(native)
    grid_hw = (features.shape[2], features.shape[3])
    head: ClassificationHead = PooledLinearHead(probe)
    if layout.channels != probe.in_features or not _same(head(features[:, : layout.channels]), expected):
        head = TailHead(tail, probe, layout, pools_first=_pools_first(tail, probe, layout, features, expected))
    if not _same(head(features), expected):
        raise CutError("its parts do not give the logits of the whole")
    head.maps_balance = head.pools_first and not head.cam_is_exact and _maps_balance(head, features)
    return Parts(encoder, head, at, grid_hw, layout.channels)


def _maps_balance(head: ClassificationHead, features: Tensor) -> bool:
    """Whether gradient times feature sums to nothing over channels and cells, beside the size of its terms."""
    leaf = features.clone().requires_grad_(True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(head(leaf)[:, 0].sum(), leaf)
    product = gradient * leaf.detach().mean(dim=(2, 3), keepdim=True)
    return float(product.sum().abs()) < 0.01 * float(product.abs().sum())


def _pools_first(tail: Tail, probe: nn.Linear, layout: GridLayout, features: Tensor, expected: Tensor) -> bool:
    if layout.carries_prefix:
        return False
    try:
        return _same(probe(tail(layout.native(features.mean(dim=(2, 3), keepdim=True)))), expected)
    except (RuntimeError, AssertionError, ValueError):
        return False  # a grid of one cell is too small for it, so it does look at the cells


def _with_linear(head: ClassificationHead, linear: nn.Linear) -> ClassificationHead:
    """The head with its own last layer in the probe's place."""
    head.linear = linear
    return head.eval()


def _same(found: Tensor, expected: Tensor) -> bool:
    size = float(expected.abs().max())
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * size)
