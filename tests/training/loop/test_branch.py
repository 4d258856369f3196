"""The two kinds of branch as equations, on heads of every kind."""

from __future__ import annotations

import pytest
import torch
from tolerances import FLOAT32, PROBABILITY, assert_close
from torch import Tensor, nn
from toy_training import CHANNELS, CLASSES, toy_features, toy_head

from bsig.inputs.errors import InputError
from bsig.model.heads import PooledLinearHead
from bsig.training.config import TrainingConfig
from bsig.training.features.pooled import PooledFeatures
from bsig.training.loop.train import fit_softmax_head, train_sigmoid_branch


def test_a_shift_is_one_vector_and_one_number_for_all_classes() -> None:
    head = toy_head()
    result = train_sigmoid_branch(head, toy_features(), TrainingConfig(branch="shift", learning_rate=0.3))
    assert result.shift.vector.numel() + result.shift.bias.numel() == CHANNELS + 1
    assert_close(result.head.linear.weight, head.linear.weight + torch.ones(CLASSES, 1) * result.shift.vector, FLOAT32)
    assert_close(result.head.linear.bias, head.linear.bias + result.shift.bias, FLOAT32)
    assert result.shift.vector.abs().min() > 0


def test_as_a_softmax_classifier_a_shift_branch_is_the_softmax_head() -> None:
    head = toy_head()
    result = train_sigmoid_branch(head, toy_features(), TrainingConfig(branch="shift", epochs=20, learning_rate=0.3))
    features = 3 * torch.rand(11, CHANNELS, 2, 3)
    before, after = head(features), result.head(features).detach()
    assert_close(after.softmax(dim=1), before.softmax(dim=1), PROBABILITY)
    assert (after.sigmoid() - before.sigmoid()).abs().max() > 0.05


def test_a_full_branch_has_no_shift_and_moves_each_class_by_itself() -> None:
    head = toy_head()
    result = train_sigmoid_branch(head, toy_features(), TrainingConfig(learning_rate=0.3))
    assert result.shift is None
    change = result.head.linear.weight.detach() - head.linear.weight
    assert (change - change.mean(dim=0)).norm() > 0.1 * change.norm()


def test_a_full_branch_starts_where_it_is_told_and_a_shift_only_at_the_softmax_head() -> None:
    head, start, features = toy_head(), toy_head(5), toy_features()
    config = TrainingConfig(learning_rate=1e-7, weight_decay=0.0)
    branch = train_sigmoid_branch(head, features, config, start=start)
    assert_close(branch.head.linear.weight, start.linear.weight, FLOAT32)
    assert (
        branch.history[0].softmax_accuracy == train_sigmoid_branch(head, features, config).history[0].softmax_accuracy
    )
    with pytest.raises(InputError, match=r"`start` needs a full branch, not `branch` \(=shift\)"):
        train_sigmoid_branch(head, features, TrainingConfig(branch="shift"), start=start)


def test_held_firmly_to_the_softmax_head_a_full_branch_moves_by_a_shared_vector_alone() -> None:
    head, features = toy_head(), toy_features()

    def shared_and_own(stay_near_softmax: float) -> tuple[float, float]:
        config = TrainingConfig(epochs=60, stay_near_softmax=stay_near_softmax, weight_decay=0.0)
        change = train_sigmoid_branch(head, features, config).head.linear.weight.detach() - head.linear.weight
        shared = change.mean(dim=0)
        return float(CLASSES**0.5 * shared.norm()), float((change - shared).norm())

    (free_shared, free_own), (held_shared, held_own) = shared_and_own(0.0), shared_and_own(10.0)
    assert free_own > free_shared
    assert held_own < 0.15 * held_shared
    assert held_shared > 0.5 * free_shared


def test_a_fresh_branch_starts_from_zero_and_forgets_the_softmax_head() -> None:
    config = TrainingConfig(initialisation="fresh", epochs=2)
    first = train_sigmoid_branch(toy_head(4), toy_features(), config)
    other = train_sigmoid_branch(toy_head(5), toy_features(), config)
    assert torch.equal(first.head.linear.weight, other.head.linear.weight)


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
    result = train_sigmoid_branch(head, features, TrainingConfig(branch=branch, epochs=20, learning_rate=0.1))
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())
    assert result.history[-1].loss < result.history[0].loss
    pooled = features.pooled[:, 0]
    assert not torch.equal(result.head.logits(pooled), head.logits(pooled))
    if branch == "shift":
        assert_close(result.head.logits(pooled).softmax(1), head.logits(pooled).softmax(1), PROBABILITY)
        assert torch.equal(result.head.last_linear.weight, head.last_linear.weight + result.shift.vector)
    else:
        assert not torch.equal(result.head.layers[1].weight, head.layers[1].weight)


def test_one_class_is_refused() -> None:
    features = PooledFeatures(torch.rand(3, 1, CHANNELS), torch.zeros(3, dtype=torch.long), ())
    single = PooledLinearHead(nn.Linear(CHANNELS, 1))
    with pytest.raises(InputError, match="at least 2"):
        train_sigmoid_branch(single, features, TrainingConfig())
    with pytest.raises(InputError, match=r"`num_classes` \(=1\) must be at least 2"):
        fit_softmax_head(features, 1)
