"""Weights: their hashes, the one copy in memory that models share, and the order of their numbers there."""

from __future__ import annotations

import functools
import hashlib
import threading
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)

_ENCODERS: WeakValueDictionary[tuple[str, str, str], nn.Module] = WeakValueDictionary()
_SHARING = threading.Lock()
_PLAIN = (bool, int, float, str, bytes, type(None), torch.Size, torch.dtype)


def state_sha256(*modules: nn.Module) -> str:
    """A hash over names, shapes and bytes of all tensors of the modules: two equal hashes mean equal weights."""
    digest = hashlib.sha256()
    for module in modules:
        for key, tensor in module.state_dict().items():
            digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def file_sha256(file: Path) -> str:
    """The hash of a file's bytes, read block by block."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def shared_encoder(encoder: nn.Module, sha256: str, device: str) -> nn.Module:
    """The encoder of these very weights (`state_sha256`) that is already on this device, or else this one.

    So two checkpoints of one backbone hold it once, also where each of them stores it. It goes with its last user.
    """
    # The layout belongs to the key, since two cuts at the same place may differ in what they carry along.
    key = (sha256, device, f"{getattr(encoder, 'layout', None)} {settings_sha256(encoder)}")
    with _SHARING:
        return _ENCODERS.setdefault(key, encoder)


def settings_sha256(module: nn.Module) -> str:
    """A hash over everything of a network that is no tensor: classes, strides, paddings, heads, epsilons, functions.

    Networks of the same weights may differ in these alone: another `output_stride`, GELU or its approximation, the
    epsilon of a normalisation, the number of attention heads.
    """
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        digest.update(f"{name} {type(part).__module__}.{type(part).__qualname__}\n".encode())
        for key, value in sorted(vars(part).items()):
            # Torch's own entries hold tensors, parts and hooks; `training` changes while a network is used.
            if not key.startswith("_") and key != "training":
                digest.update(f"{key} {_setting(value)}\n".encode())
    return digest.hexdigest()


def _setting(value: Any) -> str:
    """A setting in words that are the same in every process; of other objects their kind."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_setting(item) for item in value)}]"
    if isinstance(value, functools.partial):
        return f"{_setting(value.func)} {_setting(value.args)} {_setting(sorted(value.keywords.items()))}"
    kind = value if callable(value) and hasattr(value, "__qualname__") else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def channels_last(encoder: Module) -> Module:
    """The encoder with its weights in memory as pictures are, channels last.

    On a CPU 1.2 to 2.3 times as fast for networks of depthwise convolutions and no slower for others (LOG.md); the
    numbers are the same up to rounding. Weights that are loaded into it later keep the layout.
    """
    return encoder.to(memory_format=torch.channels_last)


def frozen(module: Module) -> Module:
    """The module in eval mode, with no parameter that requires a gradient."""
    return module.eval().requires_grad_(False)
