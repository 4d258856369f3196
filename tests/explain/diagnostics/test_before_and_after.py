"""Two checkpoints on one picture: one scale, and the softmax branch compared."""

from __future__ import annotations

import numpy as np
import pytest

from bsig import load_checkpoint
from bsig.explain.diagnostics.before_and_after import before_and_after
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch
from bsig.ui.components.examples import bundled_examples

PICTURE = bundled_examples()[0].path


@pytest.fixture(scope="module")
def before(default_model: DualBranch) -> EncodedImage:
    return Explainer(default_model).encode(PICTURE)


def test_one_scale_holds_all_three_maps_and_an_untouched_softmax_branch_has_no_change(
    before: EncodedImage, perturbed_model: DualBranch
) -> None:
    after = Explainer(perturbed_model).encode(PICTURE)
    two = before_and_after(before, after, "golf ball", "cam")
    maps = (two.before.sigmoid.map, two.after.sigmoid.map, two.after.softmax.map)
    assert two.limit == pytest.approx(max(float(values.max()) for values in maps))
    assert two.softmax_change == 0
    assert two.map_change == pytest.approx(float(np.abs(maps[0] - maps[1]).max()))
    assert two.map_change > 0


def test_other_classes_are_not_compared_and_a_class_that_one_has_not_is_refused(before: EncodedImage) -> None:
    birds = load_checkpoint("birds10-efficientnet_lite0")
    after = Explainer(birds).encode(PICTURE)
    with pytest.raises(InputError, match="golf ball"):
        before_and_after(before, after, "golf ball", "cam")
    assert before_and_after(after, after, None, "cam").softmax_change == 0
