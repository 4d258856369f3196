"""The way from a network's own feature map to features `(b, k, h, w)` and back.

    layout = layout_of(model, native, example)
    features = layout.grid(native);  native = layout.native(features)

Tokens that are no place of the picture (a transformer's class token and registers) are needed by some heads beside the
grid. They travel *inside* the features, as additional channels behind the real ones, written row by row into the cells
(`GridLayout.carried_channels`; 4 for one token of 768 numbers on a 14 x 14 grid). So features stay one plain tensor
that can be sliced by picture, moved and repeated, and nothing is hidden in a model that threads share, as a hook or an
attribute would be. A tensor subclass loses its companion in the first operation that does not know it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from bsig.inputs.errors import InputError

Axes = Literal["NCHW", "NHWC", "NLC"]


class CutError(InputError):
    """The network cannot be cut in two in this way; the text is a reason that completes the caller's sentence."""


@dataclass(frozen=True)
class GridLayout:
    """The layout of a network's own feature map, `NLC` for tokens, and the way to `(b, k, h, w)` and back.

    Attributes:
        channels: k, the channels that have a place in the picture.
        prefix: tokens before the grid's (class token, registers); only for `NLC`.
        grid_hw: rows and columns of the tokens' grid; only for `NLC`.
        carries_prefix: whether the rest of the network reads the prefix tokens, so that they must travel along.
    """

    axes: Axes
    channels: int
    prefix: int = 0
    grid_hw: tuple[int, int] = (0, 0)
    carries_prefix: bool = False

    @property
    def carried_channels(self) -> int:
        """How many channels behind the first k hold the prefix tokens: `ceil(prefix * k / (h * w))`, or 0."""
        if not self.carries_prefix:
            return 0
        return math.ceil(self.prefix * self.channels / (self.grid_hw[0] * self.grid_hw[1]))

    def grid(self, native: Tensor) -> Float[Tensor, "b k h w"]:
        """The network's tensor as features."""
        if self.axes == "NCHW":
            return native
        if self.axes == "NHWC":
            return native.permute(0, 3, 1, 2).contiguous()
        grid = native[:, self.prefix :].mT.unflatten(2, self.grid_hw)
        if not self.carries_prefix:
            return grid.contiguous()
        cells = self.grid_hw[0] * self.grid_hw[1]
        prefix = native[:, : self.prefix].flatten(1)
        filled = torch.nn.functional.pad(prefix, (0, self.carried_channels * cells - prefix.shape[1]))
        return torch.cat((grid, filled.view(len(native), self.carried_channels, *self.grid_hw)), dim=1)

    def native(self, features: Float[Tensor, "b k h w"]) -> Tensor:
        """Features as the network's tensor; prefix tokens that nothing reads are zeros."""
        if self.axes == "NCHW":
            return features
        if self.axes == "NHWC":
            return features.permute(0, 2, 3, 1)
        tokens = features[:, : self.channels].flatten(2).mT
        if not self.prefix:
            return tokens
        if self.carries_prefix:
            packed = features[:, self.channels :].flatten(1)[:, : self.prefix * self.channels]
            prefix = packed.unflatten(1, (self.prefix, self.channels))
        else:
            prefix = tokens.new_zeros(len(tokens), self.prefix, self.channels)
        return torch.cat((prefix, tokens), dim=1)


def layout_of(model: Any, native: Tensor, example: Float[Tensor, "1 3 H W"]) -> GridLayout:
    """The layout of `native`, the feature map that the timm model computes from `example`.

    Raises:
        CutError: the map has neither rows and columns nor tokens, or its tokens are not the cells of a grid.
    """
    if native.ndim == 4:
        # timm says where the channels are; the shape alone does not where rows, columns and channels are alike.
        if str(getattr(model, "output_fmt", None)).endswith("NHWC"):
            return GridLayout("NHWC", native.shape[3])
        return GridLayout("NCHW", native.shape[1])
    if native.ndim != 3:
        raise CutError(f"its feature map has {native.ndim} axes")
    # VOLO does not say that it has a class token.
    prefix = int(getattr(model, "num_prefix_tokens", getattr(model, "cls_token", None) is not None))
    grid_hw = token_grid(model, native.shape[1] - prefix, example)
    return GridLayout("NLC", native.shape[2], prefix, grid_hw)


def token_grid(model: Any, tokens: int, example: Tensor) -> tuple[int, int]:
    """Rows and columns of a number of tokens.

    The patch embedding knows its grid, but networks that merge patches later have fewer tokens in the end. Then the
    grid is taken to have the proportions of the input.
    """
    embedded = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if embedded is not None and embedded[0] * embedded[1] == tokens:
        return int(embedded[0]), int(embedded[1])
    height, width = example.shape[2:]
    rows = max(1, round(math.sqrt(max(tokens, 1) * height / width)))
    if rows * (tokens // rows) != tokens:
        raise CutError(f"its {tokens} tokens are not the cells of a grid")
    return rows, tokens // rows
