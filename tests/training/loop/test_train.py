"""A training leaves what is frozen as it is, is the same again for the same seed, and keeps what is finished."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from toy_training import CLASSES, same, toy_features, toy_head, trained

from bsig.inputs.errors import InputError, StoppedEarly
from bsig.model.heads import PooledLinearHead
from bsig.training.config import TrainingConfig
from bsig.training.loop.train import fit_softmax_head, train_sigmoid_branch
from bsig.training.processes import ALONE


@pytest.mark.parametrize("branch", ["full", "shift"])
def test_training_leaves_the_softmax_head_and_the_features_bit_identical(branch: str) -> None:
    head, features = toy_head(), toy_features()
    before = {key: value.clone() for key, value in head.state_dict().items()}
    pooled = features.pooled.clone()
    result = train_sigmoid_branch(head, features, TrainingConfig(branch=branch, learning_rate=0.3))
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())
    assert not any(parameter.requires_grad for parameter in head.parameters())
    assert torch.equal(features.pooled, pooled)
    assert not torch.equal(result.head.linear.weight, head.linear.weight)
    assert result.head.linear.weight.data_ptr() != head.linear.weight.data_ptr()


@pytest.mark.parametrize("branch", ["full", "shift"])
def test_training_lowers_the_loss_and_tells_present_from_absent(branch: str) -> None:
    features = toy_features()
    head = fit_softmax_head(features, CLASSES)
    config = TrainingConfig(branch=branch, epochs=30, learning_rate=0.1)
    history = train_sigmoid_branch(head, features, config).history
    assert [epoch.number for epoch in history] == list(range(1, 31))
    assert history[-1].loss < history[0].loss
    assert history[-1].own_probability > history[-1].absent_probability


@pytest.mark.parametrize("branch", ["full", "shift"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(branch: str) -> None:
    config = TrainingConfig(branch=branch, learning_rate=0.1, batch_size=4)
    first = trained(config)
    torch.manual_seed(99)  # the global generator plays no part
    assert same(trained(config), first)
    assert not same(trained(replace(config, seed=1)), first)


class AskedAfter:
    """A `should_stop` that says yes once it was asked so often."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("branch", ["full", "shift"])
def test_a_stopped_run_is_that_of_its_finished_epochs_and_goes_on_to_the_unbroken_one(
    tmp_path: Path, branch: str
) -> None:
    config = TrainingConfig(branch=branch, epochs=5, learning_rate=0.1, batch_size=4)  # 8 steps an epoch
    heads: list[PooledLinearHead] = []
    whole = trained(config, on_epoch=lambda _epoch, head: heads.append(head))
    for steps, finished in ((8, 1), (11, 1), (15, 1), (16, 2), (39, 4)):
        state_file = tmp_path / f"{steps}.safetensors"
        result = trained(config, state_file=state_file, should_stop=AskedAfter(steps))
        assert result.stopped == f"stopped on request before epoch {finished + 1}, step {steps % 8 + 1} of 8."
        assert result.history == whole.history[:finished]
        assert torch.equal(result.head.linear.weight, heads[finished - 1].linear.weight)
        assert torch.equal(result.head.linear.bias, heads[finished - 1].linear.bias)
        assert same(trained(config, state_file=state_file, resume=True), whole)
    assert trained(config, should_stop=AskedAfter(40)).stopped is None


def test_a_run_stopped_before_its_first_epoch_has_nothing_to_keep(tmp_path: Path) -> None:
    for steps in (0, 1, 7):
        with pytest.raises(StoppedEarly, match=f"before epoch 1, step {steps + 1} of 8"):
            trained(TrainingConfig(batch_size=4), should_stop=AskedAfter(steps), state_file=tmp_path / "state")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoppedEarly, match="softmax head: stopped on request before epoch 3, step 2 of 8"):
        fit_softmax_head(toy_features(), CLASSES, batch_size=4, should_stop=AskedAfter(17))


class DamagedFrom:
    """Features that are not finite from some epoch on."""

    def __init__(self, epoch: int) -> None:
        self.toy, self.epoch = toy_features(), epoch
        self.count, self.unreadable, self.processes = self.toy.count, (), ALONE
        self.first_views, self.identity = self.toy.first_views, self.toy.identity

    def batch(self, numbers: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        pooled, labels = self.toy.batch(numbers, epoch)
        return (pooled + (math.nan if epoch + 1 >= self.epoch and 3 in numbers else 0), labels)


def test_a_loss_that_is_not_finite_later_keeps_the_last_good_epoch_and_says_where_it_broke() -> None:
    config = TrainingConfig(epochs=5, learning_rate=0.1, batch_size=4)
    whole, heads = toy_features(), []
    train_sigmoid_branch(toy_head(), whole, config, on_epoch=lambda _epoch, head: heads.append(head))
    result = train_sigmoid_branch(toy_head(), DamagedFrom(3), config)
    assert torch.equal(result.head.linear.weight, heads[1].linear.weight)
    assert [epoch.number for epoch in result.history] == [1, 2]
    order = torch.randperm(31, generator=torch.Generator().manual_seed(2)).tolist()
    step = order.index(3) // 4
    rate = 0.1 * (1 + math.cos(math.pi * (16 + step) / 40)) / 2
    assert result.stopped == (
        f"the loss is nan in epoch 3, step {step + 1} of 8, at `learning_rate` {rate:.3g}; choose a smaller one."
    )


def test_the_head_of_each_epoch_is_a_frozen_copy() -> None:
    heads: list[PooledLinearHead] = []
    result = trained(TrainingConfig(epochs=3, learning_rate=0.1), on_epoch=lambda _epoch, head: heads.append(head))
    assert not any(parameter.requires_grad for head in heads for parameter in head.parameters())
    assert torch.equal(heads[2].linear.weight, result.head.linear.weight)
    assert not torch.equal(heads[0].linear.weight, heads[1].linear.weight)


def test_a_softmax_head_learns_what_can_be_told_apart() -> None:
    features = toy_features(spread=0.05)
    head = fit_softmax_head(features, CLASSES, epochs=200)
    assert (head.logits(features.pooled[:, 0]).argmax(dim=1) == features.labels).all()
    assert not any(parameter.requires_grad for parameter in head.parameters())
    assert not head.training


def test_a_softmax_head_from_zero_has_no_shared_component() -> None:
    weight = fit_softmax_head(toy_features(), CLASSES).linear.weight.double()
    assert weight.norm() > 1
    assert CLASSES * weight.mean(dim=0).square().sum() / weight.square().sum() < 1e-9


def test_a_softmax_head_is_the_same_for_the_same_seed() -> None:
    first, second, third = (fit_softmax_head(toy_features(), CLASSES, epochs=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.linear.weight, second.linear.weight)
    assert not torch.equal(first.linear.weight, third.linear.weight)


def test_a_softmax_head_whose_loss_is_not_finite_is_refused() -> None:
    features = toy_features()
    with pytest.raises(InputError, match="loss is"):
        fit_softmax_head(replace(features, pooled=1e30 * features.pooled), CLASSES, learning_rate=90.0)
