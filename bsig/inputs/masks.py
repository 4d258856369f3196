"""A mask from outside -> where its object is, whatever tool has written it.

    encoding                                    object
    alpha that is not 255 everywhere            alpha above 0, whatever the colour
    palette (VOC, CVAT, GIF)                    index above 0, whatever the colour
    1, 8, 16 or 32 bits, grey or colours        any value above 0 (Choe et al. 2020)
    JPEG, lossy WebP                            at least half of its largest value: they blur the background
    JPEG 2000, AVIF, HEIC                       above 0; refused where blur cannot be told from small numbers

Nothing is scaled to 8 bits first: id 1 of 65535 is an object.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped
from PIL import Image

from bsig.inputs.errors import InputError
from bsig.inputs.images import decoded_as_stored, has_deep_colours

Array = np.ndarray
# Which of these are lossy stands in no header.
PERHAPS_LOSSY = ("JPEG2000", "AVIF", "HEIF")


def read_mask(source: str | Path | bytes, name: str) -> Bool[Array, "H W"]:
    """The object of the mask, in the mask's own pixels, upright by its own EXIF orientation if it has one.

    Raises:
        InputError: it cannot be read, as of `read_image`, or may be blurred; messages call it `name`.
    """
    picture, turn = decoded_as_stored(source, name)
    with picture, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        objects = _objects(picture, source, name)
    if turn is None:
        return objects
    return np.asarray(Image.fromarray(objects).transpose(turn))


def _objects(picture: Image.Image, source: str | Path | bytes, name: str) -> Bool[Array, "H W"]:
    values, alpha = _deep_values(source, name) if has_deep_colours(source, name) else _values(picture)
    if alpha is not None and (alpha < np.iinfo(alpha.dtype).max).any():
        return alpha > 0
    if values.ndim == 3:
        values = values.max(axis=2)
    largest = values.max()
    is_upper_half = values >= largest / 2 if largest > 0 else np.zeros_like(values, dtype=bool)
    if picture.format == "JPEG" or (picture.format == "WEBP" and _is_lossy_webp(source)):
        return is_upper_half
    objects = values > 0
    if picture.format in PERHAPS_LOSSY and (objects != is_upper_half).any():
        raise InputError(
            f"{name} is a {picture.format} picture with values between 0 and half of {largest}: numbers of small "
            "objects, or the blur of compression; save it as PNG."
        )
    return objects


def _values(picture: Image.Image) -> tuple[Shaped[Array, "H W *c"], np.ndarray | None]:
    """The values of the colours or of the index, and the alpha; None where the encoding has none."""
    alpha = _alpha(picture)
    if picture.mode in ("RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"):
        picture = picture.convert("RGB")
    elif picture.mode in ("LA", "La", "PA"):
        picture = picture.getchannel(0)
    return np.asarray(picture), alpha


def _deep_values(source: str | Path | bytes, name: str) -> tuple[Shaped[Array, "H W *c"], np.ndarray | None]:
    """The same of a picture with several channels of 16 bits, which Pillow would cut down to 8."""
    import cv2  # only here: few masks are of this kind

    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16:
        raise InputError(f"{name} has several channels of 16 bits that cannot be read in full; save it as grey PNG.")
    is_opaque = stored.ndim == 2 or stored.shape[2] != 4
    return (stored, None) if is_opaque else (stored[:, :, :3], stored[:, :, 3])


def _is_lossy_webp(source: str | Path | bytes) -> bool:
    """Whether the first picture of a WebP file is stored as VP8, which is lossy, and not as VP8L.

    The file is a RIFF: chunks of four letters, a length and the content; a frame of an animation has its own within.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else io.BytesIO(Path(source).read_bytes())
    stream.seek(12)
    while len(head := stream.read(8)) == 8:
        kind, length = head[:4], int.from_bytes(head[4:], "little")
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8 "
        stream.seek(16 if kind == b"ANMF" else length + length % 2, io.SEEK_CUR)
    return False


def _alpha(picture: Image.Image) -> np.ndarray | None:
    """The alpha of each pixel, 0 to 255; None where the encoding has none."""
    if "A" in picture.mode or "a" in picture.mode:
        return np.asarray(picture.getchannel(picture.getbands()[-1]))
    if "transparency" in picture.info and picture.mode in ("P", "L", "RGB", "1"):
        return np.asarray(picture.convert("RGBA").getchannel("A"))
    return None
