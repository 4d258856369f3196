"""Pictures to the pixel on 1x3 maps: zero is neutral, the sign chooses the side, signs stand where the map says so."""

import numpy as np
import pytest
from drawing_inputs import grid, photo, pixels
from PIL import Image

from bsig.explain.drawing.colours import VIEWS, colormap_of, colour_table
from bsig.explain.drawing.contours import with_contour_and_box
from bsig.explain.drawing.heatmaps import (
    MARKED_FROM,
    greyed,
    heatmap,
    overlay,
    shared_limit,
    upsampled_map,
    with_sign_marks,
)
from bsig.explain.drawing.panels import no_evidence_notice
from bsig.inputs.errors import InputError

AGAINST_NONE_FOR = np.array([[-2.0, 0.0, 2.0]], dtype=np.float32)
SIDE = 60
GREY = Image.new("RGB", (3 * SIDE, SIDE), (128, 128, 128))


def test_signed_heatmap_of_against_none_for_is_the_ends_and_the_neutral_middle():
    against, none, speaks_for = pixels(heatmap(AGAINST_NONE_FOR, 2.0, view="signed", size_wh=(3, 1)))
    assert none == (247, 247, 247)
    assert against[2] > against[0]  # blue
    assert speaks_for[0] > speaks_for[2]  # red
    assert (against, speaks_for) == ((5, 48, 97), (103, 0, 31))


def test_positive_heatmap_draws_negative_values_like_zero():
    against, none, speaks_for = pixels(heatmap(AGAINST_NONE_FOR, 2.0, size_wh=(3, 1)))
    assert against == none == (0, 0, 3)
    assert speaks_for == (252, 254, 164)


def test_shared_limit_is_the_largest_value_that_the_view_shows():
    maps = np.array([[1.0, -5.0]], np.float32), np.array([[3.0, 0.5]], np.float32)
    assert shared_limit(*maps, view="signed") == 5.0
    assert shared_limit(*maps, view="positive") == 3.0
    assert shared_limit(-np.abs(maps[0]), view="positive") == 0.0


def test_the_scale_and_the_picture_have_one_view_unless_both_are_told_another():
    """A limit and a heatmap by default: the largest value has the last colour, whatever lies below zero."""
    values = np.array([[-5.0, 0.0, 1.0]], np.float32)
    assert pixels(heatmap(values, shared_limit(values), size_wh=(3, 1)))[2] == (252, 254, 164)


def test_the_same_value_has_the_same_colour_in_both_pictures():
    weak, strong = np.array([[0.0, 1.0, 2.0]], np.float32), np.array([[2.0, 10.0, -4.0]], np.float32)
    limit = shared_limit(weak, strong)
    assert pixels(heatmap(weak, limit, size_wh=(3, 1)))[2] == pixels(heatmap(strong, limit, size_wh=(3, 1)))[0]


def test_nothing_is_stretched_by_a_maps_own_minimum_and_maximum():
    """Halving the map halves the place on the scale; adding a constant does not drop out."""
    values = np.array([[2.0, 4.0, 8.0]], np.float32)
    full, half = (np.asarray(heatmap(part, 8.0, colormap="viridis", size_wh=(3, 1))) for part in (values, values / 2))
    assert (full[0, 0] == half[0, 1]).all()
    assert (full[0, 1] == half[0, 2]).all()
    lifted = np.asarray(heatmap(values + 1, 16.0, size_wh=(3, 1)))
    assert (lifted != np.asarray(heatmap(values, 16.0, size_wh=(3, 1)))).any(axis=2).all()


def test_a_constant_map_is_one_colour_and_not_noise():
    assert len(set(pixels(heatmap(np.full((5, 7), 0.1, np.float32), 0.3, size_wh=(53, 31))))) == 1


@pytest.mark.parametrize("view", VIEWS)
def test_zero_evidence_shows_the_greyed_photo_exactly(view):
    crop = photo()
    assert pixels(overlay(crop, AGAINST_NONE_FOR, 2.0, view=view))[1] == pixels(greyed(crop))[1]
    zero = np.zeros((5, 7), np.float32)
    crop = photo((53, 31))
    assert pixels(overlay(crop, zero, shared_limit(zero), view=view)) == pixels(greyed(crop))


def test_negative_evidence_shows_the_photo_in_the_positive_view_and_colour_in_the_signed_view():
    crop = photo()
    assert pixels(overlay(crop, AGAINST_NONE_FOR, 2.0))[0] == pixels(greyed(crop))[0]
    signed = overlay(crop, AGAINST_NONE_FOR, 2.0, view="signed", heatmap_opacity=1.0)
    assert pixels(signed)[0] == (5, 48, 97)
    assert pixels(signed)[2] == (103, 0, 31)


def test_opacity_grows_with_the_value_up_to_the_one_asked_for():
    """By hand: at a quarter of the limit, half of the opacity; from half of the limit, all of it."""
    crop = Image.new("RGB", (3, 1), (100, 100, 100))
    values = np.array([[0.25, 0.5, 1.0]], np.float32)
    colours = np.asarray(heatmap(values, 1.0, size_wh=(3, 1)), dtype=float)
    opacity = 0.8 * np.array([[64 / 255 / 0.5], [1], [1]])
    expected = 100 * (1 - opacity) + colours[0] * opacity
    np.testing.assert_allclose(np.asarray(overlay(crop, values, 1.0))[0], expected, atol=1)


def test_opacity_zero_is_the_greyed_photo():
    crop = photo((53, 31))
    assert pixels(overlay(crop, grid(), 1.0, view="signed", heatmap_opacity=0.0)) == pixels(greyed(crop))


