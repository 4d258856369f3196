"""The loss by hand, the two kinds of branch as equations, and a run that is the same however often it is broken off."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tolerances import FLOAT32, IDENTITY, PROBABILITY, assert_close
from torch import Tensor, nn

from bsig.inputs.errors import InputError, StoppedEarly
from bsig.model.backbones import PooledLinearHead
from bsig.model.dual_branch import FittedShift
from bsig.training.config import TrainingConfig
from bsig.training.features import pooled as training_features
from bsig.training.features.pooled import PooledFeatures
from bsig.training.loop import state as training_state
from bsig.training.loop.descent import steps_of
from bsig.training.loop.train import (
    Epoch,
    OnEpoch,
    TrainedBranch,
    class_balanced_loss,
    fit_softmax_head,
    train_sigmoid_branch,
)
from bsig.training.processes import ALONE

CLASSES, CHANNELS = 5, 7


def toy_features(images: int = 31, views: int = 2, spread: float = 0.3, seed: int = 3) -> PooledFeatures:
    """Non-negative features around one centre a class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % CLASSES
    centres = 2 * torch.rand(CLASSES, CHANNELS, generator=generator)
    noise = spread * torch.randn(images, views, CHANNELS, generator=generator)
    return PooledFeatures((centres[labels][:, None] + noise).clamp(min=0), labels, ())


def toy_head(seed: int = 4) -> PooledLinearHead:
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(CHANNELS, CLASSES)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(CLASSES, CHANNELS, generator=generator))
        linear.bias.copy_(torch.randn(CLASSES, generator=generator))
    return PooledLinearHead(linear).eval().requires_grad_(False)


def trained(config: TrainingConfig, **options: object) -> TrainedBranch:
    return train_sigmoid_branch(toy_head(), toy_features(), config, **options)


def same(one: TrainedBranch, other: TrainedBranch) -> bool:
    weights = [torch.equal(one.head.linear.weight, other.head.linear.weight)]
    weights.append(torch.equal(one.head.linear.bias, other.head.linear.bias))
    if one.shift:
        weights += [torch.equal(one.shift.vector, other.shift.vector), torch.equal(one.shift.bias, other.shift.bias)]
    return all(weights) and one.history == other.history


