"""Wilson's interval against numbers worked out by hand, scipy's, and its own symmetries."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from bsig.evaluation.metrics.proportions import wilson_interval
from bsig.inputs.errors import InputError


def test_an_even_share_of_four_by_hand() -> None:
    # p = 1/2, n = 4, z = 2: centre (1/2 + 1/2) / 2 = 1/2; half 2/2 * sqrt(1/16 + 1/16 * 4/4) = sqrt(1/8).
    assert wilson_interval(2, 4, z=2.0) == pytest.approx((0.5 - 0.125**0.5, 0.5 + 0.125**0.5))


@pytest.mark.parametrize("hits", range(7))
def test_it_is_scipys(hits: int) -> None:
    interval = binomtest(hits, 6).proportion_ci(method="wilson")
    assert wilson_interval(hits, 6) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_misses_mirror_hits_and_no_end_leaves_the_unit_interval() -> None:
    for hits in range(8):
        low, high = wilson_interval(hits, 7)
        assert (1 - high, 1 - low) == pytest.approx(wilson_interval(7 - hits, 7))
        assert 0 <= low < high <= 1


@pytest.mark.parametrize(("hits", "tries"), [(0, 0), (3, 2), (-1, 4)])
def test_impossible_counts_are_refused(hits: int, tries: int) -> None:
    with pytest.raises(InputError, match="must be from 0 to all of at least one try"):
        wilson_interval(hits, tries)
