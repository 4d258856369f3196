"""Numbers as people hand them in: Python's own, a NumPy scalar, an array or tensor of one number.

The hints `SupportsFloat` and `SupportsIndex` of public arguments allow all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from bsig.inputs.errors import InputError


def plain(value: Any) -> Any:
    """Python's number for a NumPy scalar and for an array or tensor of one number; any other value as it is."""
    if isinstance(value, np.generic | np.ndarray):
        return value.item() if value.size == 1 else value
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


def plain_float(name: str, value: Any) -> float:
    """The value as a float.

    Raises:
        InputError: it is no number; `name` says which argument.
    """
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InputError(f"`{name}` (={value!r}) must be a number.")
    return float(number)


def plain_int(name: str, value: Any) -> int:
    """The value as an int; 64.0 counts as whole.

    Raises:
        InputError: it is no whole number; `name` says which argument.
    """
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or number % 1 != 0:
        raise InputError(f"`{name}` (={value!r}) must be a whole number.")
    return int(number)
