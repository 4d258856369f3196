"""Progress on stderr, with the remaining time for people or in numbers for programs."""

from __future__ import annotations

import sys
import time

from bsig.explain.wording import duration

SECONDS_BETWEEN_LINES = 30


class ProgressLine:
    """A line that each call with (done, total) rewrites; it starts anew when `done` does.

    Where stderr is no terminal (a log) a new line comes every half minute. The remaining time goes by what was done
    since the first call: what an interrupted run had done before took no time of this one.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._start = self._last_line = time.monotonic()
        self._count_at_start: int | None = None
        self._count = 0

    def __call__(self, count: int, total: int) -> None:
        """Shows how much is done of the total."""
        now = time.monotonic()
        if self._count_at_start is None:
            # A first call that comes late brings work of this run, one that comes at once work of an earlier one.
            self._count_at_start = count if now - self._start < 1 else 0
        elif count < self._count:
            self._start, self._count_at_start = now, 0
        self._count = count
        text = f"{count}/{total} {self._unit}"
        new = count - self._count_at_start
        if new > 0:
            text += f", {duration((now - self._start) / new * (total - count))} left"
        if sys.stderr.isatty():
            print(f"\r{text} ", end="\n" if count == total else "", file=sys.stderr)
        elif now - self._last_line > SECONDS_BETWEEN_LINES:
            print(text, file=sys.stderr, flush=True)
            self._last_line = now


def progress_lines(count: int, total: int) -> None:
    """Prints one line a step on stderr, for a program that reads along."""
    print(f"progress {count} {total}", file=sys.stderr, flush=True)