def refusal(config: TrainingConfig, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        trained(config, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The loss.


@pytest.mark.parametrize("positive_weight", [None, 1.0, 2.5])
def test_the_loss_is_its_loop(positive_weight: float | None) -> None:
    logits = 3 * torch.randn(7, CLASSES, dtype=torch.float64)
    labels = torch.randint(0, CLASSES, (7,))
    expected = reference.class_balanced_loss(logits.numpy(), labels.tolist(), positive_weight or CLASSES - 1)
    assert_close(class_balanced_loss(logits, labels, positive_weight), expected, IDENTITY)


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


# What a step does.


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
    found = train_sigmoid_branch(head, features, config).head.linear
    assert_close(found.weight.double(), weight, FLOAT32)
    assert_close(found.bias.double(), bias, FLOAT32)


def test_every_epoch_sees_every_picture_once_in_its_turn_of_views_and_the_rate_falls_as_a_cosine() -> None:
    features = toy_features(images=11, views=3)
    config = TrainingConfig(epochs=4, learning_rate=0.2, batch_size=4, seed=9)
    rates, orders = [], []
    for epoch in range(4):
        seen: list[Tensor] = []
        for step in steps_of(features.count, config, epoch):
            pooled, labels = features.batch(step.chosen, epoch)
            rates.append(step.rate)
            seen.append(pooled)
            assert len(pooled) == len(labels) <= 4
        rows = torch.cat(seen)
        view = features.pooled[:, epoch % 3]
        order = [int((view == row).all(dim=1).nonzero()) for row in rows]
        assert sorted(order) == list(range(11))
        orders.append(order)
    assert_close(np.array(rates), 0.1 * (1 + np.cos(np.pi * np.arange(12) / 12)), IDENTITY)
    assert len({tuple(order) for order in orders}) == 4


# The two kinds of branch.


@pytest.mark.parametrize("branch", ["full", "shift"])
def test_training_leaves_the_softmax_head_and_the_features_bit_identical(branch: str) -> None:
    head, features = toy_head(), toy_features()
    before = {key: value.clone() for key, value in head.state_dict().items()}
    pooled = features.pooled.clone()
    found = train_sigmoid_branch(head, features, TrainingConfig(branch=branch, learning_rate=0.3))
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())
    assert not any(parameter.requires_grad for parameter in head.parameters())
    assert torch.equal(features.pooled, pooled)
    assert not torch.equal(found.head.linear.weight, head.linear.weight)
    assert found.head.linear.weight.data_ptr() != head.linear.weight.data_ptr()


@pytest.mark.parametrize("branch", ["full", "shift"])
def test_training_lowers_the_loss_and_tells_present_from_absent(branch: str) -> None:
    features = toy_features()
    head = fit_softmax_head(features, CLASSES)
    config = TrainingConfig(branch=branch, epochs=30, learning_rate=0.1)
    history = train_sigmoid_branch(head, features, config).history
    assert [epoch.number for epoch in history] == list(range(1, 31))
    assert history[-1].loss < history[0].loss
    assert history[-1].own_probability > history[-1].absent_probability


def test_a_shift_is_one_vector_and_one_number_for_all_classes() -> None:
    head = toy_head()
    found = train_sigmoid_branch(head, toy_features(), TrainingConfig(branch="shift", learning_rate=0.3))
    assert found.shift.vector.numel() + found.shift.bias.numel() == CHANNELS + 1
    assert_close(found.head.linear.weight, head.linear.weight + torch.ones(CLASSES, 1) * found.shift.vector, FLOAT32)
    assert_close(found.head.linear.bias, head.linear.bias + found.shift.bias, FLOAT32)
    assert found.shift.vector.abs().min() > 0


def test_as_a_softmax_classifier_a_shift_branch_is_the_softmax_head() -> None:
    head = toy_head()
    found = train_sigmoid_branch(head, toy_features(), TrainingConfig(branch="shift", epochs=20, learning_rate=0.3))
    features = 3 * torch.rand(11, CHANNELS, 2, 3)
    before, after = head(features), found.head(features).detach()
    assert_close(after.softmax(dim=1), before.softmax(dim=1), PROBABILITY)
    assert (after.sigmoid() - before.sigmoid()).abs().max() > 0.05


def test_a_full_branch_has_no_shift_and_moves_each_class_by_itself() -> None:
    head = toy_head()
    found = train_sigmoid_branch(head, toy_features(), TrainingConfig(learning_rate=0.3))
    assert found.shift is None
    moved = found.head.linear.weight.detach() - head.linear.weight
    assert (moved - moved.mean(dim=0)).norm() > 0.1 * moved.norm()


def test_held_firmly_to_the_softmax_head_a_full_branch_moves_by_a_shared_vector_alone() -> None:
    head, features = toy_head(), toy_features()

    def shared_and_own(stay_near_softmax: float) -> tuple[float, float]:
        config = TrainingConfig(epochs=60, stay_near_softmax=stay_near_softmax, weight_decay=0.0)
        moved = train_sigmoid_branch(head, features, config).head.linear.weight.detach() - head.linear.weight
        shared = moved.mean(dim=0)
        return float(CLASSES**0.5 * shared.norm()), float((moved - shared).norm())

    (free_shared, free_own), (held_shared, held_own) = shared_and_own(0.0), shared_and_own(10.0)
    assert free_own > free_shared
    assert held_own < 0.15 * held_shared
    assert held_shared > 0.5 * free_shared


def test_a_fresh_branch_starts_from_zero_and_forgets_the_softmax_head() -> None:
    config = TrainingConfig(initialisation="fresh", epochs=2)
    one = train_sigmoid_branch(toy_head(4), toy_features(), config)
    other = train_sigmoid_branch(toy_head(5), toy_features(), config)
    assert torch.equal(one.head.linear.weight, other.head.linear.weight)


def test_the_figures_are_those_of_the_trained_head_on_the_first_view() -> None:
    head, features = toy_head(), toy_features()
    found = train_sigmoid_branch(head, features, TrainingConfig(learning_rate=0.3))
    weight = found.head.linear.weight.detach().double().numpy()
    bias = found.head.linear.bias.detach().double().numpy()
    pooled, labels = features.pooled[:, 0].double().numpy(), features.labels.tolist()
    own, absent, hits = [], [], 0
    for row, label in zip(pooled, labels, strict=True):
        logits = weight @ row + bias
        hits += int(logits.argmax() == label)
        for c, logit in enumerate(logits):
            (own if c == label else absent).append(1 / (1 + math.exp(-logit)))
    last = found.history[-1]
    assert_close(last.sigmoid_accuracy, hits / len(labels), FLOAT32)
    assert_close(last.own_probability, sum(own) / len(own), FLOAT32)
    assert_close(last.absent_probability, sum(absent) / len(absent), FLOAT32)
    shared = CLASSES * (weight.mean(axis=0) ** 2).sum() / (weight**2).sum()
    assert_close(last.shared_energy_share, shared, FLOAT32)
    start = head.linear.weight.double().numpy()
    assert_close(last.sign_disagreement, (np.sign(start) != np.sign(weight)).mean(), FLOAT32)


# The same again.


@pytest.mark.parametrize("branch", ["full", "shift"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(branch: str) -> None:
    config = TrainingConfig(branch=branch, learning_rate=0.1, batch_size=4)
    first = trained(config)
    torch.manual_seed(99)  # the global generator plays no part
    assert same(trained(config), first)
    assert not same(trained(replace(config, seed=1)), first)


def numbers_into(seen: list[int]) -> OnEpoch:
    return lambda epoch, _head: seen.append(epoch.number)


class PowerCut(BaseException):
    """Ends a run from outside."""


def run_until(epoch: int, config: TrainingConfig, state_file: Path) -> None:
    def stop(done: Epoch, _head: PooledLinearHead) -> None:
        if done.number == epoch:
            raise PowerCut

    with pytest.raises(PowerCut):
        trained(config, state_file=state_file, on_epoch=stop)


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("branch", ["full", "shift"])
def test_a_run_broken_off_and_resumed_is_the_unbroken_one_bit_for_bit(
    tmp_path: Path, branch: str, momentum: float
) -> None:
    config = TrainingConfig(branch=branch, epochs=5, learning_rate=0.1, batch_size=4, momentum=momentum)
    expected = trained(config)
    for epoch in (1, 3, 5):
        state_file = tmp_path / str(epoch) / "state.safetensors"
        run_until(epoch, config, state_file)
        seen: list[int] = []
        found = trained(config, state_file=state_file, resume=True, on_epoch=numbers_into(seen))
        assert same(found, expected)
        assert seen == list(range(epoch + 1, 6))


def test_a_run_that_dies_while_keeping_its_state_goes_on_from_the_epoch_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, state_file = TrainingConfig(epochs=4, learning_rate=0.1), tmp_path / "state.safetensors"
    run_until(2, config, state_file)
    before = state_file.read_bytes()

    def half(tensors: dict, file: Path, metadata: dict) -> None:
        save_file(tensors, file, metadata=metadata)
        file.write_bytes(file.read_bytes()[:99])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training_state, "save_file", half)
    assert "No space left" in refusal(config, state_file=state_file, resume=True)
    monkeypatch.undo()
    assert state_file.read_bytes() == before
    assert same(trained(config, state_file=state_file, resume=True), trained(config))


def test_resuming_without_a_state_starts_from_the_beginning(tmp_path: Path) -> None:
    config = TrainingConfig(epochs=2)
    assert same(trained(config, state_file=tmp_path / "none", resume=True), trained(config))


def test_without_resume_an_old_state_plays_no_part(tmp_path: Path) -> None:
    state_file = tmp_path / "state.safetensors"
    run_until(1, TrainingConfig(learning_rate=9.0), state_file)
    assert same(trained(TrainingConfig(), state_file=state_file), trained(TrainingConfig()))


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"learning_rate": 0.2}, r"`learning_rate` (=0.03)"), ({"epochs": 9}, "`epochs` (=3)"),
        ({"branch": "shift"}, "`branch` (=full)"), ({"seed": 1}, "`seed` (=0)"),
        ({"stay_near_softmax": 1.0}, "`stay_near_softmax` (=0.0)"),
        ({"positive_weight": 2.0}, "`positive_weight` (=None)"),
    ],
)  # fmt: skip
def test_resuming_with_another_setting_is_refused_with_the_one_it_had(tmp_path: Path, other: dict, named: str) -> None:
    state_file = tmp_path / "run" / "state.safetensors"
    run_until(1, TrainingConfig(), state_file)
    text = refusal(replace(TrainingConfig(), **other), state_file=state_file, resume=True)
    assert named in text
    assert "--resume" in text


