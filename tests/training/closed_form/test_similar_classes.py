"""Rows mixed with those of similar classes: the loops, what a shift leaves, and where a branch starts from them."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import reference
import torch
from generated import class_folders
from tolerances import FLOAT32, IDENTITY, assert_close
from torch import nn

from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.heads import PooledLinearHead
from bsig.training.closed_form.damping import DampingGrids, damped_head
from bsig.training.closed_form.similar_classes import mixed_with_similar, similar_classes
from bsig.training.config import (
    DampingConfig,
    FinetuneConfig,
    SimilarClassesConfig,
    SoftmaxHeadConfig,
    TrainingConfig,
)
from bsig.training.finetune import finetune

CLASSES, CHANNELS = 7, 5


def random_head(dtype: torch.dtype = torch.float64) -> PooledLinearHead:
    generator = torch.Generator().manual_seed(3)
    linear = nn.Linear(CHANNELS, CLASSES, dtype=dtype)
    linear.weight.data = torch.randn(CLASSES, CHANNELS, generator=generator, dtype=dtype)
    linear.bias.data = torch.randn(CLASSES, generator=generator, dtype=dtype)
    return PooledLinearHead(linear).requires_grad_(False)


@pytest.mark.parametrize(("share", "count"), [(0.0, 2), (0.6, 1), (0.6, 3), (1.0, CLASSES - 1)])
def test_it_is_the_loops_and_leaves_the_head_it_is_given_as_it_was(share: float, count: int) -> None:
    head = random_head()
    before = head.last_linear.weight.clone()
    mixed = mixed_with_similar(head, SimilarClassesConfig(share, count)).last_linear
    weight, bias = reference.mixed_with_similar(before.numpy(), head.last_linear.bias.numpy(), share, count)
    assert_close(mixed.weight, weight, IDENTITY)
    assert_close(mixed.bias, bias, IDENTITY)
    assert torch.equal(head.last_linear.weight, before)


def test_similar_classes_by_hand_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two dogs and two boats: a dog's only kin is the other dog, however strong either is.
    weight = torch.tensor([[3.0, 0.1], [6.0, -0.1], [-4.0, 0.2], [-5.0, -0.2]])
    for block in (1, 3, 1024):
        monkeypatch.setattr("bsig.training.closed_form.similar_classes.ROWS_AT_ONCE", block)
        assert similar_classes(weight, 1).tolist() == [[1], [0], [3], [2]]


def test_a_vector_that_softmax_cannot_see_passes_through_unchanged() -> None:
    head, vector = random_head(), torch.arange(CHANNELS, dtype=torch.float64) - 1.7
    config = SimilarClassesConfig(0.6, 2)
    shifted_layer = mixed_with_similar(head.shifted(vector, torch.tensor(0.3, dtype=torch.float64)), config).last_linear
    mixed = mixed_with_similar(head, config).last_linear
    assert_close(shifted_layer.weight, mixed.weight + vector, IDENTITY)
    assert_close(shifted_layer.bias, mixed.bias + 0.3, IDENTITY)


def test_classes_that_are_all_alike_stay_as_they_are() -> None:
    head = random_head()
    head.last_linear.weight.copy_(torch.ones(CLASSES, CHANNELS))
    mixed = mixed_with_similar(head, SimilarClassesConfig(0.6, 3))
    assert_close(mixed.last_linear.weight, head.last_linear.weight, IDENTITY)


def test_more_similar_classes_than_there_are_others_are_refused_by_number() -> None:
    with pytest.raises(InputError, match=r"`similar_classes_count` \(=7\) must be below the number of classes \(=7\)"):
        mixed_with_similar(random_head(), SimilarClassesConfig(count=CLASSES))


def test_a_finetune_starts_from_mixed_rows_and_measures_the_softmax_head_as_it_is(tmp_path: Path) -> None:
    pictures = {"n01440764": "red", "n03445777_golf_ball": "green", "n02123045": "blue"}
    images = read_dataset(class_folders(tmp_path / "pictures", pictures))
    similar = SimilarClassesConfig(share=1.0, count=1)
    config = FinetuneConfig(
        softmax_head=SoftmaxHeadConfig(epochs=3),
        training=TrainingConfig(epochs=1, learning_rate=1e-6, weight_decay=0.0),
    )
    plain = finetune(images, tmp_path / "plain", config, cache_folder=None)
    mixed = finetune(images, tmp_path / "mixed", replace(config, similar_classes=similar), cache_folder=None)
    model = load_checkpoint(tmp_path / "mixed")
    assert model.metadata["training"]["similar_classes"] == asdict(similar)
    expected = mixed_with_similar(model.softmax_head, similar).last_linear.weight
    # A step of 1e-6 moves no weight by more than rounding; every class has another one's row.
    assert_close(model.sigmoid_head.last_linear.weight, expected, FLOAT32._replace(absolute=1e-4))
    assert not torch.allclose(expected, model.softmax_head.last_linear.weight, atol=1e-3)
    assert mixed.history[0].softmax_accuracy == plain.history[0].softmax_accuracy
    assert mixed.history[0].sign_disagreement > plain.history[0].sign_disagreement


def test_damping_is_of_what_changed_since_the_start() -> None:
    head = random_head(torch.float32)
    mixed = mixed_with_similar(head, SimilarClassesConfig(1.0, 1))
    generator = torch.Generator().manual_seed(5)
    config = DampingConfig(strength=50.0)
    grids = DampingGrids(head, 4, config)
    for position in range(4):
        grids.read(position, (position,), torch.rand(1, CHANNELS, 2, 3, generator=generator))
    change = torch.randn(CLASSES, CHANNELS, generator=generator)
    damped = []
    for start in (head, mixed):
        trained = copy.deepcopy(start)
        trained.last_linear.weight += change
        damped.append(damped_head(grids, head, trained, config, start=start).last_linear.weight)
    assert_close(damped[1] - mixed.last_linear.weight, damped[0] - head.last_linear.weight, FLOAT32)
    assert (damped[0] - head.last_linear.weight - change).norm() > 0.1 * change.norm()


@pytest.mark.nightly
def test_damping_takes_back_what_was_trained_and_not_the_mixing(tmp_path: Path) -> None:
    pictures = {"n01440764": "red", "n03445777_golf_ball": "green", "n02123045": "blue"}
    images = read_dataset(class_folders(tmp_path / "pictures", pictures))
    similar = SimilarClassesConfig(share=1.0, count=1)
    config = FinetuneConfig(
        softmax_head=SoftmaxHeadConfig(epochs=3),
        training=TrainingConfig(epochs=1, learning_rate=1e-6, weight_decay=0.0),
        similar_classes=similar,
        damping=DampingConfig(strength=1e4),
    )
    finetune(images, tmp_path / "damped", config, cache_folder=None)
    model = load_checkpoint(tmp_path / "damped")
    # Damped from the softmax head's rows, the strength of 1e4 would have flattened the mixing too.
    expected = mixed_with_similar(model.softmax_head, similar).last_linear.weight
    assert_close(model.sigmoid_head.last_linear.weight, expected, FLOAT32._replace(absolute=1e-4))
