"""Temperature and offset: the likeliest line, recovered from pictures drawn by it, and refused where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
import torch
from torch import Tensor

from bsig.inputs.errors import InputError
from bsig.training.closed_form.calibration import calibration_sentence, fit_presence

CLASSES = 53


def pictures(count: int, temperature: float, offset: float, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Logits whose own class is drawn with odds `exp((s - t) / T)`, as exactly one class a picture allows.

    Softmax over `s / T` is the chance of each class; with an offset near `T log sum exp(s / T)` of every picture the
    chance is nearly that of a sigmoid of its own.
    """
    generator = torch.Generator().manual_seed(seed)
    values = 2.5 * torch.randn(count, CLASSES, generator=generator, dtype=torch.float64)
    # Every picture's logits are moved so that the odds against all others together are those of the offset.
    values -= values.logsumexp(dim=1, keepdim=True)
    labels = torch.multinomial(values.exp(), 1, generator=generator)[:, 0]
    return temperature * values + offset, labels


def test_the_line_that_pictures_were_drawn_by_is_found_again_whatever_its_scale() -> None:
    reference_fit = fit_presence(*pictures(997, 1.0, 0.0))
    fit = fit_presence(*pictures(997, 3.0, -7.0))
    # s = 3 x - 7 for the same pictures: T is three times as large, and t lies where it lay.
    assert fit.temperature == pytest.approx(3 * reference_fit.temperature, rel=1e-6)
    assert fit.offset == pytest.approx(3 * reference_fit.offset - 7, rel=1e-6)


def test_the_fit_is_the_minimum_of_the_loss_written_as_loops() -> None:
    logits, labels = pictures(61, 1.3, 2.0)
    presence = fit_presence(logits, labels)
    rows, own = logits.numpy(), labels.numpy()
    least = reference.presence_loss(rows, own, presence.temperature, presence.offset)
    for temperature, offset in ((1.01, 1.0), (0.99, 1.0), (1.0, 1.01), (1.0, 0.99), (1.01, 1.01)):
        assert reference.presence_loss(rows, own, presence.temperature * temperature, presence.offset * offset) > least


def test_weighted_probabilities_sum_to_the_weighted_number_of_present_up_to_platts_targets() -> None:
    """Where the derivative by the offset is 0, the mean probability is the mean target, both weighted: no bias."""
    logits, labels = pictures(400, 1.3, 2.0)
    probabilities = fit_presence(logits, labels).probability(logits)
    weights = torch.ones_like(logits).scatter_(1, logits.argmax(dim=1, keepdim=True), 5.0)
    present, absent = 400, 400 * (CLASSES - 1)
    targets = torch.full_like(logits, 1 / (absent + 2)).scatter_(1, labels[:, None], (present + 1) / (present + 2))
    assert float((weights * probabilities).sum()) == pytest.approx(float((weights * targets).sum()), rel=1e-6)


def test_the_weight_of_the_positive_is_taken_back() -> None:
    """Logits of a branch whose loss weighs the positive C - 1 times are log(C - 1) too high."""
    logits, labels = pictures(997, 1.0, 0.0)
    plain, weighted = fit_presence(logits, labels), fit_presence(logits + math.log(CLASSES - 1), labels)
    assert weighted.offset - plain.offset == pytest.approx(math.log(CLASSES - 1), rel=1e-6)
    assert weighted.present_above_half == plain.present_above_half


def test_what_is_reported_is_measured_on_the_half_that_was_left_out() -> None:
    logits, labels = pictures(400, 1.0, 0.0)
    presence = fit_presence(logits, labels)
    assert sum(each.count for each in presence.reliability) == 400 * CLASSES
    order = labels.argsort(stable=True)
    above = 0
    for fitted, judged in ((order[0::2], order[1::2]), (order[1::2], order[0::2])):
        half = fit_presence(logits[fitted], labels[fitted])
        above += int((half.probability(logits[judged]).gather(1, labels[judged][:, None]) > 0.5).sum())
    assert presence.present_above_half == pytest.approx(above / 400)


def test_classes_that_are_apart_leave_the_temperature_above_zero() -> None:
    logits = torch.where(torch.eye(40).bool(), 5.0, -5.0)
    presence = fit_presence(logits, torch.arange(40))
    assert presence.temperature > 0
    assert presence.present_above_half == 1
    assert presence.absent_above_half == 0
    # As sure as 40 pictures allow, no surer: Platt's target.
    assert float(presence.probability(torch.tensor(5.0))) == pytest.approx(41 / 42, abs=1e-4)


@pytest.mark.parametrize(
    ("logits", "labels", "sentence"),
    [
        (torch.randn(30, 1), torch.zeros(30), "1 class"),
        (torch.randn(19, 3), torch.arange(19) % 3, "19 pictures are too few"),
        (torch.full((30, 3), 2.0), torch.arange(30) % 3, "the same logit"),
        (torch.full((30, 3), math.nan), torch.arange(30) % 3, "not finite"),
        (-torch.eye(3)[torch.arange(30) % 3], torch.arange(30) % 3, "no higher for present classes"),
    ],
)
def test_where_there_is_no_calibration_the_reason_is_said(logits: Tensor, labels: Tensor, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        fit_presence(logits, labels.long())
    assert str(caught.value).endswith(".")


def test_the_sentence_names_pictures_numbers_and_how_well_they_hold() -> None:
    logits, labels = pictures(400, 1.0, 0.0)
    sentence = calibration_sentence(fit_presence(logits, labels, "400 drawn pictures"))
    assert sentence.startswith("presence calibrated on 400 drawn pictures: even odds at a logit of ")
    assert "% of present classes" in sentence
    assert "expected calibration error" in sentence


def test_the_order_of_the_pictures_plays_no_part() -> None:
    logits, labels = pictures(200, 1.0, 0.0)
    order = torch.from_numpy(np.random.default_rng(2).permutation(200))
    first, second = fit_presence(logits, labels), fit_presence(logits[order], labels[order])
    assert second.temperature == pytest.approx(first.temperature, rel=1e-9)
    assert second.offset == pytest.approx(first.offset, rel=1e-9)
