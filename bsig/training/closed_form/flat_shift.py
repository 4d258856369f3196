"""A fitted shift whose map is as flat as a linear map of the features can be: a zero that leaves the order of places.

    S   = mean over cells of (f - mean of its picture) (f - mean of its picture)^T     within pictures, (k, k)
    m   = mean over all cells of f                                                       (k,)
    u   = argmin u^T (S + ridge * mean diag S * I) u   with   m . u = 1                   the flattest unit level
    a   = the smallest level at which absent classes are positive on at most `absent_area` of the cells
    W'  = W - a * 1 u^T                                                                   a `shift` branch

A number subtracted from all cells of a picture changes neither the order of its places nor a heatmap scaled by its own
minimum and maximum; only where zero lies. Maps have no bias, so that number has to come out of the features: `u . F`
is about one on every cell. How nearly is measured, not assumed (`flatness`); what is missing is what the branch costs.
The vector needs no label; the labels say only which classes are absent, for the one number `a`. Nothing is trained by
steps: no learning rate, no order of pictures, the same result each time.

A constant cannot know its class: at equal own-class area the absent classes keep about the area that they had.
Each formula stands as plain loops in tests/reference.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bsig.inputs.errors import InputError

RIDGE = 0.3
ABSENT_AREA = 0.1


@dataclass
class CellMoments:
    """Sums over the cells of many pictures, float64, added to batch by batch: no cell is kept.

    Attributes:
        cells: how many cells were added.
        total: (k,) sum of the features.
        within: (k, k) sum of products of features less their picture's mean.
    """

    cells: int
    total: Float[Tensor, " k"]
    within: Float[Tensor, "k k"]

    @classmethod
    def empty(cls, channels: int) -> CellMoments:
        """Of no cell yet."""
        return cls(0, torch.zeros(channels, dtype=torch.float64), torch.zeros(channels, channels, dtype=torch.float64))

    def add(self, features: Float[Tensor, "b k h w"]) -> None:
        """Adds every cell of a batch; each picture (or view) is centred on its own mean."""
        cells = features.detach().flatten(2)
        centred = (cells - cells.mean(dim=2, keepdim=True)).transpose(1, 2).flatten(0, 1)
        self.cells += len(centred)
        self.total += cells.sum(dim=(0, 2)).double().cpu()
        # In the features' own precision (float32: about 1e-6 relative); doubling a batch of cells would cost more.
        self.within += (centred.T @ centred).double().cpu()

    def joined(self, other: CellMoments) -> CellMoments:
        """Of the cells of both."""
        return CellMoments(self.cells + other.cells, self.total + other.total, self.within + other.within)

    @property
    def mean(self) -> Float[Tensor, " k"]:
        """`m`, the mean over all cells."""
        return self.total / self.cells

    @property
    def covariance(self) -> Float[Tensor, "k k"]:
        """`S`, the covariance within pictures."""
        return self.within / self.cells


def flattest_vector(moments: CellMoments, ridge: float = RIDGE) -> Float[Tensor, " k"]:
    """`u`, float64: its map's mean over all cells is 1 and its variance within pictures the smallest, up to the ridge.

    Closed form `u = Q^-1 m / (m . Q^-1 m)` with `Q = S + ridge * mean diag S * I`.

    Raises:
        InputError: no cells, a ridge that is not above zero, or features that vary nowhere or are zero everywhere.
    """
    if not 0 < ridge < math.inf:
        raise InputError(f"`ridge` (={ridge}) must be above 0: fewer cells than channels leave the fit open.")
    if moments.cells == 0:
        raise InputError("`moments` (=0 cells) must hold at least one picture; add features first.")
    covariance, mean = moments.covariance, moments.mean
    size = float(covariance.diagonal().mean())
    if not (math.isfinite(size) and size > 0 and bool(mean.any())):
        raise InputError(f"the features' variance within pictures (={size:g}) must be above 0; use other pictures.")
    solved = torch.linalg.solve(covariance + ridge * size * torch.eye(len(mean), dtype=mean.dtype), mean)
    return solved / (mean @ solved)


def flatness(vector: Float[Tensor, " k"], moments: CellMoments) -> float:
    """Standard deviation of `vector . F` within a picture over its mean: 0 is a constant. Lower is better.

    On moments of pictures that the vector was not fitted on it is an honest figure.
    """
    vector = vector.double()
    return float((vector @ moments.covariance @ vector).clamp(min=0).sqrt() / (moments.mean @ vector).abs())


def level_for_absent_area(
    absent: Float[Tensor, " n"], flat: Float[Tensor, " n"], absent_area: float = ABSENT_AREA
) -> float:
    """The smallest `a >= 0` at which at most `absent_area` of the cells have `absent - a * flat > 0`.

    Args:
        absent: map values of classes that are not in the picture, a cell an entry, in logits.
        flat: `u . F` of the same cells, about 1. Where it is not above zero no level helps: such a cell counts as
            positive.
        absent_area: share of the cells, from 0 to below 1.

    Raises:
        InputError: no cells, a share out of range, or too many cells that no level reaches.
    """
    if not 0 <= absent_area < 1:
        raise InputError(f"`absent_area` (={absent_area}) must be at least 0 and below 1, a share of the cells.")
    reached = flat > 0
    allowed = math.floor(absent_area * len(absent)) - int((~reached).sum())
    if len(absent) == 0 or allowed < 0:
        raise InputError(
            f"`absent_area` (={absent_area}) cannot be had: {int((~reached).sum())} of {len(absent)} cells are beyond "
            "any level; choose a larger share or use more pictures."
        )
    ratios = (absent[reached].double() / flat[reached].double()).sort(descending=True).values
    # A cell is positive only above its ratio, so the level may be the ratio of the first cell that must not be.
    return max(float(ratios[allowed]), 0.0) if allowed < len(ratios) else 0.0
