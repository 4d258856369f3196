"""A branch's change of each class's row, damped where that class is likely: specificity that costs less ordering.

    d_c = W'_c - W_c                                 what a branch changed of the row W_c that class c started from
    G   = mean over all cells of f f^T               (k, k)
    S_c = sum_i w_ci S_i                             covariance within the pictures that are likeliest class c, (k, k)
    x_c = argmin_x  mean over cells ((x - d_c) . f)^2 + strength * x^T S_c x
        = (G + strength * S_c)^-1 G d_c              and W_c + x_c is the damped branch's row

A change pushes a class's map down everywhere; what it need not do is tilt it over the pictures that show the class,
where the order of places was right. So the change's map stays as near as it can on all cells and becomes flat within
those pictures. No step of a training, no box and no mask is needed. The price: all grids are held at once, in half
precision, of at most `most_pictures` evenly spread: 1,000 pictures of 1280 channels and 7 x 7 cells, each as the model
crops it and squashed whole, are 250 MB.

Each formula stands as plain loops in tests/reference.py.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bsig.inputs.errors import InputError
from bsig.model.heads import ClassificationHead
from bsig.training.config import DampingConfig
from bsig.training.features.labels import is_present, label_tensor
from bsig.training.processes import ALONE, Processes

DEFAULT = DampingConfig()
# Of the mean of G's diagonal, added to it: channels that are nearly always zero would leave G without an inverse.
STEADINESS = 1e-3
BATCH = 64


@dataclass(frozen=True)
class LikelyPictures:
    """The likeliest pictures of each class, its own first, and their weights, from 0 to 1 with a sum of 1 a class."""

    positions: Int[Tensor, "c p"]
    weights: Float[Tensor, "c p"]


def likely_pictures(
    log_probabilities: Float[Tensor, "n c"],
    labels: Int[Tensor, "n ..."],
    count: int = DEFAULT.pictures,
    temper: float = DEFAULT.temper,
) -> LikelyPictures:
    """Returns the `count` likeliest pictures of each class, its own first, weighed by probability ** temper.

    Temper 0 weighs all alike, 1 by their probability.
    """
    order = log_probabilities.clone()
    # Log-probabilities are at most 0, so every picture of the class itself comes before all others.
    order[is_present(labels, order.shape[1])] += 1 - log_probabilities.min()
    positions = order.topk(min(count, len(labels)), dim=0).indices.T.contiguous()
    weights = (temper * log_probabilities.T.gather(1, positions)).softmax(dim=1)
    return LikelyPictures(positions, weights)


def damped_changes(
    changes: Float[Tensor, "c k"],
    features: Float[Tensor, "n k h w"],
    likely: LikelyPictures,
    strength: float = DEFAULT.strength,
) -> Float[Tensor, "c k"]:
    """Returns `x_c` of every class, in the precision of `changes`; `features` may be kept in half precision.

    Raises:
        InputError: features that are zero everywhere.
    """
    inverse = _inverse_second_moment(features).to(changes)
    damped = torch.empty_like(changes)
    for at, change in enumerate(changes):
        cells = _centred_cells(features[likely.positions[at]].to(changes), likely.weights[at].to(changes) * strength)
        damped[at] = _damped(change, cells, inverse)
    return damped


def _damped(
    change: Float[Tensor, " k"], cells: Float[Tensor, "m k"], inverse: Float[Tensor, "k k"]
) -> Float[Tensor, " k"]:
    """Returns `(G + Z^T Z)^-1 G d = d - G^-1 Z^T (I + Z G^-1 Z^T)^-1 Z d` (Woodbury).

    The m cells of a class's pictures are mostly fewer than the k channels, so the system that is solved for each class
    is m x m, and `G` is inverted once for all of them.
    """
    along = cells @ inverse
    system = along @ cells.T
    system.diagonal().add_(1)  # I + Z G^-1 Z^T is symmetric and positive definite, so a Cholesky factor solves it
    solution = torch.cholesky_solve((cells @ change)[:, None], torch.linalg.cholesky(system))
    return change - along.T @ solution[:, 0]


def _centred_cells(features: Float[Tensor, "p k h w"], weights: Float[Tensor, " p"]) -> Float[Tensor, "m k"]:
    """Returns `Z`, cells less the mean of their picture: `Z^T Z` is the weighted sum of covariances within pictures."""
    cells = features.flatten(2)
    scale = (weights / cells.shape[2]).sqrt()[:, None, None]
    return ((cells - cells.mean(dim=2, keepdim=True)) * scale).transpose(1, 2).flatten(0, 1)


def _inverse_second_moment(features: Float[Tensor, "n k h w"]) -> Float[Tensor, "k k"]:
    """Returns `G^-1`, float64, with a little added to G's diagonal; in batches, for all cells would be a copy."""
    channels = features.shape[1]
    moment = torch.zeros(channels, channels, dtype=torch.float64)
    for batch in features.split(BATCH):
        cells = batch.transpose(0, 1).flatten(1)
        cells = cells.float() if cells.dtype == torch.float16 else cells
        moment += (cells @ cells.T).double().cpu()
    moment /= features[:, 0].numel()
    size = float(moment.diagonal().mean())
    if not (math.isfinite(size) and size > 0):
        raise InputError(f"the features' mean square (={size:g}) must be above 0 and finite; use other pictures.")
    return torch.linalg.inv(moment + STEADINESS * size * torch.eye(channels, dtype=torch.float64))


