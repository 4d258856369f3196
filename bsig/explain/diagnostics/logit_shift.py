"""The additive logit shift: one and the same number added to all logits, which softmax cannot see.

For any vector `v[k]` the head `W' = W + 1 v^T` (every class row shifted by `v`) is the same classifier on every image:

    logit'_c = logit_c + v . pool(F)        for all c alike, so  softmax(logit') = softmax(logit)
    M'_c     = M_c + v . F                  every map moves by the same map
    sigmoid(logit'_c) != sigmoid(logit_c)   a sigmoid per class has no such freedom

What no shift can move is the class-centred map `(W[c] - w_bar) . F`, `w_bar = mean_c W[c]`.

Source: Oh and Noh, BMVC 2025, arXiv 2511.05590 (the shift and its figure); the shared component's shares, the movement
of a map and the delta curve are this project's. Painting a map with a shift: `bsig.explain.diagnostics.painted_shift`.

Everything here speaks of a head of average pool + one linear layer, in the unit of `cam` (logits). Grad-CAM, XGrad-CAM
and HiResCAM of such a head are its maps divided by `h*w`: same movement, other unit. Numbers that cannot be computed
(a flat map has no correlation) come as None with a sentence, or as an `InputError` with that sentence; never as NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bsig.inputs.errors import InputError
from bsig.model.heads import shifted_rows

FLAT = 1e-5
"""Below this share of its own size (or of the range of the map it is compared with) a map's range is rounding."""


def shared_component(weight: Float[Tensor, "c k"]) -> Float[Tensor, " k"]:
    """`w_bar = mean_c W[c]`: what all class rows have in common and softmax never uses.

    Summed in float64, so that rows which are all equal have exactly themselves as their mean.
    """
    return weight.mean(dim=0, dtype=torch.float64).to(weight.dtype)


def shared_energy_share(weight: Float[Tensor, "c k"]) -> float:
    """The shared component's share of a head's energy, `c * |w_bar|^2 / |W|_F^2`, from 0 (centred) to 1 (equal rows).

    Raises:
        InputError: all weights are zero.
    """
    total = float(weight.square().sum(dtype=torch.float64))
    if total == 0:
        raise InputError("`weight` (all zero) must hold a weight other than zero to have an energy to share.")
    return len(weight) * float(shared_component(weight).double().square().sum()) / total


def shared_map_share(features: Float[Tensor, "k h w"], weight: Float[Tensor, "c k"], class_index: int) -> float:
    """`|w_bar . F| / |M_c|`, norms over the grid: how large the shared map is beside the map of one class.

    0 where the head is centred; 1 where the class's map is as large as the shared one; above 1 where they cancel.

    Raises:
        InputError: no such class, or the class's map is zero everywhere.
    """
    own = float(class_map(features, weight, class_index).double().norm())
    if own == 0:
        raise InputError(
            f"the map of `class_index` (={class_index}) is zero everywhere; its shared share is undefined."
        )
    return float(torch.einsum("k,khw->hw", shared_component(weight), features).double().norm()) / own


def class_map(features: Float[Tensor, "k h w"], weight: Float[Tensor, "c k"], class_index: int) -> Float[Tensor, "h w"]:
    """`M_c = W[c] . F`, signed, in logits, without bias (Zhou et al. 2016, eq. 2).

    Raises:
        InputError: no such class.
    """
    if not 0 <= class_index < len(weight):
        raise InputError(f"`class_index` (={class_index}) must be from 0 to {len(weight) - 1}, the head's last class.")
    return torch.einsum("k,khw->hw", weight[class_index], features)


def class_centred_head(weight: Float[Tensor, "c k"]) -> Float[Tensor, "c k"]:
    """`W[c] - w_bar`: the one head of all its shifted copies that has no shared component.

    Its maps, in logits, are the cheap remedy without training: the same for every shifted copy. They are unique; their
    zero is not meaningful, because the mean over classes is as arbitrary a zero as any other (tests/test_claims.py).
    """
    return weight - shared_component(weight)


def uniform_shift(k: int, delta: float) -> Float[Tensor, " k"]:
    """`v = delta * 1`: the same number on every channel."""
    return torch.full((k,), float(delta))


def channel_shift(k: int, channel: int, delta: float) -> Float[Tensor, " k"]:
    """`v = delta * e_channel`: one channel alone, as in the paper's figure.

    Raises:
        InputError: no such channel.
    """
    if not 0 <= channel < k:
        raise InputError(f"`channel` (={channel}) must be from 0 to {k - 1}, the last channel of these features.")
    vector = torch.zeros(k)
    vector[channel] = delta
    return vector


def common_shift(weight: Float[Tensor, "c k"], other: Float[Tensor, "c k"]) -> tuple[Float[Tensor, " k"], float | None]:
    """The one shift that best leads from one head to another, and its share of their difference.

    `v = mean_c (W_other - W)` is the least-squares answer; the share is `c * |v|^2 / |W_other - W|_F^2`, from 0 to 1,
    None where the heads are equal. A fitted shift has share 1 and `v` is its vector; a fully trained sigmoid branch has
    the part of its training that softmax could not have seen.
    """
    difference = other - weight
    vector = shared_component(difference)
    total = float(difference.square().sum(dtype=torch.float64))
    return vector, len(weight) * float(vector.double().square().sum()) / total if total else None


