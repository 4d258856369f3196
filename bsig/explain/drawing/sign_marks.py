"""Signs on signed maps: plus and minus on the cells that matter, for those who cannot tell the two colours apart.

A diverging map is as dark at one end as at the other, so on a grey print, or for an eye that sees no red, only the
signs say which side a place is on.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

MARKED_FROM = 0.2
"""Share of the limit from which a cell has a mark; below, its colour is close to neutral as well."""
LARGEST_GRID = 20
"""Cells along a side, above which marks would cover the picture."""


def with_sign_marks(picture: Image.Image, values: Float[np.ndarray, "h w"], limit: float) -> Image.Image:
    """A copy of the picture with a plus or a minus in the middle of each cell whose |value| is large enough.

    Args:
        picture: RGB, over which the map lies.
        values: the map, in its unit.
        limit: where the colour scale ends, in that unit; zero leaves the picture as it is.
    """
    marked = picture.copy()
    rows, columns = values.shape
    if limit <= 0 or max(rows, columns) > LARGEST_GRID:
        return marked
    height, width = picture.height / rows, picture.width / columns
    arm = max(2, round(min(height, width) / 10))
    draw = ImageDraw.Draw(marked)
    for row, column in np.argwhere(np.abs(values) >= MARKED_FROM * limit):
        x, y = round((column + 0.5) * width), round((row + 0.5) * height)
        _stroke(draw, (x - arm, y, x + arm, y), arm)
        if values[row, column] > 0:
            _stroke(draw, (x, y - arm, x, y + arm), arm)
            _stroke(draw, (x - arm, y, x + arm, y), arm, ink_only=True)
    return marked


def _stroke(draw: ImageDraw.ImageDraw, line: tuple[int, int, int, int], arm: int, *, ink_only: bool = False) -> None:
    """White with a dark edge: seen on every colour."""
    width = max(2, arm // 3)
    x0, y0, x1, y1 = line
    if not ink_only:
        box = (x0 - width, y0 - width, x1 + width, y1 + width)
        draw.rectangle(box, fill="#1b1f24")
    half = width // 2
    draw.rectangle((x0 - half, y0 - half, x1 + half, y1 + half), fill="#ffffff")
