"""A view is drawn from its seed, sample and number alone."""

from __future__ import annotations

import torch
from generated import picture
from PIL import Image

from bsig.inputs.images import Preprocessing, crop_image
from bsig.training.config import Views
from bsig.training.features.augmentation import view_of


def test_a_view_is_the_same_for_the_same_seed_sample_and_number_and_another_otherwise() -> None:
    source, preprocessing = picture("red", 0, (120, 90)), Preprocessing((64, 64), 72)

    def pixels(seed: int, sample: int, view: int) -> bytes:
        return view_of(source, preprocessing, Views(9, seed=seed), sample, view).tobytes()

    assert pixels(3, 1, 2) == pixels(3, 1, 2)
    assert len({pixels(3, 1, 2), pixels(4, 1, 2), pixels(3, 2, 2), pixels(3, 1, 3)}) == 4
    assert pixels(3, 1, 0) == pixels(4, 7, 0) == crop_image(source, preprocessing).tobytes()


def test_drawing_views_leaves_the_global_generator_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    view_of(picture("red", 0), Preprocessing((64, 64), 72), Views(2), 0, 1)
    assert torch.equal(torch.rand(3), expected)


def test_views_have_the_input_size_whatever_the_pictures() -> None:
    preprocessing = Preprocessing((64, 96), 96)
    for size_wh in ((1, 1), (300, 2), (2, 300), (97, 65)):
        for view in range(4):
            crop = view_of(Image.new("RGB", size_wh), preprocessing, Views(4), 0, view)
            assert crop.size == (96, 64)
