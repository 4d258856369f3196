"""Is the class in the picture? The sigmoid branch's logit, corrected for the prior that the branch was trained under.

    q_c = sigmoid((s_c - t) / T)            s_c: the branch's logit of class c, t: `offset`, T: `temperature`

The branch is trained with a weight of C - 1 on the one positive, so `sigmoid(s_c) = 50 %` means even odds under classes
that are present as often as absent. With T = 1 and `t = log(C - 1)` the formula is that prior's own correction (Elkan,
IJCAI 2001; King and Zeng, Political Analysis 2001). t and T are fitted to pictures that the branch did not see, a line
as in Platt (1999) and a temperature as in Guo et al. (ICML 2017): `bsig.training.closed_form.calibration`.

`(s - t) / T` rises with s, so the order of classes and of places stays. In a picture of several classes only the
labelled one counted as present, so the fit errs to the low side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from bsig.inputs.errors import InputError
from bsig.model.checkpoints.description import RELIABILITY_BINS

BINS = RELIABILITY_BINS


@dataclass(frozen=True)
class ReliabilityBin:
    """Pairs of picture and class whose probability lies in one tenth.

    Attributes:
        probability: their mean, 0 to 1.
        share: of them so many are present, 0 to 1.
        count: how many pairs.
    """

    probability: float
    share: float
    count: int


@dataclass(frozen=True)
class PresenceCalibration:
    """The two numbers of `q = sigmoid((s - offset) / temperature)`, and how well they hold.

    Attributes:
        temperature: above 0.
        offset: the logit of even odds, in logits of the sigmoid branch.
        pictures: on how many it was fitted.
        source: which pictures those were, in words.
        expected_calibration_error: of the branch's likeliest class of each picture (Guo et al. 2017), on pictures
            that were left out of the fit that is judged.
        present_above_half, absent_above_half: shares of present and of absent classes with q above 50 %, on the same.
        reliability: over all pairs of picture and class; empty tenths are left out.

    Raises:
        InputError: a temperature that is not above 0 and finite, or an offset that is not finite.
    """

    temperature: float
    offset: float
    pictures: int
    expected_calibration_error: float | None = None
    reliability: tuple[ReliabilityBin, ...] = ()
    present_above_half: float | None = None
    absent_above_half: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise InputError(f"`temperature` (={self.temperature}) must be above 0 and finite; calibrate again.")
        if not math.isfinite(self.offset):
            raise InputError(f"`offset` (={self.offset}) must be finite; calibrate again.")

    def logit(self, sigmoid_logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """`(s - t) / T`: above 0 where the class is rather there than not."""
        return (sigmoid_logits - self.offset) / self.temperature

    def probability(self, sigmoid_logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """`q`, 0 to 1."""
        return self.logit(sigmoid_logits).sigmoid()

    def log_probability(self, sigmoid_logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """`log q`, at most 0; finite where q itself is too small for a float."""
        return functional.logsigmoid(self.logit(sigmoid_logits))


# How well probabilities hold.


def reliability_bins(probabilities: Float[Tensor, " n"], is_present: Bool[Tensor, " n"]) -> tuple[ReliabilityBin, ...]:
    """Mean probability and share of present in each tenth of the probabilities that is not empty, in order."""
    sums = reliability_sums(probabilities, is_present)
    return bins_of(sums)


def reliability_sums(probabilities: Float[Tensor, " n"], is_present: Bool[Tensor, " n"]) -> Float[Tensor, "bins 3"]:
    """The sum of probabilities, the number of present and the number of all, by tenth: float64, to be added up."""
    place = (probabilities * BINS).long().clamp(0, BINS - 1)
    rows = torch.stack([probabilities.double(), is_present.double(), torch.ones_like(probabilities).double()], dim=1)
    return torch.zeros(BINS, 3, dtype=torch.float64).index_add(0, place.cpu(), rows.cpu())


def bins_of(sums: Float[Tensor, "bins 3"]) -> tuple[ReliabilityBin, ...]:
    """The bins of sums as `reliability_sums` gives them; empty ones are left out."""
    return tuple(
        ReliabilityBin(probability / count, present / count, int(count))
        for probability, present, count in sums.tolist()
        if count
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float | None:
    """`sum_b count_b / n |share_b - probability_b|` (Guo et al. 2017, equation 3); None without any pair. 0 is best."""
    count = sum(each.count for each in bins)
    return sum(each.count * abs(each.share - each.probability) for each in bins) / count if count else None
