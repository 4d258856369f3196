"""Maps become pictures: colour, overlay, signs.

A map is a float array (h, w), signed, in logits: positive speaks for the class, negative against it. A picture of it
needs one more number, `limit`: the value, in the map's unit, at which the colour scale ends. Two pictures may be
compared only if they share it, so no function here looks for a limit of its own:

    limit = shared_limit(softmax_map, sigmoid_map)
    left, right = (overlay(crop, map, limit) for map in (softmax_map, sigmoid_map))

Nothing is stretched by a map's own minimum and maximum. In an overlay |value| drives the opacity, so that where there
is no evidence the photo is seen.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from bsig.explain.drawing.colours import INK, PAPER, View, colormap_of, colour_table
from bsig.explain.drawing.interpolation import interpolation
from bsig.inputs.errors import InputError

GREYED_SHARE = 0.6
"""How far the photo under an overlay is taken towards grey: 0 leaves its colours, 1 takes them all."""
OPAQUE_AT = 0.5
"""Share of the limit from which an overlay has its full opacity; below, opacity is proportional to |value|."""
MARKED_FROM = 0.2
"""Share of the limit from which a cell has a mark; below, its colour is close to neutral as well."""
LARGEST_GRID = 20
"""Cells along a side, above which marks would cover the picture."""


def shared_limit(*maps: Float[np.ndarray, ...], view: View = "positive") -> float:
    """The end of one scale for all maps, in their unit: the largest value that the view shows; zero for maps of zeros.

    `positive` shows what lies above zero, so the largest value counts; in the `signed` view the largest |value| does.
    With the other view's limit a picture would be too dim: a map from -5 to 1 would end at 5.

    Raises:
        InputError: a map is not finite.
    """
    values = finite_maps(*maps)
    return float(max(np.max(map if view == "positive" else np.abs(map), initial=0) for map in values))


def upsampled_map(
    map: Float[np.ndarray, "h w"], size_wh: tuple[int, int], *, smooth: bool = True
) -> Float[np.ndarray, "H W"]:
    """The map at picture size: float32, same unit and sign, never beyond the map's own minimum and maximum.

    `smooth` is bilinear between the centres of cells; else each cell is a block of one value, which claims no more
    resolution than the grid has. Bicubic is not offered: it overshoots and so invents evidence.

    Raises:
        InputError: the map is not finite.
    """
    (values,) = finite_maps(map)
    (width, height), (rows, columns) = size_wh, values.shape
    down, across = interpolation(0, height, height, rows, smooth), interpolation(0, width, width, columns, smooth)
    # The weights of a pixel sum to one only up to rounding; a constant map must stay constant.
    return np.clip(down @ values @ across.T, values.min(), values.max())


def heatmap(
    map: Float[np.ndarray, "h w"],
    limit: float,
    *,
    view: View = "positive",
    colormap: str | None = None,
    size_wh: tuple[int, int] = (448, 448),
    smooth: bool = True,
) -> Image.Image:
    """The map in colours, RGB, without the photo.

    Args:
        map: signed.
        limit: where the colour scale ends, in the map's unit; values beyond take its last colour.
        view: `positive` or `signed`.
        colormap: see `colormap_of`.
        size_wh: of the picture.
        smooth: see `upsampled_map`.

    Raises:
        InputError: a map that is not finite, a limit that is negative or zero beside a map that is not.
    """
    colours = colour_table(view, colormap_of(view, colormap))
    return Image.fromarray(colours.take(_colour_index(map, limit, view, size_wh, smooth), axis=0))


def overlay(
    crop: Image.Image,
    map: Float[np.ndarray, "h w"],
    limit: float,
    *,
    view: View = "positive",
    colormap: str | None = None,
    heatmap_opacity: float = 0.8,
    smooth: bool = True,
    is_greyed: bool = False,
) -> Image.Image:
    """The map laid over the pixels that made it, RGB, at the crop's size; where the map is zero, `greyed(crop)`.

    Opacity is `heatmap_opacity * min(1, |value| / (OPAQUE_AT * limit))`. Resize the crop first for a larger picture.

    Args:
        crop: RGB, what the model saw.
        map, limit, view, colormap, smooth: see `heatmap`.
        heatmap_opacity: 0 shows the photo alone, 1 hides it where evidence is strong.
        is_greyed: the crop is `greyed` already; several maps over one crop share that work.

    Raises:
        InputError: as `heatmap`, and an opacity outside [0, 1].
    """
    if not 0 <= heatmap_opacity <= 1:
        raise InputError(f"`heatmap_opacity` (={heatmap_opacity}) must be between 0 and 1.")
    paint, keep = overlay_table(view, colormap_of(view, colormap), float(heatmap_opacity))
    backdrop = crop if is_greyed else greyed(crop)
    index = _colour_index(map, limit, view, backdrop.size, smooth).astype(np.intp)
    photo, share = np.asarray(backdrop), keep[:, 0].take(index, mode="clip")
    picture = np.empty_like(photo)
    for channel in range(3):  # channel by channel: ten times as fast as all three beside each other
        values = photo[..., channel] * share
        values += paint[:, channel].take(index, mode="clip")
        values >>= 8
        picture[..., channel] = values
    return Image.fromarray(picture)


def greyed(crop: Image.Image) -> Image.Image:
    """The photo with `GREYED_SHARE` of its colour taken out, so that colour means evidence."""
    photo = crop.convert("RGB")
    return Image.blend(photo, photo.convert("L").convert("RGB"), GREYED_SHARE)


def with_sign_marks(picture: Image.Image, values: Float[np.ndarray, "h w"], limit: float) -> Image.Image:
    """A copy of the picture with a plus or a minus in the middle of each cell whose |value| is large enough.

    A diverging map is as dark at one end as at the other: on a grey print, or for an eye that sees no red, only these
    signs say which side a place is on. A limit of zero leaves the picture as it is.
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
    """Draws a white stroke with a dark edge, which is seen on every colour."""
    width = max(2, arm // 3)
    x0, y0, x1, y1 = line
    if not ink_only:
        draw.rectangle((x0 - width, y0 - width, x1 + width, y1 + width), fill=INK)
    half = width // 2
    draw.rectangle((x0 - half, y0 - half, x1 + half, y1 + half), fill=PAPER)


def _colour_index(
    map: Float[np.ndarray, "h w"], limit: float, view: View, size_wh: tuple[int, int], smooth: bool
) -> UInt8[np.ndarray, "H W"]:
    """The row of `colour_table` for each pixel: 0 to 255 for [0, limit]; 0 to 254, zero at 127, for [-limit, limit]."""
    if not (np.isfinite(limit) and limit >= 0):
        raise InputError(f"`limit` (={limit}) must be a finite number, zero or above; use `shared_limit`.")
    (values,) = finite_maps(map)
    if limit == 0 and shared_limit(values, view=view) > 0:
        raise InputError("`limit` (=0) must be above zero for a map with values other than zero; use `shared_limit`.")
    # Divided on the grid, which is small, in float64 and short of float32's end: no limit, however small, overflows.
    with np.errstate(over="ignore"):
        shares = np.clip(values / np.float64(limit or 1), -1e30, 1e30).astype(np.float32)
    low, zero, steps = (0, 0, 255) if view == "positive" else (-1, 127, 127)
    shares = np.clip(upsampled_map(shares, size_wh, smooth=smooth), low, 1)
    return (zero + np.rint(shares * np.float32(steps))).astype(np.uint8)


@lru_cache(maxsize=64)
def overlay_table(view: View, colormap: str, heatmap_opacity: float) -> tuple[np.ndarray, np.ndarray]:
    """An overlay's two tables by colour index, (n, 3): pixel = (photo * keep[index] + paint[index]) >> 8.

    In 256ths: `paint` is the colour times its opacity and a half to round, `keep` the photo's share.
    """
    colours = colour_table(view, colormap)
    shares = np.linspace(0, 1, 256) if view == "positive" else np.abs(np.linspace(-1, 1, 255))
    opacity = np.rint(256 * heatmap_opacity * np.minimum(1, shares / OPAQUE_AT)).astype(np.uint16)[:, None]
    return colours * opacity + np.uint16(128), np.repeat(256 - opacity, 3, axis=1)


def finite_maps(*maps: np.ndarray) -> list[np.ndarray]:
    """The maps as float32 arrays.

    Raises:
        InputError: a map is empty or holds a number that is not finite.
    """
    for map in maps:
        wrong = int(np.size(map) - np.isfinite(map).sum())
        if wrong:
            kind = "NaN" if np.isnan(map).any() else "infinite"
            raise InputError(f"`map` (={kind} in {wrong} of {np.size(map)} cells) must hold finite numbers only.")
        if not np.size(map):
            raise InputError(f"`map` (=shape {np.shape(map)}) must have at least one cell.")
    return [np.asarray(map, dtype=np.float32) for map in maps]
