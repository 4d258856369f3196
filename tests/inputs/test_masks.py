"""A mask means the same object in every encoding that labelling tools write."""

from __future__ import annotations

import io
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
