"""Maps over the whole picture at its own resolution, where the model may have seen a crop alone.

The map lies in the crop's box (`EncodedImage.crop_box_xyxy`), whose edges need not fall on whole pixels. A pixel has a
value where its centre is in the box; everywhere else the model saw nothing, and the map is NaN, not zero.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw

from bsig.explain.cams import Branch
from bsig.explain.drawing.colours import INK, PAPER
from bsig.explain.drawing.comparison import Drawing, shared_limit_of
from bsig.explain.drawing.heatmaps import overlay, shared_limit, with_sign_marks
from bsig.explain.drawing.interpolation import interpolation, pixels_inside
from bsig.explain.explanation import Explanation

UNSEEN_BRIGHTNESS = 0.35
"""How bright the photo is where the model saw nothing: between black and as it is."""


def whole_picture_map(explanation: Explanation, branch: Branch, *, smooth: bool = True) -> Float32[np.ndarray, "H W"]:
    """A branch's map at the whole picture's resolution: same unit and sign, NaN where the model saw nothing.

    `smooth` is bilinear between the centres of cells and constant beyond them; else each cell is a block of one value.

    Raises:
        InputError: the explanation does not know its picture.
    """
    encoded = explanation.require_encoded()
    width, height = encoded.picture_size_wh or encoded.crop.size
    left, top, right, bottom = encoded.crop_box_xyxy
    values = explanation.evidence(branch).map
    across = interpolation(left, right, width, values.shape[1], smooth)
    down = interpolation(top, bottom, height, values.shape[0], smooth)
    x, y = pixels_inside(left, right, width), pixels_inside(top, bottom, height)
    whole = np.full((height, width), np.nan, dtype=np.float32)
    # A row's weights sum to one only up to rounding; no value may lie beyond the map's own.
    whole[y.start : y.stop, x.start : x.stop] = np.clip(down @ values @ across.T, values.min(), values.max())
    return whole


def whole_picture_overlay(explanation: Explanation, branch: Branch, drawing: Drawing) -> Image.Image:
    """A branch's map over the whole picture, RGB, at the picture's size; what the model did not see is dark and framed.

    The scale is the one that all branches share, as in `branch_picture`. `overlay=False` and contours do not apply.

    Raises:
        InputError: the picture's source was not kept, or has changed.
    """
    encoded = explanation.require_encoded()
    picture = encoded.picture()
    values = explanation.evidence(branch).map
    whole = whole_picture_map(explanation, branch, smooth=drawing.smooth)
    left, top, right, bottom = encoded.crop_box_xyxy
    x, y = pixels_inside(left, right, picture.width), pixels_inside(top, bottom, picture.height)
    limit = shared_limit(values, view=drawing.view) if drawing.own_scale else shared_limit_of(explanation, drawing)
    crop = picture.crop((x.start, y.start, x.stop, y.stop))
    heatmap = overlay(
        crop, whole[y.start : y.stop, x.start : x.stop], limit, view=drawing.view, colormap=drawing.colormap,
        heatmap_opacity=drawing.heatmap_opacity,
    )  # fmt: skip
    if drawing.view == "signed":
        heatmap = with_sign_marks(heatmap, values, limit)
    if heatmap.size == picture.size:
        return heatmap
    letterboxed = Image.blend(Image.new("RGB", picture.size), picture.convert("L").convert("RGB"), UNSEEN_BRIGHTNESS)
    letterboxed.paste(heatmap, (x.start, y.start))
    _frame(letterboxed, (x.start, y.start, x.stop - 1, y.stop - 1))
    return letterboxed


def _frame(picture: Image.Image, box_xyxy: tuple[int, int, int, int]) -> None:
    """Draws a white line with a dark edge just outside the box."""
    draw, (x0, y0, x1, y1) = ImageDraw.Draw(picture), box_xyxy
    line = max(1, round(min(picture.size) / 300))
    for distance, colour in ((line, PAPER), (2 * line, INK)):
        draw.rectangle((x0 - distance, y0 - distance, x1 + distance, y1 + distance), outline=colour, width=line)
