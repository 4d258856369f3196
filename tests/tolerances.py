"""The one table of tolerances. A test names what limits its accuracy, never a number of its own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike


class Tolerance(NamedTuple):
    """`|actual - expected| <= absolute + relative * |expected|`."""

    relative: float
    absolute: float


IDENTITY = Tolerance(1e-10, 1e-12)  # one equation worked out in two ways, float64
FINITE_DIFFERENCE = Tolerance(1e-6, 1e-8)  # a gradient by central differences, float64
FLOAT32 = Tolerance(1e-4, 1e-5)  # sums over a thousand channels in another order, float32
PROBABILITY = Tolerance(0, 2e-6)  # softmax over a thousand float32 logits: rounding of the logits, about 20 * 1e-7
LIBRARY = Tolerance(1e-3, 1e-4)  # another package's float32 arithmetic, maps scaled to [0, 1]
SOLVER = Tolerance(1e-7, 1e-8)  # an iteration that stops at a residual of 1e-9 and less, float64
SUBSPACE = Tolerance(1e-6, 1e-8)  # an eigenvector from a Gram matrix: squared condition, float64


def assert_close(actual: torch.Tensor | ArrayLike, expected: torch.Tensor | ArrayLike, tolerance: Tolerance) -> None:
    """Shapes equal, values within the tolerance, not-a-number nowhere."""
    actual, expected = (
        value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        for value in (actual, expected)
    )
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=tolerance.relative, atol=tolerance.absolute, equal_nan=False)
