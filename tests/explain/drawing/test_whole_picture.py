"""A map over the whole picture lies where the crop was, has its values there, and has none elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawing_inputs import grid, photo
from tolerances import FLOAT32, assert_close

from bsig.explain.drawing.comparison import Drawing
from bsig.explain.drawing.heatmaps import greyed, upsampled_map
from bsig.explain.drawing.whole_picture import whole_picture_map, whole_picture_overlay
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.explain.explanation import Explanation
from bsig.inputs.errors import InputError
from bsig.inputs.images import CropMode, crop_image
from bsig.model.dual_branch import DualBranch


def explained(model: DualBranch, size_wh: tuple[int, int], crop_mode: CropMode, values: np.ndarray) -> Explanation:
    """An explanation of a random photo whose softmax map is `values`."""
    explanation = Explainer(model).encode(photo(size_wh), crop_mode).explain(3)
    return replace(explanation, softmax=replace(explanation.softmax, map=values))


def test_squash_spreads_the_map_over_the_whole_picture_as_a_heatmap_does(perturbed_model: DualBranch) -> None:
    values = grid(size_hw=(5, 7))
    for smooth in (True, False):
        whole = whole_picture_map(explained(perturbed_model, (91, 65), "squash", values), "softmax", smooth=smooth)
        assert_close(whole, upsampled_map(values, (91, 65), smooth=smooth), FLOAT32)


def test_a_centre_crop_has_values_inside_its_box_alone(perturbed_model: DualBranch) -> None:
    # 448 x 256: the model sees the middle 224 x 224 of it, from (112, 16) to (336, 240).
    explanation = explained(perturbed_model, (448, 256), "center", grid(size_hw=(7, 7)))
    assert explanation.require_encoded().crop_box_xyxy == (112, 16, 336, 240)
    whole = whole_picture_map(explanation, "softmax")
    rows, columns = np.nonzero(np.isfinite(whole))
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (112, 16, 336, 240)
    assert np.isfinite(whole[16:240, 112:336]).all()
    assert_close(whole[16:240, 112:336], upsampled_map(explanation.softmax.map, (224, 224)), FLOAT32)


def test_a_linear_map_stays_linear_wherever_the_box_falls(perturbed_model: DualBranch) -> None:
    explanation = explained(perturbed_model, (301, 517), "center", grid(size_hw=(7, 7)))
    encoded = explanation.require_encoded()
    ramp = np.add.outer(np.arange(7), 2 * np.arange(7)).astype(np.float32)
    whole = whole_picture_map(replace(explanation, softmax=replace(explanation.softmax, map=ramp)), "softmax")
    left, top, right, bottom = encoded.crop_box_xyxy
    row, column = 300, 150
    x, y = (column + 0.5 - left) / (right - left) * 7 - 0.5, (row + 0.5 - top) / (bottom - top) * 7 - 0.5
    assert_close(whole[row, column], 2 * x + y, FLOAT32)  # linear, so bilinear interpolation is exact


def test_the_overlay_is_the_photo_inside_the_box_and_dark_outside(perturbed_model: DualBranch) -> None:
    explanation = explained(perturbed_model, (448, 256), "center", np.zeros((7, 7), np.float32))
    zeros = {name: replace(explanation.softmax, map=np.zeros((7, 7), np.float32)) for name in ("sigmoid", "centred")}
    picture = whole_picture_overlay(replace(explanation, **zeros), "softmax", Drawing())
    original = explanation.require_encoded().picture()
    assert picture.size == original.size
    inside, expected = (np.asarray(image.crop((112, 16, 336, 240))) for image in (picture, greyed(original)))
    np.testing.assert_array_equal(inside, expected)
    outside = np.asarray(picture)[:, :100]
    assert outside.max() <= 0.36 * 255
    assert (outside[:, :, 0] == outside[:, :, 1]).all()


def test_a_picture_that_has_changed_or_was_not_kept_is_not_drawn_over(perturbed_model: DualBranch) -> None:
    encoded = Explainer(perturbed_model).encode(photo((40, 40)))
    other = replace(encoded, source=photo((40, 40), seed=1))
    with pytest.raises(InputError, match="has changed since it was encoded"):
        other.picture()
    with pytest.raises(InputError, match="keep_source=True"):
        Explainer(perturbed_model).encode(photo((40, 40)), keep_source=False).explain(0).overlay(whole_picture=True)


def test_the_box_is_where_the_crop_was_cut(encoded: EncodedImage) -> None:
    left, top, right, bottom = encoded.crop_box_xyxy
    picture = encoded.picture()
    assert crop_image(picture, encoded.preprocessing).tobytes() == encoded.crop.tobytes()
    crop = picture.resize(encoded.crop.size, resample=3, box=(left, top, right, bottom))
    assert np.abs(np.asarray(crop, int) - np.asarray(encoded.crop, int)).max() <= 1
