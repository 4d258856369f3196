"""The first of a network's two parts: input -> features, as the network's own layers compute them."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bsig.model.cutting.layout import CutError, GridLayout


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


class ReachedLayer(Exception):  # noqa: N818  nothing went wrong
    """Ends a model's run at a layer, whose output it carries."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


class EndOfRun(nn.Module):
    """A layer that ends the run of the model around it with its output."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *inputs: Any, **keywords: Any) -> Tensor:
        """Does not return: raises `ReachedLayer`."""
        raise ReachedLayer(self.layer(*inputs, **keywords))


class ModuleEncoder(TimmEncoder):
    """A model that ends at a layer: input -> features."""

    def forward(self, inputs: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k h w"]:
        """Features (b, k, h, w)."""
        return self.layout.grid(self.native(inputs))

    def native(self, inputs: Float[Tensor, "b 3 H W"]) -> Tensor:
        """The features as the model's own layer gives them."""
        try:
            self.model(inputs)
        except ReachedLayer as end:
            return end.output
        raise CutError("its feature layer did not run")
