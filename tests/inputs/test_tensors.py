"""The crop becomes the model's input."""

from __future__ import annotations

import numpy as np
import torch
from drawing_inputs import photo
from PIL import Image
from tolerances import FLOAT32, IDENTITY, assert_close

from bsig.inputs.images import Preprocessing
from bsig.inputs.tensors import input_batch, input_tensor


def test_input_values_are_less_the_mean_over_the_spread_channel_by_channel() -> None:
    preprocessing = Preprocessing((1, 2), 1, mean=(0.0, 0.5, 0.2), std=(1.0, 0.5, 0.1))
    crop = Image.new("RGB", (2, 1), (255, 0, 51))
    crop.putpixel((1, 0), (0, 255, 0))
    expected = [[[[1, 0]], [[-1, 1]], [[0, -2]]]]
    assert_close(input_tensor(crop, preprocessing), np.array(expected, dtype=np.float32), FLOAT32)


def test_a_batch_is_its_pictures_one_by_one() -> None:
    preprocessing = Preprocessing((13, 17), 17)
    crops = [photo((17, 13), seed) for seed in range(3)]
    alone = torch.cat([input_tensor(crop, preprocessing) for crop in crops])
    assert_close(input_batch(crops, preprocessing), alone, IDENTITY)
    assert input_batch(crops, preprocessing).dtype == torch.float32