@pytest.mark.parametrize("changed", ["softmax_head", "pictures", "labels"])
def test_resuming_on_another_head_or_other_pictures_is_refused(tmp_path: Path, changed: str) -> None:
    state_file, config = tmp_path / "run" / "state.safetensors", TrainingConfig()
    run_until(1, config, state_file)
    head = toy_head(5) if changed == "softmax_head" else toy_head()
    features = toy_features()
    if changed == "pictures":
        features.pooled[3, 0, 2] += 1e-3
    if changed == "labels":
        features.labels[[0, 1]] = features.labels[[1, 0]]  # the same number of each
    with pytest.raises(InputError, match=f"`{changed}`"):
        train_sigmoid_branch(head, features, config, state_file=state_file, resume=True)


@pytest.mark.parametrize("damage", ["cut", "empty", "not told", "bad history"])
def test_a_damaged_state_is_refused_with_the_remedy(tmp_path: Path, damage: str) -> None:
    state_file, config = tmp_path / "state.safetensors", TrainingConfig()
    run_until(1, config, state_file)
    if damage == "cut":
        state_file.write_bytes(state_file.read_bytes()[:50])
    elif damage == "empty":
        state_file.write_bytes(b"")
    else:
        told = {"settings": "{}", "history": json.dumps([{"number": 1}])} if damage == "bad history" else None
        save_file(load_file(state_file), state_file, metadata=told)
    assert "is damaged" in refusal(config, state_file=state_file, resume=True)


