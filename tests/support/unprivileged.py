"""`unprivileged.py SCRIPT ...`: runs a script as `nobody`, who reads what root reads and writes only where all may.

Part of tests/nightly/test_rights.py. Root's interpreter may lie where nobody may look (in root's home), so the
right to read everything is kept where the system lets go of the others alone.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import sys

NOBODY = 65534
KEEP_CAPABILITIES, AMBIENT, RAISE = 8, 47, 2  # of prctl
READ_EVERYTHING = 2  # CAP_DAC_READ_SEARCH
LAYOUT = 0x20080522  # of capset: two words of 32 bits


def drop_rights() -> None:
    """Makes this process and its children nobody's.

    Raises:
        OSError: this process is not root's, or the system does not allow it.
    """
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(KEEP_CAPABILITIES, 1)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    capability = 1 << READ_EVERYTHING
    header = (ctypes.c_uint32 * 2)(LAYOUT, 0)
    capabilities = (ctypes.c_uint32 * 6)(capability, capability, capability)  # effective, permitted, inheritable
    if library.capset(header, capabilities) or library.prctl(AMBIENT, RAISE, READ_EVERYTHING, 0, 0):
        raise OSError(ctypes.get_errno(), "capset")


if __name__ == "__main__":
    drop_rights()
    sys.argv = sys.argv[1:]
    if sys.argv[0] == "-m":
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
