"""Maps become pictures: colour, overlay, contour, colour bar.

A map is a float array (h, w), signed, in logits: positive speaks for the class, negative against it. A picture of it
needs one more number, `limit`: the value, in the map's unit, at which the colour scale ends. Two pictures may be
compared only if they share it, so no function here looks for a limit of its own:

    limit = shared_limit(softmax_map, sigmoid_map)
    left, right = (overlay(crop, map, limit) for map in (softmax_map, sigmoid_map))

Two views. `positive`: from zero up to `limit`; everything below zero looks like zero. `signed`: from `-limit` to
`limit` with a diverging map, neutral at exactly zero. Nothing is stretched by a map's own minimum and maximum. In
an overlay |value| drives the opacity, so that where there is no evidence the photo is seen (Crameri et al. 2020, "The
misuse of colour in science communication"; Moreland 2009 for the diverging maps). Jet is not offered: its bands are
not in the data.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from bsig.inputs.errors import InputError

View = Literal["positive", "signed"]

SEQUENTIAL_COLORMAPS: dict[str, str] = {
    "inferno": "Inferno",
    "viridis": "Viridis",
    "cividis": "Cividis (made for colour-blind viewers)",
    "magma": "Magma",
    "turbo": "Turbo (the look of the literature; not perceptually uniform)",
}
DIVERGING_COLORMAPS: dict[str, str] = {
    "RdBu_r": "Red for, blue against",
    "PuOr_r": "Orange for, purple against",
}
COLORMAPS: dict[str, str] = {**SEQUENTIAL_COLORMAPS, **DIVERGING_COLORMAPS}
VIEWS: dict[View, str] = {
    "positive": "Evidence for the class, from zero up",
    "signed": "Evidence for and against, zero is neutral",
}

GREYED_SHARE = 0.6
"""How far the photo under an overlay is taken towards grey: 0 leaves its colours, 1 takes them all."""
OPAQUE_AT = 0.5
"""Share of the limit from which an overlay has its full opacity; below, opacity is proportional to |value|."""


def colormap_of(view: View, colormap: str | None = None) -> str:
    """The key of `COLORMAPS` that a view is drawn with: the one asked for where it suits the view, else its default.

    The signed view is always drawn with a diverging map, the positive one with a sequential map, so one choice on a
    screen can stay while the view changes.

    Raises:
        InputError: no such colour map or view.
    """
    if colormap is not None and colormap not in COLORMAPS:
        raise InputError(f"`colormap` (='{colormap}') must be one of {', '.join(COLORMAPS)}.")
    if view not in VIEWS:
        raise InputError(f"`view` (='{view}') must be one of {', '.join(VIEWS)}.")
    suitable = SEQUENTIAL_COLORMAPS if view == "positive" else DIVERGING_COLORMAPS
    return colormap if colormap in suitable else next(iter(suitable))


def shared_limit(*maps: Float[np.ndarray, ...], positive_only: bool = False) -> float:
    """The largest |value| over all maps, in their unit: where one scale for all of them ends. Zero for maps of zeros.

    Args:
        maps: any number of maps, of any sizes.
        positive_only: the largest value above zero instead, for the positive view.

    Raises:
        InputError: no map, or one that is not finite.
    """
    if not maps:
        raise InputError("`maps` (=none) must be at least one map.")
    tops = [np.max(map, initial=0) if positive_only else np.max(np.abs(map), initial=0) for map in _finite(*maps)]
    return float(max(tops))


def upsampled_map(
    map: Float[np.ndarray, "h w"], size_wh: tuple[int, int], *, smooth: bool = True
) -> Float[np.ndarray, "H W"]:
    """The map at picture size: float32, same unit and sign, never beyond the map's own minimum and maximum.

    Args:
        map: (h, w), signed.
        size_wh: columns and rows of the picture.
        smooth: bilinear between the centres of cells; else each cell as a block of one value, which claims no more
            resolution than the grid has. Bicubic is not offered: it overshoots and so invents evidence.

    Raises:
        InputError: the map is not finite or the size is not positive.
    """
    (values,) = _finite(map)
    if min(size_wh) < 1:
        raise InputError(f"`size_wh` (={size_wh}) must be at least 1 pixel each way.")
    resample = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    resized = np.asarray(Image.fromarray(values).resize(size_wh, resample))
    # The kernel's weights sum to one only up to rounding; a constant map must stay constant.
    return np.clip(resized, values.min(), values.max())


def difference_map(
    sigmoid_map: Float[np.ndarray, "h w"], softmax_map: Float[np.ndarray, "_ _"]
) -> Float[np.ndarray, "h w"]:
    """`sigmoid - softmax`, in logits: positive where the sigmoid branch claims more. Draw it in the signed view.

    Raises:
        InputError: the maps differ in size or are not finite.
    """
    if sigmoid_map.shape != softmax_map.shape:
        raise InputError(
            f"`sigmoid_map` (={sigmoid_map.shape}) must have the shape of `softmax_map` (={softmax_map.shape})."
        )
    sigmoid_map, softmax_map = _finite(sigmoid_map, softmax_map)
    return sigmoid_map - softmax_map


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
        map: (h, w), signed.
        limit: where the colour scale ends, in the map's unit; values beyond take its last colour.
        view: `positive` or `signed`.
        colormap: a key of `COLORMAPS`; the view's default where None or where it does not suit the view.
        size_wh: of the picture.
        smooth: see `upsampled_map`.

    Raises:
        InputError: a map that is not finite, a limit that is negative or zero beside a map that is not.
    """
    colours = _colours(view, colormap_of(view, colormap))
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
) -> Image.Image:
    """The map laid over the pixels that made it, RGB, at the crop's size; where the map is zero, `greyed(crop)`.

    Opacity is `heatmap_opacity * min(1, |value| / (OPAQUE_AT * limit))`. Resize the crop first for a larger picture.

    Args:
        crop: RGB, what the model saw.
        map: (h, w), signed.
        limit: where the colour scale ends, see `heatmap`.
        view: `positive` or `signed`.
        colormap: see `heatmap`.
        heatmap_opacity: 0 shows the photo alone, 1 hides it where evidence is strong.
        smooth: see `upsampled_map`.

    Raises:
        InputError: as `heatmap`, and an opacity outside [0, 1].
    """
    return overlay_on(
        greyed(crop), map, limit, view=view, colormap=colormap, heatmap_opacity=heatmap_opacity, smooth=smooth
    )


