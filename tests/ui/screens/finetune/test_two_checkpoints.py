"""The words on two checkpoints: an untouched softmax branch is said, with its number."""

from __future__ import annotations

from bsig.explain.diagnostics.before_and_after import before_and_after
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.training.runs.folder import RunFolder
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.finetune.two_checkpoints import two_words
from bsig.ui.workbench import Workbench

PICTURE = bundled_examples()[0].path


def test_an_untouched_softmax_branch_is_said(bench: Workbench, runs: RunFolder, perturbed_model: DualBranch) -> None:
    save_checkpoint(perturbed_model, runs.checkpoints / "moved")
    two = before_and_after(bench.encode(PICTURE, None), bench.encode(PICTURE, "moved"), "golf ball", "cam")
    words = two_words(two)
    assert 'data-softmax-change="0.000e+00"' in words
    assert "no softmax probability differs" in words
    assert "with moved" in words
