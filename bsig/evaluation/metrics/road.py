"""ROAD: pixels are taken away not by painting them over but by guessing them from their neighbours.

A pixel that is set to one colour leaves its outline behind, which tells the network what was taken. Here every removed
pixel becomes the weighted mean of its eight neighbours (direct ones 1/6, diagonal ones 1/12), all of them at once, plus
a little seeded noise, so that the network cannot see where something is missing.

    road = mean over shares of (p without the weakest share - p without the strongest share) / 2

Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML 2022, arXiv 2202.00449,
section 4; the combined score as in the grad-cam package. Two things differ from that package: noise is seeded (the same
picture has the same score twice), and shares are shares of pixels in the map's order, where a percentile of the map's
values takes all of a plateau or none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bsig.inputs.errors import InputError

SHARES = (0.2, 0.5, 0.8)
NOISE = 0.01
TOLERANCE, MOST_STEPS = 5e-4, 1000
"""With this residual a guess is off by less than the noise. A direct solution of the same system takes ten times as
long, and scipy's conjugate gradients solve one right side at a time, on the CPU alone."""
COARSEST = 14  # pixels a side, below which zeros are as good a first guess as any


def road(
    probability: Callable[[Tensor], Tensor],
    inputs: Float[Tensor, "3 H W"],
    ranks: Int[Tensor, "H W"],
    shares: Sequence[float] = SHARES,
    *,
    noise: float = NOISE,
    seed: int = 0,
) -> float:
    """How much more is lost with the strongest pixels than with the weakest, halved: -0.5 to 0.5, higher is better.

    Args:
        probability: normalised pictures (b, 3, H, W) -> (b,).
        inputs: the normalised picture.
        ranks: 0 for the pixel that the map marks most (`pixel_ranks`).
        shares: how much is taken away.
        noise: standard deviation, in the inputs' unit.
        seed: of the noise.

    Raises:
        InputError: a share is not above 0 and below 1: with nothing left there is nothing to guess from.
    """
    if not shares or not all(0 < share < 1 for share in shares):
        raise InputError(f"`shares` (={tuple(shares)}) must be above 0 and below 1.")
    counts = torch.tensor([round(share * ranks.numel()) for share in shares], device=ranks.device)[:, None, None]
    is_kept = torch.cat([ranks < ranks.numel() - counts, ranks >= counts])  # without the weakest, without the strongest
    guessed = imputed(inputs, is_kept)
    noisy = torch.randn(guessed.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
    speckle = noise * noisy.to(guessed)
    weakest, strongest = probability(torch.where(is_kept[:, None], guessed, guessed + speckle)).double().chunk(2)
    return float((weakest - strongest).mean() / 2)


def imputed(
    inputs: Float[Tensor, "3 H W"], is_kept: Bool[Tensor, "s H W"], tolerance: float = TOLERANCE
) -> Float[Tensor, "s 3 H W"]:
    """The picture with every pixel that is not kept replaced by the weighted mean of its neighbours inside it.

    The linear system `sum_j w_ij (x_i - x_j) = 0` over the removed pixels is solved by conjugate gradients, all masks
    and colours at once, from the solution on half as many rows and columns, until the residual is below `tolerance` of
    the right side.
    """
    return _solved(inputs.expand(len(is_kept), -1, -1, -1), is_kept[:, None].to(inputs.dtype), tolerance)


def _solved(
    pictures: Float[Tensor, "s 3 H W"], mask: Float[Tensor, "s 1 H W"], tolerance: float
) -> Float[Tensor, "s 3 H W"]:
    """The pictures with their missing pixels solved for.

    Pixels that are kept are the boundary: the unknown `x` is zero there, and what they give to their neighbours stands
    on the right side. So all masks have one shape and are solved as one batch.
    """
    boundary, hole = pictures * mask, 1 - mask
    start = _from_half_the_pixels(boundary, mask, tolerance) * hole
    # The weights of the neighbours that a pixel has: 1 inside, less at the edge of the picture.
    degree = _neighbour_sum(torch.ones_like(mask[:1]))

    def operator(x: Tensor) -> Tensor:
        return hole * (degree * x - _neighbour_sum(x))

    return boundary + _conjugate_gradients(operator, hole * _neighbour_sum(boundary), start, degree, tolerance)


def _from_half_the_pixels(boundary: Tensor, mask: Tensor, tolerance: float) -> Tensor:
    """A first guess: the solution where 2 x 2 pixels are one, which is kept if any of them is.

    Conjugate gradients carry a value one pixel further a step, so a large hole would take as many steps as it is wide;
    the coarse solution brings the values there at once.
    """
    if min(boundary.shape[-2:]) <= COARSEST:
        return torch.zeros_like(boundary)
    share = F.avg_pool2d(mask, 2, ceil_mode=True, count_include_pad=False)
    mean = F.avg_pool2d(boundary, 2, ceil_mode=True, count_include_pad=False)
    coarse_mask = (share > 0).to(mask.dtype)
    coarse = _solved(torch.where(share > 0, mean / share.clamp(min=1e-6), 0.0), coarse_mask, tolerance)
    return F.interpolate(coarse, size=boundary.shape[-2:], mode="bilinear", align_corners=False)


def _neighbour_sum(pictures: Float[Tensor, "s c H W"]) -> Float[Tensor, "s c H W"]:
    """Sum of the eight neighbours with their weights; there are none beyond the edge."""
    padded = F.pad(pictures, (1, 1, 1, 1))
    middle = padded[:, :, 1:-1]
    straight = padded[:, :, :-2] + padded[:, :, 2:]  # above and below, for all three columns
    sides, corners = middle[..., :-2] + middle[..., 2:], straight[..., :-2] + straight[..., 2:]
    return (straight[..., 1:-1] + sides) / 6 + corners / 12


def _conjugate_gradients(
    operator: Callable[[Tensor], Tensor], right: Tensor, start: Tensor, degree: Tensor, tolerance: float
) -> Float[Tensor, "s 3 H W"]:
    """The solution of `operator(x) = right`, for each picture and colour on its own, to `tolerance` of the right side.

    The operator is symmetric and positive (a graph Laplacian with fixed pixels), as the method needs. Dividing the
    residual by the operator's diagonal, `degree`, is the preconditioner (Jacobi): it matters at the picture's edge.
    Hestenes and Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems", 1952.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=(2, 3), keepdim=True)

    x, residual = start, right - operator(start)
    direction = residual / degree
    power = dot(residual, direction)  # squared length of the residual in the preconditioner's norm
    # The first residual counts too: where black is all that is known, the right side is zero and no residual is below.
    limit = tolerance**2 * (dot(right, right) + dot(residual, residual))
    for _ in range(MOST_STEPS):
        if bool((dot(residual, residual) <= limit).all()):
            break
        # The step along the direction that leaves the smallest error.
        change = operator(direction)
        step = _ratio(power, dot(direction, change))
        x, residual = x + step * direction, residual - step * change
        # The next direction: along the residual, less what was done in the directions before.
        preconditioned = residual / degree
        previous, power = power, dot(residual, preconditioned)
        direction = preconditioned + _ratio(power, previous) * direction
    return x


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """`above / below`, 0 where nothing is left to divide: pictures of the batch that are solved already stand still."""
    return torch.where(below > 0, above / torch.where(below > 0, below, 1.0), 0.0)
