"""The device that a model is put on."""

from __future__ import annotations

import torch

from bsig.inputs.errors import InputError


def chosen_device(name: str) -> str:
    """The name of a device that torch has here (`cpu`, `cuda`, `cuda:1`, `mps`); the best one for `auto`.

    Raises:
        InputError: torch has no such device here.
    """
    is_here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(kind for kind in ("cuda", "mps", "cpu") if is_here[kind])
    kind, _, number = name.partition(":")
    numbers = {str(index) for index in range(torch.cuda.device_count() if kind == "cuda" else 1)}
    if not is_here.get(kind, False) or (number and number not in numbers) or name.endswith(":"):
        here = ", ".join(kind for kind, available in is_here.items() if available)
        raise InputError(f"`device` (='{name}') must be one that torch finds here: auto, {here}.")
    return name