# Runs that end early.


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
        found = trained(config, state_file=state_file, should_stop=AskedAfter(steps))
        assert found.stopped == f"stopped on request before epoch {finished + 1}, step {steps % 8 + 1} of 8."
        assert found.history == whole.history[:finished]
        assert torch.equal(found.head.linear.weight, heads[finished - 1].linear.weight)
        assert torch.equal(found.head.linear.bias, heads[finished - 1].linear.bias)
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

    def batch(self, chosen: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        pooled, labels = self.toy.batch(chosen, epoch)
        return (pooled + (math.nan if epoch + 1 >= self.epoch and 3 in chosen else 0), labels)


def test_a_loss_that_is_not_finite_later_keeps_the_last_good_epoch_and_says_where_it_broke() -> None:
    config = TrainingConfig(epochs=5, learning_rate=0.1, batch_size=4)
    whole, heads = toy_features(), []
    train_sigmoid_branch(toy_head(), whole, config, on_epoch=lambda _epoch, head: heads.append(head))
    found = train_sigmoid_branch(toy_head(), DamagedFrom(3), config)
    assert torch.equal(found.head.linear.weight, heads[1].linear.weight)
    assert [epoch.number for epoch in found.history] == [1, 2]
    order = torch.randperm(31, generator=torch.Generator().manual_seed(2)).tolist()
    step = order.index(3) // 4
    rate = 0.1 * (1 + math.cos(math.pi * (16 + step) / 40)) / 2
    assert found.stopped == (
        f"the loss is nan in epoch 3, step {step + 1} of 8, at `learning_rate` {rate:.3g}; choose a smaller one."
    )


def test_the_head_of_each_epoch_is_a_frozen_copy() -> None:
    heads: list[PooledLinearHead] = []
    found = trained(TrainingConfig(epochs=3, learning_rate=0.1), on_epoch=lambda _epoch, head: heads.append(head))
    assert not any(parameter.requires_grad for head in heads for parameter in head.parameters())
    assert torch.equal(heads[2].linear.weight, found.head.linear.weight)
    assert not torch.equal(heads[0].linear.weight, heads[1].linear.weight)


def test_held_out_pictures_are_measured_and_change_nothing() -> None:
    config, held_out = TrainingConfig(epochs=2, learning_rate=0.3), toy_features(images=11, views=1, seed=8)
    found = trained(config, held_out=held_out)
    assert torch.equal(found.head.linear.weight, trained(config).head.linear.weight)
    logits = found.head.logits(held_out.pooled[:, 0]).detach()
    last = found.history[-1]
    loss = reference.class_balanced_loss(logits.double().numpy(), held_out.labels.tolist(), CLASSES - 1)
    assert_close(last.held_out_loss, loss, FLOAT32)
    assert_close(last.held_out_sigmoid_accuracy, float((logits.argmax(1) == held_out.labels).sum()) / 11, FLOAT32)
    softmax = toy_head().logits(held_out.pooled[:, 0]).argmax(1)
    assert_close(last.held_out_softmax_accuracy, float((softmax == held_out.labels).sum()) / 11, FLOAT32)
    assert len({epoch.held_out_softmax_accuracy for epoch in found.history}) == 1
    assert trained(config).history[-1].held_out_loss is None


def test_the_figures_do_not_depend_on_how_many_pictures_are_measured_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = TrainingConfig(epochs=1, learning_rate=0.3)
    whole = trained(config).history[0]
    monkeypatch.setattr(training_features, "FIGURES_BATCH", 3)
    for name, value in asdict(trained(config).history[0]).items():
        assert value is None or abs(value - asdict(whole)[name]) < 1e-6


def test_a_state_of_a_version_before_held_out_figures_is_still_read(tmp_path: Path) -> None:
    state_file, config = tmp_path / "state.safetensors", TrainingConfig(epochs=3, learning_rate=0.1)
    run_until(2, config, state_file)
    with safe_open(state_file, framework="pt") as stored:
        told = stored.metadata()
    old = [{key: value for key, value in epoch.items() if not key.startswith("held_out")} for epoch in
           json.loads(told["history"])]  # fmt: skip
    save_file(load_file(state_file), state_file, metadata={**told, "history": json.dumps(old)})
    assert same(trained(config, state_file=state_file, resume=True), trained(config))


# Heads of other kinds.


class TwoLayerHead(PooledLinearHead):
    """Flattened grid, a hidden layer, a last layer: what a VGG's classifier is made of."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(12, CHANNELS), nn.ReLU(), nn.Linear(CHANNELS, CLASSES))

    @property
    def last_linear(self) -> nn.Linear:
        return self.layers[3]

    def logits(self, pooled: Tensor) -> Tensor:
        return self.layers(pooled)


@pytest.mark.parametrize("branch", ["full", "shift"])
def test_a_head_of_several_layers_trains_on_features_of_any_shape(branch: str) -> None:
    labels = torch.arange(20) % CLASSES
    features = PooledFeatures(torch.rand(20, 2, 3, 2, 2) + labels[:, None, None, None, None], labels, ())
    head = TwoLayerHead().requires_grad_(False)
    before = {key: value.clone() for key, value in head.state_dict().items()}
    found = train_sigmoid_branch(head, features, TrainingConfig(branch=branch, epochs=20, learning_rate=0.1))
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())
    assert found.history[-1].loss < found.history[0].loss
    pooled = features.pooled[:, 0]
    assert not torch.equal(found.head.logits(pooled), head.logits(pooled))
    if branch == "shift":
        assert_close(found.head.logits(pooled).softmax(1), head.logits(pooled).softmax(1), PROBABILITY)
        assert torch.equal(found.head.last_linear.weight, head.last_linear.weight + found.shift.vector)
    else:
        assert not torch.equal(found.head.layers[1].weight, head.layers[1].weight)


# What is refused.


def test_a_loss_that_is_not_finite_in_the_first_epoch_is_refused_with_step_and_rate() -> None:
    features = toy_features()
    features = replace(features, pooled=1e38 * features.pooled)
    said = r"the loss is (nan|inf) in epoch 1, step 1 of 8, at `learning_rate` 99; choose a smaller one\."
    with pytest.raises(InputError, match=said):
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


def test_one_class_is_refused() -> None:
    features = PooledFeatures(torch.rand(3, 1, CHANNELS), torch.zeros(3, dtype=torch.long), ())
    one = PooledLinearHead(nn.Linear(CHANNELS, 1))
    with pytest.raises(InputError, match="at least 2"):
        train_sigmoid_branch(one, features, TrainingConfig())
    with pytest.raises(InputError, match=r"`num_classes` \(=1\) must be at least 2"):
        fit_softmax_head(features, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0), ("epochs", 10_001), ("learning_rate", 0.0), ("learning_rate", -1.0), ("learning_rate", 100.0),
        ("learning_rate", math.nan), ("learning_rate", math.inf), ("batch_size", 0), ("batch_size", 65_537),
        ("momentum", 1.0), ("momentum", -0.1), ("weight_decay", 1.0), ("weight_decay", math.nan),
        ("positive_weight", 0.0), ("positive_weight", math.inf), ("positive_weight", math.nan),
        ("stay_near_softmax", -1.0), ("stay_near_softmax", math.nan), ("seed", -1), ("seed", 2**31),
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name_and_value(name: str, value: float) -> None:
    with pytest.raises(InputError) as caught:
        TrainingConfig(**{name: value})
    assert str(caught.value).startswith(f"`{name}` (={value}) must be ")


def test_a_fresh_shift_is_refused_because_a_shift_is_of_something() -> None:
    with pytest.raises(InputError, match="`initialisation`"):
        TrainingConfig(branch="shift", initialisation="fresh")


def test_the_defaults_are_those_of_the_published_code() -> None:
    said = asdict(TrainingConfig())
    assert (said["epochs"], said["batch_size"], said["learning_rate"]) == (3, 32, 0.03)
    assert (said["momentum"], said["weight_decay"], said["positive_weight"]) == (0.9, 5e-4, None)


# The softmax head of a new label set.


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
    one, other, third = (fit_softmax_head(toy_features(), CLASSES, epochs=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.linear.weight, other.linear.weight)
    assert not torch.equal(one.linear.weight, third.linear.weight)


def test_a_softmax_head_whose_loss_is_not_finite_is_refused() -> None:
    features = toy_features()
    with pytest.raises(InputError, match="loss is"):
        fit_softmax_head(replace(features, pooled=1e30 * features.pooled), CLASSES, learning_rate=90.0)


def test_a_shift_applied_to_a_head_leaves_the_head_as_it_was() -> None:
    head = toy_head()
    before = head.linear.weight.clone()
    shifted = FittedShift(torch.arange(7.0), torch.tensor(2.0)).applied_to(head)
    assert torch.equal(head.linear.weight, before)
    assert torch.equal(shifted.linear.weight, before + torch.arange(7.0))
    assert torch.equal(shifted.linear.bias, head.linear.bias + 2)
