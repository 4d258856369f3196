"""What a link asks for and this app does not have is left out with one sentence."""

from __future__ import annotations

from dataclasses import replace

from bsig.model.backbones import BackboneOptions, Classifier
from bsig.model.dual_branch import DualBranch
from bsig.ui.links.check import possible_view
from bsig.ui.links.view import View
from bsig.ui.workbench import Workbench


def test_the_finer_grid_of_a_model_that_has_none_is_left_out_with_the_reason(default_classifier: Classifier) -> None:
    bench = Workbench()
    fine = replace(default_classifier, options=BackboneOptions("stride16"))
    bench.register("fine", lambda: DualBranch(fine, name="fine"))
    bench.register("own", lambda: DualBranch(default_classifier, name="own"))
    view, notes = possible_view(bench, View(checkpoint="fine", finer_grid=True))
    assert not view.finer_grid
    assert notes == [
        "The link asks for the finer grid, which checkpoint 'fine' does not have: Its features are not taken at the "
        "backbone's own last feature map."
    ]
    view, notes = possible_view(bench, View(checkpoint="own", finer_grid=True))
    assert (view.finer_grid, notes) == (True, [])
