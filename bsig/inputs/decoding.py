"""Many pictures, decoded in threads while those before them are used; in order, and never far ahead.

for batch in decoded_ahead(paths, read_image, batch_size=16, threads=2):
    for path, picture in batch:
        ...
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

MOST_THREADS = 8
Source = TypeVar("Source")
Decoded = TypeVar("Decoded")


def decoding_threads() -> int:
    """How many threads decode where nothing else is asked for: one a core, up to eight."""
    return min(MOST_THREADS, os.cpu_count() or 1)


def decoded_ahead(
    sources: Iterable[Source],
    decode: Callable[[Source], Decoded],
    batch_size: int,
    threads: int,
    batches_ahead: int = 2,
) -> Iterator[list[tuple[Source, Decoded]]]:
    """Yields sources in batches, each source with what `decode` makes of it.

    `sources` are asked for in the caller's thread, at most `batches_ahead` batches before they are yielded; memory
    holds no more. What `decode` raises is raised when its batch's turn has come.
    """
    remaining = iter(sources)
    pending: deque[list[tuple[Source, Future[Decoded]]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        try:
            while True:
                while len(pending) <= batches_ahead:
                    batch = [(source, pool.submit(decode, source)) for source in islice(remaining, batch_size)]
                    if not batch:
                        break
                    pending.append(batch)
                if not pending:
                    return
                yield [(source, future.result()) for source, future in pending.popleft()]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
