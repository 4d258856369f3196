"""The page inside the test's own process, leaving nothing open behind."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bsig.training.runs.folder import RunFolder
from bsig.training.runs.queue import RunQueue
from bsig.ui.page import build_demo, launch_arguments
from bsig.ui.workbench import Workbench


@contextmanager
def built_demo(bench: Workbench, queue: RunQueue | None = None) -> Iterator[Any]:
    """The page, not launched. Gradio makes an event loop for each of its locks and closes none; here all are closed.

    Without a queue of runs the page has one of its own in a temporary folder.
    """
    with tempfile.TemporaryDirectory() as folder:
        runs = queue or RunQueue(RunFolder(Path(folder)), bench.folder)
        try:
            with loops_closed():
                yield build_demo(bench, runs)
        finally:
            if queue is None:
                runs.close()


@contextmanager
def loops_closed() -> Iterator[None]:
    """Closes every event loop that was made inside."""
    loops: list[asyncio.AbstractEventLoop] = []
    make = asyncio.new_event_loop

    def recorded() -> asyncio.AbstractEventLoop:
        loops.append(make())
        return loops[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", recorded)
        try:
            yield
        finally:
            asyncio.set_event_loop(None)
            for loop in loops:
                if not loop.is_running():
                    loop.close()


@contextmanager
def served_demo(bench: Workbench, queue: RunQueue | None = None) -> Iterator[str]:
    """The address of the launched page."""
    with built_demo(bench, queue) as demo:
        try:
            _, url, _ = demo.launch(
                prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **launch_arguments(bench)
            )
            yield url
        finally:
            demo.close(verbose=False)
    with warnings.catch_warnings():
        # The server's and the client's sockets are let go by the garbage collector, which pytest would call a leak.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
