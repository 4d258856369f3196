"""A run of a network, with the layers that took part: which finished, which before a given layer, called with what.

output, run = traced(model, lambda: model.forward_features(example), at="layer3")
run.finished, run.before, run.children, run.output
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

POSITIONAL = "_positional"


@dataclass
class TracedRun:
    """The layers that took part in a run of a network.

    Attributes:
        finished: names of the layers that ran.
        before: names of those that had finished when the layer `at` finished, itself included.
        output: the output of the layer `at`, if it is one tensor.
        arguments: of each layer by its id, all but the first; positional ones are under `POSITIONAL`.
    """

    model: nn.Module
    finished: set[str] = field(default_factory=set)
    before: set[str] = field(default_factory=set)
    output: Tensor | None = None
    arguments: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def children(self) -> set[str]:
        """Names of the model's own children that ran, or in which something ran."""
        return {name.split(".")[0] for name in self.finished}

    def largest_within(self, names: set[str]) -> set[str]:
        """The largest subtrees in which something ran and everything that ran is in `names`.

        A subtree is better replaced whole than layer by layer: a block's own sum `x + layers(x)`, which is not made of
        layers, then goes with it.
        """

        def visit(module: nn.Module, path: str) -> set[str]:
            subtrees: set[str] = set()
            for name, child in module.named_children():
                inner = f"{path}.{name}" if path else name
                ran = {layer for layer in self.finished if layer == inner or layer.startswith(f"{inner}.")}
                if ran:
                    subtrees |= {inner} if ran <= names else visit(child, inner)
            return subtrees

        return visit(self.model, "")


def traced(model: nn.Module, compute: Callable[[], Any], at: str = "") -> tuple[Any, TracedRun]:
    """What `compute` returns, and which of the model's layers ran meanwhile; `at` names the one to keep the output of.

    Hooks see the layers. They are gone when this returns, and the model must belong to the caller alone until then.
    """
    run = TracedRun(model)
    handles = []

    def hook_of(name: str) -> Callable:
        def hook(module: nn.Module, positional: tuple, keywords: dict[str, Any], output: Any) -> None:
            run.finished.add(name)
            run.arguments[id(module)] = {**keywords, POSITIONAL: positional[1:]} if positional[1:] else keywords
            if name == at and run.output is None:
                run.output = output if isinstance(output, Tensor) else None
                run.before = set(run.finished)

        return hook

    try:
        for name, module in model.named_modules():
            if name:
                handles.append(module.register_forward_hook(hook_of(name), with_kwargs=True))
        return compute(), run
    finally:
        for handle in handles:
            handle.remove()
