"""The worker process of the app, forked: the same program, without the seconds that its imports take."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import cast

from forked import ForkedProgram

from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.training.runs.folder import RunFolder
from bsig.training.runs.queue import RunQueue
from bsig.training.runs.worker_process import WorkerProcess


class ForkedWorker(WorkerProcess):
    """A `WorkerProcess` whose interpreter is a fork."""

    def _started(self, command: list[str], log: Path) -> subprocess.Popen[str]:
        return cast("subprocess.Popen[str]", ForkedProgram(*command, output=None, errors=log))


def queue_of(work_folder: Path, checkpoints: Path = CHECKPOINTS_FOLDER) -> RunQueue:
    """A line of runs that forked workers make."""
    folder = RunFolder(work_folder)
    return RunQueue(folder, checkpoints, lambda: ForkedWorker(folder, checkpoints))
