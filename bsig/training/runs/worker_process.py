"""The worker process of an app: runs go in on its stdin, and `done FOLDER` comes back on its stdout (`worker.py`)."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

from bsig.inputs.paths import IMPORT_FOLDER
from bsig.training.runs.folder import RunFolder

logger = logging.getLogger(__name__)
LOG = "worker.log"
WORKER = "bsig.training.runs.worker"
SAVING_PATIENCE_S = 20.0


class WorkerProcess:
    """A `Maker` that is a process: it ends with the app, and takes nothing with it when it dies."""

    patience_s = SAVING_PATIENCE_S

    def __init__(self, folder: RunFolder, checkpoints: Path) -> None:
        folder.runs.mkdir(parents=True, exist_ok=True)
        self._process = self._new_process(["-m", WORKER, "--checkpoints", str(checkpoints)], folder.runs.parent / LOG)
        self._lines: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _new_process(self, command: list[str], log: Path) -> subprocess.Popen[str]:
        """Starts `python *command`, with pipes to its stdin and stdout; its stderr goes to the log."""
        paths = os.pathsep.join(path for path in (str(IMPORT_FOLDER), os.environ.get("PYTHONPATH")) if path)
        with log.open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONPATH": paths},
            )

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line.rstrip("\n"))

    def make(self, folder: Path) -> None:
        """Hands the run over; `has_ended` says where the worker has just died."""
        try:
            if self._process.stdin:
                self._process.stdin.write(f"{folder}\n")
                self._process.stdin.flush()
        except OSError:
            logger.warning("the worker was gone before it got run '%s'", folder.name)

    def has_made(self, folder: Path, patience_s: float) -> bool:
        """Returns whether it has said so, within that many seconds."""
        try:
            return self._lines.get(timeout=patience_s) == f"done {folder}"
        except queue.Empty:
            return False

    def has_ended(self) -> bool:
        """Returns whether the process is gone."""
        return self._process.poll() is not None

    def how_it_ended(self) -> str:
        """Returns why it is gone, in a sentence."""
        code = self._process.poll() or 0
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            return f"The worker was killed ({name}; perhaps the memory ran out)."
        return f"The worker ended by itself (code {code}; see {LOG})."

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        """Closes its stdin, at which it ends at once."""
        with contextlib.suppress(OSError):  # what was still to be written to a dead worker
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        if self._process.stdout:
            self._process.stdout.close()
