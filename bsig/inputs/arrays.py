"""Pictures that are in memory already: arrays, tensors and open files -> upright 8-bit RGB.

    opened_image(source)      any of `PictureSource`

An array has its rows first and its channels last (NumPy, matplotlib, OpenCV after BGR -> RGB), a tensor its channels
first (torchvision). Floating-point values run from 0 (black) to 1 (white). What a model's preprocessing has made of a
picture is refused: the model would normalise it a second time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image
from torch import Tensor

from bsig.inputs.errors import InputError, first_line
from bsig.inputs.images import MAX_PIXELS, read_image

CHANNELS = (1, 3, 4)


@runtime_checkable
class OpenFile(Protocol):
    """A file that was opened for reading bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Some bytes, or all that are left."""


PictureSource = Image.Image | str | Path | bytes | np.ndarray | Tensor | OpenFile


def opened_image(source: PictureSource, name: str | None = None) -> Image.Image:
    """The picture as upright 8-bit RGB; messages call it `name`.

    Args:
        source: a PIL picture, a path, a file's bytes, a file opened with "rb" (read from where it stands), an array
            (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or a tensor (H, W), (1, H, W), (3, H, W) or (4, H, W). Arrays and
            tensors hold uint8 from 0 to 255, or floating-point numbers from 0 to 1, which are rounded to 255ths. One
            channel is grey; a fourth is opacity over white. Three channels are red, green, blue.
        name: in messages; by default what it is, or its path.

    Raises:
        InputError: `read_image`'s reasons; an array of another shape or type, or with values outside its range.
    """
    if isinstance(source, Tensor):
        return _from_tensor(source, name or "the tensor")
    if isinstance(source, np.ndarray):
        return _from_array(source, name or "the array")
    if isinstance(source, OpenFile):
        return read_image(file_content(source, name or "the open file"), name or "the open file")
    if not isinstance(source, Image.Image | str | Path | bytes):
        raise InputError(
            f"`image` (a {type(source).__name__}) must be a PIL picture, a path, bytes, an open file, an array or a "
            "tensor."
        )
    return read_image(source, name)


def file_content(file: OpenFile, name: str) -> bytes:
    """The rest of an open file.

    Raises:
        InputError: it is closed, or was opened for text or writing.
    """
    try:
        content = file.read()
    except (OSError, ValueError) as error:  # closed, or opened for writing
        raise InputError(f"{name} cannot be read ({first_line(error)}); open it with 'rb'.") from error
    if not isinstance(content, bytes):
        raise InputError(f"{name} gives text; open it with 'rb'.")
    return content


def _from_tensor(tensor: Tensor, name: str) -> Image.Image:
    if tensor.ndim == 4:
        raise InputError(f"{name} has the shape {tuple(tensor.shape)}: a batch; give one picture, `tensor[0]`.")
    if tensor.ndim == 3 and tensor.shape[0] not in CHANNELS:
        hint = " (channels first: `tensor.permute(2, 0, 1)`)" if tensor.shape[2] in CHANNELS else ""
        raise InputError(f"{name} has the shape {tuple(tensor.shape)}; a tensor has the shape (3, H, W){hint}.")
    rows_first = tensor.permute(1, 2, 0) if tensor.ndim == 3 else tensor
    values = rows_first.detach().cpu()
    return _from_array((values.float() if values.is_floating_point() else values).numpy(), name)


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    """The picture of an array whose channels, if any, are last."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in CHANNELS or 0 in array.shape:
        hint = " (channels last: `array.transpose(1, 2, 0)`)" if array.ndim == 3 and array.shape[0] in CHANNELS else ""
        raise InputError(f"{name} has the shape {array.shape}; an array has the shape (H, W, 3) or (H, W){hint}.")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise InputError(f"{name} has {array.shape[:2]} pixels; the limit is {MAX_PIXELS // 1_000_000} million.")
    pixels = np.ascontiguousarray(_eight_bit(array, name))
    return read_image(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), name)


def _eight_bit(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name} holds {array.dtype}; give uint8 from 0 to 255, or numbers from 0 to 1.")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # NaN too
        raise InputError(
            f"{name} holds values from {low:.4g} to {high:.4g}; give pixels from 0 to 1, before a model's mean and "
            "standard deviation are applied."
        )
    return np.rint(array.astype(np.float32) * 255).astype(np.uint8)
