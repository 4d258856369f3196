"""Hidden folders that a writer of a checkpoint leaves when it is killed (`bsig.inputs.files.whole_folder`).

.NAME.xxxxxxxx              half-written
.NAME.xxxxxxxx.previous     the checkpoint that was there before, when the writer was killed between two renames
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from pathlib import Path

from bsig.model.checkpoints.names import NAME_PATTERN

LEFTOVER_AFTER_S = 3600


def restore_previous(path: Path) -> None:
    """Renames the previous checkpoint back to `path`, where a killed writer left none there."""
    if path.exists() or not NAME_PATTERN.fullmatch(path.name) or not path.parent.is_dir():
        return
    for hidden in path.parent.glob(f".{path.name}.*.previous"):
        if re.fullmatch(rf"\.{re.escape(path.name)}\.[^.]{{8}}\.previous", hidden.name):
            with contextlib.suppress(OSError):
                hidden.rename(path)
                return


def clear_leftovers(path: Path) -> None:
    """Removes what killed writers of the checkpoint `path` left; a folder under an hour old may have a living one."""
    for hidden in path.parent.glob(f".{path.name}.*"):
        is_ours = re.fullmatch(rf"\.{re.escape(path.name)}\.[^.]{{8}}(\.previous)?", hidden.name)
        if is_ours and hidden.is_dir() and time.time() - hidden.stat().st_mtime > LEFTOVER_AFTER_S:
            shutil.rmtree(hidden, ignore_errors=True)
