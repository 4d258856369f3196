"""Which part of a piece of work takes how long: `part("encode")` around it, added up wherever someone collects.

    with collected() as seconds:
        with part("encode"):
            ...
    seconds["encode"]

Nobody collects in a library call or on the command line; a part then costs about a microsecond.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Threads that are started with a copy of the context, as the web server's are, add to the same dictionary.
_collecting: ContextVar[dict[str, float] | None] = ContextVar("bsig_duration_parts", default=None)


@contextmanager
def collected(into: dict[str, float] | None = None) -> Iterator[dict[str, float]]:
    """Seconds by part of what runs inside the block, added to `into` or to a new dictionary."""
    seconds: dict[str, float] = {} if into is None else into
    before = _collecting.set(seconds)
    try:
        yield seconds
    finally:
        _collecting.reset(before)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Adds the block's seconds to the part of that name; also those of a block that fails."""
    seconds = _collecting.get()
    if seconds is None:
        yield
        return
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
