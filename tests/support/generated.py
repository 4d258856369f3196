"""Generated pictures of a few plain kinds, so that tests need no data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 210)}


def picture(kind: str, number: int, size_wh: tuple[int, int] = (48, 40)) -> Image.Image:
    """A patch of the kind's colour on noise; the same for the same kind and number."""
    generator = np.random.default_rng((list(COLOURS).index(kind), number))
    width, height = size_wh
    pixels = generator.integers(0, 90, (height, width, 3), dtype=np.uint8)
    top, left = generator.integers(0, height // 3), generator.integers(0, width // 3)
    pixels[top : top + height // 2, left : left + width // 2] = COLOURS[kind]
    return Image.fromarray(pixels)


def class_folders(root: Path, names: dict[str, str], count: int = 4) -> Path:
    """`root/NAME/0.png ...` with pictures of a kind for each name."""
    for name, kind in names.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture(kind, number).save(root / name / f"{number}.png")
    return root
