"""The C library's heap in a process that answers for days: what is let go goes back to the system.

glibc keeps a heap of its own for every few threads (up to eight for each core) and gives back only what lies at a
heap's end. Under visitors that left 500 MB of freed memory between what was in use, and more with every minute. With
no more heaps than cores, and each of them searched for free pages now and then, the same load stays level (LOG.md).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of glibc's malloc.h
LARGE_BYTES = 8 * 2**20
HEAPS = (2, 4)  # fewest and most
TRIM_EVERY_S = 20.0


def keep_heap_small(trim_every_s: float = TRIM_EVERY_S) -> None:
    """For the process of an app, before its threads start. Nothing where the C library is another one.

    Blocks above `LARGE_BYTES` are always mapped and unmapped by themselves: glibc moves its bound for that up to 32 MB,
    and Pillow asks for 16 MB at a time, so several pictures of 64 million pixels in several threads would leave some
    400 MB behind for good.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):  # of a system without such a library, or function
        library = ctypes.CDLL(None)
        trim = library.malloc_trim
        fewest, most = HEAPS
        library.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(M_ARENA_MAX, min(most, max(fewest, len(os.sched_getaffinity(0)))))
        threading.Thread(target=_trim_now_and_then, args=(trim, trim_every_s), daemon=True, name="trims heap").start()


def _trim_now_and_then(trim: Callable[[int], int], every_s: float) -> None:
    never = threading.Event()
    while not never.wait(every_s):
        trim(0)  # some 10 ms, without Python's lock
