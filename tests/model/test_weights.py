"""Equal weights have equal hashes and are held once."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import timm
import torch
from timm.layers import LayerNorm
from torch import nn

from bsig.model.backbones import DEFAULT_BACKBONE, Classifier, load_classifier
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.weights import settings_sha256, shared_encoder, state_sha256


def test_all_spellings_of_the_same_wish_share_one_encoder() -> None:
    first = load_classifier()
    assert load_classifier(DEFAULT_BACKBONE) is load_classifier(DEFAULT_BACKBONE, "cpu") is first
    assert load_classifier(name=DEFAULT_BACKBONE, device="cpu") is load_classifier(device="cpu") is first


def test_a_checkpoint_shares_the_encoder_that_is_already_loaded(default_classifier: Classifier) -> None:
    assert load_checkpoint().encoder is load_checkpoint(device="cpu").encoder is default_classifier.encoder


def test_the_hash_of_a_state_sees_one_changed_number_a_name_and_a_shape() -> None:
    layer = torch.nn.Linear(5, 3)
    before = state_sha256(layer)
    assert state_sha256(layer) == before
    with torch.no_grad():
        layer.weight[2, 4] += 1e-6
    assert state_sha256(layer) != before
    assert state_sha256(torch.nn.Sequential(layer)) != state_sha256(layer)
    flat, tall = torch.nn.Module(), torch.nn.Module()
    flat.register_buffer("values", torch.zeros(2, 3))
    tall.register_buffer("values", torch.zeros(3, 2))
    assert state_sha256(flat) != state_sha256(tall)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (nn.Sequential(nn.GELU()), nn.Sequential(nn.GELU(approximate="tanh"))),
        (nn.LayerNorm(4, eps=1e-5), nn.LayerNorm(4, eps=1e-6)),
        (nn.Conv2d(2, 3, 3, stride=1), nn.Conv2d(2, 3, 3, stride=2)),
        (nn.MultiheadAttention(4, 2), nn.MultiheadAttention(4, 1)),
        (nn.Sequential(nn.ReLU()), nn.Sequential(nn.ReLU6())),
        (timm.create_model("test_vit", act_layer=nn.ReLU), timm.create_model("test_vit", act_layer=nn.GELU)),
        (
            timm.create_model("test_vit", norm_layer=partial(LayerNorm, eps=1e-3)),
            timm.create_model("test_vit", norm_layer=partial(LayerNorm, eps=1e-6)),
        ),
    ],
)
def test_two_networks_of_the_same_weights_that_compute_something_else_share_no_encoder(
    first: nn.Module, second: nn.Module
) -> None:
    second.load_state_dict(first.state_dict())
    weights = state_sha256(first)
    assert weights == state_sha256(second)
    assert shared_encoder(first, weights, "cpu") is first
    assert shared_encoder(second, weights, "cpu") is second
    assert shared_encoder(copy.deepcopy(first), weights, "cpu") is first


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_efficientnet"])
def test_a_network_made_twice_has_the_same_settings(name: str) -> None:
    network = timm.create_model(name)
    assert settings_sha256(network) == settings_sha256(timm.create_model(name).train(False))
