"""Arrays, tensors and open files are the picture that their file is, or are refused in a line."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing_inputs import photo
from PIL import Image

from bsig.inputs.arrays import opened_image
from bsig.inputs.errors import InputError

PIXELS = np.asarray(photo((7, 5)))
GREY = PIXELS[:, :, 0]


def same(source: object, expected: np.ndarray) -> bool:
    picture = opened_image(source)
    return picture.mode == "RGB" and np.array_equal(np.asarray(picture), expected)


def refusal(source: object) -> str:
    with pytest.raises(InputError) as caught:
        opened_image(source, "'mine'")
    return str(caught.value)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_values_from_0_to_1_are_the_same_picture_as_255ths(kind: type) -> None:
    assert same((PIXELS / 255).astype(kind), PIXELS)
    assert same(torch.from_numpy((PIXELS / 255).astype(kind)).permute(2, 0, 1), PIXELS)


def test_an_array_has_its_channels_last_and_a_tensor_its_channels_first() -> None:
    assert same(PIXELS, PIXELS)
    assert same(torch.from_numpy(PIXELS.copy()).permute(2, 0, 1), PIXELS)
    half = torch.tensor([[0.0, 1.0], [0.5, 0.25]], dtype=torch.bfloat16)  # which NumPy does not know
    assert same(half, np.repeat(np.array([[0, 255], [128, 64]], np.uint8)[:, :, None], 3, axis=2))


def test_one_channel_is_grey_in_every_form() -> None:
    expected = np.repeat(GREY[:, :, None], 3, axis=2)
    for source in (GREY, GREY[:, :, None], torch.from_numpy(GREY.copy()), torch.from_numpy(GREY.copy())[None]):
        assert same(source, expected)


def test_a_fourth_channel_is_opacity_over_white() -> None:
    layer = np.zeros((1, 3, 4), dtype=np.uint8)
    layer[0, :, 3] = (0, 51, 255)
    assert np.asarray(opened_image(layer))[0, :, 0].tolist() == [255, 204, 0]


def test_a_view_that_is_not_contiguous_is_read_as_it_looks() -> None:
    assert same(PIXELS[::-1, ::2], PIXELS[::-1, ::2])


def test_an_open_file_is_read_from_where_it_stands(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "picture.png")
    content = (tmp_path / "picture.png").read_bytes()
    with (tmp_path / "picture.png").open("rb") as file:
        assert same(file, PIXELS)
    late = io.BytesIO(b"header" + content)
    late.seek(6)
    assert same(late, PIXELS)
    assert same(content, PIXELS)
    assert same(tmp_path / "picture.png", PIXELS)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (PIXELS.transpose(2, 0, 1), "channels last"),
        (torch.from_numpy(PIXELS.copy()), "channels first"),
        (torch.zeros(1, 3, 5, 5), "a batch; give one picture"),
        (np.zeros((2, 2, 2), np.uint8), "(2, 2, 2)"),
        (np.zeros((0, 4, 3), np.uint8), "(0, 4, 3)"),
        (np.zeros(5, np.uint8), "(5,)"),
        (PIXELS.astype(np.float32), "from 0 to 1"),
        (PIXELS / 255 - 0.5, "before a model's mean"),
        (np.full((2, 2), np.nan), "nan to nan"),
        (PIXELS.astype(np.int64), "int64"),
        (GREY > 9, "bool"),
        (io.StringIO("text"), "rb"),
        (io.BytesIO(b""), "0 bytes"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_name_and_the_rule(source: object, sentence: str) -> None:
    text = refusal(source)
    assert text.startswith("'mine'")
    assert sentence in text
    assert "\n" not in text


def test_a_closed_file_is_refused() -> None:
    file = io.BytesIO(b"x")
    file.close()
    assert "open it with 'rb'" in refusal(file)
