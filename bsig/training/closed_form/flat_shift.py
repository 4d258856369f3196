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
steps: the result is the same each time. A constant cannot know its class: at equal own-class area the absent classes
keep about the area that they had. Each formula stands as plain loops in tests/reference.py.

Two sums of k x k numbers and a few cells of each picture are kept, of the evaluation crop and of the whole picture.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bsig.explain.diagnostics.absent_classes import absent_classes
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import FittedShift
from bsig.model.heads import ClassificationHead
from bsig.training.config import FlatShiftConfig
from bsig.training.processes import ALONE, Processes

DEFAULT = FlatShiftConfig()
CELLS_A_VIEW = 4
ABSENT_CLASSES = 10


@dataclass
class CellMoments:
    """Sums over the cells of many pictures, float64, added to batch by batch: no cell is kept.

    Attributes:
        cells: how many cells were added.
        total: sum of the features.
        within: sum of products of features less their picture's mean.
    """

    cells: int
    total: Float[Tensor, " k"]
    within: Float[Tensor, "k k"]

    @classmethod
    def empty(cls, channels: int) -> CellMoments:
        """Returns the sums over no cell."""
        return cls(0, torch.zeros(channels, dtype=torch.float64), torch.zeros(channels, channels, dtype=torch.float64))

    def add(self, features: Float[Tensor, "b k h w"]) -> None:
        """Adds every cell of a batch; each picture (or view) is centred on its own mean."""
        cells = features.detach().flatten(2)
        centred = (cells - cells.mean(dim=2, keepdim=True)).transpose(1, 2).flatten(0, 1)
        self.cells += len(centred)
        self.total += cells.sum(dim=(0, 2)).double().cpu()
        # In the features' own precision (float32: about 1e-6 relative); doubling a batch of cells would cost more.
        self.within += (centred.T @ centred).double().cpu()

    def __add__(self, other: CellMoments) -> CellMoments:
        """Returns the sums over the cells of both."""
        return CellMoments(self.cells + other.cells, self.total + other.total, self.within + other.within)

    def sum_up(self, processes: Processes) -> None:
        """Puts the sums over the cells of all processes in place of those of this one."""
        count = torch.tensor([float(self.cells)], dtype=torch.float64)
        processes.sum_up([count, self.total, self.within])
        self.cells = round(float(count))

    @property
    def mean(self) -> Float[Tensor, " k"]:
        """Returns `m`, the mean over all cells."""
        return self.total / self.cells

    @property
    def covariance(self) -> Float[Tensor, "k k"]:
        """Returns `S`, the covariance within pictures."""
        return self.within / self.cells


def flattest_vector(moments: CellMoments, ridge: float = DEFAULT.ridge) -> Float[Tensor, " k"]:
    """Returns `u`, float64, with a map of mean 1 over all cells and, up to the ridge, least variance within pictures.

    Closed form `u = Q^-1 m / (m . Q^-1 m)` with `Q = S + ridge * mean diag S * I`.

    Raises:
        InputError: no cells, or features that vary nowhere or are zero everywhere.
    """
    covariance, mean = moments.covariance, moments.mean
    # The ridge is a share of the mean variance, so that it means the same at any scale of the features. It is above 0:
    # fewer cells than channels leave the fit open.
    size = float(covariance.diagonal().mean())
    if not (math.isfinite(size) and size > 0 and bool(mean.any())):
        raise InputError(f"the features' variance within pictures (={size:g}) must be above 0; use other pictures.")
    solution = torch.linalg.solve(covariance + ridge * size * torch.eye(len(mean), dtype=mean.dtype), mean)
    return solution / (mean @ solution)


def flatness(vector: Float[Tensor, " k"], moments: CellMoments) -> float:
    """Returns the standard deviation of `vector . F` within a picture over its mean: 0 is a constant. Lower is better.

    On moments of pictures that the vector was not fitted on it is an honest figure.
    """
    vector = vector.double()
    return float((vector @ moments.covariance @ vector).clamp(min=0).sqrt() / (moments.mean @ vector).abs())


