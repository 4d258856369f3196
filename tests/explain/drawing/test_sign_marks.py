"""Plus and minus where the map says so, and nothing where it says little."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bsig.explain.drawing.sign_marks import MARKED_FROM, with_sign_marks

SIDE = 60
GREY = Image.new("RGB", (3 * SIDE, SIDE), (128, 128, 128))


def _is_white(picture: Image.Image, x: int, y: int) -> bool:
    return picture.getpixel((x, y)) == (255, 255, 255)


def test_a_plus_a_minus_and_nothing() -> None:
    values = np.array([[1.0, -1.0, MARKED_FROM * 0.99]], dtype=np.float32)
    marked = with_sign_marks(GREY, values, 1.0)
    middle, arm = SIDE // 2, SIDE // 10
    for cell, (across, upright) in enumerate([(True, True), (True, False), (False, False)]):
        x = cell * SIDE + middle
        assert _is_white(marked, x + arm - 1, middle) == across
        assert _is_white(marked, x, middle - arm + 1) == upright
    assert np.array_equal(np.asarray(marked)[:, 2 * SIDE :], np.asarray(GREY)[:, 2 * SIDE :])
    assert GREY.getpixel((middle, middle)) == (128, 128, 128)


@pytest.mark.parametrize("values", [np.zeros((1, 3)), np.ones((56, 56))])
def test_no_marks_without_a_scale_or_on_a_fine_grid(values: np.ndarray) -> None:
    values = values.astype(np.float32)
    limit = float(np.abs(values).max())
    assert np.array_equal(np.asarray(with_sign_marks(GREY, values, limit)), np.asarray(GREY))