def equivalent_delta(features: Float[Tensor, "k h w"], vector: Float[Tensor, " k"]) -> float | None:
    """The uniform delta that moves this picture's maps by as much on average: `sum v . F / sum F`.

    It puts any shift, a fitted one too, on the delta axis of one picture. None where the features sum to zero, so that
    no uniform shift moves the mean of a map.
    """
    total = float(features.sum(dtype=torch.float64))
    return float(torch.einsum("k,khw->", vector.double(), features.double())) / total if total else None


def probability_change(
    pooled_features: Float[Tensor, "b k"],
    weight: Float[Tensor, "c k"],
    bias: Float[Tensor, " c"],
    vector: Float[Tensor, " k"],
) -> float:
    """The largest absolute change of any softmax probability of any image from head `W` to head `W + 1 v^T`.

    The shifted head is really formed and really run, as it would be from a checkpoint; the theorem is not used. In
    float32 what changes is rounding alone, expected about 1e-7 (it grows with the size of `v . pool(F)`).
    """
    before, after = (
        torch.nn.functional.linear(pooled_features, rows, bias).softmax(dim=1)
        for rows in (weight, shifted_rows(weight, vector))
    )
    return float((after - before).abs().max())


@dataclass(frozen=True)
class MapMovement:
    """The distance of a map from what it was before a shift.

    Attributes:
        correlation: Pearson's, over the cells, from -1 to 1; 1 where only zero and scale changed.
        top_iou: intersection over union of the 20 % of cells with the largest values, from 0 to 1.
        peak_move: distance between the two maxima, in cells.
        reason: why the three are None, where one of the maps is flat.
    """

    correlation: float | None
    top_iou: float | None
    peak_move: float | None
    reason: str | None = None


def map_movement(before: Float[Tensor, "h w"], after: Float[Tensor, "h w"]) -> MapMovement:
    """Correlation, IoU of the top 20 % of cells, and the move of the maximum.

    The top 20 % are `max(1, round(0.2 * h * w))` cells; of equal cells the first in reading order counts.
    """
    return map_movements(before, after[None])[0]


def map_movements(before: Float[Tensor, "h w"], after: Float[Tensor, "n h w"]) -> list[MapMovement]:
    """`map_movement` of many maps, (n, h, w), from the same one: a curve needs dozens at a time."""
    old, new = before.double().flatten()[None], after.double().flatten(1)
    if _is_flat(old)[0]:
        reason = "The map before the shift is flat: there is no place it could move from."
        return [MapMovement(None, None, None, reason)] * len(after)
    # A map is flat by itself, or beside what it was: after a shift its range may be the rounding of large values.
    flat = _is_flat(new) | (_range(new) <= FLAT * _range(old))
    correlations = _correlations(old, new, flat)
    old_order, new_order = (x.sort(dim=1, descending=True, stable=True).indices for x in (old, new))
    count = max(1, round(0.2 * old.shape[1]))
    # n cells are in both tops, which have `count` cells each, so that their union has 2 count - n.
    shared = (old_order[:, :count, None] == new_order[:, None, :count]).sum(dim=(1, 2))
    moves = (_cell(old_order[:, 0], before) - _cell(new_order[:, 0], before)).double().norm(dim=1)
    reason = "The map after the shift is flat: it has no maximum and no ordering of places left."
    return [
        MapMovement(None, None, None, reason) if is_flat else MapMovement(r, n / (2 * count - n), move)
        for is_flat, r, n, move in zip(
            flat.tolist(), correlations.tolist(), shared.tolist(), moves.tolist(), strict=True
        )
    ]


@dataclass(frozen=True)
class DeltaCurve:
    """A class's map while a uniform shift grows: its movement from delta 0 and its share of cells above zero."""

    deltas: list[float]
    movement: list[MapMovement]
    positive_area: list[float]


def delta_curve(
    features: Float[Tensor, "k h w"],
    weight: Float[Tensor, "c k"],
    class_index: int,
    deltas: Float[Tensor, " n"],
    *,
    centred: bool = False,
) -> DeltaCurve:
    """The map of the head `W + delta`, the same number on every weight, for a range of deltas.

    With `centred` the class-centred map of the shifted head, `((W[c] + delta) - (w_bar + delta)) . F`, computed that
    long way round on purpose.

    Raises:
        InputError: no such class.
    """
    before = class_map(features, class_centred_head(weight) if centred else weight, class_index)
    shifts = deltas.to(weight)[:, None]
    rows = weight[class_index] + shifts
    if centred:
        rows = rows - (shared_component(weight) + shifts)
    maps = torch.einsum("nk,khw->nhw", rows, features)
    area = (maps > 0).double().mean(dim=(1, 2))
    return DeltaCurve(deltas.tolist(), map_movements(before, maps), area.tolist())


def _range(maps: Float[Tensor, "n cells"]) -> Float[Tensor, " n"]:
    return maps.amax(dim=1) - maps.amin(dim=1)


def _is_flat(maps: Float[Tensor, "n cells"]) -> Tensor:
    return _range(maps) <= FLAT * maps.abs().amax(dim=1)


def _correlations(old: Tensor, new: Tensor, flat: Tensor) -> Float[Tensor, " n"]:
    old, new = old - old.mean(dim=1, keepdim=True), new - new.mean(dim=1, keepdim=True)
    sizes = torch.where(flat, 1.0, old.norm(dim=1) * new.norm(dim=1))
    return ((old * new).sum(dim=1) / sizes).clamp(-1, 1)


def _cell(index: Tensor, grid: Float[Tensor, "h w"]) -> Tensor:
    return torch.stack((index // grid.shape[1], index % grid.shape[1]), dim=1)
