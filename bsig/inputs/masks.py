"""A mask from outside -> where its object is, whatever tool has written it.

    encoding                                    object
    alpha that is not 255 everywhere            alpha above 0, whatever the colour
    palette (VOC, CVAT, GIF)                    index above 0, whatever the colour
    1, 8, 16 or 32 bits, RGB                    any value above 0 (Choe et al. 2020)
    JPEG                                        at least half of its largest value: JPEG blurs the background

Nothing is scaled to 8 bits first: id 1 of 65535 is an object.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image

from bsig.inputs.images import decoded_as_stored

Array = np.ndarray


def read_mask(source: str | Path | bytes, name: str) -> Bool[Array, "H W"]:
    """The object of the mask, in the mask's own pixels, upright by its own EXIF orientation if it has one.

    Raises:
        InputError: it cannot be read, as of `read_image`; messages call it `name`.
    """
    picture, turn = decoded_as_stored(source, name)
    with picture, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        objects = _objects(picture)
    if turn is None:
        return objects
    return np.asarray(Image.fromarray(objects).transpose(turn))


def _objects(picture: Image.Image) -> Bool[Array, "H W"]:
    alpha = _alpha(picture)
    if alpha is not None and (alpha < 255).any():
        return alpha > 0
    is_jpeg = picture.format == "JPEG"
    if picture.mode in ("RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"):
        picture = picture.convert("RGB")
    elif picture.mode in ("LA", "La", "PA"):
        picture = picture.getchannel(0)
    values = np.asarray(picture)
    if values.ndim == 3:
        values = values.max(axis=2)
    if is_jpeg:
        return values >= max(1, -(-int(values.max()) // 2))
    return values > 0


def _alpha(picture: Image.Image) -> np.ndarray | None:
    """The alpha of each pixel, 0 to 255; None where the encoding has none."""
    if "A" in picture.mode or "a" in picture.mode:
        return np.asarray(picture.getchannel(picture.getbands()[-1]))
    if "transparency" in picture.info and picture.mode in ("P", "L", "RGB", "1"):
        return np.asarray(picture.convert("RGBA").getchannel("A"))
    return None
