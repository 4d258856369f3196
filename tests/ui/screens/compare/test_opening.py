"""The comparison that ships as a file is the one that the app draws: the same words, numbers, sizes and pictures."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT
from bsig.model.dual_branch import DualBranch
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.compare.opening import COMMAND, FILE, opening_html
from bsig.ui.workbench import Workbench

LARGEST_BYTES = 150_000
PICTURE = re.compile(r"data:image/webp;base64,([\w+/=]+)")
NUMBER = re.compile(r"[+−-]?\d[\d,]*\.?\d*")
LOSSY_MEAN, LOSSY_MOST = 1.0, 40.0
"""How far the levels of two pictures may differ, of 255, where another processor's roundings went through WebP."""


@pytest.fixture(scope="module")
def drawn(shipped_model: DualBranch) -> str:
    bench = Workbench()
    bench.register(DEFAULT_CHECKPOINT, lambda: shipped_model)
    return opening_html(bench)


@pytest.fixture(scope="module")
def shipped() -> str:
    return FILE.read_text(encoding="utf-8")


def _pictures(page: str) -> list[np.ndarray]:
    contents = (base64.b64decode(content) for content in PICTURE.findall(page))
    return [np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=np.float32) for content in contents]


def _numbers(page: str) -> list[float]:
    return [float(number.replace(",", "").replace("−", "-")) for number in NUMBER.findall(page)]


def test_its_words_and_numbers_are_those_that_the_app_writes_now(drawn: str, shipped: str) -> None:
    now, then = (PICTURE.sub("", page) for page in (drawn, shipped))
    again = f"run `{COMMAND}`: the shipped comparison is not the one that the app draws"
    assert NUMBER.sub("#", then) == NUMBER.sub("#", now), again
    values = [_numbers(page) for page in (then, now)]
    np.testing.assert_allclose(*values, rtol=2e-3, atol=0.011, err_msg=again)


def test_its_pictures_are_those_that_the_app_draws_now(drawn: str, shipped: str) -> None:
    now, then = _pictures(drawn), _pictures(shipped)
    assert len(now) == len(then) == 5  # the photo, and two maps of two classes
    for one, other in zip(now, then, strict=True):
        assert one.shape == other.shape
        difference = np.abs(one - other)
        assert difference.mean() < LOSSY_MEAN, f"run `{COMMAND}`"
        assert difference.max() < LOSSY_MOST, f"run `{COMMAND}`"


def test_a_picture_of_another_class_would_be_found_out(drawn: str) -> None:
    _, softmax, sigmoid, other_softmax, other_sigmoid = _pictures(drawn)
    for one, other in ((softmax, sigmoid), (softmax, other_softmax), (sigmoid, other_sigmoid)):
        assert np.abs(one - other).mean() > 5 * LOSSY_MEAN


def test_it_says_what_the_screen_says_of_the_first_example(drawn: str) -> None:
    example = bundled_examples()[0]
    assert f"<b>{example.class_name}</b>" in drawn
    assert f"No {example.class_name} here (under 0.1 %). Softmax still marks 96 %" in drawn
    assert re.search(r"Tripod is here \(9\d\.?\d* %\)\.", drawn)
    assert "Softmax predicts tripod" in drawn


def test_it_stands_by_itself(shipped: str) -> None:
    """Nothing is loaded from elsewhere, nothing can be pressed, and every picture has words for who cannot see it."""
    assert len(shipped.encode()) < LARGEST_BYTES
    assert COMMAND in shipped
    assert set(re.findall(r'(?:src|href)="(.{16})', shipped)) == {"data:image/webp;"}
    assert not re.search(r"<(script|button|a|input|link)\b|url\(", shipped)
    assert len(re.findall(r"<img [^>]*alt=\"[^\"]{20,}\"", shipped)) == 5
