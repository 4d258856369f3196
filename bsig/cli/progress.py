"""Progress on stderr, with the remaining time for people or in numbers for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from bsig.explain.wording import duration

SECONDS_BETWEEN_LINES = 30


def progress(unit: str) -> Callable[[int, int], None]:
    """A function of (done, total) that rewrites one line; it starts anew when `done` does.

    Where stderr is no terminal (a log) a new line comes every half minute.

    Args:
        unit: what is counted, e.g. "pictures".
    """
    return _ProgressLine(unit).show


def progress_lines(done: int, total: int) -> None:
    """Prints one line a step on stderr, for a program that reads along."""
    print(f"progress {done} {total}", file=sys.stderr, flush=True)


class _ProgressLine:
    """One line of progress.

    The remaining time goes by what was done since the first call: what a run that was interrupted had done before
    took no time of this one.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._start = self._last_line = time.monotonic()
        self._done_at_start: int | None = None
        self._done = 0

    def show(self, done: int, total: int) -> None:
        """Shows how much is done of the total."""
        now = time.monotonic()
        if self._done_at_start is None:
            # A first call that comes late brings work of this run, one that comes at once work of an earlier one.
            self._done_at_start = done if now - self._start < 1 else 0
        elif done < self._done:
            self._start, self._done_at_start = now, 0
        self._done = done
        text = f"{done}/{total} {self._unit}"
        new = done - self._done_at_start
        if new > 0:
            text += f", {duration((now - self._start) / new * (total - done))} left"
        if sys.stderr.isatty():
            print(f"\r{text} ", end="\n" if done == total else "", file=sys.stderr)
        elif now - self._last_line > SECONDS_BETWEEN_LINES:
            print(text, file=sys.stderr, flush=True)
            self._last_line = now
