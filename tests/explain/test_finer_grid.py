"""A picture on the finer grid: finer maps, and the same words about the picture as a whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tolerances import FLOAT32, assert_close

from bsig import READINGS, Explainer
from bsig.explain.cams import Branch
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import summary
from bsig.explain.readings import default_reading
from bsig.explain.wording import grid_text
from bsig.inputs.paths import EXAMPLES
from bsig.model.dual_branch import DualBranch

BRANCHES: tuple[Branch, ...] = ("softmax", "sigmoid", "centred")
CLASS = "golf ball"


@pytest.fixture(scope="module")
def coarse(shipped_model: DualBranch) -> EncodedImage:
    return Explainer(shipped_model).encode(EXAMPLES / "cat.jpg")


@pytest.fixture(scope="module")
def finer(coarse: EncodedImage) -> EncodedImage:
    return coarse.finer_grid()


def test_maps_have_four_times_as_many_cells_and_the_picture_is_the_same(
    coarse: EncodedImage, finer: EncodedImage
) -> None:
    assert (coarse.grid_hw, finer.grid_hw) == ((7, 7), (14, 14))
    assert finer.coarse is coarse
    assert finer.finer_grid() is finer
    assert finer.crop is coarse.crop
    assert finer.model.softmax_head is coarse.model.softmax_head


def test_what_is_said_of_the_whole_picture_stays(coarse: EncodedImage, finer: EncodedImage) -> None:
    """Logits, probabilities, presence, rank and prediction were trained and calibrated on the model's own grid."""
    assert finer.predicted_index == coarse.predicted_index
    first, second = coarse.calibrated_probabilities(), finer.calibrated_probabilities()
    assert first is not None
    assert torch.equal(first, second)
    before, after = (encoded.explain(CLASS, reading="levelled") for encoded in (coarse, finer))
    for branch in BRANCHES:
        own, fine = before.evidence(branch), after.evidence(branch)
        assert (fine.logit, fine.probability, fine.calibrated_probability, fine.rank) == (
            own.logit, own.probability, own.calibrated_probability, own.rank,
        )  # fmt: skip
    assert default_reading(finer.model, "cam", "signed") == default_reading(coarse.model, "cam", "signed") == "levelled"


@pytest.mark.parametrize("branch", BRANCHES)
def test_the_mean_of_a_map_with_bias_is_the_logit_on_its_own_cells(finer: EncodedImage, branch: Branch) -> None:
    index = finer.model.class_index(CLASS)
    grid = finer.explain(CLASS, with_bias=True).evidence(branch).map
    assert_close(grid.mean(), finer.grid_logits(branch)[index].numpy(), FLOAT32)
    assert abs(grid.mean() - finer.explain(CLASS).evidence(branch).logit) > 1e-3, "another function of the picture"


def test_on_the_models_own_grid_both_logits_are_one(coarse: EncodedImage) -> None:
    index = coarse.model.class_index(CLASS)
    for branch in BRANCHES:
        logit = coarse.explain(CLASS).evidence(branch).logit
        assert_close(np.float32(logit), coarse.grid_logits(branch)[index].numpy(), FLOAT32)


def test_a_levelled_map_is_moved_by_the_presence_of_the_models_own_grid(
    coarse: EncodedImage, finer: EncodedImage
) -> None:
    index = finer.model.class_index(CLASS)
    assert finer.model.presence is not None
    log_q = float(finer.model.presence.log_probability(coarse.sigmoid_logits)[index])
    plain, levelled = (
        finer.explain(CLASS, reading=reading, reading_settings=settings).sigmoid.map
        for reading, settings in (("plain", {}), ("levelled", {"lambda": 2.0}))
    )
    assert_close(levelled, plain + np.float32(2 * log_q), FLOAT32)


def test_a_window_is_as_large_a_part_of_the_picture_and_says_where_it_was_calibrated(
    coarse: EncodedImage, finer: EncodedImage
) -> None:
    before, after = (encoded.explain(CLASS, reading="window") for encoded in (coarse, finer))
    assert (before.reading_settings["cells"], after.reading_settings["cells"]) == (7, 13)
    assert before.reading_note == ""
    assert after.reading_note == "The probability of a window was calibrated on 7 x 7 cells."


def test_every_reading_and_its_numbers_name_the_grid(coarse: EncodedImage, finer: EncodedImage) -> None:
    for key, reading in READINGS.items():
        other = "Egyptian cat" if reading.needs_other_class else None
        explanation = finer.explain(CLASS, reading=key, other_class=other)
        assert explanation.softmax.map.shape == explanation.sigmoid.map.shape == (14, 14)
    numbers = summary(finer.explain(CLASS))
    assert (numbers["grid_hw"], numbers["logits_grid_hw"]) == ([14, 14], [7, 7])
    numbers = summary(coarse.explain(CLASS))
    assert (numbers["grid_hw"], numbers["logits_grid_hw"]) == ([7, 7], [7, 7])
    assert grid_text(coarse.explain(CLASS)) == "7 x 7 cells"
    assert grid_text(finer.explain(CLASS)) == "14 x 14 cells (logits and probabilities: 7 x 7)"
