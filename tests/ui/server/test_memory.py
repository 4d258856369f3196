"""Few heaps however many threads, and large blocks that go back to the system when they are freed."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys
import weakref

import psutil
import pytest

from bsig.inputs.errors import InputError
from bsig.ui.server import memory

START = """
import ctypes, runpy, sys, threading
import psutil

if sys.argv[1] == "limited":
    runpy.run_path(sys.argv[2])["limit_heaps"]()
library = ctypes.CDLL(None)
library.malloc.restype = library.fopen.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = library.fclose.argtypes = [ctypes.c_void_p]
"""
# As many threads as glibc would give a heap each, all of them alive; glibc itself counts its heaps.
HEAPS = """
import tempfile
together = threading.Barrier(9)
def hold():
    library.malloc(5_000)
    together.wait()
    together.wait()
for _ in range(8):
    threading.Thread(target=hold).start()
together.wait()
with tempfile.NamedTemporaryFile() as report:
    file = library.fopen(report.name.encode(), b"w")
    library.malloc_info(0, ctypes.c_void_p(file))
    library.fclose(file)
    print(report.read().count(b"<heap nr="))
together.wait()
"""
# Ten blocks of 16 MB, each below a small one that stays; one before them has moved glibc's bound.
LARGE = """
def block(size):
    address = library.malloc(size)
    ctypes.memset(address, 1, size)
    return address
library.free(block(16 * 2**20))
blocks = []
for _ in range(10):
    blocks.append(block(16 * 2**20))
    block(200_000)
full = psutil.Process().memory_info().rss
for address in blocks:
    library.free(address)
print((full - psutil.Process().memory_info().rss) // 10**6)
"""
pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has so many heaps")


def printed(script: str, how: str) -> int:
    command = [sys.executable, "-c", START + script, how, memory.__file__]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_there_are_few_heaps_however_many_threads() -> None:
    assert printed(HEAPS, "limited") <= memory.MOST_HEAPS
    assert printed(HEAPS, "as it is") > memory.MOST_HEAPS


def test_large_blocks_go_back_to_the_system_whatever_lies_above_them() -> None:
    assert printed(LARGE, "limited") > 140
    assert printed(LARGE, "as it is") < 60


def test_a_limit_on_addresses_that_leaves_no_room_is_refused_at_the_start() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 2**30, before[1]))
    try:
        with pytest.raises(InputError, match="raise it with `ulimit -v unlimited`"):
            memory.check_address_space()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    memory.check_address_space()


def test_what_the_start_has_made_is_no_longer_looked_through_and_later_garbage_is_found() -> None:
    class Ring:
        def __init__(self) -> None:
            self.itself = self

    try:
        memory.put_off_garbage()
        assert not gc.isenabled()
        early, before = [Ring()], gc.get_freeze_count()
        early_garbage = weakref.ref(Ring())
        memory.leave_start_alone()
        assert early_garbage() is None
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        assert not any(made is early for made in gc.get_objects())
        gone = weakref.ref(Ring())
        gc.collect()
        assert gone() is None
    finally:
        gc.unfreeze()
        gc.enable()
