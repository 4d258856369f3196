"""One bias for all classes: where the class-balanced loss is smallest, by definition and by hand."""

from __future__ import annotations

import pytest
import torch
from tolerances import FINITE_DIFFERENCE, assert_close

from bsig.model.heads import PooledLinearHead
from bsig.training.closed_form.balanced_bias import balanced_bias
from bsig.training.features.pooled import PooledFeatures
from bsig.training.loop.epoch import class_balanced_loss


def _head(classes: int, channels: int) -> PooledLinearHead:
    torch.manual_seed(3)
    return PooledLinearHead(torch.nn.Linear(channels, classes).double())


def test_no_other_number_has_a_smaller_class_balanced_loss() -> None:
    head, labels = _head(7, 5), torch.arange(23) % 7
    features = PooledFeatures(torch.randn(23, 1, 5).double().float(), labels, ())
    head = PooledLinearHead(head.linear.float())
    bias = balanced_bias(head, features)
    logits = head.logits(features.pooled[:, 0]).detach().double()

    def loss(value: float) -> float:
        return float(class_balanced_loss(logits + value, labels))

    slope = (loss(bias + 1e-4) - loss(bias - 1e-4)) / 2e-4
    assert_close(torch.tensor(slope), torch.tensor(0.0), FINITE_DIFFERENCE)
    assert loss(bias) < min(loss(bias - 0.05), loss(bias + 0.05))


def test_of_two_classes_a_picture_all_positives_weigh_as_much_as_all_negatives() -> None:
    head = PooledLinearHead(_head(7, 5).linear.float())
    labels = torch.stack([torch.arange(23) % 7, (torch.arange(23) + 2) % 7], dim=1)
    features = PooledFeatures(torch.randn(23, 1, 5), labels, ())
    best = balanced_bias(head, features)
    logits = head.logits(features.pooled[:, 0]).detach().double()
    losses = [float(class_balanced_loss(logits + best + step, labels, (7 - 2) / 2)) for step in (-0.05, 0.0, 0.05)]
    assert losses[1] < min(losses[0], losses[2])


@pytest.mark.parametrize(("classes", "level"), [(2, 0.0), (3, 4.0), (1000, -2.0)])
def test_where_all_logits_are_alike_yes_and_no_are_equally_likely(classes: int, level: float) -> None:
    linear = torch.nn.Linear(4, classes)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.constant_(linear.bias, level)
    # C - 1 negatives of weight 1 and one positive of weight C - 1 pull alike: sigmoid(level + t) = 1/2.
    bias = balanced_bias(PooledLinearHead(linear), PooledFeatures(torch.rand(6, 1, 4), torch.zeros(6).long(), ()))
    assert bias == pytest.approx(-level, abs=1e-5)
