"""Sign collapse: the sign of a channel's weight says "for" or "against", and a logit shift turns it at will.

A channel is excitatory for a class where its weight is positive, inhibitory where it is negative. Softmax does not
notice if `delta` is taken from every weight of every class (`logit_shift.py`); formerly positive weights turn
negative and the region they lit vanishes from the map, at the same probability. The sigmoid branch has no such freedom,
so where the branches disagree in sign, softmax's sign was a convention.

Source: Oh and Noh, BMVC 2025, arXiv 2511.05590 (the effect and its name); quadrants, evidence shares, collapse curve
and margin are this project's.

Functions take one weight a channel: `W[c]` for CAM, a method's channel weights otherwise (`a_k` of Grad-CAM). Evidence
is a mean over the grid, so with `W[c]` it is in logits; with Grad-CAM's `a_k = W[c,k]/(h*w)` evidence and deltas are
smaller by `h*w`, and every share, area and count is the same.

Two readings of "positive evidence" stand side by side, because `relu(w) . F` is not `relu(w . F)`:

    by channels   sum_k relu(w[k]) F[k]    what speaks for the class before anything is held against it
    by cells      relu(sum_k w[k] F[k])    what is left of it on each cell, and what a heatmap lights up
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bsig.inputs.errors import InputError
from bsig.model.presence import PresenceCalibration

Reading = Literal["cells", "channels"]
READINGS: tuple[Reading, ...] = ("cells", "channels")

# Key -> what it means; the index of a key is the number that `quadrant_of_channels` gives.
QUADRANTS: dict[str, str] = {
    "kept positive": "Excitatory in both branches.",
    "kept negative": "Inhibitory in both branches.",
    "excitatory to inhibitory": "Speaks for the class in the softmax branch, against it in the sigmoid branch.",
    "inhibitory to excitatory": "Speaks against the class in the softmax branch, for it in the sigmoid branch.",
    "no sign": "A weight of exactly zero in at least one branch: it has no sign to keep or to flip.",
}
FLIPPED = (2, 3)
NO_SIGN = 4


def quadrant_of_channels(
    softmax_weights: Float[Tensor, " k"], sigmoid_weights: Float[Tensor, " k"]
) -> Int[Tensor, " k"]:
    """The index in `QUADRANTS` of each channel.

    A weight of exactly zero (a clamped one, say) is neither excitatory nor inhibitory; such a channel is "no sign" and
    never counts as flipped, so that clamping weights is not mistaken for sign collapse.
    """
    for_softmax, for_sigmoid = softmax_weights > 0, sigmoid_weights > 0
    quadrant = torch.where(for_softmax, torch.where(for_sigmoid, 0, 2), torch.where(for_sigmoid, 3, 1))
    return quadrant.masked_fill((softmax_weights == 0) | (sigmoid_weights == 0), NO_SIGN)


def _is_flipped(softmax_weights: Float[Tensor, " k"], sigmoid_weights: Float[Tensor, " k"]) -> Bool[Tensor, " k"]:
    quadrant = quadrant_of_channels(softmax_weights, sigmoid_weights)
    return (quadrant == FLIPPED[0]) | (quadrant == FLIPPED[1])


def evidence_mass(features: Float[Tensor, "k h w"], weights: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """`|w[k]| * mean_hw |F[k]|`, never negative, in logits for CAM: how much a channel says here, for or against.

    After a ReLU `|F| = F`. Where features can be negative the absolute value keeps a channel that is positive here and
    negative there from saying nothing.
    """
    return weights.abs() * features.abs().mean(dim=(1, 2))


def evidence_share(
    features: Float[Tensor, "k h w"], softmax_weights: Float[Tensor, " k"], sigmoid_weights: Float[Tensor, " k"]
) -> Float[Tensor, " k"]:
    """Each channel's share of the evidence of both branches on this picture; sums to one.

    The mean of its two shares `mass / sum mass`, one a branch, so that the branch with the larger weights does not
    outvote the other.

    Raises:
        InputError: a branch has no evidence at all on this picture.
    """
    shares = []
    for branch, weights in (("softmax", softmax_weights), ("sigmoid", sigmoid_weights)):
        mass = evidence_mass(features, weights).double()
        if float(mass.sum()) == 0:
            raise InputError(
                f"the {branch} branch has no evidence on this picture (all weights or all features are zero), so no "
                "channel has a share of it."
            )
        shares.append(mass / mass.sum())
    return ((shares[0] + shares[1]) / 2).to(features.dtype)


@dataclass(frozen=True)
class Quadrant:
    """The channels of one entry of `QUADRANTS`.

    Attributes:
        share: of all channels, from 0 to 1.
        softmax_evidence: sum of the softmax branch's `evidence_mass`, in logits for CAM.
        sigmoid_evidence: the same with the sigmoid branch's weights.
        evidence_share: sum of `evidence_share`, from 0 to 1; None where a branch has no evidence.
    """

    count: int
    share: float
    softmax_evidence: float
    sigmoid_evidence: float
    evidence_share: float | None


def sign_quadrants(
    features: Float[Tensor, "k h w"], softmax_weights: Float[Tensor, " k"], sigmoid_weights: Float[Tensor, " k"]
) -> dict[str, Quadrant]:
    """Counts and evidence of the four sign quadrants and of the channels without sign, keyed as `QUADRANTS`."""
    quadrant = quadrant_of_channels(softmax_weights, sigmoid_weights)
    counts = quadrant.bincount(minlength=len(QUADRANTS)).tolist()
    softmax, sigmoid = (
        quadrant.bincount(evidence_mass(features, weights).double(), minlength=len(QUADRANTS)).tolist()
        for weights in (softmax_weights, sigmoid_weights)
    )
    # `evidence_share`, summed: the mean of a quadrant's share in each branch.
    has_evidence = 0 not in (sum(softmax), sum(sigmoid))
    shares = [
        (a / sum(softmax) + b / sum(sigmoid)) / 2 if has_evidence else None
        for a, b in zip(softmax, sigmoid, strict=True)
    ]
    return {
        key: Quadrant(counts[i], counts[i] / len(quadrant), softmax[i], sigmoid[i], shares[i])
        for i, key in enumerate(QUADRANTS)
    }


def sign_disagreement(softmax_weights: Float[Tensor, " k"], sigmoid_weights: Float[Tensor, " k"]) -> float:
    """Share of channels with opposite signs in the two branches, from 0 to 1; exact zeros do not count."""
    return float(_is_flipped(softmax_weights, sigmoid_weights).double().mean())


def evidence_disagreement(
    features: Float[Tensor, "k h w"], softmax_weights: Float[Tensor, " k"], sigmoid_weights: Float[Tensor, " k"]
) -> float:
    """Share of the evidence on this picture that sits in channels of opposite sign, from 0 to 1 (`evidence_share`).

    Raises:
        InputError: a branch has no evidence at all on this picture.
    """
    shares = evidence_share(features, softmax_weights, sigmoid_weights)
    return float(shares[_is_flipped(softmax_weights, sigmoid_weights)].sum())


@dataclass(frozen=True)
class FlippedChannel:
    """A channel of opposite sign in the two branches, with both weights and its `evidence_share`."""

    channel: int
    softmax_weight: float
    sigmoid_weight: float
    evidence_share: float


def strongest_flipped_channels(
    features: Float[Tensor, "k h w"],
    softmax_weights: Float[Tensor, " k"],
    sigmoid_weights: Float[Tensor, " k"],
    count: int = 12,
) -> list[FlippedChannel]:
    """Up to `count` flipped channels that say most on this picture, largest `evidence_share` first.

    Channels that are silent on this picture are left out, however large their weights; the list may be empty.
    """
    flipped = _is_flipped(softmax_weights, sigmoid_weights)
    if not bool(flipped.any()) or not bool(features.any()):
        return []
    shares = evidence_share(features, softmax_weights, sigmoid_weights).masked_fill(~flipped, 0.0)
    order = shares.sort(descending=True, stable=True).indices[:count].tolist()
    return [
        FlippedChannel(k, float(softmax_weights[k]), float(sigmoid_weights[k]), float(shares[k]))
        for k in order
        if shares[k] > 0
    ]


@dataclass(frozen=True)
class EvidenceSplit:
    """The evidence for a class and against it, as two maps; their sum is the class's map."""

    positive: Float[Tensor, "h w"]
    negative: Float[Tensor, "h w"]

    @property
    def budget(self) -> tuple[float, float]:
        """Means over the grid, in logits for CAM, where their sum is the logit less the bias."""
        return float(self.positive.double().mean()), float(self.negative.double().mean())


