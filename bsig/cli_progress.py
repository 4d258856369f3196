"""Progress on stderr, with the remaining time; only on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from bsig.durations import duration


def progress(what: str) -> Callable[[int, int], None]:
    """A line that is rewritten as `done` of `total` grows; it starts anew when they do."""
    started, before = time.monotonic(), 0

    def show(done: int, total: int) -> None:
        nonlocal started, before
        if done < before:
            started = time.monotonic()
        before = done
        if sys.stderr.isatty():
            left = duration((time.monotonic() - started) / done * (total - done))
            print(f"\r{done}/{total} {what}, {left} left ", end="\n" if done == total else "", file=sys.stderr)

    return show
