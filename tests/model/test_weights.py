"""Equal weights have equal hashes and are held once."""

from __future__ import annotations

import torch

from bsig.model.backbones import DEFAULT_BACKBONE, Classifier, load_classifier
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.weights import state_sha256


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
