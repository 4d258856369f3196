"""A picture from outside -> the crop that the model sees.

    read_image(source)            -> RGB picture, upright, any size
    crop_image(picture, p)        -> the RGB crop that the model sees, p.input_size pixels
    crop_box_xyxy(size_wh, p)     -> where that crop lies in the picture

Nothing here trusts the file: format and size are read from the header before a pixel is decoded. The crop becomes the
model's input in `bsig.inputs.tensors`; here nothing needs torch, so that a bad picture is refused at once.
"""

from __future__ import annotations

import importlib
import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from bsig.inputs.errors import InputError, first_line

CropMode = Literal["center", "squash"]
Triple = tuple[float, float, float]
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
"""Of the pixels of ImageNet's training pictures, R G B: what most published networks expect."""

# All that Pillow reads whose size stands in the header and whose pixels its C code decodes. Left out are formats that
# run another program (EPS), hide a picture of another size (ICO), or are decoded in Python, for minutes (QOI, DDS).
# MPO (several JPEGs in one file, as phones write them) is opened by Pillow's JPEG reader and has no name of its own.
SAFE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM", "PCX", "DIB", "TGA")
with suppress(ImportError):
    importlib.import_module("pillow_heif").register_heif_opener()
Image.init()  # names the formats that this Pillow was built with
FORMATS = tuple(form for form in SAFE_FORMATS if form in Image.OPEN)
SUFFIXES = frozenset(suffix for suffix, form in Image.registered_extensions().items() if form in FORMATS)
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
MAX_PIXELS = 64_000_000
MAX_SCANNED_PIXELS = 20 * MAX_PIXELS  # two seconds of decoding; a usual progressive JPEG has 10 scans
START_OF_SCAN = b"\xff\xda"
STRIP_PIXELS, BLOCK = 2**20, 2**20
BYTE_WHITE, DEEP_WHITE = 255, 65535
RESAMPLING = {name: Image.Resampling[name.upper()] for name in ("bicubic", "bilinear", "nearest")}
EXIF_ORIENTATION = 0x0112
_TURN = Image.Transpose
QUARTER_TURNS = (_TURN.TRANSPOSE, _TURN.ROTATE_270, _TURN.TRANSVERSE, _TURN.ROTATE_90)
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
        _check_scans(picture, source, name)
        return _decoded(picture, name)


def header_problem(path: Path, name: str) -> str | None:
    """Why the file is no usable picture, or None; only its header is read, so that whole data sets can be checked."""
    try:
        with _opened(path, name) as picture:
            _check_size(picture, name)
    except InputError as error:
        return str(error)
    return None


def stored_turn(source: str | Path | bytes, name: str) -> Image.Transpose | None:
    """The turn by which `read_image` makes the stored pixels upright; None where they are.

    Raises:
        InputError: the header breaks a rule of `read_image`.
    """
    with _opened(source, name) as picture:
        return _turn_of(picture)


def turned_point(x: float, y: float, size_wh: tuple[int, int], turn: Image.Transpose) -> tuple[float, float]:
    """The position of a point of a picture of that size after `picture.transpose(turn)`."""
    width, height = size_wh
    return {
        Image.Transpose.FLIP_LEFT_RIGHT: (width - x, y),
        Image.Transpose.ROTATE_180: (width - x, height - y),
        Image.Transpose.FLIP_TOP_BOTTOM: (x, height - y),
        Image.Transpose.TRANSPOSE: (y, x),
        Image.Transpose.ROTATE_270: (height - y, x),
        Image.Transpose.TRANSVERSE: (height - y, width - x),
        Image.Transpose.ROTATE_90: (y, width - x),
    }[turn]


