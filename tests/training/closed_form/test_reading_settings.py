"""Settings of readings from labels: what pictures are asked, and that the best lambda is found."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import reference
import torch
from tolerances import FLOAT32, IDENTITY, assert_close
from torch import Tensor, nn

from bsig.evaluation.metrics.specificity import class_aware_precision
from bsig.explain.pooled_reading import PooledReading
from bsig.explain.readings import settings_of
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing
from bsig.model.backbones import Classifier
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import PooledLinearHead
from bsig.training.closed_form.reading_settings import (
    LAMBDAS,
    VALUES,
    asked_classes,
    mosaic_precision,
    mosaics_of_two,
    setting_fits,
    shares_above_zero,
)
from bsig.training.features.labels import NO_CLASS

CLASSES = 6


def fitted_settings(model: DualBranch, *arguments: Any, **options: Any) -> dict[str, dict[str, float]]:
    """The fitted values, as `readings` in checkpoint.json has them."""
    return {fit.reading: {fit.key: fit.value} for fit in setting_fits(model, *arguments, **options)}


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


def test_an_untrained_branch_is_given_nothing_that_needs_its_presence() -> None:
    model = model_of(60.0)
    untrained = DualBranch(model.classifier())
    assert set(fitted_settings(untrained, *pictures())) == {"sigmoid-logit", "finer"}
    assert fitted_settings(untrained, *pictures(), readings=["levelled"]) == {}


def test_mosaic_precision_is_the_loop_and_knows_no_level_within_maps() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 2, 2, 6))
    is_right = np.zeros_like(maps)
    is_right[:, 0, :, :3] = 1
    pooled = reference.cell_average_precision(maps, is_right)
    assert_close(mosaic_precision(maps, within_maps=False), pooled, IDENTITY)
    within = np.mean([
        reference.cell_average_precision(maps[at : at + 1, :1], is_right[at : at + 1, :1]) for at in range(3)
    ])  # fmt: skip
    assert_close(mosaic_precision(maps, within_maps=True), within, IDENTITY)
    moved = maps + np.arange(3.0)[:, None, None, None]
    assert_close(mosaic_precision(moved, within_maps=True), within, IDENTITY)
    assert abs(mosaic_precision(moved, within_maps=False) - pooled) > 0.01


def test_a_picture_stands_beside_one_of_the_class_most_like_its_own() -> None:
    """Rows of the classes 2 and 4 are made alike; a picture of several classes has no place by construction."""
    model = model_of(60.0)
    with torch.no_grad():
        model.softmax_head.last_linear.weight[4, 2] = 3.0
    labels = torch.tensor([[2, NO_CLASS], [4, NO_CLASS], [4, NO_CLASS], [0, NO_CLASS], [2, 4], [2, NO_CLASS]])
    mosaics = dict(mosaics_of_two(model, labels))
    assert set(mosaics) == {0, 1, 2, 3, 5}
    assert (mosaics[0], mosaics[5]) == (1, 2)  # the pictures of class 4 take turns
    assert (mosaics[1], mosaics[2]) == (0, 5)
    assert mosaics_of_two(model, torch.tensor([3, 3])) == []


def test_each_setting_is_the_best_that_was_tried_by_evaluates_own_score() -> None:
    model, (features, labels) = model_of(3.0), pictures()
    fits = {(fit.reading, fit.key): fit for fit in setting_fits(model, features, labels)}
    assert set(fits) == set(VALUES)
    mosaics = torch.tensor(mosaics_of_two(model, labels))
    mosaic = torch.cat([features[mosaics[:, 0]], features[mosaics[:, 1]]], dim=3)
    classes = asked_classes(labels[mosaics], CLASSES)
    plain = torch.einsum("bmk,bkhw->bmhw", model.sigmoid_head.last_linear.weight[classes], mosaic)
    for reading, key in (("sigmoid-logit", "a"), ("competition", "mu")):
        scores = []
        for value in VALUES[reading, key]:
            settings = settings_of(model, reading, {key: value})
            maps = PooledReading(model, reading, settings).maps("sigmoid", plain, mosaic, classes).detach().numpy()
            is_right = np.zeros(maps.shape)
            is_right[:, 0, :, :3] = 1
            scores.append(float(class_aware_precision(maps, is_right, np.ones((1, len(maps))))[0]))
        fit = fits[reading, key]
        assert fit.value == VALUES[reading, key][int(np.argmax(scores))]
        assert_close(fit.score, max(scores), FLOAT32)
        assert_close(fit.default_score, scores[VALUES[reading, key].index(fit.default)], FLOAT32)
