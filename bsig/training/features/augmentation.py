"""Versions of a picture that a head is trained on: the evaluation crop, and random parts of it."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageOps

from bsig.inputs.images import RESAMPLING, Preprocessing, crop_image
from bsig.training.config import Views

_DRAWING = threading.Lock()
PUBLISHED_RESIZE = 256 / 224


def view_of(picture: Image.Image, preprocessing: Preprocessing, views: Views, sample: int, view: int) -> Image.Image:
    """Returns one version of a picture as the model's crop; the same for the same seed, sample and view."""
    from torchvision.transforms import RandomResizedCrop

    if view == 0:
        return crop_image(picture, preprocessing)
    # torchvision draws from torch's global generator: one thread at a time, or two would draw from each other's seed.
    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence((views.seed, sample, view)).generate_state(1)[0]))
        scale, ratio = [views.smallest_area, 1.0], [3 / 4, 4 / 3]
        top, left, height, width = RandomResizedCrop.get_params(picture, scale, ratio)
        flipped = bool(torch.rand(()) < 0.5)
    part = picture.crop((left, top, left + width, top + height))
    crop = crop_image(part, replace(preprocessing, crop_mode="squash"))
    return ImageOps.mirror(crop) if flipped else crop


def fresh_view(picture: Image.Image, preprocessing: Preprocessing, seed: int, epoch: int, sample: int) -> Image.Image:
    """Returns the published augmentation: squashed to 8/7 of the input (256 for 224), a random crop, mirrored or not.

    Drawn from seed, epoch and sample.
    """
    rows, columns = preprocessing.input_size_hw
    tall, wide = round(rows * PUBLISHED_RESIZE), round(columns * PUBLISHED_RESIZE)
    generator = np.random.default_rng((seed, epoch, sample))
    top, left = int(generator.integers(tall - rows + 1)), int(generator.integers(wide - columns + 1))
    squashed = picture.resize((wide, tall), RESAMPLING[preprocessing.interpolation])
    crop = squashed.crop((left, top, left + columns, top + rows))
    return ImageOps.mirror(crop) if generator.random() < 0.5 else crop
