"""The load script, shortened: many visitors at once, no error, no wrong answer. Seconds are not asserted."""

from __future__ import annotations

from functools import partial

import pytest
from http_visitor import AttackedApp, resident_bytes

from bsig.cli.bench.load import Load, load_of_visitors, percentile
from bsig.ui.components.examples import example_pictures

VISITORS, SECONDS = 8, 6.0


@pytest.mark.nightly
def test_visitors_at_once_get_the_answers_of_a_single_one(attacked_app: AttackedApp) -> None:
    resident = partial(resident_bytes, attacked_app.process)
    load = load_of_visitors(attacked_app.url, resident, example_pictures(), VISITORS, SECONDS, different=16)
    assert load.errors == []
    assert load.wrong == []
    assert len(load.seconds) > VISITORS
    assert set(load.summary(SECONDS)) >= {"answers_a_second", "compare_s", "peak_rss_mb"}


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 95), percentile(values, 100)) == (51.0, 96.0, 100.0)
    assert percentile([], 95) is None
    assert Load().summary(1.0)["answers"] == 0