def is_heif(source: str | Path | bytes) -> bool:
    """Whether the file begins like a HEIC or HEIF picture, which Pillow reads with pillow-heif alone."""
    if isinstance(source, bytes):
        start = source[:12]
    else:
        try:
            with Path(source).open("rb") as file:
                start = file.read(12)
        except OSError:
            return False
    return start[4:8] == b"ftyp" and start[8:] in HEIF_BRANDS


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
        if "HEIF" not in FORMATS and is_heif(source):
            raise InputError(
                f"{name} is a HEIC picture, which needs pillow-heif: pip install pillow-heif, or save it as JPEG."
            ) from error
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
    # cutting the middle out, but a 1 x 60,000 strip never becomes 256 x 15 million.
    (x0, left, right, x1), (y0, top, bottom, y1) = _source_spans(picture.size, preprocessing)
    box_xyxy = (left - x0, top - y0, right - x0, bottom - y0)
    return picture.crop((x0, y0, x1, y1)).resize((columns, rows), resample, box=box_xyxy)


def crop_box_xyxy(size_wh: tuple[int, int], preprocessing: Preprocessing) -> tuple[float, float, float, float]:
    """Where the crop that the model sees lies in a picture of this size: left, top, right, bottom, in its pixels.

    A centre crop need not start on a whole pixel. `squash` sees the whole picture.
    """
    if preprocessing.crop_mode == "squash":
        return (0.0, 0.0, float(size_wh[0]), float(size_wh[1]))
    (_, left, right, _), (_, top, bottom, _) = _source_spans(size_wh, preprocessing)
    return (left, top, right, bottom)


def _source_spans(size_wh: tuple[int, int], preprocessing: Preprocessing) -> list[tuple[int, float, float, int]]:
    """`_source_span` of the centre crop along x and along y.

    Sizes are cut off as torchvision does it, not rounded, so that they are timm's (tests/inputs/test_images.py).
    """
    rows, columns = preprocessing.input_size_hw
    shorter = min(rows, columns)
    # The picture covers the input enlarged by `resize_to / shorter`: of a square input its shorter side is `resize_to`.
    covered = [int(cut * preprocessing.resize_to / shorter) for cut in (columns, rows)]
    ruling = 0 if covered[0] * size_wh[1] >= covered[1] * size_wh[0] else 1
    return [
        _source_span(side, max(int(side * covered[ruling] / size_wh[ruling]), cut), cut)
        for side, cut in zip(size_wh, (columns, rows), strict=True)
    ]


def _source_span(side: int, resized: int, cut: int) -> tuple[int, float, float, int]:
    """First and last place of the middle `cut` of `resized` pixels along a side of the source, in source pixels.

    Around these two stand the whole pixels that resampling needs.
    """
    first = round((resized - cut) / 2)
    start, stop = first * side / resized, (first + cut) * side / resized
    # A resampling kernel reaches two pixels of the coarser grid to each side.
    reach = 2 * max(1.0, side / resized) + 1
    return max(0, math.floor(start - reach)), start, stop, min(side, math.ceil(stop + reach))


def decoded_as_stored(source: str | Path | bytes, name: str) -> tuple[Image.Image, Image.Transpose | None]:
    """The picture in the mode, values and direction that it is stored in, decoded, and the turn that makes it upright.

    Raises:
        InputError: as of `read_image`.
    """
    picture = _opened(source, name)
    turn = _turn_of(picture)
    with _decoding(picture, name):
        picture.load()
        # Pillow turns a TIFF while it loads it.
        return picture, turn if _turn_of(picture) == turn else None


def has_deep_colours(source: str | Path | bytes, name: str) -> bool:
    """Whether the file has several channels of 16 bits, of which Pillow keeps the upper 8; one is kept as it is.

    Raises:
        InputError: as of `stored_turn`.
    """
    with _opened(source, name) as picture:
        if len(picture.getbands()) == 1:
            return False
        for decoder, _, _, arguments in getattr(picture, "tile", ()):
            raw_mode, *others = arguments if isinstance(arguments, tuple) else (arguments,)
            if ";16" in str(raw_mode) or (decoder.startswith("ppm") and others[0] > BYTE_WHITE):
                return True
    return False


def _decoded(picture: Image.Image, name: str) -> Image.Image:
    """The picture as upright RGB, with its pixels read."""
    with _decoding(picture, name):
        picture.load()
        return _upright_rgb(picture)


