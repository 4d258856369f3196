"""The loss by hand, and the measures of an epoch over the first view."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
import reference
import torch
from tolerances import FLOAT32, IDENTITY, assert_close
from toy_training import CLASSES, toy_features, toy_head, trained

from bsig.training.config import TrainingConfig
from bsig.training.features import pooled as training_features
from bsig.training.features.labels import label_tensor
from bsig.training.loop.epoch import class_balanced_loss
from bsig.training.loop.train import train_sigmoid_branch


@pytest.mark.parametrize("positive_weight", [None, 1.0, 2.5])
def test_the_loss_is_its_loop(positive_weight: float | None) -> None:
    logits = 3 * torch.randn(7, CLASSES, dtype=torch.float64)
    labels = torch.randint(0, CLASSES, (7,))
    rows = [[label] for label in labels.tolist()]
    expected = reference.class_balanced_loss(logits.numpy(), rows, positive_weight or CLASSES - 1)
    assert_close(class_balanced_loss(logits, labels, positive_weight), expected, IDENTITY)
    several = [[0, 2], [1], [4, 3, 0], [2], [2, 1], [3], [0]]
    expected = reference.class_balanced_loss(logits.numpy(), several, positive_weight or CLASSES - 1)
    assert_close(class_balanced_loss(logits, label_tensor(several), positive_weight), expected, IDENTITY)


def test_the_loss_of_three_logits_by_hand() -> None:
    # s = 3/4, 1/2, 1/4; the first class is there and weighs 3 - 1 = 2:
    # -(2 ln 3/4 + ln(1 - 1/2) + ln(1 - 1/4)) / 3 = (3 ln 4/3 + ln 2) / 3 = 0.5187311...
    logits = torch.tensor([[math.log(3), 0, -math.log(3)]], dtype=torch.float64)
    loss = class_balanced_loss(logits, torch.tensor([0]))
    assert_close(loss, math.log(4 / 3) + math.log(2) / 3, IDENTITY)
    assert abs(float(loss) - 0.518731) < 1e-6


def test_by_default_the_one_positive_weighs_as_much_as_all_negatives() -> None:
    logits = torch.zeros(1, CLASSES, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(class_balanced_loss(logits, torch.tensor([2])), logits)
    assert gradient[0, 2] < 0
    assert_close(gradient.sum(), 0.0, IDENTITY)
    assert_close(gradient[0, 2], -(CLASSES - 1) * gradient[0, 0], IDENTITY)


def test_very_large_logits_give_a_finite_loss() -> None:
    loss = class_balanced_loss(torch.tensor([[1e4, -1e4]]), torch.tensor([1]))
    assert_close(loss, 1e4, FLOAT32)  # (1 * 1e4 + 1e4) / 2


def test_the_figures_are_those_of_the_trained_head_on_the_first_view() -> None:
    head, features = toy_head(), toy_features()
    result = train_sigmoid_branch(head, features, TrainingConfig(learning_rate=0.3))
    weight = result.head.linear.weight.detach().double().numpy()
    bias = result.head.linear.bias.detach().double().numpy()
    pooled, labels = features.pooled[:, 0].double().numpy(), features.labels.tolist()
    own, absent, hits = [], [], 0
    for row, label in zip(pooled, labels, strict=True):
        logits = weight @ row + bias
        hits += int(logits.argmax() == label)
        for c, logit in enumerate(logits):
            (own if c == label else absent).append(1 / (1 + math.exp(-logit)))
    last = result.history[-1]
    assert_close(last.sigmoid_accuracy, hits / len(labels), FLOAT32)
    assert_close(last.own_probability, sum(own) / len(own), FLOAT32)
    assert_close(last.absent_probability, sum(absent) / len(absent), FLOAT32)
    shared = CLASSES * (weight.mean(axis=0) ** 2).sum() / (weight**2).sum()
    assert_close(last.shared_energy_share, shared, FLOAT32)
    start = head.linear.weight.double().numpy()
    assert_close(last.sign_disagreement, (np.sign(start) != np.sign(weight)).mean(), FLOAT32)


def test_held_out_pictures_are_measured_and_change_nothing() -> None:
    config, held_out = TrainingConfig(epochs=2, learning_rate=0.3), toy_features(images=11, views=1, seed=8)
    result = trained(config, held_out=held_out)
    assert torch.equal(result.head.linear.weight, trained(config).head.linear.weight)
    logits = result.head.logits(held_out.pooled[:, 0]).detach()
    last = result.history[-1]
    loss = reference.class_balanced_loss(logits.double().numpy(), held_out.labels[:, None].tolist(), CLASSES - 1)
    assert_close(last.held_out_loss, loss, FLOAT32)
    assert_close(last.held_out_sigmoid_accuracy, float((logits.argmax(1) == held_out.labels).sum()) / 11, FLOAT32)
    softmax = toy_head().logits(held_out.pooled[:, 0]).argmax(1)
    assert_close(last.held_out_softmax_accuracy, float((softmax == held_out.labels).sum()) / 11, FLOAT32)
    assert len({epoch.held_out_softmax_accuracy for epoch in result.history}) == 1
    assert trained(config).history[-1].held_out_loss is None


def test_the_figures_do_not_depend_on_how_many_pictures_are_measured_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = TrainingConfig(epochs=1, learning_rate=0.3)
    whole = trained(config).history[0]
    monkeypatch.setattr(training_features, "MEASURED_BATCH", 3)
    for name, value in asdict(trained(config).history[0]).items():
        assert value is None or abs(value - asdict(whole)[name]) < 1e-6