# Damping a trained head on pictures.


class DampingGrids:
    """Feature maps for a damping, read while the pictures are encoded: of every n-th picture, at most `most_pictures`.

    Attributes:
        present, grids, pooled: of each of these pictures: its classes, its feature maps in half precision, and their
            pooled features in full, since probabilities of a thousand classes are sensitive.
    """

    def __init__(self, softmax_head: ClassificationHead, pictures: int, config: DampingConfig) -> None:
        self.softmax_head = softmax_head
        self.every = max(-(-pictures // config.most_pictures), 1)
        self.present: list[tuple[int, ...]] = []
        self.grids: list[Tensor] = []
        self.pooled: list[Tensor] = []

    def read(self, position: int, present: tuple[int, ...], grids: Float[Tensor, "v k h w"]) -> None:
        """Adds one picture, if it is an n-th one."""
        if position % self.every:
            return
        self.present += [present] * len(grids)
        self.grids.append(grids.half().cpu())
        self.pooled.append(self.softmax_head.pooled(grids).detach().cpu())


def damped_head(
    grids: DampingGrids,
    softmax_head: ClassificationHead,
    head: ClassificationHead,
    config: DampingConfig = DEFAULT,
    processes: Processes = ALONE,
    *,
    start: ClassificationHead | None = None,
) -> ClassificationHead:
    """Returns a copy of the trained head with the damped change from the rows of `start`; its bias stays.

    `start` is the softmax head where it is left out. Which pictures a class is likely in, the softmax head says.

    Raises:
        InputError: no picture is usable, or the features are zero everywhere.
    """
    parts = processes.gathered((grids.present, grids.grids, grids.pooled))
    present = [classes for part, _, _ in parts for classes in part]
    if not present:
        raise InputError("no picture of these classes is usable; damping needs one or more.")
    features = torch.cat([each for _, part, _ in parts for each in part])
    rows = (start or softmax_head).last_linear.weight.detach()
    with torch.no_grad():
        pooled = torch.cat([each for _, _, part in parts for each in part])
        logits = softmax_head.logits(pooled.to(rows.device)).cpu()
    likely = likely_pictures(logits.log_softmax(dim=1), label_tensor(present), config.pictures, config.temper)
    changes = (head.last_linear.weight.detach().to(rows) - rows).float().cpu()
    damped = copy.deepcopy(head)
    damped.last_linear.weight.data.copy_(rows + damped_changes(changes, features, likely, config.strength).to(rows))
    return damped
