"""Settings of readings from labels: what pictures are asked, and that the best lambda is found."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import reference
import torch
from torch import Tensor, nn

from bsig.explain.readings import settings_of
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing
from bsig.model.backbones import Classifier
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import PooledLinearHead
from bsig.training.closed_form.reading_settings import LAMBDAS, asked_classes, fitted_settings, shares_above_zero
from bsig.training.features.labels import NO_CLASS

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


def test_a_picture_is_asked_for_its_class_and_for_absent_ones_whatever_the_batch() -> None:
    labels = torch.arange(12) % CLASSES
    classes = asked_classes(labels, CLASSES)
    assert classes[:, 0].tolist() == labels.tolist()
    assert (classes[:, 1:] != labels[:, None]).all()
    assert torch.equal(asked_classes(labels[5:], CLASSES, first=5), classes[5:])


def test_no_class_that_is_in_the_picture_counts_as_absent() -> None:
    labels = torch.tensor([[0, 3, 4], [2, NO_CLASS, NO_CLASS]])
    classes = asked_classes(labels, CLASSES)
    assert classes.shape == (2, 1 + CLASSES - 3)
    assert (set(classes[0].tolist()), int(classes[1, 0])) == ({0, 1, 2, 5}, 2)
    with pytest.raises(InputError, match="all 3 classes of the model, and none is absent"):
        asked_classes(torch.tensor([[0, 1, 2]]), 3)


def test_shares_above_zero_by_hand() -> None:
    """Zero itself is not positive."""
    maps = torch.tensor([[[[1.0, -1.0]], [[0.0, 2.0]], [[-1.0, -2.0]]]])
    assert shares_above_zero(maps) == (0.5, 0.25)


def test_a_branch_that_denies_softly_is_given_more_weight() -> None:
    """Absent maps are 0.5 everywhere, own ones 0.5 and 2.5: what is tried is worked out again one by one."""
    features, labels = pictures()
    fitted = {}
    for sureness in (0.2, 60.0):
        model = model_of(sureness)
        own_logit, absent_logit = sureness / 2 - sureness / 4, -sureness / 4
        accuracies = []
        for value in LAMBDAS:
            own, absent = (value * math.log(reference.sigmoid(np.array([logit - math.log(CLASSES - 1)]))[0])
                           for logit in (own_logit, absent_logit))  # fmt: skip
            own_share = np.mean([0.5 + own > 0, 2.5 + own > 0])
            accuracies.append((own_share + (0.5 + absent <= 0)) / 2)
        fitted[sureness] = fitted_settings(model, features, labels)["levelled"]["lambda"]
        assert fitted[sureness] == LAMBDAS[int(np.argmax(accuracies))]
    assert fitted[0.2] > fitted[60.0]


def test_what_is_fitted_becomes_the_default() -> None:
    model = model_of(60.0)
    model.metadata["readings"] = fitted_settings(model, *pictures())
    assert settings_of(model, "levelled") == model.metadata["readings"]["levelled"]


def test_an_untrained_branch_is_given_nothing() -> None:
    model = model_of(60.0)
    assert fitted_settings(DualBranch(model.classifier()), *pictures()) == {}
