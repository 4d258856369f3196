"""PNG files of ours hold exactly the picture, whoever opens them."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from bsig.explain.drawing.png import png_bytes


def opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()  # checks every chunk's sum
    return picture


@given(arrays(np.uint8, st.tuples(st.integers(1, 23), st.integers(1, 29), st.just(3))))
def test_pillow_reads_back_every_pixel(pixels: np.ndarray) -> None:
    picture = opened(png_bytes(Image.fromarray(pixels)))
    assert (picture.format, picture.mode, picture.info) == ("PNG", "RGB", {})
    np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_opencv_reads_back_every_pixel_of_a_photograph() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (53, 31, 3), dtype=np.uint8).cumsum(axis=1).astype(np.uint8)
    decoded = cv2.imdecode(np.frombuffer(png_bytes(Image.fromarray(photo)), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded[..., ::-1], photo)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_any_mode_becomes_the_rgb_that_pillow_makes_of_it(mode: str) -> None:
    picture = Image.radial_gradient("L").convert(mode)
    np.testing.assert_array_equal(np.asarray(opened(png_bytes(picture))), np.asarray(picture.convert("RGB")))


def test_a_flat_picture_takes_a_hundredth_of_its_pixels() -> None:
    assert len(png_bytes(Image.new("RGB", (448, 448), (10, 20, 30)))) < 448 * 448 * 3 / 100
