"""The seconds that each part of a piece of work takes: `part("encode")` around it, `collected()` around the whole.

    with collected() as seconds:
        with part("encode"):
            ...
    seconds["encode"]

The web server collects them for its log. A library call or a command collects nothing, and a part then costs about a
microsecond.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Threads that are started with a copy of the context, as the web server's are, add to the same dictionary.
_collecting: ContextVar[dict[str, float] | None] = ContextVar("bsig_seconds_by_part", default=None)


@contextmanager
def collected(into: dict[str, float] | None = None) -> Iterator[dict[str, float]]:
    """A dictionary of part -> seconds that fills while the block runs: `into`, or a new one."""
    seconds = {} if into is None else into
    token = _collecting.set(seconds)
    try:
        yield seconds
    finally:
        _collecting.reset(token)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Adds the seconds of the block to the part of that name, also where the block fails."""
    seconds = _collecting.get()
    if seconds is None:
        yield
        return
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
