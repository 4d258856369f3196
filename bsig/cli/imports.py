"""Imports that take seconds, without Python's search for garbage in between."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def long_imports() -> Iterator[None]:
    """A block that imports torch and timm, in a process that has just started.

    Nearly all objects of an import stay, and Python would look through them some hundred times: a fifth of the
    processor's time of the import. Afterwards they are never looked through again. Where torch is imported already, the
    process is somebody else's, and nothing is changed.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