def level_for_absent_area(
    absent: Float[Tensor, " n"], flat: Float[Tensor, " n"], absent_area: float = DEFAULT.absent_area
) -> float:
    """Returns the smallest `a >= 0` at which at most `absent_area` of the cells have `absent - a * flat > 0`.

    Args:
        absent: map values of classes that are not in the picture, a cell an entry, in logits.
        flat: `u . F` of the same cells, about 1. Where it is not above zero no level helps: the cell counts as
            positive.

    Raises:
        InputError: no cells, or too many cells that no level reaches.
    """
    in_reach = flat > 0
    count = math.floor(absent_area * len(absent)) - int((~in_reach).sum())
    if len(absent) == 0 or count < 0:
        raise InputError(
            f"`absent_area` (={absent_area}) cannot be had: {int((~in_reach).sum())} of {len(absent)} cells are beyond "
            "any level; choose a larger share or use more pictures."
        )
    ratios = (absent[in_reach].double() / flat[in_reach].double()).sort(descending=True).values
    # A cell is positive only above its ratio, so the level may be the ratio of the first cell that must not be.
    return max(float(ratios[count]), 0.0) if count < len(ratios) else 0.0


# Fitting it to pictures.


class FlatShiftCells:
    """Numbers of each picture for a flat shift, read while the pictures are encoded.

    Attributes:
        halves: moments of every second picture, and of the others: a vector fitted on one half is judged on the other.
        present, cells: by position of the picture: its classes, and (n, k) some cells of both its views.
    """

    def __init__(self, channels: int, config: FlatShiftConfig) -> None:
        self.halves = (CellMoments.empty(channels), CellMoments.empty(channels))
        self.seed = config.seed
        self.present: dict[int, tuple[int, ...]] = {}
        self.cells: dict[int, Tensor] = {}

    def read(self, position: int, present: tuple[int, ...], grids: Float[Tensor, "v k h w"]) -> None:
        """Adds one picture."""
        self.halves[position % 2].add(grids)
        self.present[position] = present
        self.cells[position] = _some_cells(grids, self.seed, position).cpu()


@dataclass(frozen=True)
class FlatShiftFit:
    """A fitted flat shift from so many pictures.

    Attributes:
        shift: `-level * u`, and a bias of zero: the whole zero sits in the maps.
        level: in logits.
        flatness: of a vector fitted on every second picture, on the others: within-picture deviation over mean.
    """

    shift: FittedShift
    level: float
    flatness: float
    pictures: int


def fit_flat_shift(
    cells: FlatShiftCells,
    softmax_head: ClassificationHead,
    config: FlatShiftConfig = DEFAULT,
    processes: Processes = ALONE,
) -> FlatShiftFit:
    """Returns the flat shift of a softmax head, the same in all processes.

    Raises:
        InputError: fewer than two classes or two readable pictures, or more cells beyond any level than allowed.
    """
    weight = softmax_head.last_linear.weight.detach()
    if len(weight) < 2:
        raise InputError(f"`class_names` holds {len(weight)} class; an absent one needs at least 2.")
    # Copies: a cross-fit fits a shift from the same cells several times.
    halves = copy.deepcopy(cells.halves)
    for half in halves:
        half.sum_up(processes)
    if any(half.cells == 0 for half in halves):
        raise InputError("fewer than 2 pictures of these classes are usable; a flat shift needs more.")
    first, second = halves
    vector = flattest_vector(first + second, config.ridge)
    rows = weight.cpu()
    absent = {}
    for position, some in cells.cells.items():
        present = cells.present[position]
        classes = absent_classes(range(len(rows)), present, ABSENT_CLASSES, seed=cells.seed, position=position)
        absent[position] = some @ rows[classes].T
    flat = {position: some.double() @ vector for position, some in cells.cells.items()}
    parts = processes.gathered((absent, flat))
    values = torch.cat([value for part, _ in parts for value in part.values()])
    flat_values = torch.cat([value for _, part in parts for value in part.values()])
    level = level_for_absent_area(
        values.flatten(), flat_values[:, None].expand(values.shape).flatten(), config.absent_area
    )
    shift = FittedShift((-level * vector).to(weight), weight.new_zeros(()))
    held_out = flatness(flattest_vector(first, config.ridge), second)
    return FlatShiftFit(shift, level, held_out, sum(len(part) for part, _ in parts))


def _some_cells(grids: Float[Tensor, "v k h w"], seed: int, position: int) -> Float[Tensor, "n k"]:
    """Returns a few cells of each view: the level is a quantile over all pictures, which needs no picture whole."""
    cells = grids.flatten(2).transpose(1, 2)
    count, random = cells.shape[1], np.random.default_rng((seed, position, 1))
    return torch.cat([view[random.choice(count, min(CELLS_A_VIEW, count), replace=False)] for view in cells])
