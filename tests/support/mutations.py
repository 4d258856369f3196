"""Real files with a few bytes changed: hypothesis strategies, and what guards a case."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CASES_VARIABLE = "BSIG_FUZZ_CASES"
GATE_CASES, NIGHTLY_CASES = 100, int(os.environ.get(CASES_VARIABLE, "4000"))
LONGEST_CASE_S = 20
MOST_MEMORY_BYTES = 2 * 2**30
TELLING_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
Change = tuple[str, int, int, int]


def mutated(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of the files with one to eight changes; now and then cut or with a piece of another."""
    change = st.tuples(
        st.sampled_from(["flip", "set", "number", "little", "insert", "remove", "repeat", "cut", "splice"]),
        st.integers(0, 2**20),
        st.integers(0, 255),
        st.sampled_from(TELLING_NUMBERS),
    )
    return st.builds(
        lambda which, changes: _changed(seeds, which, changes),
        st.integers(0, len(seeds) - 1),
        st.lists(change, min_size=1, max_size=8),
    )


def _changed(seeds: Sequence[bytes], which: int, changes: list[Change]) -> bytes:
    content = bytearray(seeds[which])
    for kind, place, value, number in changes:
        if not content:
            break
        # Half of the changes near the start, where headers are.
        at = place % len(content) if place % 2 else place % min(len(content), 200)
        if kind == "flip":
            content[at] ^= 1 << (value % 8)
        elif kind == "set":
            content[at] = value
        elif kind in ("number", "little"):
            content[at : at + 4] = struct.pack(">I" if kind == "number" else "<I", number)
        elif kind == "insert":
            content[at:at] = bytes([value]) * (1 + value % 32)
        elif kind == "remove":
            del content[at : at + 1 + value]
        elif kind == "repeat":
            content[at:at] = content[at : at + 1 + value]
        elif kind == "cut":
            del content[at:]
        else:
            other = seeds[value % len(seeds)]
            content[at:] = other[place % len(other) :]
    return bytes(content)


def fuzz(strategy: st.SearchStrategy[Any], check: Callable[[Any], None], cases: int) -> None:
    """Checks so many cases, none of which may hang or fill the memory; nightly with other ones every time."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(
        max_examples=cases, deadline=None, derandomize=cases == GATE_CASES, database=None, print_blob=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def case(value: Any) -> None:
        with no_longer_than(LONGEST_CASE_S):
            check(value)

    case()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MOST_MEMORY_BYTES


@contextlib.contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise AssertionError(f"the case hangs: it takes longer than {seconds} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
