"""The pictures of an explanation: one scale for all maps, or each map's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawing_inputs import photo
from PIL import Image

from bsig.explain.cams import Branch
from bsig.explain.drawing.colours import View
from bsig.explain.drawing.comparison import (
    PICTURE_SIZE,
    Drawing,
    alt_text,
    branch_picture,
    branch_pictures,
    branch_title,
    difference_picture,
    map_picture,
    shared_limit_of,
)
from bsig.explain.drawing.heatmaps import greyed
from bsig.explain.explanation import Evidence, Explanation
from bsig.inputs.paths import EXAMPLES

MOSTLY_AGAINST = np.array([[-5.0, 0.0, 1.0]], dtype=np.float32)
STRONG = np.array([[0.0, 2.0, 8.0]], dtype=np.float32)


def evidence(values: np.ndarray) -> Evidence:
    return Evidence(values, 0.0, 0.5, None)


@pytest.fixture
def explanation() -> Explanation:
    weak, strong = evidence(MOSTLY_AGAINST), evidence(STRONG)
    return Explanation(0, "cat", "cam", "signed", strong, weak, strong, 0, "cat", photo((9, 9)), "a checkpoint")


def test_the_photo_beneath_is_greyed_before_it_is_enlarged_which_moves_it_by_a_rounding(
    explanation: Explanation,
) -> None:
    """At most two levels on all but one pixel in a thousand: there the enlarged edge is cut off at black or white."""
    with Image.open(EXAMPLES / "astronaut.jpg") as image:
        crop = image.convert("RGB").resize((224, 224))
    picture = branch_picture(replace(explanation, crop=crop), "softmax", Drawing(heatmap_opacity=0.0))
    enlarged = greyed(crop.resize(PICTURE_SIZE, Image.Resampling.BICUBIC))
    apart = np.abs(np.asarray(picture, dtype=int) - np.asarray(enlarged, dtype=int))
    assert apart.mean() < 0.5
    assert (apart > 2).mean() < 1e-3
    assert apart.max() <= 10


def brightest(picture: Image.Image) -> int:
    return int(np.asarray(picture).sum(axis=2).max())


def test_on_its_own_scale_the_largest_positive_value_has_the_last_colour(explanation: Explanation) -> None:
    """What speaks against the class does not dim what speaks for it: from -5 to 1 the scale ends at 1."""
    own = Drawing(overlay=False, own_scale=True)
    assert brightest(branch_picture(explanation, "sigmoid", own)) == sum((252, 254, 164))
    alone = map_picture(explanation, MOSTLY_AGAINST.clip(min=0), 1.0, own)
    assert np.array_equal(np.asarray(branch_picture(explanation, "sigmoid", own)), np.asarray(alone))


def test_on_its_own_scale_a_signed_map_ends_at_its_largest_size(explanation: Explanation) -> None:
    own = Drawing(view="signed", overlay=False, own_scale=True)
    alone = map_picture(explanation, MOSTLY_AGAINST, 5.0, own)
    assert np.array_equal(np.asarray(branch_picture(explanation, "sigmoid", own)), np.asarray(alone))


@pytest.mark.parametrize(("view", "limit"), [("positive", 8.0), ("signed", 8.0)])
def test_the_shared_scale_ends_at_the_largest_of_all_branches(
    explanation: Explanation, view: View, limit: float
) -> None:
    assert shared_limit_of(explanation, Drawing(view=view)) == limit
    negative = replace(explanation, sigmoid=evidence(MOSTLY_AGAINST * 4))
    assert shared_limit_of(negative, Drawing(view=view)) == (8.0 if view == "positive" else 20.0)


@pytest.mark.parametrize("drawing", [Drawing(), Drawing(view="signed"), Drawing(own_scale=True)])
def test_all_pictures_at_once_are_those_drawn_one_by_one(explanation: Explanation, drawing: Drawing) -> None:
    branch: Branch
    for branch, picture in branch_pictures(explanation, drawing).items():
        assert np.array_equal(np.asarray(picture), np.asarray(branch_picture(explanation, branch, drawing)))


def test_the_difference_is_signed_and_ends_at_its_own_largest_size(explanation: Explanation) -> None:
    picture, limit = difference_picture(explanation, Drawing(overlay=False))
    assert limit == 7.0
    less_softmax = map_picture(explanation, MOSTLY_AGAINST - STRONG, limit, Drawing(view="signed", overlay=False))
    assert np.array_equal(np.asarray(picture), np.asarray(less_softmax))


def test_a_level_does_not_stretch_the_scale_that_the_maps_share(explanation: Explanation) -> None:
    """The map of a denied class sinks by tens of logits; softmax's evidence must be seen beside it."""
    drawing = Drawing(view="signed")
    sunk = replace(explanation.sigmoid, map=explanation.sigmoid.map - np.float32(40), level=-40.0, reading="levelled")
    assert shared_limit_of(replace(explanation, sigmoid=sunk), drawing) == shared_limit_of(explanation, drawing)


def test_each_picture_is_titled_with_the_reading_of_its_map(explanation: Explanation) -> None:
    levelled = replace(explanation, sigmoid=replace(explanation.sigmoid, reading="levelled"))
    assert branch_title(levelled, "sigmoid") == "Sigmoid branch · Levelled by presence"
    assert alt_text(levelled, "sigmoid").startswith("Sigmoid branch · Levelled by presence, CAM for ")
    assert branch_title(levelled, "softmax") == "Softmax branch"
