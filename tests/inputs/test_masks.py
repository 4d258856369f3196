"""A mask means the same object in every encoding that labelling tools write."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsig.inputs.errors import InputError
from bsig.inputs.masks import read_mask

OBJECT = np.zeros((17, 23), bool)
OBJECT[3:11, 5:19] = True
ONE = OBJECT.astype(np.uint8)
ZERO = 0 * ONE


def with_palette(values: np.ndarray, *colours: int) -> Image.Image:
    picture = Image.fromarray(values).convert("P")
    picture.putpalette([*colours, *([0] * (768 - len(colours)))])
    return picture


def channels(*values: np.ndarray, mode: str) -> Image.Image:
    return Image.merge(mode, [Image.fromarray(value) for value in values])


ENCODINGS: dict[str, tuple[str, Callable[[], Image.Image]]] = {
    "0 and 1": ("PNG", lambda: Image.fromarray(ONE)),
    "0 and 255": ("PNG", lambda: Image.fromarray(255 * ONE)),
    "one bit": ("PNG", lambda: Image.fromarray(OBJECT)),
    "palette": ("PNG", lambda: with_palette(ONE, 0, 0, 0, 128, 0, 0)),
    "palette whose object is black on white": ("PNG", lambda: with_palette(ONE, 255, 255, 255, 0, 0, 0)),
    "palette of an animation": ("GIF", lambda: with_palette(ONE, 0, 0, 0, 200, 0, 0)),
    "red": ("PNG", lambda: channels(255 * ONE, ZERO, ZERO, mode="RGB")),
    "red on transparent": ("PNG", lambda: channels(255 * ONE, ZERO, ZERO, 255 * ONE, mode="RGBA")),
    "black on transparent": ("PNG", lambda: channels(ZERO, ZERO, ZERO, 255 * ONE, mode="RGBA")),
    "black on transparent white": ("PNG", lambda: channels(255 - 255 * ONE, 255 * ONE, mode="LA")),
    "half transparent": ("PNG", lambda: channels(ZERO, ZERO, ZERO, 3 * ONE, mode="RGBA")),
    "opaque everywhere": ("PNG", lambda: channels(255 * ONE, ZERO, ZERO, ZERO + 255, mode="RGBA")),
    "grey, opaque everywhere": ("PNG", lambda: channels(ONE, ZERO + 255, mode="LA")),
    "id 1 of 16 bits": ("PNG", lambda: Image.fromarray(OBJECT.astype(np.uint16))),
    "65535 of 16 bits": ("PNG", lambda: Image.fromarray(65535 * OBJECT.astype(np.uint16))),
    "id 256 of 16 bits": ("TIFF", lambda: Image.fromarray(256 * OBJECT.astype(np.uint16))),
    "id 1 of 32 bits": ("TIFF", lambda: Image.fromarray(OBJECT.astype(np.int32))),
    "id 70000 of 32 bits": ("TIFF", lambda: Image.fromarray(70_000 * OBJECT.astype(np.int32))),
    "floating point": ("TIFF", lambda: Image.fromarray(0.25 * OBJECT.astype(np.float32))),
}


def file_of(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_object_is_the_same_in_every_encoding(encoding: str, tmp_path: Path) -> None:
    form, make = ENCODINGS[encoding]
    (tmp_path / "mask").write_bytes(file_of(make(), form))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask", "the mask"), OBJECT)


def test_a_transparent_index_of_a_palette_is_the_background() -> None:
    content = file_of(with_palette(1 - ONE, 10, 0, 0, 0, 0, 0), "PNG", transparency=1)
    np.testing.assert_array_equal(read_mask(content, "the mask"), OBJECT)


def test_the_blur_of_a_jpeg_is_no_object() -> None:
    """Any value above 0 would add a third to this object."""
    content = file_of(Image.fromarray(255 * ONE), "JPEG", quality=70)
    assert (np.asarray(Image.open(io.BytesIO(content))) > 0).mean() > 1.3 * OBJECT.mean()
    np.testing.assert_array_equal(read_mask(content, "the mask"), OBJECT)


def lossy_webp(picture: Image.Image) -> bytes:
    return file_of(picture, "WEBP", quality=60)


def test_the_blur_of_a_lossy_webp_is_no_object_and_a_small_id_of_a_lossless_one_is() -> None:
    large = np.kron(255 * ONE, np.ones((8, 8), np.uint8))
    content = lossy_webp(Image.fromarray(large))
    assert (np.asarray(Image.open(io.BytesIO(content)).convert("L")) > 0).sum() > 1.01 * (large > 0).sum()
    np.testing.assert_array_equal(read_mask(content, "the mask"), large > 0)
    two_ids = channels(ONE + 199 * ONE * (np.arange(23) > 11).astype(np.uint8), ZERO, ZERO, mode="RGB")
    np.testing.assert_array_equal(read_mask(file_of(two_ids, "WEBP", lossless=True, exact=True), "the mask"), OBJECT)


def test_a_mask_that_may_be_blurred_is_refused_and_a_plain_one_of_the_same_format_is_read() -> None:
    large = np.kron(255 * ONE, np.ones((8, 8), np.uint8))
    np.testing.assert_array_equal(read_mask(file_of(Image.fromarray(large), "JPEG2000"), "the mask"), large > 0)
    blurred = file_of(Image.fromarray(large), "JPEG2000", quality_mode="rates", quality_layers=[60], irreversible=True)
    with pytest.raises(InputError, match="the mask is a JPEG2000 picture with values between 0 and half of"):
        read_mask(blurred, "the mask")


def sixteen_bits(*values: np.ndarray, of: str) -> bytes:
    """A PNG or TIFF file with these channels of 16 bits: grey and alpha, or red, green, blue (and alpha)."""
    import cv2

    order = values if len(values) == 2 else (*values[2::-1], *values[3:])
    if len(values) != 2:
        return cv2.imencode(f".{of}", np.stack(order, axis=2).astype(np.uint16))[1].tobytes()
    rows, columns = values[0].shape  # OpenCV writes no grey with alpha
    lines = np.stack(values, axis=2).astype(">u2").reshape(rows, -1)
    pixels = b"".join(b"\0" + line.tobytes() for line in lines)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", columns, rows, 16, 4, 0, 0, 0)), (b"IDAT", zlib.compress(pixels)),
              (b"IEND", b""))  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


OPAQUE = np.full(OBJECT.shape, 65535)


@pytest.mark.parametrize(
    ("channels_of", "form"),
    [((ONE, ZERO, ZERO), "png"), ((ZERO, ZERO, ONE), "tiff"), ((256 * OBJECT, ZERO, ZERO), "png"),
     ((ONE, ZERO, ZERO, OPAQUE), "png"), ((ZERO, ZERO, ZERO, ONE), "png"), ((ONE, OPAQUE), "png"),
     ((ZERO, ONE), "png")],
)  # fmt: skip
def test_id_1_of_16_bits_is_an_object_in_several_channels_too(channels_of: tuple[np.ndarray, ...], form: str) -> None:
    content = sixteen_bits(*channels_of, of=form)
    np.testing.assert_array_equal(read_mask(content, "the mask"), OBJECT)


def test_a_deep_ppm_is_read_in_full() -> None:
    pixels = np.stack([ONE, ZERO, ZERO], axis=2).astype(">u2").tobytes()
    np.testing.assert_array_equal(read_mask(b"P6\n23 17\n65535\n" + pixels, "the mask"), OBJECT)


def test_an_empty_mask_has_no_object_in_any_encoding() -> None:
    for picture, form in ((Image.fromarray(ZERO), "JPEG"), (Image.fromarray(ZERO), "PNG")):
        assert not read_mask(file_of(picture, form), "the mask").any()


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_a_mask_with_an_orientation_of_its_own_is_turned_by_it_once(form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter clockwise
    content = file_of(Image.fromarray(np.rot90(ONE)), form, exif=exif)
    np.testing.assert_array_equal(read_mask(content, "the mask"), OBJECT)


def test_a_mask_that_cannot_be_read_is_refused_by_its_name() -> None:
    with pytest.raises(InputError, match=r"^the mask of 'a.jpg' is not a picture"):
        read_mask(b"no mask", "the mask of 'a.jpg'")