def evidence_by_channels(features: Float[Tensor, "k h w"], weights: Float[Tensor, " k"]) -> EvidenceSplit:
    """`relu(w) . F` and `-relu(-w) . F`: excitatory and inhibitory channels apart."""
    positive = torch.einsum("k,khw->hw", weights.clamp(min=0), features)
    return EvidenceSplit(positive, torch.einsum("k,khw->hw", weights.clamp(max=0), features))


@dataclass(frozen=True)
class CollapseCurve:
    """A class's positive evidence while `delta` is taken from every weight: lists over the deltas.

    Attributes:
        cells_left: `sum_hw relu(M - delta sum_k F[k])` as a share of its value at 0; what a heatmap has left.
        channels_left: `sum_k relu((w[k] - delta) mean_hw F[k])` as a share of its value at 0.
        positive_area: share of cells above zero, from 0 to 1.
        reason: why the shares are None, where there is no positive evidence to begin with.
    """

    deltas: list[float]
    cells_left: list[float] | None
    channels_left: list[float] | None
    positive_area: list[float]
    reason: str | None = None


def collapse_curve(
    features: Float[Tensor, "k h w"], weights: Float[Tensor, " k"], deltas: Float[Tensor, " n"]
) -> CollapseCurve:
    """The collapse curve of one branch: the weights `w - delta` for a range of deltas, in the unit of the weights.

    Both shares fall from 1 and never rise, for features that are not negative. The softmax probability is the same at
    every delta (a flat line); what happens to the sigmoid's is in `branch_probability_curve`.
    """
    steps = deltas.double()
    maps = _class_map(features, weights) - steps[:, None, None] * features.double().sum(dim=0)
    cells, channels = (_share_left(*_terms(features, weights, reading), steps) for reading in READINGS)
    return CollapseCurve(
        deltas=deltas.tolist(),
        cells_left=cells,
        channels_left=channels,
        positive_area=(maps > 0).double().mean(dim=(1, 2)).tolist(),
        reason=NO_POSITIVE_CHANNELS if channels is None else NO_POSITIVE_CELLS if cells is None else None,
    )


