"""Freed memory goes back to the system, also what lies between blocks that are in use."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# 120 MB in blocks of 12 kB, of which every hundredth is kept: nothing but a search through the heap frees the others.
SCATTERED = """
import ctypes, sys, time
import psutil

if sys.argv[1] == "small":
    from bsig.ui.server.memory import keep_heap_small
    keep_heap_small(trim_every_s=0.1)
resident = psutil.Process().memory_info
blocks = [ctypes.create_string_buffer(b"x" * 12_000) for _ in range(10_000)]
full = resident().rss
kept = blocks[::100]
kept.append(blocks[-1])
del blocks
lowest, until = full, time.monotonic() + 5
while time.monotonic() < until and full - lowest < 80e6:
    time.sleep(0.1)
    lowest = min(lowest, resident().rss)
print((full - lowest) / 1e6)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what lies between blocks in use")
def test_what_is_freed_between_blocks_in_use_goes_back_to_the_system() -> None:
    def given_back_mb(how: str) -> float:
        ran = subprocess.run([sys.executable, "-c", SCATTERED, how], capture_output=True, text=True, check=True)
        return float(ran.stdout)

    assert given_back_mb("small") > 80
    assert given_back_mb("as it is") < 40
