"""The packaged weights are timm's network; other timm classifiers come apart exactly or are refused in one sentence."""

from __future__ import annotations

import csv
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
from tolerances import FLOAT32, assert_close

from bsig.inputs.errors import InputError
from bsig.inputs.images import crop_image, read_image
from bsig.inputs.tensors import input_batch
from bsig.model import backbones
from bsig.model.backbones import DEFAULT_BACKBONE, Classifier, classifier_from_timm, unique_names


def refusal(name: str, *, pretrained: bool = False) -> str:
    with pytest.raises(InputError) as caught:
        classifier_from_timm(name, pretrained=pretrained)
    text = str(caught.value)
    assert f"'{name}'" in text
    assert "\n" not in text
    assert text.endswith(".")
    return text


# The packaged default.


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


@pytest.mark.nightly
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
        right += sum(row["class"].startswith(class_id) for row, class_id in zip(part, ids, strict=True))
    assert len(rows) == 1000
    assert right / len(rows) >= 0.85


# Any timm classifier.


@pytest.mark.parametrize(
    "name",
    [
        *("mobilenetv2_035", "test_efficientnet", "resnet10t"),
        *(pytest.param(name, marks=pytest.mark.nightly) for name in ("resnet18", "densenet121", "regnetx_002")),
    ],
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
        actual = classifier.head(classifier.encoder(inputs))
    size = expected.abs().max()
    assert_close(actual / size, expected / size, FLOAT32)
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
