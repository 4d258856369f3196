"""A training's plots: whole epochs on the axis, however few there are."""

from __future__ import annotations

import pytest

from bsig.ui.plots.training import FIGURES, MOST_TICKS


@pytest.mark.parametrize("key", FIGURES)
def test_few_epochs_have_a_tick_each_and_many_have_few(key: str) -> None:
    def axis(last: int) -> tuple[int | None, int | None]:
        epochs = [{"number": number, "loss": 0.5, "absent_area": 0.4} for number in range(last + 1)]
        build = FIGURES[key][1]
        figure = build(epochs, {"softmax_absent_area": 0.5}) if key == "areas" else build(epochs)
        return figure.layout.xaxis.dtick, figure.layout.xaxis.nticks

    assert axis(1) == (1, None)  # 0 and 1: not 0, a half that reads 1, and 1
    assert axis(MOST_TICKS) == (1, None)
    assert axis(400) == (None, MOST_TICKS)
