"""The region above a threshold, its line and its box."""

import numpy as np
import pytest
from drawing_inputs import grid, photo, pixels
from PIL import Image

from bsig.explain.drawing.contours import threshold_region, with_contour_and_box
from bsig.inputs.errors import InputError


def test_box_is_around_the_largest_part_in_pixels():
    map = np.array([[0, 0, 0, 0, 9], [0, 5, 5, 0, 0], [0, 5, 6, 0, 0]], np.float32)
    mask, box_xyxy = threshold_region(map, 0.5, (50, 30), smooth=False)
    assert box_xyxy == (10, 10, 30, 30)
    assert mask.sum() == 5 * 100  # four cells of the block and the single one


def test_threshold_of_one_is_the_maximum_itself():
    mask, box_xyxy = threshold_region(grid(), 1.0, (448, 448))
    assert mask.any()
    assert box_xyxy is not None


@pytest.mark.parametrize("map", [np.zeros((3, 5), np.float32), np.full((3, 5), -1, np.float32)])
def test_a_map_without_positive_value_has_no_region_and_leaves_the_picture(map):
    mask, box_xyxy = threshold_region(map, 0.5, (50, 30))
    assert not mask.any()
    assert box_xyxy is None
    assert pixels(with_contour_and_box(photo((50, 30)), map)) == pixels(photo((50, 30)))


@pytest.mark.parametrize("background", ["black", "white", "#808080"])
def test_the_line_is_seen_on_any_background(background):
    picture = Image.new("RGB", (448, 448), background)
    pixels = np.asarray(with_contour_and_box(picture, grid(), 0.5)).astype(int)
    before = np.asarray(picture).astype(int)
    assert np.abs(pixels - before).max() >= 110
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1


def test_a_threshold_of_nothing_is_refused():
    with pytest.raises(InputError, match=r"`threshold_share` \(=0.0\)"):
        threshold_region(grid(), 0.0, (9, 9))


def test_a_map_that_is_not_finite_has_no_region():
    with pytest.raises(InputError, match=r"`map` \(=NaN in 35 of 35 cells\)"):
        threshold_region(grid() * np.nan, 0.5, (9, 9))
