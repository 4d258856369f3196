"""A damped change is the minimum of its two aims: near the change on all cells, flat where the class is likely."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import reference
import torch
from feature_maps import feature_maps, read_directly, shown
from generated import class_folders
from tolerances import FLOAT32, IDENTITY, assert_close
from torch import Tensor

from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import with_classes
from bsig.training.closed_form.damping import (
    STEADINESS,
    DampingGrids,
    LikelyPictures,
    damped_changes,
    damped_head,
    likely_pictures,
)
from bsig.training.config import DampingConfig, FinetuneConfig, SoftmaxHeadConfig, TrainingConfig, Views
from bsig.training.finetune import finetune

PICTURES, CHANNELS, CLASSES = 6, 5, 3


def toy() -> tuple[Tensor, Tensor, LikelyPictures]:
    """Features (n, k, 2, 3), changes (c, k), and for each class two pictures."""
    generator = torch.Generator().manual_seed(4)
    features = torch.rand(PICTURES, CHANNELS, 2, 3, generator=generator, dtype=torch.float64)
    changes = torch.randn(CLASSES, CHANNELS, generator=generator, dtype=torch.float64)
    weights = torch.tensor([[0.7, 0.3], [1.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    return features, changes, LikelyPictures(torch.tensor([[0, 3], [1, 2], [5, 4]]), weights)


def spread_within(change: Tensor, features: Tensor) -> float:
    """Mean over pictures of the variance of `change . F` within each."""
    return float(torch.einsum("k,nkhw->nhw", change, features).flatten(1).var(dim=1, unbiased=False).mean())


@pytest.mark.parametrize("strength", [0.0, 0.5, 20.0])
def test_it_is_the_loops_and_a_solved_system(strength: float) -> None:
    features, changes, likely = toy()
    damped = damped_changes(changes, features, likely, strength)
    for at in range(CLASSES):
        positions, weights = likely.positions[at].tolist(), likely.weights[at].tolist()
        expected = reference.damped_change(changes[at].numpy(), features.numpy(), positions, weights, strength)
        assert_close(damped[at], expected, IDENTITY)


def test_strength_zero_leaves_every_change_as_it_is() -> None:
    features, changes, likely = toy()
    assert_close(damped_changes(changes, features, likely, 0.0), changes, IDENTITY)


def test_every_step_away_makes_the_sum_of_both_aims_larger() -> None:
    features, changes, likely = toy()
    strength, at = 3.0, 2
    cells = features.transpose(0, 1).flatten(1)
    ridge = STEADINESS * float((cells**2).mean())

    def aims(row: Tensor) -> float:
        off = row - changes[at]
        near = float(((off @ cells) ** 2).mean()) + ridge * float(off @ off)
        return near + strength * spread_within(row, features[likely.positions[at]])

    best = damped_changes(changes, features, likely, strength)[at]
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        step = 0.1 * torch.randn(CHANNELS, generator=generator, dtype=torch.float64)
        assert aims(best + step) > aims(best)


def test_more_strength_is_flatter_within_the_likely_pictures_and_a_flat_change_stays() -> None:
    features, changes, likely = toy()
    own = features[likely.positions[0][:1]]
    alone = LikelyPictures(likely.positions[:, :1], torch.ones(CLASSES, 1, dtype=torch.float64))
    spreads = [spread_within(damped_changes(changes, features, alone, s)[0], own) for s in (0.0, 1.0, 10.0, 1e4)]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[3] < 1e-3 * spreads[0]
    features[:, 0] = 1.0  # a channel that is the same on every cell: its change tilts nothing
    constant = torch.zeros(CLASSES, CHANNELS, dtype=torch.float64)
    constant[:, 0] = -2.0
    assert_close(damped_changes(constant, features, likely, 1e3), constant, IDENTITY)


def test_half_precision_features_give_the_same_to_their_rounding() -> None:
    features, changes, likely = toy()
    rounded = features.half()
    expected = damped_changes(changes, rounded.double(), likely)
    assert_close(damped_changes(changes.float(), rounded, likely), expected, FLOAT32)


def test_own_pictures_come_first_then_the_most_probable_and_weights_follow_the_temper() -> None:
    probabilities = torch.tensor([[0.1, 0.9], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1])
    likely = likely_pictures(probabilities.log(), labels, count=3, temper=1.0)
    assert likely.positions.tolist() == [[1, 0, 2], [3, 2, 0]]
    expected = torch.tensor([[0.6, 0.1, 0.7], [0.8, 0.3, 0.9]], dtype=torch.float64)
    assert_close(likely.weights, expected / expected.sum(dim=1, keepdim=True), IDENTITY)
    even = likely_pictures(probabilities.log(), labels, count=9, temper=0.0)
    assert_close(even.weights, torch.full((2, 4), 0.25, dtype=torch.float64), IDENTITY)


def test_empty_features_are_refused_by_name() -> None:
    features, changes, likely = toy()
    with pytest.raises(InputError, match=r"mean square \(=0\)"):
        damped_changes(changes, torch.zeros_like(features), likely)


@pytest.mark.nightly
def test_finetune_writes_the_damped_branch_and_strength_zero_is_the_undamped_one(tmp_path: Path) -> None:
    images = read_dataset(class_folders(tmp_path / "pictures", {"n01440764": "red", "n03445777_golf_ball": "green"}))
    # A head of two classes: a thousand damped rows take a minute.
    softmax = SoftmaxHeadConfig(epochs=2)
    training = TrainingConfig(epochs=1, learning_rate=0.1)
    config = FinetuneConfig(softmax_head=softmax, training=training, views=Views(1))
    weights = {}
    for strength in (None, 0.0, 20.0):
        damping = None if strength is None else DampingConfig(strength)
        target = tmp_path / f"damped-{strength}"
        finetune(images, target, replace(config, damping=damping), cache_folder=None)
        model = load_checkpoint(target)
        assert model.metadata["training"]["damping"] == (None if damping is None else asdict(damping))
        weights[strength] = (model.sigmoid_head.last_linear.weight - model.softmax_head.last_linear.weight).detach()
        bias = model.sigmoid_head.last_linear.bias
    torch.testing.assert_close(weights[0.0], weights[None], rtol=1e-4, atol=1e-6)
    model = load_checkpoint(tmp_path / "damped-None")
    # Pictures in batches of other sizes round otherwise.
    assert_close(bias, model.sigmoid_head.last_linear.bias, FLOAT32._replace(absolute=1e-8))
    features = torch.cat(feature_maps(model, images))
    # Of few pictures all are among the sixteen likeliest of every class.
    before, after = (spread_within(weights[key][1].double(), features.double()) for key in (None, 20.0))
    assert 0 < after < 0.5 * before


@pytest.mark.nightly
def test_the_shared_encoding_damps_as_pictures_read_one_after_the_other(
    tmp_path: Path, default_model: DualBranch
) -> None:
    images = read_dataset(class_folders(tmp_path / "pictures", {"n01440764": "red", "n03445777_golf_ball": "green"}))
    index_of = {"n01440764": 0, "n03445777_golf_ball": 1}
    softmax = with_classes(default_model.softmax_head, 2)
    trained = copy.deepcopy(softmax)
    torch.nn.init.normal_(trained.last_linear.weight, std=0.05, generator=torch.Generator().manual_seed(3))
    for most in (4000, 3):  # of 8 pictures: all, and every third
        config = DampingConfig(most_pictures=most)
        grids, direct = DampingGrids(softmax, 8, config), DampingGrids(softmax, 8, config)
        shown(grids, default_model, images, index_of)
        read_directly(direct, default_model, images, index_of)
        assert grids.present == direct.present
        assert len(grids.present) == (16 if most == 4000 else 6)
        first, second = (damped_head(each, softmax, trained, config) for each in (grids, direct))
        # A batch of another size rounds otherwise, and directions of little spread make more of it.
        difference = first.last_linear.weight - second.last_linear.weight
        assert difference.norm() < 5e-3 * second.last_linear.weight.norm()
        assert torch.equal(first.last_linear.bias, trained.last_linear.bias)


def test_a_shift_branch_and_no_pictures_are_refused(default_model: DualBranch) -> None:
    with pytest.raises(InputError, match=r"`damping` needs a full branch"):
        FinetuneConfig(training=TrainingConfig(branch="shift"), damping=DampingConfig())
    head = default_model.softmax_head
    with pytest.raises(InputError, match=r"no picture of these classes is usable"):
        damped_head(DampingGrids(head, 0, DampingConfig()), head, head)
    with pytest.raises(InputError, match=r"`most_pictures` \(=0\)"):
        DampingConfig(most_pictures=0)