def test_the_crop_and_the_map_are_not_changed():
    crop, map = photo((53, 31)), grid()
    before = pixels(crop), map.copy()
    with_contour_and_box(overlay(crop, map, shared_limit(map)), map)
    no_evidence_notice(crop, "none")
    assert pixels(crop) == before[0]
    assert (map == before[1]).all()


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("size_wh", [(448, 448), (53, 31), (7, 5), (3, 2)])
def test_upsampling_keeps_bounds_and_size(smooth, size_wh):
    map = grid()
    upsampled = upsampled_map(map, size_wh, smooth=smooth)
    assert upsampled.shape == size_wh[::-1]
    assert upsampled.dtype == np.float32
    assert map.min() <= upsampled.min()
    assert upsampled.max() <= map.max()


def test_upsampling_keeps_the_sign_of_a_map_of_one_sign():
    assert (upsampled_map(-np.abs(grid()) - 1e-6, (448, 448)) < 0).all()


def test_the_grid_is_blocks_of_one_value():
    upsampled = upsampled_map(AGAINST_NONE_FOR, (9, 3), smooth=False)
    assert (upsampled == np.repeat(np.repeat(AGAINST_NONE_FOR, 3, 1), 3, 0)).all()


def test_smooth_is_bilinear_between_the_centres_of_cells():
    upsampled = upsampled_map(np.array([[0.0, 8.0]], np.float32), (8, 1))
    np.testing.assert_allclose(upsampled[0], [0, 0, 1, 3, 5, 7, 8, 8])


@pytest.mark.parametrize("size_wh", [(448, 448), (53, 31)])
def test_upsampling_equals_pillows_resize_up_to_rounding(size_wh):
    values = grid()
    for smooth, kind in ((True, Image.Resampling.BILINEAR), (False, Image.Resampling.NEAREST)):
        resized = np.asarray(Image.fromarray(values).resize(size_wh, kind))
        np.testing.assert_allclose(upsampled_map(values, size_wh, smooth=smooth), resized, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("view", "zero", "steps"), [("positive", 0, 255), ("signed", 127, 127)])
def test_an_overlay_is_its_formula_to_the_nearest_level(view, zero, steps):
    """In float64; opacity counts in 256ths, so a channel is off by one level at most, beside its own rounding."""
    crop, values = photo((91, 65)), grid()
    limit = shared_limit(values, view=view)
    shares = upsampled_map(values, crop.size) / limit
    index = (zero + np.rint(np.clip(shares, -1 if zero else 0, 1) * steps)).astype(int)
    opacity = 0.8 * np.minimum(1, np.abs(index - zero) / steps / 0.5)[..., None]
    colours = colour_table(view, colormap_of(view))[index]
    expected = np.asarray(greyed(crop)) * (1 - opacity) + colours * opacity
    assert np.abs(np.asarray(overlay(crop, values, limit, view=view)) - expected).max() <= 1.5


def test_pictures_have_the_size_that_was_asked_for():
    assert heatmap(grid(), 1.0, size_wh=(53, 31)).size == (53, 31)
    assert overlay(photo((53, 31)), grid(), 1.0).size == (53, 31)


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite")])
def test_a_map_that_is_not_finite_is_refused_by_name(value, word):
    map = grid()
    map[1, 2] = value
    for draw in (
        lambda: shared_limit(map),
        lambda: upsampled_map(map, (9, 9)),
        lambda: heatmap(map, 1.0),
        lambda: overlay(photo((9, 9)), map, 1.0),
    ):
        with pytest.raises(InputError, match=rf"`map` \(={word} in 1 of 35 cells\)"):
            draw()


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: heatmap(grid(), -1.0), r"`limit` \(=-1.0\)"),
        (lambda: heatmap(grid(), float("nan")), r"`limit` \(=nan\)"),
        (lambda: heatmap(grid(), 0.0), r"`limit` \(=0\)"),
        (lambda: overlay(photo(), grid(), 1.0, heatmap_opacity=1.5), r"`heatmap_opacity` \(=1.5\)"),
        (lambda: upsampled_map(np.zeros((0, 3), np.float32), (9, 9)), r"at least one cell"),
    ],
)
def test_refusals_name_the_value_and_the_rule(draw, words):
    with pytest.raises(InputError, match=words):
        draw()


def test_the_smallest_limit_does_not_overflow():
    tiny = np.array([[0.0, 1e-44, 1.0]], np.float32)
    assert len(pixels(heatmap(tiny, 5e-324, view="signed", size_wh=(3, 1)))) == 3


def _is_white(picture: Image.Image, x: int, y: int) -> bool:
    return picture.getpixel((x, y)) == (255, 255, 255)


def test_a_plus_a_minus_and_nothing() -> None:
    values = np.array([[1.0, -1.0, MARKED_FROM * 0.99]], dtype=np.float32)
    marked = with_sign_marks(GREY, values, 1.0)
    middle, arm = SIDE // 2, SIDE // 10
    for cell, (across, upright) in enumerate([(True, True), (True, False), (False, False)]):
        x = cell * SIDE + middle
        assert _is_white(marked, x + arm - 1, middle) == across
        assert _is_white(marked, x, middle - arm + 1) == upright
    assert np.array_equal(np.asarray(marked)[:, 2 * SIDE :], np.asarray(GREY)[:, 2 * SIDE :])
    assert GREY.getpixel((middle, middle)) == (128, 128, 128)


@pytest.mark.parametrize("values", [np.zeros((1, 3)), np.ones((56, 56))])
def test_no_marks_without_a_scale_or_on_a_fine_grid(values: np.ndarray) -> None:
    values = values.astype(np.float32)
    limit = float(np.abs(values).max())
    assert np.array_equal(np.asarray(with_sign_marks(GREY, values, limit)), np.asarray(GREY))
