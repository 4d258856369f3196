"""Pictures to the pixel on 1x3 maps: zero is neutral, the sign chooses the side, the bounds are printed."""

import numpy as np
import pytest
from PIL import Image

from bsig.explain.drawing import panels
from bsig.explain.drawing.heatmaps import (
    COLORMAPS,
    DIVERGING_COLORMAPS,
    SEQUENTIAL_COLORMAPS,
    VIEWS,
    colormap_of,
    difference_map,
    greyed,
    heatmap,
    overlay,
    shared_limit,
    threshold_region,
    upsampled_map,
    with_contour_and_box,
)
from bsig.explain.drawing.panels import PanelColumn, color_bar, comparison_panel, no_evidence_notice
from bsig.explain.drawing.text import font, wrapped_lines
from bsig.inputs.errors import InputError

AGAINST_NONE_FOR = np.array([[-2.0, 0.0, 2.0]], dtype=np.float32)


def photo(size_wh=(3, 1), seed=0):
    width, height = size_wh
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def grid(seed=0, size_hw=(5, 7)):
    return np.random.default_rng(seed).normal(size=size_hw).astype(np.float32)


def pixels(picture):
    return [tuple(int(value) for value in pixel) for pixel in np.asarray(picture.convert("RGB")).reshape(-1, 3)]


# Colour


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


@pytest.mark.parametrize("colormap", DIVERGING_COLORMAPS)
def test_every_diverging_map_is_neutral_at_zero_and_only_there(colormap):
    ramp = np.linspace(-1, 1, 255, dtype=np.float32)[None]
    colours = pixels(heatmap(ramp, 1.0, view="signed", colormap=colormap, size_wh=(255, 1)))
    neutral = [place for place, (red, green, blue) in enumerate(colours) if red == green == blue]
    assert neutral == [127]


@pytest.mark.parametrize("colormap", SEQUENTIAL_COLORMAPS)
def test_values_beyond_the_limit_take_the_last_colour(colormap):
    values = np.array([[1.0, 1.5, 900.0]], dtype=np.float32)
    assert len(set(pixels(heatmap(values, 1.0, colormap=colormap, size_wh=(3, 1))))) == 1


def test_a_colour_map_that_does_not_suit_the_view_gives_the_views_default():
    assert colormap_of("signed", "inferno") == "RdBu_r"
    assert colormap_of("signed", "PuOr_r") == "PuOr_r"
    assert colormap_of("positive", "PuOr_r") == colormap_of("positive") == "inferno"


def test_jet_is_not_offered():
    assert "jet" not in COLORMAPS
    with pytest.raises(InputError, match=r"`colormap` \(='jet'\) must be one of inferno"):
        heatmap(AGAINST_NONE_FOR, 2.0, colormap="jet")


# One scale


def test_shared_limit_is_the_largest_value_over_all_maps():
    maps = np.array([[1.0, -5.0]], np.float32), np.array([[3.0, 0.5]], np.float32)
    assert shared_limit(*maps) == 5.0
    assert shared_limit(*maps, positive_only=True) == 3.0
    assert shared_limit(-np.abs(maps[0]), positive_only=True) == 0.0


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


# Overlay


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


# Size


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


def test_pictures_have_the_size_that_was_asked_for():
    assert heatmap(grid(), 1.0, size_wh=(53, 31)).size == (53, 31)
    assert overlay(photo((53, 31)), grid(), 1.0).size == (53, 31)


def test_difference_is_sigmoid_less_softmax():
    softmax_map, sigmoid_map = grid(1), grid(2)
    np.testing.assert_array_equal(difference_map(sigmoid_map, softmax_map), sigmoid_map - softmax_map)


# Contour and box


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
    drawn = np.asarray(with_contour_and_box(picture, grid(), 0.5)).astype(int)
    before = np.asarray(picture).astype(int)
    assert np.abs(drawn - before).max() >= 110
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 1


# Refusals


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite")])
def test_a_map_that_is_not_finite_is_refused_by_name(value, word):
    map = grid()
    map[1, 2] = value
    for draw in (
        lambda: shared_limit(map),
        lambda: upsampled_map(map, (9, 9)),
        lambda: heatmap(map, 1.0),
        lambda: overlay(photo((9, 9)), map, 1.0),
        lambda: threshold_region(map, 0.5, (9, 9)),
        lambda: difference_map(map, grid()),
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
        (lambda: threshold_region(grid(), 0.0, (9, 9)), r"`threshold_share` \(=0.0\)"),
        (lambda: difference_map(grid(), grid(size_hw=(3, 2))), r"`sigmoid_map` \(=\(5, 7\)\)"),
        (lambda: upsampled_map(np.zeros((0, 3), np.float32), (9, 9)), r"at least one cell"),
        (lambda: upsampled_map(grid(), (0, 9)), r"`size_wh` \(=\(0, 9\)\)"),
        (lambda: shared_limit(), "at least one map"),
        (lambda: color_bar(1.0, width=40), r"`width` \(=40\)"),
        (lambda: color_bar(float("inf")), r"`limit` \(=inf\)"),
    ],
)
def test_refusals_name_the_value_and_the_rule(draw, words):
    with pytest.raises(InputError, match=words):
        draw()


