"""The finer grid: twice the rows and columns, timm's own network at that stride, and not one tensor of its own."""

from __future__ import annotations

import copy

import pytest
import torch
from tolerances import FLOAT32, assert_close

from bsig.explain.readings import window_of_grid
from bsig.inputs.errors import InputError
from bsig.model.backbones import BackboneOptions, classifier_from_timm, load_classifier
from bsig.model.dual_branch import DualBranch
from bsig.model.finer_grid import FINER_STAGE, finer_grid, finer_grid_hw, why_not_finer


def test_every_weight_is_shared_and_the_grid_is_twice_as_fine(perturbed_model: DualBranch) -> None:
    finer = finer_grid(perturbed_model)
    own = perturbed_model.encoder.state_dict()
    shared = finer.encoder.state_dict()
    assert [key for key in own if shared[key].data_ptr() != own[key].data_ptr()] == []
    assert finer.softmax_head is perturbed_model.softmax_head
    assert finer.sigmoid_head is perturbed_model.sigmoid_head
    assert (perturbed_model.grid_hw, finer.grid_hw) == ((7, 7), (14, 14))
    assert finer_grid_hw(perturbed_model) == (14, 14)
    assert not finer.encoder.training
    assert not any(parameter.requires_grad for parameter in finer.encoder.parameters())


@pytest.mark.nightly  # loads a second network
def test_features_are_those_of_timms_network_at_that_stride(default_model: DualBranch) -> None:
    inputs = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    peer = DualBranch(load_classifier(options=BackboneOptions(FINER_STAGE)))
    assert_close(finer_grid(default_model).features(inputs), peer.features(inputs), FLOAT32)


def test_it_is_made_once_a_model_and_anew_where_the_models_weights_are_others() -> None:
    model = DualBranch(classifier_from_timm("test_resnet", pretrained=False))
    finer = finer_grid(model)
    assert finer_grid(model) is finer
    model.sigmoid_head = copy.deepcopy(model.sigmoid_head)
    other_head = finer_grid(model)
    assert other_head.sigmoid_head is model.sigmoid_head
    model.encoder = copy.deepcopy(model.encoder)  # as `to` another device moves them
    assert finer_grid(model).encoder is not other_head.encoder


def test_a_fitted_window_covers_as_much_of_the_picture(perturbed_model: DualBranch) -> None:
    model = DualBranch(classifier_from_timm("test_resnet", pretrained=False))
    model.metadata["readings"] = {"window": {"lambda": 2.0, "cells": 7.0}, "levelled": {"lambda": 3.0}}
    fitted = finer_grid(model).metadata["readings"]
    assert fitted == {"window": {"lambda": 2.0, "cells": 13.0}, "levelled": {"lambda": 3.0}}
    assert model.metadata["readings"]["window"]["cells"] == 7.0
    assert window_of_grid(perturbed_model) == 7
    assert window_of_grid(finer_grid(perturbed_model)) == 13


def test_models_without_a_finer_grid_are_refused_in_words(default_model: DualBranch) -> None:
    stride16 = DualBranch(classifier_from_timm("test_resnet", pretrained=False, options=BackboneOptions(FINER_STAGE)))
    tail = DualBranch(classifier_from_timm("test_convnext", pretrained=False))
    for model, reason in ((stride16, "not taken at the backbone's own last"), (tail, "not an average pool")):
        assert reason in why_not_finer(model)
        with pytest.raises(InputError, match="has no finer grid"):
            finer_grid(model)
    assert why_not_finer(default_model) == ""
