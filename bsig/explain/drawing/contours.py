"""The line around what a map marks above a threshold, and the box around its largest part."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw

from bsig.explain.drawing.heatmaps import upsampled_map
from bsig.inputs.errors import InputError


def threshold_region(
    map: Float[np.ndarray, "h w"], threshold_share: float, size_wh: tuple[int, int], *, smooth: bool = True
) -> tuple[Bool[np.ndarray, "H W"], tuple[int, int, int, int] | None]:
    """The region where the map is at least `threshold_share` of its maximum, and the box around its largest part.

    A mask at picture size, and (left, top, right, bottom) in pixels, right and bottom exclusive; an empty mask and None
    where the map has no positive value.

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
    outlined = Image.fromarray(pixels)
    _draw_dashed_box(ImageDraw.Draw(outlined), box_xyxy, thin)
    return outlined


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
