"""A picture from outside -> the crop that the model sees -> the model's input.

    read_image(source)            -> RGB picture, upright, any size
    crop_image(picture, p)        -> the RGB crop that the model sees, p.input_size pixels
    input_tensor(crop, p)         -> (1, 3, H, W) float32, normalised

Nothing here trusts the file: format and size are read from the header before a pixel is decoded.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from bsig.inputs.errors import InputError, first_line

CropMode = Literal["center", "squash"]
Triple = tuple[float, float, float]

# MPO (several JPEGs in one file, as phones write them) is opened by Pillow's JPEG reader and has no name of its own.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MAX_PIXELS = 64_000_000
RESAMPLING = {name: Image.Resampling[name.upper()] for name in ("bicubic", "bilinear", "nearest")}
EXIF_ORIENTATION = 0x0112
_TURN = Image.Transpose
UPRIGHT_BY_ORIENTATION = {2: _TURN.FLIP_LEFT_RIGHT, 3: _TURN.ROTATE_180, 4: _TURN.FLIP_TOP_BOTTOM, 5: _TURN.TRANSPOSE,
                          6: _TURN.ROTATE_270, 7: _TURN.TRANSVERSE, 8: _TURN.ROTATE_90}  # fmt: skip


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the input of one backbone.

    Attributes:
        input_size_hw: rows and columns of the input, in pixels.
        resize_to: the shorter side before the centre crop, in pixels; the picture is then resized until it covers the
            input enlarged by as much. `crop_mode="squash"` does not use it.
        mean, std: per RGB channel, for values in [0, 1].
        interpolation: `bicubic`, `bilinear` or `nearest`.
        crop_mode: `center` resizes the shorter side to `resize_to` and cuts the middle out (timm's evaluation
            transform); `squash` resizes the whole picture to the input size (the localization protocol).
    """

    input_size_hw: tuple[int, int] = (224, 224)
    resize_to: int = 256
    mean: Triple = (0.5, 0.5, 0.5)
    std: Triple = (0.5, 0.5, 0.5)
    interpolation: str = "bicubic"
    crop_mode: CropMode = "center"


def read_image(source: Image.Image | str | Path | bytes, name: str | None = None) -> Image.Image:
    """The picture as upright 8-bit RGB: transparency lies on white, an animation gives its first frame.

    `source` is a PIL picture, a path, or the bytes of a file; messages call it `name`, by default its path.

    Raises:
        InputError: the file is not there, empty, no picture in one of `FORMATS`, cut short, or over `MAX_PIXELS`.
    """
    if isinstance(source, Image.Image):
        return _decoded(source, name or "the picture")
    name = name or (f"'{source}'" if not isinstance(source, bytes) else "the uploaded file")
    with _opened(source, name) as picture:  # an animation keeps its file open
        return _decoded(picture, name)


def header_problem(path: Path, name: str) -> str | None:
    """Why the file is no usable picture, or None; only its header is read, so that whole data sets can be checked."""
    try:
        with _opened(path, name) as picture:
            _check_size(picture, name)
    except InputError as error:
        return str(error)
    return None


def _opened(source: str | Path | bytes, name: str) -> Image.Image:
    """The picture with its header read and its pixels not."""
    file = _file(source, name)
    try:
        with warnings.catch_warnings():
            # Pillow's own limits on pixels speak of "decompression bombs"; `_check_size` says it in our words.
            warnings.simplefilter("ignore")
            return Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError:
        raise InputError(_too_large(name, "more than 170 million")) from None
    except Exception as error:
        # Pillow's readers raise a dozen kinds on damaged headers (struct.error, KeyError, zlib.error, ...).
        raise InputError(
            f"{name} is not a picture that can be opened ({_reason(error)}); use one of {', '.join(FORMATS)}."
        ) from error


