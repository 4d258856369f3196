"""Progress on stderr, with the remaining time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from bsig.explain.wording import duration

SECONDS_BETWEEN_LINES = 30


def progress(what: str) -> Callable[[int, int], None]:
    """A line that is rewritten as `done` of `total` grows; it starts anew when they do.

    Where stderr is no terminal (a log) a new line comes every half minute. What was done before the first call, by a
    run that was interrupted, takes no time.
    """
    started = last = time.monotonic()
    before, known = 0, False
    first = 0

    def show(done: int, total: int) -> None:
        nonlocal started, last, before, first, known
        now = time.monotonic()
        if done < before:
            started, first = now, 0
        if not known:
            known, first = True, done if now - started < 1 else 0
        before = done
        is_new = done > first
        left = f", {duration((now - started) / (done - first) * (total - done))} left" if is_new else ""
        if sys.stderr.isatty():
            print(f"\r{done}/{total} {what}{left} ", end="\n" if done == total else "", file=sys.stderr)
        elif now - last > SECONDS_BETWEEN_LINES:
            print(f"{done}/{total} {what}{left}", file=sys.stderr, flush=True)
            last = now

    return show