def overlay_on(
    backdrop: Image.Image,
    map: Float[np.ndarray, "h w"],
    limit: float,
    *,
    view: View = "positive",
    colormap: str | None = None,
    heatmap_opacity: float = 0.8,
    smooth: bool = True,
) -> Image.Image:
    """`overlay` on a crop that is `greyed` already: several maps over one crop share that work.

    Raises:
        InputError: as `overlay`.
    """
    if not 0 <= heatmap_opacity <= 1:
        raise InputError(f"`heatmap_opacity` (={heatmap_opacity}) must be between 0 and 1.")
    paint, keep = _paint(view, colormap_of(view, colormap), float(heatmap_opacity))
    index = _colour_index(map, limit, view, backdrop.size, smooth)
    mixed = keep.take(index, axis=0, mode="clip")  # in place from here on: the pixels are many, and this is a new array
    mixed *= np.asarray(backdrop)
    mixed += paint.take(index, axis=0, mode="clip")
    mixed >>= 8
    return Image.fromarray(mixed.astype(np.uint8))


def greyed(crop: Image.Image) -> Image.Image:
    """The photo with `GREYED_SHARE` of its colour taken out, so that colour means evidence."""
    photo = crop.convert("RGB")
    return Image.blend(photo, photo.convert("L").convert("RGB"), GREYED_SHARE)


def threshold_region(
    map: Float[np.ndarray, "h w"], threshold_share: float, size_wh: tuple[int, int], *, smooth: bool = True
) -> tuple[Bool[np.ndarray, "H W"], tuple[int, int, int, int] | None]:
    """Where the map is at least `threshold_share` of its maximum, and the box around the largest connected part.

    Returns:
        A mask at picture size, and the box as (left, top, right, bottom) in pixels, right and bottom exclusive; None
        where the map has no positive value, in which case the mask is empty.

    Raises:
        InputError: a share outside (0, 1] or a map that is not finite.
    """
    import cv2

    if not 0 < threshold_share <= 1:
        raise InputError(f"`threshold_share` (={threshold_share}) must be above 0 and at most 1.")
    values = upsampled_map(map, size_wh, smooth=smooth)
    if values.max() <= 0:
        return np.zeros(values.shape, dtype=bool), None
    # The maximum of the picture, not of the grid: bilinear values need not reach the grid's maximum.
    mask = values >= threshold_share * values.max()
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    left, top, width, height, _ = max(stats[1:].tolist(), key=lambda part: part[cv2.CC_STAT_AREA])
    return mask, (left, top, left + width, top + height)


