"""The colour scales: zero is neutral, the end of the scale is one colour, and each view has a scale that suits it."""

import numpy as np
import pytest
from drawing_inputs import pixels

from bsig.explain.drawing.colours import COLORMAPS, DIVERGING_COLORMAPS, SEQUENTIAL_COLORMAPS, colormap_of
from bsig.explain.drawing.heatmaps import heatmap
from bsig.inputs.errors import InputError

AGAINST_NONE_FOR = np.array([[-2.0, 0.0, 2.0]], dtype=np.float32)


def test_a_colour_map_that_does_not_suit_the_view_gives_the_views_default():
    assert colormap_of("signed", "inferno") == "RdBu_r"
    assert colormap_of("signed", "PuOr_r") == "PuOr_r"
    assert colormap_of("positive", "PuOr_r") == colormap_of("positive") == "inferno"


def test_jet_is_not_offered():
    assert "jet" not in COLORMAPS
    with pytest.raises(InputError, match=r"`colormap` \(='jet'\) must be one of inferno"):
        heatmap(AGAINST_NONE_FOR, 2.0, colormap="jet")


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
