"""The reliability diagram shows the stored tenths beside the diagonal."""

from __future__ import annotations

from bsig.model.presence import ReliabilityBin
from bsig.ui.plots.presence import reliability_figure


def test_the_diagram_draws_each_tenth_beside_the_diagonal() -> None:
    bins = (ReliabilityBin(0.04, 0.05, 400), ReliabilityBin(0.93, 0.9, 20))
    figure = reliability_figure(bins)
    assert figure is not None
    diagonal, branch = figure.data
    assert list(diagonal.x) == list(diagonal.y) == [0, 1]
    assert list(branch.x) == [0.04, 0.93]
    assert list(branch.y) == [0.05, 0.9]
    assert list(branch.customdata) == [400, 20]


def test_there_is_no_diagram_of_nothing() -> None:
    assert reliability_figure(()) is None
