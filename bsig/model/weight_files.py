"""A file of weights from outside -> tensors by name, or one sentence that says what does not fit.

Nothing but tensors is ever read: safetensors, or `torch.load` with `weights_only=True`.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bsig.inputs.errors import InputError, first_line

# What torch and safetensors raise on a file that is cut, changed, or holds more than tensors.
NOT_TENSORS = (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError,
               AttributeError, TypeError)  # fmt: skip
MAX_LISTED = 8


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict on disk.

    Raises:
        InputError: no such file, another format, or a file that holds more than tensors.
    """
    if not path.is_file():
        raise InputError(f"`weights` (='{path}') is not there; give a .safetensors or .pth file.")
    if path.suffix not in (".safetensors", ".pth", ".pt", ".bin", ".tar"):
        raise InputError(f"`weights` (='{path.name}') must end in .safetensors or .pth.")
    content = read_content(path, "save it as safetensors")
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = tensors_by_name(content)
    if not tensors:
        raise InputError(f"'{path.name}' holds no tensors by name; save the network's state_dict.")
    return tensors


def read_content(path: Path, remedy: str) -> Any:
    """The tensors of a file, in the lists and dictionaries that it holds them in.

    Raises:
        InputError: the file holds more than tensors, or is damaged; the sentence ends with the remedy.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except NOT_TENSORS as error:
        raise InputError(f"'{path.name}' cannot be read as tensors alone ({first_line(error)}); {remedy}.") from error


def tensors_by_name(state: Any) -> dict[str, Tensor]:
    """The tensors of a state dict, without the `module.` that a parallel run puts before their names."""
    entries = state.items() if isinstance(state, dict) else ()
    return {str(key).removeprefix("module."): value for key, value in entries if isinstance(value, Tensor)}


def differences(shapes: dict[str, tuple[int, ...]], tensors: dict[str, Tensor]) -> str:
    """Names of the tensors that are missing, unexpected or of another shape; empty where all fit.

    Counts of batches may be missing: PyTorch did not always keep them.
    """
    lists = {
        "missing": [key for key in shapes if key not in tensors and not key.endswith("num_batches_tracked")],
        "unexpected": [key for key in tensors if key not in shapes],
        "of another shape": [
            f"{key} {tuple(tensors[key].shape)} in place of {shape}"
            for key, shape in shapes.items()
            if key in tensors and tuple(tensors[key].shape) != shape
        ],
    }
    return "; ".join(
        f"{kind}: {', '.join(keys[:MAX_LISTED])}{f' and {len(keys) - MAX_LISTED} more' * (len(keys) > MAX_LISTED)}"
        for kind, keys in lists.items()
        if keys
    )
