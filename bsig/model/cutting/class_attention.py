"""Networks whose class token joins late and reads the grid's tokens through blocks of its own (CaiT, XCiT).

Touvron et al., "Going deeper with Image Transformers", ICCV 2021, arXiv 2103.17239, section 3: class attention. The
grid's last tokens are cut out before those blocks, which become the head:

    F = tokens of the grid;   logit = linear(class-attention blocks(class token, F))

`forward_features` cannot be run from there by passing its first layers through: what it does between layers (positions,
the grid's size, joining the class token) is not made of layers. So the head runs all of it on an empty picture, with
the shapes of the first layers' outputs in their place, and the given tokens as the output of the layer at the cut.

A layer norm does not see the size of its input, and every path to the logit starts with one. So each product of
gradient and token would be zero by construction. Maps hold the spread by which a norm divides a token of the grid
fixed, a number a token, as in the rule for layer norms of Ali et al., "XAI for Transformers: Better Explanations
through Conservative Propagation", ICML 2022, arXiv 2202.07304. Logits are the same to rounding.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bsig.model.cutting.encoders import EndOfRun, ModuleEncoder, TimmEncoder
from bsig.model.cutting.layout import CutError, GridLayout, token_grid
from bsig.model.cutting.substitution import substituted, without_layers
from bsig.model.cutting.traced_run import traced
from bsig.model.heads import Tail, TailHead


class ResumedTail(Tail):
    """A network's run from the layer `at` on, with given tokens as that layer's output."""

    def __init__(self, model: nn.Module, at: str, input_shape: tuple[int, ...]) -> None:
        super().__init__(model)
        self.at = at
        self.input_shape = input_shape

    def forward(self, native: Tensor) -> Float[Tensor, "b k"]:
        """The grid's tokens -> the input of the last linear layer."""
        return self._run(self.model, native)

    def for_maps(self, native: Tensor) -> Float[Tensor, "b k"]:
        """The same numbers; no gradient goes through the spread of a grid token in a layer norm."""
        prefix = int(getattr(self.model, "num_prefix_tokens", 1))
        norms = {
            name: _HeldNorm(layer, prefix)
            for name, layer in self.model.named_modules()
            if isinstance(layer, nn.LayerNorm)
        }
        return self._run(substituted(self.model, norms), native)

    def _run(self, model: nn.Module, native: Tensor) -> Tensor:
        # The network is not changed: threads share it. Only the containers on the way to the layer are new.
        resumed: Any = substituted(model, {self.at: _StoredTokens(native)})
        return resumed(native.new_zeros(()).expand(self.input_shape)).flatten(1)


class ClassAttentionHead(TailHead):
    """A `TailHead` of class-attention blocks."""

    body: ResumedTail

    def map_logits(self, features: Float[Tensor, "b kk h w"]) -> Float[Tensor, "b c"]:
        """The logits, with the spreads of the grid's tokens as numbers where a norm divides by them."""
        return self.linear(self.body.for_maps(self.layout.native(features)))


def layer_before_reading(headless: Any, finished: set[str]) -> str | None:
    """The last layer before the class-attention blocks, which are the network's last list; None where there are none.

    `finished` are the layers that ran.
    """
    lists = [
        (name, len(child))
        for name, child in headless.named_children()
        if isinstance(child, nn.ModuleList | nn.Sequential) and any(each.startswith(f"{name}.") for each in finished)
    ]
    if len(lists) < 2 or getattr(headless, "cls_token", None) is None:
        return None
    name, length = lists[-2]
    return f"{name}.{length - 1}"


def cut_before_reading(headless: Any, example: Tensor, at: str) -> tuple[TimmEncoder, ResumedTail, Tensor, GridLayout]:
    """Encoder and tail on both sides of the layer `at`, whose output are the grid's tokens; the tokens; their layout.

    Raises:
        CutError: the tokens are not the cells of a grid, or the tail does not give what the network gives.
    """
    expected, run = traced(headless, lambda: headless(example), at=at)
    if run.output is None or run.output.shape[-1] != headless.num_features:
        raise CutError(f"its layer '{at}' gives no tokens")
    layout = _layout(headless, run.output, example)
    before, later = run.largest_within(run.before), run.largest_within(run.finished - run.before)
    layers = dict(headless.named_modules())
    front = without_layers(substituted(headless, {at: EndOfRun(layers[at])}), later)
    # The list that the layer ends may be a subtree of its own.
    earlier = {name for name in before if not _holds(name, at)} | _siblings(at, layers)
    stand_ins = {name: _Shapes(output) for name, output in _outputs_of(headless, earlier, example).items()}
    tail = ResumedTail(substituted(headless, stand_ins), at, tuple(example.shape))
    _forget_unused(tail, run.output)
    two = torch.cat((run.output, run.output.flip(1)))
    if not torch.allclose(tail(two)[:1], expected.flatten(1), rtol=1e-4, atol=1e-5 * float(expected.abs().max())):
        raise CutError("what it runs behind its tokens cannot be run alone")
    return ModuleEncoder(front, layout), tail, run.output, layout


