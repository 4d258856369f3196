"""An evaluation in a process of its own, at low priority, so that explaining stays fast; its progress, stop, answer.

job = EvaluationJob.start(data, checkpoint, folder, EvaluationConfig(limit=200), split="val")
while job.is_running: job.count, job.total
job.results()           # those of `evaluate`, or InputError with the sentence that the process wrote
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bsig.evaluation.config import EvaluationConfig
from bsig.inputs.errors import InputError, StoppedEarly
from bsig.inputs.paths import IMPORT_FOLDER

NICENESS = 10
PATIENCE_S = 10


class EvaluationJob:
    """A `python -m bsig evaluate` in a process of its own.

    Attributes:
        count, total: forward passes, about: those that are done and all; total is 0 while nothing is known.
    """

    def __init__(self, command: Sequence[str], out: Path) -> None:
        self.count, self.total = 0, 0
        self._out, self._refusal, self._was_stopped = out, "", False
        environment = {**os.environ, "PYTHONPATH": str(IMPORT_FOLDER), "PYTHONUNBUFFERED": "1"}
        for name in ("RANK", "WORLD_SIZE"):  # an app under torchrun would make the job wait for others
            environment.pop(name, None)
        self._process = subprocess.Popen(
            command, cwd=IMPORT_FOLDER, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def start(
        cls, data: Path, checkpoint: Path, folder: Path, config: EvaluationConfig, *, split: str
    ) -> EvaluationJob:
        """Starts the process; `folder` takes its results and what is left of a stop.

        Raises:
            InputError: a setting cannot be given on a command line.
        """
        out = folder / "results.json"
        command = [
            sys.executable, "-m", "bsig", "evaluate", str(data), "--checkpoint", str(checkpoint), "--split", split,
            *config.to_arguments(), "--out", str(out), "--progress", "lines", "--nice", str(NICENESS),
        ]  # fmt: skip
        return cls(command, out)

    @property
    def is_running(self) -> bool:
        """Whether the process is at work."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ends the process; does nothing to one that has ended."""
        if self.is_running:
            self._was_stopped = True
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_S)
            if self.is_running:
                self._process.kill()
        self._process.wait()
        self._reader.join(PATIENCE_S)

    def results(self) -> dict[str, Any]:
        """The results of the finished evaluation.

        Raises:
            StoppedEarly: it was stopped.
            InputError: it failed; with the sentence that it wrote.
        """
        code = self._process.wait()
        self._reader.join(PATIENCE_S)
        if self._was_stopped:
            raise StoppedEarly("The evaluation was stopped; nothing of it is kept.")
        if code == 2:
            raise InputError(self._refusal.removeprefix("bsig: ") or "the data cannot be evaluated; check its layout.")
        if code != 0:
            raise InputError(f"the evaluation ended early (exit code {code}); try fewer pictures or start it again.")
        return json.loads(self._out.read_text(encoding="utf-8"))

    def _read(self) -> None:
        """Follows the process's stderr: lines of progress, and the one sentence of a refusal."""
        stderr = self._process.stderr
        if stderr is None:
            return
        with stderr:
            for line in stderr:
                word, *numbers = line.split()[:3] or [""]
                if word == "progress" and len(numbers) == 2 and all(number.isdecimal() for number in numbers):
                    self.count, self.total = int(numbers[0]), int(numbers[1])
                elif line.startswith("bsig: "):
                    self._refusal = line.strip()