def branch_probability_curve(
    features: Float[Tensor, "k h w"],
    logits: Float[Tensor, " c"],
    class_index: int,
    deltas: Float[Tensor, " n"],
    branch: Literal["softmax", "sigmoid"],
    presence: PresenceCalibration | None = None,
) -> list[float]:
    """Probability of the class under `W - delta`: flat for softmax, falling for sigmoid.

    Every logit loses the same `delta * sum_k mean_hw F[k]`; `deltas` are in the unit of the head's own weights `W`.
    For pool + linear heads. With `presence` the sigmoid branch's is calibrated, as it is read of the model as trained.
    """
    drop = deltas.to(logits) * features.mean(dim=(1, 2)).sum().to(logits)
    shifted_logits = logits - drop[:, None]
    if branch == "softmax":
        probabilities = shifted_logits.softmax(dim=1)
    else:
        probabilities = presence.probability(shifted_logits) if presence else shifted_logits.sigmoid()
    return probabilities[:, class_index].tolist()


NO_POSITIVE_CELLS = "No cell of the map is positive: there is no positive evidence that a shift could take away."
NO_POSITIVE_CHANNELS = (
    "No active channel has a positive weight: there is no positive evidence that a shift could take away."
)
NEVER_HALVED = (
    "No delta takes half of the positive evidence away: the channels sum to nothing where the map is positive."
)


@dataclass(frozen=True)
class CollapseMargin:
    """The smallest `delta` that removes half of the positive evidence, in the weights' unit; or why there is none."""

    delta: float | None
    reason: str | None = None


def collapse_margin(
    features: Float[Tensor, "k h w"], weights: Float[Tensor, " k"], reading: Reading = "cells"
) -> CollapseMargin:
    """The smallest `delta >= 0` at which `w - delta` has half of the positive evidence of `w` left.

    Exact: what is left is `sum_i relu(a_i - delta s_i)`, linear between the points `a_i / s_i` where a term runs out
    (`a, s` are map and summed features of the cells, or weighted and plain mean features of the channels), so the
    answer lies on one known line. Features that can be negative need not fall steadily; it is still the first delta.
    """
    amounts, slopes = _terms(features, weights, reading)
    start = float(amounts.clamp(min=0).sum())
    if start <= 0:
        return CollapseMargin(None, NO_POSITIVE_CELLS if reading == "cells" else NO_POSITIVE_CHANNELS)
    # A term `relu(a - delta s)` bends only where it reaches zero, so between two knots the sum is a straight line.
    knots = (amounts / slopes)[slopes != 0]
    knots = torch.cat((knots.new_zeros(1), knots[knots > 0].sort().values))
    evidence = _evidence_left(amounts, slopes, knots)
    below = (evidence <= start / 2).nonzero()
    if len(below):
        last = int(below[0])  # never the first knot, 0, where all of it is left
        high, low = float(evidence[last - 1]), float(evidence[last])
        first_delta, width = float(knots[last - 1]), float(knots[last] - knots[last - 1])
        return CollapseMargin(first_delta + width * (high - start / 2) / (high - low))
    slope = float(slopes[(amounts - (knots[-1] + 1) * slopes) > 0].sum())  # behind the last knot the line goes on
    if slope <= 0:
        return CollapseMargin(None, NEVER_HALVED)
    return CollapseMargin(float(knots[-1]) + (float(evidence[-1]) - start / 2) / slope)


def _terms(features: Tensor, weights: Tensor, reading: str) -> tuple[Tensor, Tensor]:
    """Amounts `a` and slopes `s` in float64, such that `relu(a - delta s)` sums to the positive evidence left."""
    if reading == "cells":
        return _class_map(features, weights).flatten(), features.double().sum(dim=0).flatten()
    means = features.double().mean(dim=(1, 2))
    return weights.double() * means, means


def _evidence_left(amounts: Tensor, slopes: Tensor, deltas: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The positive evidence that each delta leaves, `sum_i relu(a_i - delta s_i)`."""
    return (amounts - deltas[:, None] * slopes).clamp(min=0).sum(dim=1)


def _share_left(amounts: Tensor, slopes: Tensor, deltas: Tensor) -> list[float] | None:
    """`_evidence_left` as a share of what there is at delta 0; None where that is nothing."""
    start = amounts.clamp(min=0).sum()
    return (_evidence_left(amounts, slopes, deltas) / start).tolist() if start > 0 else None


def _class_map(features: Tensor, weights: Tensor) -> Float[Tensor, "h w"]:
    return torch.einsum("k,khw->hw", weights.double(), features.double())
