"""`without_temporary_folder.py SCRIPT ...`: runs a script that finds no place for a temporary folder.

Part of tests/nightly/test_disk.py. Folders that the script then names itself, as `TMPDIR` or `tempfile.tempdir`, count.
"""

from __future__ import annotations

import os
import runpy
import sys
import tempfile


def candidates() -> list[str]:
    """The one place that is tried."""
    return [os.environ.get("TMPDIR", "/missing")]


if __name__ == "__main__":
    os.environ["TMPDIR"] = "/missing"
    tempfile._candidate_tempdir_list = candidates
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
