"""Steps are Nesterov's by hand; what is not finite ends a training in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import reference
import torch
from tolerances import FLOAT32, IDENTITY, assert_close
from torch import Tensor
from toy_training import CLASSES, refusal, toy_features, toy_head

from bsig.inputs.errors import InputError
from bsig.training.config import TrainingConfig
from bsig.training.loop.descent import steps_of
from bsig.training.loop.train import train_sigmoid_branch


def test_two_steps_are_nesterovs_by_hand() -> None:
    head, features = toy_head(), toy_features(images=6, views=1)
    config = TrainingConfig(epochs=2, learning_rate=0.1, batch_size=6, schedule="constant", weight_decay=0.01)
    pooled, labels = features.pooled[:, 0].double(), features.labels
    weight, bias = head.linear.weight.double().numpy(), head.linear.bias.double().numpy()
    weight_velocity, bias_velocity = np.zeros_like(weight), np.zeros_like(bias)
    for _ in range(2):
        probabilities = 1 / (1 + np.exp(-(pooled.numpy() @ weight.T + bias)))
        slopes = probabilities.copy()  # d loss / d logit, times images * classes
        for image, label in enumerate(labels.tolist()):
            slopes[image, label] = (CLASSES - 1) * (probabilities[image, label] - 1)
        slopes /= 6 * CLASSES
        gradient, bias_gradient = slopes.T @ pooled.numpy(), slopes.sum(axis=0)
        for index in np.ndindex(weight.shape):
            weight[index], weight_velocity[index] = reference.nesterov_step(
                weight[index], gradient[index], weight_velocity[index], 0.1, 0.9, 0.01
            )
        for c in range(CLASSES):
            bias[c], bias_velocity[c] = reference.nesterov_step(
                bias[c], bias_gradient[c], bias_velocity[c], 0.1, 0.9, 0.01
            )
    result = train_sigmoid_branch(head, features, config).head.linear
    assert_close(result.weight.double(), weight, FLOAT32)
    assert_close(result.bias.double(), bias, FLOAT32)


def test_every_epoch_sees_every_picture_once_in_its_turn_of_views_and_the_rate_falls_as_a_cosine() -> None:
    features = toy_features(images=11, views=3)
    config = TrainingConfig(epochs=4, learning_rate=0.2, batch_size=4, seed=9)
    rates, orders = [], []
    for epoch in range(4):
        batches: list[Tensor] = []
        for step in steps_of(features.count, config, epoch):
            pooled, labels = features.batch(step.pictures, epoch)
            rates.append(step.rate)
            batches.append(pooled)
            assert len(pooled) == len(labels) <= 4
        rows = torch.cat(batches)
        view = features.pooled[:, epoch % 3]
        order = [int((view == row).all(dim=1).nonzero()) for row in rows]
        assert sorted(order) == list(range(11))
        orders.append(order)
    assert_close(np.array(rates), 0.1 * (1 + np.cos(np.pi * np.arange(12) / 12)), IDENTITY)
    assert len({tuple(order) for order in orders}) == 4


def test_a_loss_that_is_not_finite_in_the_first_epoch_is_refused_with_step_and_rate() -> None:
    features = toy_features()
    features = replace(features, pooled=1e38 * features.pooled)
    sentence = r"the loss is (nan|inf) in epoch 1, step 1 of 8, at `learning_rate` 99; choose a smaller one\."
    with pytest.raises(InputError, match=sentence):
        train_sigmoid_branch(toy_head(), features, TrainingConfig(epochs=20, learning_rate=99.0, batch_size=4))


def test_weights_that_overflow_in_the_very_last_step_are_refused_too() -> None:
    # Fresh logits are zero, so the one loss is finite; its gradient times the rate is not.
    features = toy_features()
    huge = replace(features, pooled=(1e38 * features.pooled).clamp(max=3e38))
    config = TrainingConfig(epochs=1, learning_rate=99.0, batch_size=64, initialisation="fresh")
    with pytest.raises(InputError, match="not finite after epoch 1"):
        train_sigmoid_branch(toy_head(), huge, config)


def test_a_penalty_too_strong_for_the_rate_is_refused_and_not_saved() -> None:
    assert "smaller" in refusal(TrainingConfig(epochs=9, learning_rate=1.0, stay_near_softmax=1e5, batch_size=1))
