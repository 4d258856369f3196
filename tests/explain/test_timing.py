"""Seconds by part: added up by name, apart by request, and nowhere where nobody collects."""

from __future__ import annotations

import threading
import time
from contextvars import copy_context

import pytest

from bsig.explain.timing import collected, part


def test_parts_of_one_name_are_added_up_also_from_a_thread_of_the_same_request() -> None:
    def work() -> None:
        with part("encode"):
            time.sleep(0.02)

    start = time.perf_counter()
    with collected() as seconds:
        work()
        thread = threading.Thread(target=copy_context().run, args=(work,))
        thread.start()
        thread.join()
    assert 0.04 <= seconds["encode"] <= time.perf_counter() - start


def test_a_part_that_fails_counts_and_a_part_outside_counts_nowhere() -> None:
    with collected() as seconds, pytest.raises(ValueError, match="so"), part("maps"):
        raise ValueError("so")
    assert list(seconds) == ["maps"]
    before = dict(seconds)
    with part("maps"):
        time.sleep(0.001)
    assert seconds == before


def test_requests_side_by_side_do_not_share_their_parts() -> None:
    with collected() as first:
        with collected() as second, part("png"):
            pass
        with part("maps"):
            pass
    assert (list(first), list(second)) == (["maps"], ["png"])
