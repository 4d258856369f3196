"""A calibrated probability is a rising function of the logit, and its measures are those of the papers."""

from __future__ import annotations

import math

import pytest
import torch

from bsig.inputs.errors import InputError
from bsig.model.presence import (
    PresenceCalibration,
    ReliabilityBin,
    expected_calibration_error,
    reliability_bins,
)


def test_the_formula_by_hand() -> None:
    calibration = PresenceCalibration(2.0, 3.0, 10)
    logits = torch.tensor([[3.0, 5.0], [1.0, -997.0]])
    assert torch.equal(calibration.logit(logits), torch.tensor([[0.0, 1.0], [-1.0, -500.0]]))
    assert float(calibration.probability(logits)[0, 1]) == pytest.approx(1 / (1 + math.exp(-1)))
    assert torch.allclose(calibration.log_probability(logits)[0], calibration.probability(logits)[0].log())
    # q is 0 as a float32 there; its logarithm is not minus infinity.
    assert float(calibration.log_probability(logits)[1, 1]) == pytest.approx(-500)


def test_even_odds_lie_at_the_offset_and_the_order_of_classes_stays() -> None:
    calibration = PresenceCalibration(0.7, 4.2, 10)
    assert float(calibration.probability(torch.tensor(4.2, dtype=torch.float64))) == pytest.approx(0.5)
    logits = torch.randn(97, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 5
    assert torch.equal(calibration.probability(logits).argsort(), logits.argsort())


def test_the_priors_own_correction_undoes_the_weight_of_the_positive() -> None:
    """A weight w on positives turns the odds p / (1 - p) into w times as much; T = 1 and t = log w turn them back."""
    probability, weight = torch.tensor([0.001, 0.2, 0.9], dtype=torch.float64), 999
    weighted_odds = weight * probability / (1 - probability)
    corrected = PresenceCalibration(1.0, math.log(weight), 10).probability(weighted_odds.log())
    assert torch.allclose(corrected, probability)


@pytest.mark.parametrize(("temperature", "offset"), [(0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (1.0, math.inf)])
def test_numbers_that_are_no_calibration_are_refused(temperature: float, offset: float) -> None:
    with pytest.raises(InputError, match=r"temperature|offset"):
        PresenceCalibration(temperature, offset, 10)


def test_reliability_by_hand() -> None:
    probabilities = torch.tensor([0.05, 0.07, 0.55, 0.57, 1.0])
    bins = reliability_bins(probabilities, torch.tensor([False, True, True, False, True]))
    assert [(round(each.probability, 6), each.share, each.count) for each in bins] == [
        (0.06, 0.5, 2), (0.56, 0.5, 2), (1.0, 1.0, 1),
    ]  # fmt: skip
    assert expected_calibration_error(bins) == pytest.approx((2 * 0.44 + 2 * 0.06 + 0) / 5)


def test_there_is_no_calibration_error_of_nothing() -> None:
    assert expected_calibration_error(()) is None
    assert reliability_bins(torch.zeros(0), torch.zeros(0, dtype=torch.bool)) == ()
    assert expected_calibration_error([ReliabilityBin(0.3, 0.3, 7)]) == 0
