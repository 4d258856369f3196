"""Insertion, deletion, drop and increase on a network that sums pixels, by loops, and beside grad-cam's."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
from pytorch_grad_cam.metrics.cam_mult_image import CamMultImageConfidenceChange
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from tolerances import FLOAT32, IDENTITY, assert_close
from torch import Tensor

from bsig.evaluation.metrics.faithfulness import (
    area_under,
    blurred,
    drop_and_increase,
    enlarged,
    faithfulness,
    first_pixels,
    pixel_ranks,
)
from bsig.inputs.errors import InputError


def share_of_sum(inputs: Tensor) -> Tensor:
    """A network that sums pixels: of a picture whose values sum to one."""
    return inputs.sum(dim=(1, 2, 3))


def without(picture: Tensor, ranks: Tensor) -> Tensor:
    """The picture without its first pixels, in 16 steps."""
    return torch.where(first_pixels(ranks, 16)[:, None], 0.0, picture)


@pytest.fixture
def one_bright_pixel() -> Tensor:
    picture = torch.zeros(3, 4, 4, dtype=torch.float64)
    picture[:, 1, 2] = 1 / 3
    return picture


def test_ranks_by_hand() -> None:
    assert pixel_ranks(torch.tensor([[1.0, 5.0], [5.0, -2.0]])).tolist() == [[2, 0], [1, 3]]


def test_masks_grow_from_none_to_all() -> None:
    masks = first_pixels(torch.arange(7).view(1, 7), 3)
    assert masks.sum(dim=(1, 2)).tolist() == [0, 2, 4, 7]


def test_area_under_by_hand() -> None:
    assert area_under(torch.tensor([1.0, 0.0, 0.0])) == 0.25


def test_the_right_map_deletes_at_once_and_the_wrong_one_last(one_bright_pixel: Tensor) -> None:
    """16 steps of one pixel each: the first (last) step takes the only bright pixel."""
    right = one_bright_pixel.sum(dim=0)
    alone = without(one_bright_pixel, pixel_ranks(right))
    assert area_under(share_of_sum(alone)) == pytest.approx(0.5 / 16)
    last = without(one_bright_pixel, pixel_ranks(-right))
    assert area_under(share_of_sum(last)) == pytest.approx(1 - 0.5 / 16)


def test_curves_equal_their_loop() -> None:
    random = np.random.default_rng(0)
    before, after, pixels = random.normal(size=(3, 5, 7)), random.normal(size=(3, 5, 7)), random.normal(size=(5, 7))
    masks = first_pixels(pixel_ranks(torch.from_numpy(pixels)), 4)
    sums = share_of_sum(torch.where(masks[:, None], torch.from_numpy(after), torch.from_numpy(before)))
    assert_close(sums, reference.watched_probability(before, after, pixels, 4, lambda picture: picture.sum()), IDENTITY)


def test_insertion_starts_from_the_blurred_picture_and_ends_at_the_picture() -> None:
    inputs = torch.rand(3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    batches: list[Tensor] = []

    def watch(batch: Tensor) -> Tensor:
        batches.append(batch)
        return share_of_sum(batch) / 1000

    faithfulness(watch, inputs, torch.rand(4, 4, dtype=torch.float64))
    deleted, inserted, *_ = batches
    assert torch.equal(deleted[0], inputs)
    assert (deleted[-1] == 0).all()
    assert_close(inserted[0], blurred(inputs), IDENTITY)
    assert torch.equal(inserted[-1], inputs)


def test_order_forgets_scale_and_constant() -> None:
    inputs = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(2))
    one_map = torch.randn(4, 4, generator=torch.Generator().manual_seed(3))
    plain, other = faithfulness(share_of_sum, inputs, one_map), faithfulness(share_of_sum, inputs, 4 * one_map - 8)
    assert other.deletion_auc == pytest.approx(plain.deletion_auc)
    assert other.insertion_auc == pytest.approx(plain.insertion_auc)


def test_drop_and_increase_by_hand() -> None:
    """Half the sum lies where the map is 1, the rest where it is 0 or negative: half is lost."""
    picture = torch.full((3, 1, 4), 1 / 12, dtype=torch.float64)
    one_map = torch.tensor([[2.0, 2.0, 0.0, -5.0]], dtype=torch.float64)
    assert drop_and_increase(share_of_sum, picture, one_map) == (pytest.approx(0.5), 0.0)
    picture[:, :, 2:] *= -0.5  # what the map takes away spoke against
    drop, increase = drop_and_increase(share_of_sum, picture, one_map)
    assert (drop, increase) == (0.0, 1.0)


def test_a_map_without_positive_evidence_loses_everything() -> None:
    picture = torch.full((3, 2, 2), 1 / 12)
    assert drop_and_increase(share_of_sum, picture, -torch.ones(2, 2)) == (1.0, 0.0)


def test_a_map_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        faithfulness(share_of_sum, torch.rand(3, 4, 4), torch.tensor([[float("nan")]]))


def test_the_confidence_change_is_grad_cams() -> None:
    """grad-cam multiplies the input by the map likewise; it reports the change itself, not its share of `p`."""
    torch.manual_seed(4)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 5), torch.nn.Softmax(dim=1)).eval()
    inputs, one_map = torch.randn(3, 8, 8), torch.rand(2, 2)

    def probability(batch: Tensor) -> Tensor:
        with torch.no_grad():
            return network(batch)[:, 3]

    drop, increase = drop_and_increase(probability, inputs, one_map)
    mask = enlarged(one_map, (8, 8)) / enlarged(one_map, (8, 8)).max()
    change = CamMultImageConfidenceChange()(inputs[None], mask[None].numpy(), [ClassifierOutputTarget(3)], network)[0]
    whole = float(probability(inputs[None])[0])
    assert_close(drop, max(-float(change), 0) / whole, FLOAT32)
    assert increase == float(change > 0)
