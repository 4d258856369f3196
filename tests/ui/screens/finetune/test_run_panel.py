"""The plots of a long run stay small, and know of a calibration only where there is one."""

from __future__ import annotations

from bsig.training.runs.folder import RunFolder
from bsig.training.runs.run import RunRequest
from bsig.ui.screens.finetune.form import Form
from bsig.ui.screens.finetune.run_panel import POINTS_DRAWN, Seen, run_presence, thinned
from bsig.ui.workbench import Workbench


def test_a_long_run_is_drawn_by_few_epochs_its_first_and_last_among_them() -> None:
    for count in (0, 1, 2, POINTS_DRAWN, POINTS_DRAWN + 1, 5003):
        epochs = [{"number": number} for number in range(count)]
        drawn = thinned(epochs)
        assert len(drawn) <= POINTS_DRAWN + 1
        assert drawn[:1] == epochs[:1]
        assert drawn[-1:] == epochs[-1:]
        numbers = [epoch["number"] for epoch in drawn]
        assert numbers == sorted(set(numbers))
        if count <= POINTS_DRAWN:
            assert drawn == epochs


def test_a_run_without_a_checkpoint_has_no_calibration(bench: Workbench, runs: RunFolder) -> None:
    folder = runs.create("bare", RunRequest("bundled", "x", Form().config(bench)))
    assert run_presence(runs.read(folder.name)) is None


def test_when_plots_were_drawn_is_no_news() -> None:
    assert Seen("a", plotted=1.0, owes_plots=True) == Seen("a")
    assert Seen("a", newest=1) != Seen("a")
