"""Settings of readings from labels: how pictures are asked, how maps are scored, and that the best value is found."""

from __future__ import annotations

import copy

import pytest
import torch
from tolerances import IDENTITY, assert_close
from torch import Tensor, nn

from bsig.explain.readings import settings_of
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing
from bsig.model.backbones import Classifier
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import PooledLinearHead
from bsig.training.closed_form.reading_settings import (
    CANDIDATES,
    cell_precision,
    feature_mosaics,
    fitted_settings,
    side_by_side,
    sign_accuracy,
    whole_pictures,
)

CLASSES = 6


def model_of(sureness: float) -> DualBranch:
    """Softmax rows that see their own channel and a common one; a sigmoid branch that is as sure as it is told."""
    softmax = nn.Linear(CLASSES + 1, CLASSES).requires_grad_(False)
    softmax.weight.copy_(torch.cat((2 * torch.eye(CLASSES), torch.ones(CLASSES, 1)), dim=1))
    softmax.bias.zero_()
    sigmoid = copy.deepcopy(softmax)
    sigmoid.weight.copy_(sureness * torch.cat((torch.eye(CLASSES), torch.zeros(CLASSES, 1)), dim=1))
    sigmoid.bias.fill_(-sureness / 4)
    names = tuple(map(str, range(CLASSES)))
    classifier = Classifier("small", nn.Identity(), PooledLinearHead(softmax), Preprocessing(), names, names, {})
    return DualBranch(classifier, PooledLinearHead(sigmoid))


def pictures(count: int = 12) -> tuple[Tensor, Tensor]:
    """An object of one class in half of the cells, something common everywhere."""
    labels = torch.arange(count) % CLASSES
    features = torch.zeros(count, CLASSES + 1, 2, 3)
    features[torch.arange(count), labels, 0] = 1.0
    features[:, -1] = 0.5
    return features, labels


def test_four_pictures_lie_side_by_side_and_each_class_is_right_in_its_quarter() -> None:
    features, labels = pictures()
    assert_close(side_by_side(torch.arange(4.0)[:, None, None, None]), [[[0, 1], [2, 3]]], IDENTITY)
    mosaics = feature_mosaics(features, labels, CLASSES)
    shown = mosaics.features.gather(1, mosaics.classes[:, :, None, None].expand(-1, -1, 4, 6)) > 0
    assert (shown <= mosaics.is_right).all()  # a class's own channel speaks in its quarter alone
    assert mosaics.is_right.sum(dim=(2, 3)).tolist()[0] == [6, 6, 6, 6, 0, 0]


def test_a_whole_picture_is_asked_for_its_class_and_for_absent_ones() -> None:
    features, labels = pictures()
    asked = whole_pictures(features, labels, CLASSES)
    assert asked.classes[:, 0].tolist() == labels.tolist()
    assert (asked.classes[:, 1:] != labels[:, None]).all()
    assert asked.is_right[:, 0].all()
    assert not asked.is_right[:, 1:].any()


def test_scores_of_paper_sized_maps() -> None:
    is_right = torch.tensor([True, True, False, False])
    assert sign_accuracy(torch.tensor([1.0, -1.0, 0.0, -2.0]), is_right) == 0.75  # zero itself is not positive
    assert_close(cell_precision(torch.tensor([3.0, 1.0, 2.0, 0.0]), is_right), (1 + 2 / 3) / 2, IDENTITY)
    assert cell_precision(torch.tensor([4.0, 3.0, 2.0, 0.0]), is_right) == 1.0


def test_a_branch_that_denies_softly_is_given_more_weight() -> None:
    features, labels = pictures()
    soft, sure = (fitted_settings(model_of(sureness), features, labels) for sureness in (0.2, 60.0))
    assert soft.keys() == sure.keys() == {"levelled", "competition"}
    assert soft["levelled"]["lambda"] > sure["levelled"]["lambda"]
    for fitted in (soft, sure):
        for reading, key in CANDIDATES:
            assert fitted[reading][key] in CANDIDATES[reading, key]


def test_what_is_fitted_becomes_the_default() -> None:
    model = model_of(60.0)
    model.metadata["readings"] = fitted_settings(model, *pictures())
    for reading, key in CANDIDATES:
        assert settings_of(model, reading)[key] == model.metadata["readings"][reading][key]


def test_three_classes_make_no_mosaic() -> None:
    features, labels = pictures()
    with pytest.raises(InputError, match="of 3 classes; mosaics need pictures of at least 4"):
        feature_mosaics(features[:3], labels[:3], CLASSES)
