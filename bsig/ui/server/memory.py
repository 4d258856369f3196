"""Memory of a process that answers for days: few heaps of the C library, none for large blocks, no search at the start.

glibc keeps a heap of its own for every few threads (up to eight for each core) and gives back only what lies at a
heap's end. Under visitors that left 500 MB of freed memory between what was in use, and more with every minute. With
no more heaps than cores the same load stays level (LOG.md).

`MALLOC_ARENA_MAX` and `MALLOC_MMAP_THRESHOLD_` do the same, but glibc reads them before Python starts: whoever runs
`python app.py` would have to know them.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from pathlib import Path

from bsig.inputs.errors import InputError, megabytes

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of glibc's malloc.h
LARGE_BYTES = 8 * 2**20
FEWEST_HEAPS, MOST_HEAPS = 2, 4
ADDRESS_BYTES = 3 * 2**29


def check_address_space() -> None:
    """Refuses a limit on addresses (`ulimit -v`) that is too low, before a thread or a picture fails somewhere.

    Addresses are not memory: libraries of a CUDA build of torch take 3 GB of them, and a process of 800 MB has 4 GB.

    Raises:
        InputError: less than `ADDRESS_BYTES` are left.
    """
    try:
        import resource

        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):  # a system without such limits
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < size + ADDRESS_BYTES:
        raise InputError(
            f"the limit on addresses (={megabytes(limit)}) must be at least {megabytes(size + ADDRESS_BYTES)}; "
            "raise it with `ulimit -v unlimited`."
        )


def limit_heaps() -> None:
    """Limits the heaps of this process, before its threads start. Changes nothing where the C library is another one.

    Blocks above `LARGE_BYTES` are always mapped and unmapped by themselves: glibc moves its bound for that up to 32 MB,
    and Pillow asks for 16 MB at a time, so several pictures of 64 million pixels in several threads would leave some
    400 MB behind for good.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):  # a system without such a library, or function
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(M_ARENA_MAX, min(MOST_HEAPS, max(FEWEST_HEAPS, len(os.sched_getaffinity(0)))))


def put_off_garbage() -> None:
    """Stops Python's search for garbage until `leave_start_alone`.

    At the start of an app nearly all that is made stays, and Python would look through it some hundred times: a fifth
    of the processor's time until the page is there.
    """
    gc.disable()


def leave_start_alone() -> None:
    """Lets Python search for garbage again, among what is made from now on; what the start has made stays anyway.

    What is garbage by now goes first: an import that fails midway may still hold the model that asked for it.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
