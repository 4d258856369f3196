"""Is somebody at work in this folder? A lock that the system lets go when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nobody is known to be at work, so one app a work folder is the user's to see to
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Holds the folder's lock while the block runs; False where somebody else has it (the block runs all the same)."""
    with (folder / LOCK).open("a") as file:
        yield _take(file.fileno())


def is_locked(folder: Path) -> bool:
    """Whether some living process holds the folder's lock."""
    try:
        with (folder / LOCK).open("a") as file:
            return not _take(file.fileno())  # and lets go of it at once, with the file
    except OSError:
        return False


def _take(descriptor: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
