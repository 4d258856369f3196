"""The real app in a process of its own, asked over HTTP, and what it says and weighs while it answers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from bsig.inputs.errors import InputError
from bsig.inputs.paths import APP

STARTS_WITHIN_S = 180.0


class Served:
    """A running app.

    Attributes:
        url: where it answers.
        lines: its log's request lines so far, as dictionaries.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.url = url
        self.lines: list[dict[str, Any]] = []
        self._process = process
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self._process.stderr or ():
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict) and "endpoint" in said:
                    self.lines.append(said)

    def close(self) -> None:
        """Ends the app."""
        self._process.terminate()
        self._process.wait()
        self._listener.join()
        if self._process.stderr:
            self._process.stderr.close()

    @property
    def process_id(self) -> int:
        """Of the app itself; its workers are its children."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Returns once the page answers.

        Raises:
            InputError: it ended, or did not answer in time.
        """
        deadline = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(self.url, timeout=5):
                return
            time.sleep(0.05)
        raise InputError(f"the app (={APP.name}) must start and answer within {STARTS_WITHIN_S:.0f} s; run it by hand.")


@contextlib.contextmanager
def served(*arguments: str) -> Iterator[Served]:
    """Starts the app on a free port with a work folder of its own; ends it afterwards."""
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [sys.executable, str(APP), "--port", str(port), "--work-folder", folder, *arguments]
        process = subprocess.Popen(
            command, cwd=APP.parent, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        with contextlib.closing(Served(process, f"http://127.0.0.1:{port}")) as app:
            yield app


def resident_mb(process_id: int, *, peak: bool = False) -> float | None:
    """Resident memory of a process in MB (10^6 bytes), now or at its highest; None where the system does not say."""
    field = "VmHWM:" if peak else "VmRSS:"
    try:
        with open(f"/proc/{process_id}/status", encoding="ascii") as file:
            found = [line.split()[1] for line in file if line.startswith(field)]
    except OSError:
        return None
    return round(int(found[0]) * 1024 / 1e6, 1) if found else None


def this_process() -> int:
    """Its number."""
    return os.getpid()