def with_contour_and_box(
    picture: Image.Image,
    map: Float[np.ndarray, "h w"],
    threshold_share: float = 0.5,
    *,
    smooth: bool = True,
    box: bool = True,
) -> Image.Image:
    """The picture with the line around `threshold_region` and, dashed, its box; unchanged where nothing is positive.

    Each line is light on a wider dark one, so that it is seen on any photo and any colour map.

    Raises:
        InputError: as `threshold_region`.
    """
    import cv2

    mask, box_xyxy = threshold_region(map, threshold_share, picture.size, smooth=smooth)
    pixels = np.array(picture.convert("RGB"))
    if box_xyxy is None:
        return Image.fromarray(pixels)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    thin = max(1, round(min(picture.size) / 224))
    for colour, thickness in (((15, 15, 15), thin + 2), ((255, 255, 255), thin)):
        cv2.drawContours(pixels, contours, -1, colour, thickness, cv2.LINE_AA)
    drawn = Image.fromarray(pixels)
    if box:
        _draw_dashed_box(ImageDraw.Draw(drawn), box_xyxy, thin)
    return drawn


def _draw_dashed_box(draw: ImageDraw.ImageDraw, box_xyxy: tuple[int, int, int, int], thin: int) -> None:
    left, top, right, bottom = box_xyxy
    draw.rectangle((left, top, right - 1, bottom - 1), outline=(15, 15, 15), width=thin + 2)
    dash, inset = 5 * thin, 1
    for start in range(left, right, 2 * dash):
        for y in (top + inset, bottom - inset - thin):
            draw.rectangle((start, y, min(start + dash, right) - 1, y + thin - 1), fill=(255, 255, 255))
    for start in range(top, bottom, 2 * dash):
        for x in (left + inset, right - inset - thin):
            draw.rectangle((x, start, x + thin - 1, min(start + dash, bottom) - 1), fill=(255, 255, 255))


def _colour_index(
    map: Float[np.ndarray, "h w"], limit: float, view: View, size_wh: tuple[int, int], smooth: bool
) -> UInt8[np.ndarray, "H W"]:
    """Rows of `_colours` for each pixel: 0 to 255 for [0, limit]; 0 to 254, zero at 127, for [-limit, limit]."""
    if not (np.isfinite(limit) and limit >= 0):
        raise InputError(f"`limit` (={limit}) must be a finite number, zero or above; use `shared_limit`.")
    (values,) = _finite(map)
    if limit == 0 and shared_limit(values, positive_only=view == "positive") > 0:
        raise InputError("`limit` (=0) must be above zero for a map with values other than zero; use `shared_limit`.")
    # Divided on the grid, which is small, in float64 and short of float32's end: no limit, however small, overflows.
    with np.errstate(over="ignore"):
        shares = np.clip(values / np.float64(limit or 1), -1e30, 1e30).astype(np.float32)
    low, zero, steps = (0, 0, 255) if view == "positive" else (-1, 127, 127)
    shares = np.clip(upsampled_map(shares, size_wh, smooth=smooth), low, 1)
    return (zero + np.rint(shares * np.float32(steps))).astype(np.uint8)


@lru_cache(maxsize=16)
def _colours(view: View, colormap: str) -> UInt8[np.ndarray, "n 3"]:
    """RGB from one end of the scale to the other; an odd number for `signed`, so that zero has a colour of its own."""
    from matplotlib import colormaps

    count = 256 if view == "positive" else 255
    table = colormaps[colormap].resampled(count)(np.arange(count), bytes=True)
    return np.ascontiguousarray(table[:, :3])


@lru_cache(maxsize=64)
def _paint(view: View, colormap: str, heatmap_opacity: float) -> tuple[np.ndarray, np.ndarray]:
    """For each colour index, in 256ths: the colour times its opacity and a half to round, what is kept of the photo.

    Both (n, 3).
    """
    colours = _colours(view, colormap)
    shares = np.linspace(0, 1, 256) if view == "positive" else np.abs(np.linspace(-1, 1, 255))
    opacity = np.rint(256 * heatmap_opacity * np.minimum(1, shares / OPAQUE_AT)).astype(np.uint16)[:, None]
    return colours * opacity + np.uint16(128), np.repeat(256 - opacity, 3, axis=1)


def _finite(*maps: np.ndarray) -> list[np.ndarray]:
    """The maps as float32.

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
