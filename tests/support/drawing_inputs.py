"""Photos and maps to draw, and the pixels of what was drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

DrawnText = tuple[str, tuple[float, float, float, float]]


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


def recorded_texts(monkeypatch: pytest.MonkeyPatch) -> list[DrawnText]:
    """Every text that is drawn from now on, with the box of its letters; it is drawn all the same."""
    texts: list[DrawnText] = []
    draw_text = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, xy: tuple[float, float], words: str, **options: Any) -> None:
        texts.append((words, self.textbbox(xy, words, font=options["font"], anchor=options.get("anchor"))))
        draw_text(self, xy, words, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return texts
