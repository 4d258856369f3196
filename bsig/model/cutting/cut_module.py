"""A classifier that is not timm's, cut in two behind its last feature map.

    cut_module(model, example)        the same `Parts` as `cut_network`

Any `nn.Module` will do in which a layer gives a map of several cells, and all that runs behind it is made of layers and
ends in a linear one. The encoder is the model up to that layer, which ends the run; the head is the model with all
layers up to there passed through. What the model's `forward` does in between without a layer is done in both, so the
logits of the two parts are compared with those of the whole, and a model that differs is refused.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bsig.inputs.errors import first_line
from bsig.model.cutting.cut import LAST, Parts, assembled, same
from bsig.model.cutting.encoders import EndOfRun, ModuleEncoder
from bsig.model.cutting.last_linear import as_linear, random_copy
from bsig.model.cutting.layout import CutError, GridLayout
from bsig.model.cutting.substitution import PassThrough, substituted, without_layers
from bsig.model.cutting.traced_run import traced
from bsig.model.heads import Tail

RUN_ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError)
# Layers behind which a cut is tried.
TRIED = 6


class ModuleTail(Tail):
    """A model whose layers up to the feature map pass their input on, and whose last linear layer is left out."""

    def forward(self, native: Tensor) -> Float[Tensor, "b k"]:
        """The model's own feature tensor -> the input of the last linear layer."""
        # A copy, because the model may change it in place (DenseNet's `relu` of its features).
        return self.model(native.clone()).flatten(1)


def cut_module(model: nn.Module, example: Float[Tensor, "1 3 H W"]) -> Parts:
    """Encoder and head; they hold the model's own layers, so it must not be used afterwards.

    Raises:
        CutError: it has no map of several cells or no last linear layer, or its parts do not give its logits.
    """
    model.eval().requires_grad_(False)
    outputs: list[tuple[str, tuple[int, ...]]] = []
    with torch.no_grad():
        try:
            expected = _watched(model, example, outputs)
        except RUN_ERRORS as error:
            raise CutError(f"it cannot be run on a picture ({first_line(error)[:120]})") from error
        linear = _last_linear(model, outputs, expected)
        reason = CutError("it has no layer that gives a map (b, k, h, w) of several cells")
        # An earlier map where something between two layers (a permutation of axes) keeps the head from running alone.
        for at, shape in _last_maps(outputs)[:TRIED]:
            try:
                return _cut_behind(model, example, expected, linear, at, _layout(shape, example))
            except CutError as error:
                reason = error
            except RUN_ERRORS as error:
                reason = CutError(f"its parts cannot be run alone ({first_line(error)[:120]})")
    raise reason


def _cut_behind(model: nn.Module, example: Tensor, expected: Tensor, linear: str, at: str, layout: GridLayout) -> Parts:
    """The parts on both sides of the layer `at`; `linear` names the last linear layer."""
    layers = dict(model.named_modules())
    classifier = as_linear(layers[linear])
    headless = substituted(model, {linear: PassThrough()})
    last_inputs, run = traced(headless, lambda: headless(example), at=at)
    later = run.largest_within(run.finished - run.before)
    encoder = ModuleEncoder(without_layers(substituted(headless, {at: EndOfRun(layers[at])}), later), layout)
    tail = ModuleTail(without_layers(headless, run.largest_within(run.before)))
    native = encoder.native(example)
    # By the inputs of the last layer, since its weights may be zeros, which hide any difference.
    if not same(tail(native), last_inputs.flatten(1)):
        raise CutError("what it runs behind its features is not made of layers alone")
    parts = assembled(encoder, tail, random_copy(classifier), native, layout, LAST)
    parts.head.linear = classifier
    if not same(parts.head.eval()(parts.encoder(example)), expected):
        raise CutError("its parts do not give its outputs, which must be the logits of a last linear layer")
    return parts


def _watched(model: nn.Module, example: Tensor, outputs: list[tuple[str, tuple[int, ...]]]) -> Tensor:
    """The model's logits; `outputs` gets each layer's name and output shape in the order in which they finish."""

    def hook_of(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            outputs.append((name, tuple(output.shape) if isinstance(output, Tensor) else ()))

        return hook

    handles = [layer.register_forward_hook(hook_of(name)) for name, layer in model.named_modules() if name]
    try:
        logits = model(example)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise CutError("its output is not one tensor of logits (b, c)")
    return logits


def _last_maps(outputs: list[tuple[str, tuple[int, ...]]]) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the maps of several cells, last first, of layers that run once."""
    names = [name for name, _ in outputs]
    return [
        (name, shape)
        for name, shape in reversed(outputs)
        if len(shape) == 4 and sorted(shape[1:])[1] > 1 and names.count(name) == 1
    ]


def _last_linear(model: nn.Module, outputs: list[tuple[str, tuple[int, ...]]], logits: Tensor) -> str:
    layers = dict(model.named_modules())
    for name, shape in reversed(outputs):
        layer = layers[name]
        is_linear = isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1))
        if is_linear and shape[1] == logits.shape[1]:
            return name
    raise CutError("it ends in no linear layer with a row a class")


def _layout(shape: tuple[int, ...], example: Tensor) -> GridLayout:
    """Channels first, unless only the axes of a channels-last map have the proportions of the input."""
    height, width = example.shape[2:]
    first, last = (abs(rows / columns - height / width) for rows, columns in (shape[2:4], shape[1:3]))
    return GridLayout("NHWC", shape[3]) if last < first else GridLayout("NCHW", shape[1])
