"""Pictures are decoded in order and normalised as for explaining; a batch too large for the memory is halved."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing, crop_image
from bsig.inputs.tensors import input_batch
from bsig.model.dual_branch import DualBranch
from bsig.training.config import EncodingConfig
from bsig.training.features.cache import pooled_features
from bsig.training.features.encoding import decoded_batches, normalised

INDEX_OF = {"a": 0, "b": 1}


class SmallMemory:
    """An encoder whose device holds so many pictures at a time."""

    def __init__(self, model: DualBranch, most: int) -> None:
        self.encode, self.holds, self.sizes = model.features, most, []

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(inputs))
        if len(inputs) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.encode(inputs)


def test_out_of_memory_halves_the_batch_and_goes_on_saying_so(
    model: DualBranch, images: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = pooled_features(model, images, INDEX_OF, cache_folder=None, encoding=EncodingConfig(5))
    small, notes = SmallMemory(model, 2), []
    monkeypatch.setattr(model, "features", small)
    features = pooled_features(
        model, images, INDEX_OF, cache_folder=None, encoding=EncodingConfig(5), on_note=notes.append
    )
    torch.testing.assert_close(features.pooled, fresh.pooled, rtol=1e-5, atol=1e-6)
    assert notes == ["out of memory with 5 pictures at a time: going on with 2."]
    assert small.sizes == [5, 2, 2, 1, 1]  # once learnt, it is not tried again
    small.holds = 0
    with pytest.raises(InputError, match="does not hold one picture's features of 'test_resnet'"):
        pooled_features(model, images, INDEX_OF, cache_folder=None)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_pixels_are_normalised_as_for_explaining_bit_for_bit(images: LabelledImages, batch_size: int) -> None:
    preprocessing = Preprocessing((32, 48), 56, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    crops = [crop_image(sample.open(), preprocessing) for sample in images.samples[:batch_size]]
    pixels = torch.from_numpy(np.stack([np.asarray(crop) for crop in crops]))
    assert torch.equal(normalised(pixels, preprocessing), input_batch(crops, preprocessing))


def test_pictures_come_in_order_whatever_the_threads_and_none_runs_far_ahead() -> None:
    starts: list[int] = []

    def decode(index: int) -> np.ndarray | str:
        starts.append(index)
        time.sleep(0.002 * (index % 3))
        return f"{index} is bad" if index % 5 == 0 else np.full((1, 2, 3, 3), index, np.uint8)

    indices: list[int] = []
    for numbers, crops, failed in decoded_batches(range(3, 40), decode, 4, threads=3):
        assert max(starts) <= 3 + len(indices) + 4 * 3  # this batch and two ahead
        assert crops[:, 0, 0, 0].tolist() == numbers
        assert failed == {index: f"{index} is bad" for index in failed}
        indices += sorted([*numbers, *failed])
    assert indices == list(range(3, 40))
