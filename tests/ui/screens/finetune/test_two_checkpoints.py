"""Two checkpoints on one picture: one scale, and the softmax branch compared."""

from __future__ import annotations

import pytest

from bsig.inputs.errors import InputError
from bsig.model.checkpoints.folder import save_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.training.runs.run import RunFolder
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.finetune.two_checkpoints import two_answers
from bsig.ui.workbench import Workbench

PICTURE = bundled_examples()[0].path
BIRDS = "birds10-efficientnet_lite0"


def test_two_checkpoints_stand_on_one_scale_and_an_untouched_softmax_branch_is_said(
    bench: Workbench, runs: RunFolder, perturbed_model: DualBranch
) -> None:
    save_checkpoint(perturbed_model, runs.checkpoints / "moved")
    one, other = bench.encode(PICTURE, None), bench.encode(PICTURE, "moved")
    words, *pictures, bar = two_answers(one, other, "golf ball", "cam")
    assert "data-softmax-change='0.000e+00'" in words
    assert "no softmax probability differs" in words
    assert len(pictures) == 3
    before, after = one.explain("golf ball"), other.explain("golf ball")
    highest = max(float(evidence.map.max()) for evidence in (before.sigmoid, after.sigmoid, after.softmax))
    assert f"{highest:.3g}" in bar
    with pytest.raises(InputError, match="golf ball"):
        two_answers(one, bench.encode(PICTURE, BIRDS), "golf ball", "cam")
