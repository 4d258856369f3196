"""A file of weights from outside -> its tensors and what stands beside them, or one sentence that says what blocks it.

Nothing but tensors, plain values and `argparse.Namespace` is ever read: safetensors, or `torch.load` with
`weights_only=True`. Which of the tensors are the network's is found in `weight_names.py`.
"""

from __future__ import annotations

import argparse
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
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
MAX_DEPTH = 4
OTHER_FORMATS = {".onnx": "ONNX", ".h5": "Keras", ".keras": "Keras", ".pb": "TensorFlow", ".tflite": "TensorFlow Lite",
                 ".npz": "NumPy", ".npy": "NumPy", ".msgpack": "Flax", ".gguf": "GGUF", ".joblib": "joblib",
                 ".index": "TensorFlow", ".mlmodel": "Core ML", ".engine": "TensorRT"}  # fmt: skip
# A profiler (thop) leaves these in every layer.
COUNTERS = ("total_ops", "total_params")


@dataclass(frozen=True)
class WeightsFile:
    """The content of a file of weights.

    Attributes:
        name: of the file, for messages.
        groups: the tensors by name, by where the file keeps them: '' for the file itself, 'state_dict', 'ema.module'.
        entries: everything else, nested as in the file; a `Namespace` is a dictionary here.
    """

    name: str
    groups: dict[str, dict[str, Tensor]]
    entries: dict[str, Any]


def read_weights(path: Path) -> WeightsFile:
    """All tensors of a file, and the entries beside them.

    Raises:
        InputError: no such file, another format, quantized weights, or a file that holds more than tensors.
    """
    if not path.is_file():
        raise InputError(f"`weights` (='{path}') is not there; give a .safetensors or .pth file.")
    if kind := OTHER_FORMATS.get(path.suffix.lower()):
        raise InputError(
            f"`weights` (='{path.name}') is a {kind} file; give PyTorch's weights, a .safetensors or .pth file."
        )
    content = read_content(
        path,
        "where you trust it, save its tensors alone: torch.save(torch.load("
        f"'{path.name}', weights_only=False)['state_dict'], 'weights.pth')",
    )
    groups: dict[str, dict[str, Tensor]] = {}
    entries = _sorted_out(content, "", groups, 0)
    _refuse_quantized(path.name, content, groups)
    if not groups:
        raise InputError(f"'{path.name}' holds no tensors by name; save the network's state_dict.")
    return WeightsFile(path.name, groups, entries)


def read_content(path: Path, remedy: str) -> Any:
    """The tensors of a file, in the lists and dictionaries that it holds them in.

    Raises:
        InputError: the file holds more than tensors, or is damaged; the sentence ends with the remedy.
    """
    with path.open("rb") as file:
        start = file.read(64)
    if problem := _no_weights(path, start):
        raise InputError(f"'{path.name}' {problem}.")
    try:
        if start[8:9] == b"{":  # behind eight bytes for the length of its header
            return load_file(path)
        # Only its attributes are set, so it cannot run anything; timm's training script keeps its settings in one.
        torch.serialization.add_safe_globals([argparse.Namespace])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of deprecated storages, which the file's writer chose
            return torch.load(path, map_location="cpu", weights_only=True)
    except NOT_TENSORS as error:
        raise InputError(f"'{path.name}' cannot be read as tensors alone: {_reason(path, error, remedy)}.") from error


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
    return "; ".join(f"{kind}: {listed(keys)}" for kind, keys in lists.items() if keys)


def listed(names: list[str]) -> str:
    """Names with commas, at most `MAX_LISTED` of them."""
    return f"{', '.join(names[:MAX_LISTED])}{f' and {len(names) - MAX_LISTED} more' * (len(names) > MAX_LISTED)}"


def _no_weights(path: Path, start: bytes) -> str:
    """What a file is by its first bytes, if it can hold no weights; else empty."""
    if not start:
        return "is empty (0 bytes); copy it again"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS and not the file itself; run `git lfs pull` in its repository"
    if start.lstrip()[:1] == b"<":
        return "is a web page and not a file of weights; download the file itself"
    if start[:1] in (b"{", b"["):
        return "is a JSON file; give the file of weights itself (an index names the parts of a split one)"
    # Not `zipfile.is_zipfile` alone: what `torch.save` writes is a zip too.
    if start[:2] == b"PK" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any("/code/" in name for name in archive.namelist()):
                return (
                    "is a TorchScript program, which is not run here; where the network is, save its tensors: "
                    "torch.save(model.state_dict(), 'weights.pth')"
                )
    return ""


def _reason(path: Path, error: BaseException, remedy: str) -> str:
    """The fault that blocks the file and the remedy, without torch's own advice to trust it."""
    if not isinstance(error, pickle.UnpicklingError) or "Weights only load failed" not in str(error):
        return f"{first_line(error).rstrip('.')}; copy or save it again"
    try:
        blocked = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except NOT_TENSORS:
        blocked = []
    if not blocked:
        return f"it holds more, or is damaged; {remedy}"
    code = sorted(name for name in blocked if name.split(".")[0] not in ("torch", "collections", "numpy"))
    if any(name.startswith("torch.nn.modules") for name in blocked):
        network = next((name for name in code if "layers" not in name), sorted(blocked)[0]).rpartition(".")[0]
        return (
            f"it holds a whole network as Python code ({network}), which is not run here; where the network is, save "
            "its tensors: torch.save(model.state_dict(), 'weights.pth')"
        )
    return f"it also holds {listed(sorted(blocked))}; {remedy}"


def _sorted_out(content: Any, path: str, groups: dict[str, dict[str, Tensor]], depth: int) -> dict[str, Any]:
    """Puts the tensors of a dictionary and of those within it into `groups`; returns the rest."""
    content = vars(content) if isinstance(content, argparse.Namespace) else content
    if not isinstance(content, Mapping) or depth > MAX_DEPTH:
        return {}
    tensors = {
        str(key): value.detach()
        for key, value in content.items()
        if isinstance(value, Tensor) and not str(key).endswith(COUNTERS)
    }
    if tensors:
        groups[path] = tensors
    rest: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping | argparse.Namespace):
            rest[str(key)] = _sorted_out(value, f"{path}.{key}" if path else str(key), groups, depth + 1)
        elif not isinstance(value, Tensor):
            rest[str(key)] = value
    return rest


def _refuse_quantized(name: str, content: Any, groups: dict[str, dict[str, Tensor]]) -> None:
    keys = [str(key) for key in content] if isinstance(content, Mapping) else []
    tensors = [(key, value) for group in groups.values() for key, value in group.items()]
    packed = [key for key in [*keys, *(key for key, _ in tensors)] if "_packed_params" in key]
    packed += [key for key, value in tensors if value.is_quantized or key.endswith((".SCB", ".qweight"))]
    if packed:
        raise InputError(
            f"'{name}' holds quantized weights ('{packed[0]}'), which have no gradient; save the network's state_dict "
            "from before it was quantized."
        )
