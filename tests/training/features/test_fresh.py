"""Fresh crops at every step: other ones each epoch, the same for the same seed, and as good as cached views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generated import class_folders, picture
from PIL import Image

from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing
from bsig.model.backbones import classifier_from_timm
from bsig.model.dual_branch import DualBranch
from bsig.training.config import TrainingConfig
from bsig.training.features.augmentation import fresh_view
from bsig.training.features.cache import pooled_features
from bsig.training.features.encoding import normalised
from bsig.training.features.fresh import FreshFeatures
from bsig.training.loop.train import train_sigmoid_branch

INDEX_OF = {"a": 0, "b": 1}


@pytest.fixture(scope="module")
def model() -> DualBranch:
    torch.manual_seed(11)
    model = DualBranch(classifier_from_timm("test_resnet", pretrained=False))
    model.preprocessing = replace(model.preprocessing, input_size_hw=(64, 64), resize_to=72)
    return model


@pytest.fixture
def images(tmp_path: Path) -> LabelledImages:
    return read_dataset(class_folders(tmp_path / "images", {"a": "red", "b": "blue"}, count=5))


def test_a_fresh_crop_is_a_window_of_the_squashed_picture_or_its_mirror() -> None:
    source, preprocessing = picture("red", 0, (120, 90)), Preprocessing((56, 28), 64, interpolation="bilinear")
    squashed = np.asarray(source.resize((32, 64), Image.Resampling.BILINEAR))
    windows = set()
    for epoch in range(40):
        crop = np.asarray(fresh_view(source, preprocessing, 3, epoch, 5))
        places = [
            (top, left, mirrored)
            for top in range(9)
            for left in range(5)
            for mirrored in (False, True)
            if np.array_equal(squashed[top : top + 56, left : left + 28][:, :: -1 if mirrored else 1], crop)
        ]
        assert len(places) == 1
        windows.add(places[0])
    assert len(windows) > 20
    assert {mirrored for _, _, mirrored in windows} == {False, True}
    assert {0, 8} <= {top for top, _, _ in windows}


def test_each_epoch_sees_other_crops_and_the_same_seed_the_same_ones(model: DualBranch, images: LabelledImages) -> None:
    features, second = FreshFeatures(model, images, INDEX_OF), FreshFeatures(model, images, INDEX_OF)
    numbers = torch.tensor([7, 2, 4])
    pooled, labels = features.batch(numbers, 0)
    assert labels.tolist() == [1, 0, 0]
    assert torch.equal(second.batch(numbers, 0)[0], pooled)
    assert not torch.equal(features.batch(numbers, 1)[0], pooled)
    assert not torch.equal(FreshFeatures(model, images, INDEX_OF, seed=1).batch(numbers, 0)[0], pooled)
    crop = fresh_view(images.samples[2].open(), model.preprocessing, 0, 0, 2)
    inputs = normalised(torch.from_numpy(np.array(crop)[None]), model.preprocessing)
    direct = model.softmax_head.pooled(model.features(inputs))
    torch.testing.assert_close(pooled[1:2], direct, rtol=1e-5, atol=1e-6)


def test_figures_are_those_of_the_evaluation_crop(model: DualBranch, images: LabelledImages) -> None:
    ((pooled, labels),) = FreshFeatures(model, images, INDEX_OF).first_views()
    cached = pooled_features(model, images, INDEX_OF, cache_folder=None)
    torch.testing.assert_close(pooled, cached.pooled[:, 0], rtol=1e-5, atol=1e-6)
    assert torch.equal(labels, cached.labels)


def test_a_run_broken_off_goes_on_to_the_unbroken_one(
    model: DualBranch, images: LabelledImages, tmp_path: Path
) -> None:
    config, calls = TrainingConfig(epochs=3, batch_size=4), []

    def stop() -> bool:
        calls.append(1)
        return len(calls) > 5

    def run(**options: object) -> torch.Tensor:
        features = FreshFeatures(model, images, INDEX_OF)
        state_file = tmp_path / "state.safetensors"
        result = train_sigmoid_branch(model.softmax_head, features, config, state_file=state_file, **options)
        return result.head.last_linear.weight

    whole = run()
    run(should_stop=stop)
    assert torch.equal(run(resume=True), whole)


def test_pictures_that_cannot_be_read_are_left_out_of_their_step_and_listed(
    model: DualBranch, images: LabelledImages
) -> None:
    images.samples[2].path.write_bytes(b"not a picture")
    features = FreshFeatures(model, images, INDEX_OF)
    pooled, labels = features.batch(torch.tensor([2, 3, 9]), 0)
    assert labels.tolist() == [0, 1]
    assert len(pooled) == 2
    assert features.batch(torch.tensor([2]), 0)[0].shape == (0, pooled.shape[1])
    assert len(features.unreadable) == 1
    result = train_sigmoid_branch(model.softmax_head, features, TrainingConfig(epochs=1, batch_size=1))
    assert torch.isfinite(result.head.last_linear.weight).all()
    with pytest.raises(InputError, match="none of the 0 pictures"):
        FreshFeatures(model, images, {})