@contextmanager
def _decoding(picture: Image.Image, name: str) -> Iterator[None]:
    """Runs a block that decodes a picture of a size that is allowed; what fails there is said in one sentence."""
    _check_size(picture, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except Exception as error:
        # Every reader fails in its own way on a file that is cut short or damaged.
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


def _check_scans(picture: Image.Image, source: str | Path | bytes, name: str) -> None:
    """Refuses a JPEG of many scans: each, also an empty one of ten bytes, is a pass over all pixels.

    Their number is the number of their markers, which cannot stand inside a scan (ITU T.81, B.1.1.5). Those of a
    thumbnail count as well; they are few.
    """
    if picture.format not in ("JPEG", "MPO"):
        return
    width, height = picture.size
    scans = _count_in(source, START_OF_SCAN)
    if scans * width * height > MAX_SCANNED_PIXELS:
        raise InputError(
            f"{name} is a JPEG of {scans} scans over {width} x {height} pixels, which takes too long to decode; save "
            "it again, not progressive."
        )


def _count_in(source: str | Path | bytes, mark: bytes) -> int:
    """How often two bytes stand in a file."""
    if isinstance(source, bytes):
        return source.count(mark)
    count, last = 0, b""
    with Path(source).open("rb") as stream:
        while block := stream.read(BLOCK):
            count += (last + block).count(mark)
            last = block[-1:]
    return count


def _too_large(name: str, pixels: str) -> str:
    return f"{name} has {pixels} pixels; the limit is {MAX_PIXELS // 1_000_000} million: make it smaller first."


def _upright_rgb(picture: Image.Image) -> Image.Image:
    # Not `ImageOps.exif_transpose`: it also rewrites the EXIF block, which fails on blocks that phones really write.
    turn, form = _turn_of(picture), picture.format
    if turn is not None:
        picture = picture.transpose(turn)
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return _deep_grey_rgb(picture, form)
    if picture.mode == "F":
        raise InputError("a floating-point picture has no agreed white; save it with 8 or 16 bits a channel.")
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return _on_white(picture)
    # `copy` also where nothing changes: the caller's picture is never handed on, and file handles are let go.
    return picture.convert("RGB") if picture.mode != "RGB" else picture.copy()


def _turn_of(picture: Image.Image) -> Image.Transpose | None:
    return UPRIGHT_BY_ORIENTATION.get(picture.getexif().get(EXIF_ORIENTATION, 1))


def _deep_grey_rgb(picture: Image.Image, form: str | None) -> Image.Image:
    """Grey of 16 or 32 bits in 8 bits; Pillow's own conversion would clip at 255.

    White is 65535, which Pillow scales a PPM to. Other whole numbers of 32 bits have no white of their own: where none
    is above 255, that is white.
    """
    largest = max(int(np.asarray(picture.crop(box)).max()) for box in _strips(picture))
    if picture.mode == "I" and largest > DEEP_WHITE:
        raise InputError(f"whole numbers up to {largest} have no agreed white; save it with 8 or 16 bits.")
    has_bytes = picture.mode == "I" and form != "PPM" and largest <= BYTE_WHITE
    grey = Image.new("L", picture.size)
    for box in _strips(picture):
        values = np.asarray(picture.crop(box)).astype(np.float64) / (1 if has_bytes else DEEP_WHITE / BYTE_WHITE)
        grey.paste(Image.fromarray(np.clip(np.rint(values), 0, BYTE_WHITE).astype(np.uint8)), box)
    return grey.convert("RGB")


def _on_white(picture: Image.Image) -> Image.Image:
    """The picture with white wherever it is transparent."""
    opaque = Image.new("RGB", picture.size)
    for box in _strips(picture):
        layer = picture.crop(box).convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        opaque.paste(Image.alpha_composite(white, layer).convert("RGB"), box)
    return opaque


def _strips(picture: Image.Image) -> list[tuple[int, int, int, int]]:
    """Boxes of whole rows that make up the picture: what is computed on each takes little memory."""
    width, height = picture.size
    rows = max(1, STRIP_PIXELS // width)
    return [(0, top, width, min(height, top + rows)) for top in range(0, height, rows)]


def _reason(error: BaseException) -> str:
    text = first_line(error)
    return "unknown or damaged content" if text.startswith(("cannot identify", "no reason")) else text.rstrip(".")