def test_the_smallest_limit_does_not_overflow():
    tiny = np.array([[0.0, 1e-44, 1.0]], np.float32)
    assert len(pixels(heatmap(tiny, 5e-324, view="signed", size_wh=(3, 1)))) == 3


# Words


def printed_texts(monkeypatch, draw):
    texts = []
    original = panels.ImageDraw.ImageDraw.text

    def text(self, xy, words, **options):
        left, top, right, bottom = self.textbbox(xy, words, font=options["font"], anchor=options["anchor"])
        texts.append((words, left, top, right, bottom))
        return original(self, xy, words, **options)

    monkeypatch.setattr(panels.ImageDraw.ImageDraw, "text", text)
    return draw(), texts


@pytest.mark.parametrize("width", [160, 211, 448, 1131])
@pytest.mark.parametrize("unit", ["logits", "feature units, weighted by relative drop"])
def test_the_bar_prints_its_bounds_inside_the_picture_without_overlap(monkeypatch, width, unit):
    bar, texts = printed_texts(monkeypatch, lambda: color_bar(12.345, view="signed", unit=unit, width=width))
    words = [text[0] for text in texts]
    assert {"−12.3", "0", "+12.3"} <= set(words)
    assert unit in " ".join(words)
    assert bar.width == width
    for _, left, top, right, bottom in texts:
        assert (left >= 0, top >= 0, right <= bar.width, bottom <= bar.height) == (True,) * 4
    for place, (_, left, top, right, bottom) in enumerate(texts):
        for _, other_left, other_top, other_right, other_bottom in texts[place + 1 :]:
            assert right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top


def test_the_positive_bar_starts_at_zero(monkeypatch):
    _, texts = printed_texts(monkeypatch, lambda: color_bar(8.0))
    assert [text[0] for text in texts][:5] == ["0", "+2", "+4", "+6", "+8"]


def test_the_bar_shows_the_colours_of_the_heatmaps():
    bar = np.asarray(color_bar(8.0, view="signed", width=448))
    row = bar[panels.BAR_PAD + 5, panels.BAR_PAD + 1 : -panels.BAR_PAD - 1]
    assert tuple(row[len(row) // 2]) == (247, 247, 247)
    assert row[2, 2] > row[2, 0]
    assert row[-3, 0] > row[-3, 2]


def test_wrapped_lines_keep_every_letter_and_the_width():
    text = "softmax claims evidence for 'golf ball' in averyveryverylongfilenamewithoutanyspace.jpeg\nnext"
    lines = wrapped_lines(text, font(17), 120)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert max(font(17).getlength(line) for line in lines) <= 120
    assert wrapped_lines("", font(17), 120) == [""]


@pytest.mark.parametrize("size_wh", [(448, 448), (224, 224), (91, 67)])
def test_the_notice_is_words_inside_the_picture(monkeypatch, size_wh):
    crop = photo(size_wh)
    notice, texts = printed_texts(
        monkeypatch, lambda: no_evidence_notice(crop, "No positive evidence for this class anywhere.")
    )
    assert notice.size == size_wh
    assert " ".join(text[0] for text in texts) == "No positive evidence for this class anywhere."
    assert all(left >= 0 and right <= size_wh[0] for _, left, _, right, _ in texts)


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_panel_prints_all_words_inside_the_slide(monkeypatch, count, theme):
    crop, map = photo((224, 224)), grid()
    columns = [PanelColumn("Input", ("224 x 224 crop",), crop, is_map=False)]
    columns += [
        PanelColumn(f"Branch {i}", ("probability 0.4 %, logit −5.5", "positive area 3 %"), overlay(crop, map, 2.0))
        for i in range(1, count)
    ]
    words = {
        "title": "golf ball " * 9,
        "subtitle": "checkpoint, method, treatment",
        "finding": "softmax claims evidence on 49 %, the sigmoid branch on 3 %. " * 4,
        "footer": "settings " * 40,
    }
    panel, texts = printed_texts(
        monkeypatch, lambda: comparison_panel(columns, **words, limit=2.0, view="signed", theme=theme)
    )
    assert panel.width == 1600
    printed = " ".join(text[0] for text in texts)
    for text in [*words.values(), "−2", "+2", *(column.title for column in columns)]:
        assert " ".join(text.split()) in " ".join(printed.split())
    for _, left, top, right, bottom in texts:
        assert (left >= 0, top >= 0, right <= panel.width, bottom <= panel.height) == (True,) * 4


def test_an_ordinary_panel_has_the_shape_of_a_slide():
    crop = photo((224, 224))
    columns = [PanelColumn(name, ("probability 0.4 %", "logit −5.5"), crop) for name in ("Input", "Softmax", "Sigmoid")]
    panel = comparison_panel(columns, title="golf ball", subtitle="s", finding="One line.", footer="f", limit=1.0)
    assert 780 <= panel.height <= 920


def test_a_panel_of_one_column_is_refused():
    with pytest.raises(InputError, match=r"`columns` \(=1 of them\)"):
        comparison_panel([PanelColumn("a", (), photo((9, 9)))], title="", subtitle="", finding="", footer="", limit=1.0)
