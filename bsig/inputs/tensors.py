"""The crop that a model sees -> the model's input: float32, normalised, channels first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from bsig.inputs.images import Preprocessing


def input_tensor(crop: Image.Image, preprocessing: Preprocessing) -> Float[Tensor, "1 3 H W"]:
    """The crop as normalised float32, `(value / 255 - mean) / std` per channel."""
    return input_batch([crop], preprocessing)


def input_batch(crops: Sequence[Image.Image], preprocessing: Preprocessing) -> Float[Tensor, "b 3 H W"]:
    """Several crops of one size as one normalised batch, with channels last in memory, which encoders take faster."""
    pixels = torch.from_numpy(np.stack([np.asarray(crop, dtype=np.uint8) for crop in crops]))
    mean = torch.tensor(preprocessing.mean)
    std = torch.tensor(preprocessing.std)
    return ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2)
