"""Every picture is read by a branch that was trained without it, and by one alone."""

from __future__ import annotations

import pytest
import torch
from toy_training import CLASSES, toy_features, toy_head

from bsig.inputs.errors import InputError
from bsig.model.heads import ClassificationHead
from bsig.training.config import TrainingConfig
from bsig.training.cross_fit import (
    all_labels,
    check_size,
    cross_fitted_logits,
    fold_of_picture,
    held_out_logits,
    left_out_presence,
)
from bsig.training.features.part import FeaturesPart
from bsig.training.features.pooled import PooledFeatures, SplitFeatures, TrainingFeatures
from bsig.training.loop.train import train_sigmoid_branch
from bsig.training.processes import ALONE

CONFIG = TrainingConfig(epochs=12, learning_rate=0.3, batch_size=8)


def branch_of(features: TrainingFeatures) -> ClassificationHead:
    return train_sigmoid_branch(toy_head(), features, CONFIG).head


def test_folds_hold_each_picture_once_and_each_class_evenly() -> None:
    labels = toy_features(97).labels
    folds = fold_of_picture(labels, 5, seed=3)
    assert folds.unique().tolist() == [0, 1, 2, 3, 4]
    for label in range(CLASSES):
        counts = folds[labels == label].bincount(minlength=5)
        assert int(counts.max() - counts.min()) <= 1
    assert torch.equal(folds, fold_of_picture(labels, 5, seed=3))
    assert not torch.equal(folds, fold_of_picture(labels, 5, seed=4))


def test_each_pictures_logits_are_those_of_a_branch_trained_without_it() -> None:
    features = toy_features(31)
    counts: list[int] = []

    def counting(part: TrainingFeatures) -> ClassificationHead:
        counts.append(part.count)
        return branch_of(part)

    logits, labels = cross_fitted_logits(features, counting, seed=0)
    assert sum(31 - count for count in counts) == 31
    folds, start = fold_of_picture(features.labels, 5, seed=0), 0
    for fold in range(5):
        is_in_part = folds != fold
        # The same pictures as features of their own, not as a part of others.
        copy = PooledFeatures(features.pooled[is_in_part], features.labels[is_in_part], ())
        expected = branch_of(copy).logits(features.pooled[~is_in_part, 0]).detach()
        count = int((~is_in_part).sum())
        assert torch.equal(logits[start : start + count], expected)
        assert torch.equal(labels[start : start + count], features.labels[~is_in_part])
        start += count
    assert start == len(logits)


def test_a_part_of_a_share_holds_that_shares_pictures_alone() -> None:
    features = toy_features(31)
    own = PooledFeatures(features.pooled[10:], features.labels[10:], ())
    is_in = torch.arange(31) % 3 == 0
    part = FeaturesPart(SplitFeatures(own, 10, 31, ALONE), is_in)
    assert part.count == 11
    pooled, labels = part.batch(torch.tensor([1, 4, 10]), epoch=1)  # pictures 3 (of another process), 12 and 30
    assert torch.equal(pooled, features.pooled[[12, 30], 1])
    assert torch.equal(labels, features.labels[[12, 30]])
    assert torch.equal(torch.cat([labels for _, labels in part.first_views()]), features.labels[12::3])
    assert part.identity() != FeaturesPart(SplitFeatures(own, 10, 31, ALONE), ~is_in).identity()


def test_presence_is_cross_fitted_where_that_can_be_done() -> None:
    presence = left_out_presence(toy_head(), toy_features(60), toy_features(40), CLASSES, branch_of, name="toys")
    assert presence.pictures == 60
    assert presence.source == "60 training pictures of 'toys', each read by a branch that was trained without it"


def test_classes_of_one_picture_leave_the_pictures_that_were_held_out_or_the_reason() -> None:
    features, held_out = toy_features(60), toy_features(40, seed=9)
    labels = features.labels.clone()
    labels[labels == 0] = 1
    labels[0] = 0
    single = PooledFeatures(features.pooled, labels, ())
    presence = left_out_presence(toy_head(), single, held_out, CLASSES, branch_of, name="toys")
    assert presence.source == "40 pictures held out of the training on 'toys'"
    with pytest.raises(InputError, match=r"1 of the classes have one picture.*bsig calibrate"):
        left_out_presence(toy_head(), single, None, CLASSES, branch_of, name="toys")


def test_few_pictures_and_many_logits_are_refused() -> None:
    with pytest.raises(InputError, match="12 training pictures are too few"):
        left_out_presence(toy_head(), toy_features(12), None, CLASSES, branch_of, name="toys")
    with pytest.raises(InputError, match="use at most 20000"):
        check_size(20_001, 1000)


def test_labels_and_logits_are_in_the_order_of_the_pictures() -> None:
    features = toy_features(31)
    assert torch.equal(all_labels(features), features.labels)
    logits, labels = held_out_logits(toy_head(), features)
    assert torch.equal(logits, toy_head().logits(features.pooled[:, 0]))
    assert torch.equal(labels, features.labels)