def crop_image(picture: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """The RGB pixels that the model sees: `preprocessing.input_size_hw` rows and columns."""
    rows, columns = preprocessing.input_size_hw
    resample = RESAMPLING[preprocessing.interpolation]
    if preprocessing.crop_mode == "squash":
        return picture.resize((columns, rows), resample)
    # The crop in source pixels, resampled straight to the input: the same pixels as resizing the whole picture and
    # cutting the middle out, but a 1 x 60,000 strip never becomes 256 x 15 million. Sizes are cut off as torchvision
    # does it, not rounded, so that they are timm's (tests/inputs/test_images.py).
    shorter = min(rows, columns)
    # The picture covers the input enlarged by `resize_to / shorter`: of a square input its shorter side is `resize_to`.
    covered = [int(cut * preprocessing.resize_to / shorter) for cut in (columns, rows)]
    ruling = 0 if covered[0] * picture.height >= covered[1] * picture.width else 1
    (x0, left, right, x1), (y0, top, bottom, y1) = (
        _source_span(side, max(int(side * covered[ruling] / picture.size[ruling]), cut), cut)
        for side, cut in zip(picture.size, (columns, rows), strict=True)
    )
    box_xyxy = (left - x0, top - y0, right - x0, bottom - y0)
    return picture.crop((x0, y0, x1, y1)).resize((columns, rows), resample, box=box_xyxy)


def input_tensor(crop: Image.Image, preprocessing: Preprocessing) -> Float[Tensor, "1 3 H W"]:
    """The crop as normalised float32, `(value / 255 - mean) / std` per channel."""
    return input_batch([crop], preprocessing)


def input_batch(crops: Sequence[Image.Image], preprocessing: Preprocessing) -> Float[Tensor, "b 3 H W"]:
    """Several crops of one size as one normalised batch, with channels last in memory, which encoders take faster."""
    pixels = torch.from_numpy(np.stack([np.asarray(crop, dtype=np.uint8) for crop in crops]))
    mean = torch.tensor(preprocessing.mean)
    std = torch.tensor(preprocessing.std)
    return ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2)


def _source_span(side: int, resized: int, cut: int) -> tuple[int, float, float, int]:
    """First and last place of the middle `cut` of `resized` pixels along a side of the source, in source pixels.

    Around these two stand the whole pixels that resampling needs.
    """
    first = round((resized - cut) / 2)
    start, stop = first * side / resized, (first + cut) * side / resized
    # A resampling kernel reaches two pixels of the coarser grid to each side.
    reach = 2 * max(1.0, side / resized) + 1
    return max(0, math.floor(start - reach)), start, stop, min(side, math.ceil(stop + reach))


def _decoded(picture: Image.Image, name: str) -> Image.Image:
    """The picture as upright RGB, with its pixels read."""
    _check_size(picture, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture.load()
            return _upright_rgb(picture)
    except InputError:
        raise
    except Exception as error:
        # As above: every reader fails in its own way on a file that is cut short or damaged.
        raise InputError(
            f"{name} starts like a {picture.format or picture.mode} picture but cannot be decoded ({_reason(error)}); "
            "it may be cut short: save or download it again."
        ) from error


def _file(source: str | Path | bytes, name: str) -> io.BytesIO | Path:
    """What Pillow opens: bytes as a file, or the path of a file that is not empty."""
    try:
        is_folder = not isinstance(source, bytes) and Path(source).is_dir()
        size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    except (OSError, ValueError) as error:
        raise InputError(f"{name} cannot be read ({_reason(error)}); check the path.") from error
    if is_folder:
        raise InputError(f"{name} is a folder; give the path of one picture.")
    if size == 0:
        raise InputError(f"{name} is empty (0 bytes); choose a picture file.")
    return io.BytesIO(source) if isinstance(source, bytes) else Path(source)


def _check_size(picture: Image.Image, name: str) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise InputError(_too_large(name, f"{width} x {height} = {width * height / 1e6:.0f} million"))
    if width == 0 or height == 0:
        raise InputError(f"{name} has no pixels ({width} x {height}); choose a picture with at least one.")


def _too_large(name: str, pixels: str) -> str:
    return f"{name} has {pixels} pixels; the limit is {MAX_PIXELS // 1_000_000} million: make it smaller first."


def _upright_rgb(picture: Image.Image) -> Image.Image:
    # Not `ImageOps.exif_transpose`: it also rewrites the EXIF block, which fails on blocks that phones really write.
    turn = UPRIGHT_BY_ORIENTATION.get(picture.getexif().get(EXIF_ORIENTATION, 1))
    if turn is not None:
        picture = picture.transpose(turn)
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return _sixteen_bit_rgb(picture)
    if picture.mode == "F":
        raise InputError("a floating-point picture has no agreed white; save it with 8 or 16 bits a channel.")
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    # `copy` also where nothing changes: the caller's picture is never handed on, and file handles are let go.
    return picture.convert("RGB") if picture.mode != "RGB" else picture.copy()


def _sixteen_bit_rgb(picture: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits (65535 -> 255); Pillow's own conversion would clip at 255."""
    values = np.asarray(picture).astype(np.float64)
    grey = np.clip(np.rint(values / 257), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _reason(error: BaseException) -> str:
    text = first_line(error)
    return "unknown or damaged content" if text.startswith(("cannot identify", "no reason")) else text.rstrip(".")
