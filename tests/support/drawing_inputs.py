"""Photos and maps to draw, and the pixels of what was drawn."""

from __future__ import annotations

import numpy as np
from PIL import Image


def photo(size_wh: tuple[int, int] = (3, 1), seed: int = 0) -> Image.Image:
    """A picture of random colours."""
    width, height = size_wh
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def grid(seed: int = 0, size_hw: tuple[int, int] = (5, 7)) -> np.ndarray:
    """A map of random values of both signs."""
    return np.random.default_rng(seed).normal(size=size_hw).astype(np.float32)


def pixels(picture: Image.Image) -> list[tuple[int, ...]]:
    """The RGB values in reading order."""
    return [tuple(int(value) for value in pixel) for pixel in np.asarray(picture.convert("RGB")).reshape(-1, 3)]
