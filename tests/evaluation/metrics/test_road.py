"""ROAD on a network that sums pixels, and its guessed pixels against the grad-cam package's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer, ROADCombined
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from tolerances import LIBRARY, SOLVER, assert_close
from torch import Tensor

from bsig.evaluation.metrics.faithfulness import pixel_ranks
from bsig.evaluation.metrics.road import imputed, road
from bsig.inputs.errors import InputError

THEIR_WARNINGS = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # numpy functions on torch tensors


def seeded(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def sum_of_pixels(inputs: Tensor) -> Tensor:
    """A network that sums pixels."""
    return inputs.sum(dim=(1, 2, 3))


def test_one_missing_pixel_is_the_mean_of_its_neighbours() -> None:
    picture = seeded(3, 5, 7)
    is_kept = torch.ones(1, 5, 7, dtype=torch.bool)
    is_kept[0, 2, 3] = False
    around = picture[:, 1:4, 2:5]
    diagonal = around[:, ::2, ::2].sum(dim=(1, 2))
    direct = around[:, 0, 1] + around[:, 2, 1] + around[:, 1, 0] + around[:, 1, 2]
    filled = imputed(picture, is_kept, tolerance=1e-12)[0]
    assert_close(filled[:, 2, 3], direct / 6 + diagonal / 12, SOLVER)
    assert torch.equal(filled[:, is_kept[0]], picture[:, is_kept[0]])


def test_a_missing_corner_has_three_neighbours() -> None:
    picture = seeded(3, 5, 7)
    is_kept = torch.ones(1, 5, 7, dtype=torch.bool)
    is_kept[0, 0, 0] = False
    expected = (picture[:, 0, 1] / 6 + picture[:, 1, 0] / 6 + picture[:, 1, 1] / 12) / (5 / 12)
    assert_close(imputed(picture, is_kept, tolerance=1e-12)[0, :, 0, 0], expected, SOLVER)


@THEIR_WARNINGS
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_guessed_pixels_are_the_grad_cam_packages(share: float) -> None:
    picture = seeded(3, 37, 41, dtype=torch.float32)
    is_kept = seeded(37, 41, seed=1) > share
    expected = NoisyLinearImputer(noise=0)(picture, is_kept.float())
    assert_close(imputed(picture, is_kept[None], tolerance=1e-6)[0], expected, LIBRARY)


def test_the_default_tolerance_is_below_the_noise() -> None:
    picture, ranks = (
        seeded(3, 64, 64),
        pixel_ranks(seeded(4, 4, seed=2).repeat_interleave(16, 0).repeat_interleave(16, 1)),
    )
    is_kept = torch.stack([ranks >= 800, ranks < 2000])
    error = (imputed(picture, is_kept) - imputed(picture, is_kept, tolerance=1e-9)).abs()
    assert float(error.mean()) < 0.001


def test_the_right_order_loses_its_pixels_and_the_reverse_keeps_them() -> None:
    """A bright block on black: without it the sum is 0, without as much of the rest it is whole."""
    picture = torch.zeros(3, 20, 20, dtype=torch.float64)
    picture[:, 4:8, 4:8] = 1 / 48
    ranks = pixel_ranks(picture[0])
    right = road(sum_of_pixels, picture, ranks, shares=[16 / 400], noise=0.0)
    assert right == pytest.approx(0.5)
    reverse = ranks.numel() - 1 - ranks
    assert road(sum_of_pixels, picture, reverse, shares=[16 / 400], noise=0.0) == pytest.approx(-0.5)


def test_a_smooth_picture_loses_nothing_whatever_is_taken() -> None:
    """Neighbours tell everything of a plane: painting over would have taken half of it."""
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    plane = (rows + 2 * columns).double()[None].repeat(3, 1, 1) / 1000
    is_kept = torch.ones(1, 24, 24, dtype=torch.bool)
    is_kept[0, 8:16, 8:16] = False
    assert_close(imputed(plane, is_kept, tolerance=1e-12)[0], plane, SOLVER)


def test_the_same_seed_gives_the_same_noise() -> None:
    picture, ranks = seeded(3, 16, 16), pixel_ranks(seeded(16, 16, seed=3))
    first, second = (road(sum_of_pixels, picture, ranks, seed=1) for _ in range(2))
    assert first == second
    assert road(sum_of_pixels, picture, ranks, seed=2) != first


@THEIR_WARNINGS
def test_the_combined_score_is_the_grad_cam_packages() -> None:
    """Without ties and without noise worth mentioning; their model gets the same judge."""
    torch.manual_seed(5)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 24 * 24, 4), torch.nn.Softmax(dim=1)).eval()
    with torch.no_grad():
        network[1].weight.mul_(20)
    picture, one_map = torch.randn(3, 24, 24), seeded(24, 24, seed=6, dtype=torch.float32)

    def probability(batch: Tensor) -> Tensor:
        with torch.no_grad():
            return network(batch)[:, 2]

    peer_score = ROADCombined([20, 50, 80])(picture[None], one_map[None].numpy(), [ClassifierOutputTarget(2)], network)[
        0
    ]
    own_score = road(probability, picture, pixel_ranks(one_map), shares=[0.2, 0.5, 0.8])
    assert abs(own_score - float(np.asarray(peer_score))) < 0.01


@pytest.mark.parametrize("shares", [[], [0.0], [0.5, 1.0]])
def test_nothing_left_to_guess_from_is_refused(shares: list[float]) -> None:
    with pytest.raises(InputError, match="shares"):
        road(sum_of_pixels, seeded(3, 4, 4), torch.arange(16).view(4, 4), shares)
