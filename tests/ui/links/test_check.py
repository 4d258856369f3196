"""What a link asks for and this app does not have is left out with one sentence."""

from __future__ import annotations

from dataclasses import replace

from bsig.explain.readings import READINGS
from bsig.model.backbones import BackboneOptions, Classifier
from bsig.model.dual_branch import DualBranch
from bsig.ui.links.check import possible_view
from bsig.ui.links.view import OWN_SETTING, SETTINGS, View
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


def test_a_setting_that_breaks_the_rule_of_its_reading_is_left_out_with_the_rule() -> None:
    bench = Workbench()
    view, notes = possible_view(bench, View(reading="window", strength=2.0, second_setting=4.0, third_setting=50.0))
    assert (view.strength, view.second_setting) == (2.0, OWN_SETTING)
    assert notes == [
        "The link's second-setting (=4) must be an odd number from 1 to 63 for the reading 'window'; the checkpoint's "
        "own is taken."
    ]
    assert possible_view(bench, View(strength=50.0))[1] == []  # of no reading in particular


def test_no_reading_has_more_settings_than_a_link_and_none_reaches_what_stands_for_its_own() -> None:
    for reading in READINGS.values():
        assert len(reading.settings) <= len(SETTINGS)
        assert not any(setting.holds(OWN_SETTING) for setting in reading.settings)
