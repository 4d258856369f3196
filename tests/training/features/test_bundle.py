"""A feature file: what is written is read back, for its own encoder alone; the shipped one really teaches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bsig.inputs.errors import InputError
from bsig.inputs.paths import BUNDLED_FEATURES
from bsig.model.backbones import Classifier
from bsig.model.dual_branch import DualBranch
from bsig.training.config import TrainingConfig
from bsig.training.features.bundle import bundle_fits, load_bundle, save_bundle
from bsig.training.features.pooled import PooledFeatures
from bsig.training.loop.train import train_sigmoid_branch


@pytest.fixture
def features() -> PooledFeatures:
    return PooledFeatures(torch.rand(7, 2, 1280), torch.tensor([0, 5, 999, 5, 1, 2, 3]), ())


def refusal(path: Path, model: DualBranch) -> str:
    with pytest.raises(InputError) as caught:
        load_bundle(path, model)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_what_is_written_is_read_back_to_half_precision(
    tmp_path: Path, default_model: DualBranch, features: PooledFeatures
) -> None:
    held_out = PooledFeatures(features.pooled[:3, :1], features.labels[:3], ())
    path = save_bundle(tmp_path / "x.safetensors", default_model, features, held_out, {"name": "seven"})
    bundle = load_bundle(path, default_model)
    assert torch.equal(bundle.features.pooled, features.pooled.half().float())
    assert torch.equal(bundle.features.labels, features.labels)
    assert bundle.held_out is not None
    assert torch.equal(bundle.held_out.labels, held_out.labels)
    assert bundle.description == {"images": 7, "classes": 6, "held_out_images": 3, "name": "seven"}
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_another_encoder_other_classes_and_another_crop_are_refused_by_name(
    tmp_path: Path, default_classifier: Classifier, default_model: DualBranch, features: PooledFeatures
) -> None:
    path = save_bundle(tmp_path / "x.safetensors", default_model, features, None, {})
    assert bundle_fits(path, default_model)
    crop = replace(default_classifier.preprocessing, resize_to=300)
    others = {
        "preprocessing": replace(default_classifier, preprocessing=crop),
        "class ids": replace(default_classifier, class_ids=tuple(reversed(default_classifier.class_ids))),
    }
    for part, classifier in others.items():
        model = DualBranch(classifier)
        assert not bundle_fits(path, model)
        assert f"made with another {part} than" in refusal(path, model)


def damaged(path: Path, change: dict[str, Tensor]) -> None:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file({**load_file(path), **change}, path, metadata=metadata)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": torch.tensor([0, 1, 2, 3, 4, 5, 1000])},
        {"labels": torch.tensor([0, 1, 2, 3, 4, 5, -1])},
        {"labels": torch.tensor([0, 1])},
        {"pooled": torch.full((7, 2, 1280), torch.nan)},
        {"pooled": torch.zeros(7, 1280)},
    ],
)
def test_rows_that_cannot_be_trained_on_are_refused(
    tmp_path: Path, default_model: DualBranch, features: PooledFeatures, change: dict[str, Tensor]
) -> None:
    path = save_bundle(tmp_path / "x.safetensors", default_model, features, None, {})
    damaged(path, change)
    assert "one finite row and one class a picture" in refusal(path, default_model)


def test_a_cut_file_text_and_nothing_are_refused(
    tmp_path: Path, default_model: DualBranch, features: PooledFeatures
) -> None:
    path = save_bundle(tmp_path / "x.safetensors", default_model, features, None, {})
    path.write_bytes(path.read_bytes()[:-100])
    assert "cannot be read" in refusal(path, default_model)
    path.write_text("hello")
    assert not bundle_fits(path, default_model)
    assert "cannot be read" in refusal(path, default_model)
    path.unlink()
    assert "cannot be read" in refusal(path, default_model)


def test_the_shipped_features_are_of_the_default_model_and_teach_it_to_say_no(default_model: DualBranch) -> None:
    bundle = load_bundle(BUNDLED_FEATURES, default_model)
    assert BUNDLED_FEATURES.stat().st_size < 6e6
    assert bundle.description["images"] == bundle.description["classes"] == 1000
    assert {"name", "made_by", "licence", "source"} <= set(bundle.description)
    assert bundle.held_out is not None
    epochs = []
    trained = train_sigmoid_branch(
        default_model.softmax_head,
        bundle.features,
        TrainingConfig(epochs=2, learning_rate=0.2),
        held_out=bundle.held_out,
        on_epoch=lambda epoch, _: epochs.append(epoch),
    )
    assert trained.stopped is None
    assert epochs[1].held_out_loss < epochs[0].held_out_loss
    assert (
        epochs[1].absent_probability < epochs[0].absent_probability < 0.4
    )  # from one half, where the loss is balanced
    assert epochs[1].held_out_softmax_accuracy == epochs[0].held_out_softmax_accuracy > 0.65
