"""Paint any heatmap: the smallest logit shift that turns a class's map into a target map.

    smallest |v|  with  v . F = target - M_c   on every cell

With more channels than cells (1280 against 49) there is an exact answer for almost every picture. The shifted head
`W + 1 v^T` is the same softmax classifier on all images (`logit_shift.py`), so the painted heatmap cannot be told
from the honest one by any probability, loss or accuracy. The shift itself is from Oh and Noh, BMVC 2025,
arXiv 2511.05590; solving it for a target map is this project's.

It is passive fooling in closed form. Piland, Sweet and Czajka, "DiffGradCAM", 2025, arXiv 2506.08514, train a network
to show a misleading map with its decisions unchanged (SHAM). Here one solve of linear equations does so, for any target
and with every probability unchanged. Their remedy holds here too: a map of a difference of logits, `(W_a - W_b) . F` or
the class-centred one, does not move (tests/explain/diagnostics/test_painted_shift.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bsig.inputs.counts import counted
from bsig.inputs.errors import InputError

BUMP_WIDTH = 0.15
"""Width of `target_at_cell`'s bump, in sides of the grid."""


@dataclass(frozen=True)
class PaintedShift:
    """A shift vector and how well it paints.

    Attributes:
        vector: `v`, to be added to each class row of the channel weights it was solved for.
        residual: the largest `|M_c + v . F - target|` over the cells, in the map's unit; rounding where it is exact.
        rank: how many independent maps the features can paint, at most `h*w`.
        reason: a sentence where the target could not be reached, else None.
    """

    vector: Float[Tensor, " k"]
    residual: float
    rank: int
    reason: str | None = None


def painted_shift(
    features: Float[Tensor, "k h w"], channel_weights: Float[Tensor, " k"], target_map: Float[Tensor, "h w"]
) -> PaintedShift:
    """The smallest `v` with `v . F = target - M`, `M = channel_weights . F`, by least squares in float64.

    From the singular values of `F` as a (cells, k) matrix, the pseudo-inverse's answer: of all that come closest, the
    one with the smallest norm. Directions below ten roundings of the strongest one are not in the features. For
    Grad-CAM's weights of a pool + linear head (`W[c] / (h*w)`) multiply `v` by `h*w` before adding it to the head.
    """
    cells = features.double().flatten(1).T
    change = target_map.double().flatten() - cells @ channel_weights.double()
    # `cells = left diag(sizes) right`, so `v = right^T diag(1 / sizes) left^T change`. Of all that paint the change as
    # well, it is the smallest, because it has no part that every feature is blind to.
    left, sizes, right = _directions(features)
    vector = (right.T @ ((left.T @ change) / sizes)).to(features.dtype)
    residual = float((cells @ vector.double() - change).abs().max())
    rank = len(sizes)
    return PaintedShift(vector, residual, rank, _reason(residual, float(change.abs().max()), rank, len(cells)))


def painting_basis(features: Float[Tensor, "k h w"]) -> Float[Tensor, "n r"]:
    """`U`, orthonormal maps that span whatever a shift can paint, in float64; `n = h*w` cells, `r` the rank.

    `painted_shift` reaches `M + U U^T (target - M)`; with `r = n` that is the target itself. So a map can be dragged
    without solving again.
    """
    return _directions(features)[0]


def _directions(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Left vectors (n, r), singular values (r,), right vectors (r, k) of the features as a (cells, k) matrix.

    Directions of rounding size are left out: divided by their size, noise would rule the answer.
    """
    left, sizes, right = torch.linalg.svd(features.double().flatten(1).T, full_matrices=False)
    is_in_features = sizes > 10 * torch.finfo(features.dtype).eps * sizes.max()
    return left[:, is_in_features], sizes[is_in_features], right[is_in_features]


def target_at_cell(class_map: Float[Tensor, "h w"], row: float | int, column: float | int) -> Float[Tensor, "h w"]:
    """A smooth bump with its maximum at one place, from the map's own minimum to its own maximum.

    `min + (max - min) * exp(-d^2 / (2 width^2))`, `d` in cells; `width` is 0.15 of the longer side of the grid, half a
    cell at least. The same range, so that the painted map looks no stranger than the honest one; a constant map has
    none and gets a bump of one logit. Row and column are those of a cell's middle, from 0; a place between two cells
    is a fraction.

    Raises:
        InputError: the cell lies outside of the grid.
    """
    h, w = class_map.shape
    if not (-0.5 <= row <= h - 0.5 and -0.5 <= column <= w - 0.5):
        raise InputError(f"`row`, `column` (={row}, {column}) must be a cell of the {h} x {w} grid, counted from 0.")
    width = bump_width(h, w)
    rows, columns = torch.arange(h).to(class_map)[:, None], torch.arange(w).to(class_map)[None]
    bump = torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))
    low, high = class_map.min(), class_map.max()
    return low + torch.where(high > low, high - low, 1.0) * bump


def bump_width(rows: int, columns: int) -> float:
    """The width of `target_at_cell`'s bump, in cells."""
    return max(0.5, BUMP_WIDTH * max(rows, columns))


def _corner(bottom: bool, right: bool) -> Callable[[Tensor], Tensor]:
    """A target with its bump in one quarter of the grid."""

    def target(class_map: Tensor) -> Tensor:
        h, w = class_map.shape
        row, column = h // 4, w // 4
        return target_at_cell(class_map, h - 1 - row if bottom else row, w - 1 - column if right else column)

    return target


# Targets that take no click: name on the screen -> map -> target map.
TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    "top left": _corner(bottom=False, right=False),
    "top right": _corner(bottom=False, right=True),
    "bottom left": _corner(bottom=True, right=False),
    "bottom right": _corner(bottom=True, right=True),
    "hide it": torch.zeros_like,  # no evidence for the class and none against it, anywhere
    "background": lambda own: own.min() + own.max() - own,  # turned over within its range, high where it was low
}


def target_map(class_map: Float[Tensor, "h w"], name: str) -> Float[Tensor, "h w"]:
    """The target map of a name in `TARGETS`.

    Raises:
        InputError: no such target.
    """
    if name not in TARGETS:
        raise InputError(f"`target` (='{name}') must be one of {', '.join(TARGETS)}.")
    return TARGETS[name](class_map)


def _reason(residual: float, largest_change: float, rank: int, cells: int) -> str | None:
    """Why the target was not reached; None where it was, up to a ten-thousandth of the largest change."""
    if residual <= 1e-4 * largest_change:
        return None
    if rank == 0:
        return "The features are zero everywhere: every map is zero, and no shift can paint one."
    return (
        f"The features can paint only {counted(rank, 'independent map')} on {cells} cells; this is the closest one to "
        f"the target, off by up to {residual:.3g}."
    )