def _layout(headless: Any, output: Tensor, example: Tensor) -> GridLayout:
    """Tokens in a row, or by rows and columns; no class token among them."""
    if output.ndim == 4:
        return GridLayout("NHWC", output.shape[3])
    return GridLayout("NLC", output.shape[2], 0, token_grid(headless, output.shape[1], example))


def _holds(name: str, at: str) -> bool:
    return at == name or at.startswith(f"{name}.")


def _siblings(at: str, layers: dict[str, nn.Module]) -> set[str]:
    parent = at.rpartition(".")[0]
    return {name for name in layers if name.rpartition(".")[0] == parent and name != at and parent}


def _outputs_of(model: nn.Module, names: set[str], example: Tensor) -> dict[str, Any]:
    """The output of each of these layers for a picture."""
    outputs: dict[str, Any] = {}
    layers = dict(model.named_modules())

    def hook_of(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            outputs[name] = output

        return hook

    handles = [layers[name].register_forward_hook(hook_of(name)) for name in names]
    try:
        model(example)
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def _forget_unused(tail: ResumedTail, native: Tensor) -> None:
    """Takes out the network's own tensors that the tail does not use (positions): the head would store them."""
    model = tail.model
    own = {name: parameter for name, parameter in model._parameters.items() if parameter is not None}
    with torch.enable_grad():
        watched = {name: nn.Parameter(parameter.detach()) for name, parameter in own.items()}
        probe = copy.copy(model)
        probe._parameters = {**model._parameters, **watched}
        outputs = ResumedTail(probe, tail.at, tail.input_shape)(native)
        gradients = torch.autograd.grad(outputs.sum(), list(watched.values()), allow_unused=True)
    model._buffers, model._parameters = dict(model._buffers), dict(model._parameters)
    model._non_persistent_buffers_set = set(model._non_persistent_buffers_set)
    for (name, parameter), gradient in zip(own.items(), gradients, strict=True):
        if gradient is None:
            del model._parameters[name]
            empty = torch.zeros((), dtype=parameter.dtype).expand(parameter.shape)
            model.register_buffer(name, empty, persistent=False)


class _StoredTokens(nn.Module):
    """Gives what it was made with, whatever it is called with."""

    def __init__(self, native: Tensor) -> None:
        super().__init__()
        self.native = native

    def forward(self, *_inputs: Any, **_keywords: Any) -> Tensor:
        return self.native


class _Shapes(nn.Module):
    """Gives zeros in the shapes of a layer's recorded output, without computing or holding anything."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.zero: Tensor
        self.register_buffer("zero", torch.zeros(()), persistent=False)
        self.output = _described(output)

    def forward(self, *_inputs: Any, **_keywords: Any) -> Any:
        return self._zeros_of(self.output)

    def _zeros_of(self, described: Any) -> Any:
        if isinstance(described, torch.Size):
            return self.zero.expand(described)
        if isinstance(described, tuple):
            return tuple(self._zeros_of(each) for each in described)
        return described


def _described(output: Any) -> Any:
    """Tensors as their sizes, in tuples; other values as they are."""
    if isinstance(output, Tensor):
        return output.shape
    return tuple(map(_described, output)) if isinstance(output, tuple | list) else output


class _HeldNorm(nn.Module):
    """A layer norm that divides the tokens behind the prefix by a number through which no gradient goes."""

    def __init__(self, norm: nn.LayerNorm, prefix: int) -> None:
        super().__init__()
        self.norm = norm
        self.prefix = prefix

    def forward(self, tokens: Float[Tensor, "b t k"]) -> Float[Tensor, "b t k"]:
        spread = (tokens.var(dim=-1, unbiased=False, keepdim=True) + self.norm.eps).sqrt()
        if tokens.ndim == 3:
            spread = torch.cat((spread[:, : self.prefix], spread[:, self.prefix :].detach()), dim=1)
        normed = (tokens - tokens.mean(dim=-1, keepdim=True)) / spread
        return normed * self.norm.weight + self.norm.bias
