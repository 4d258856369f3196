"""The real app in a process of its own, and a visitor who asks it over HTTP.

The visitor speaks as a browser does: upload, ask, read the stream, fetch the pictures. It is no `gradio_client`, which
looks for news every 50 ms: that would be most of what is measured.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bsig.inputs.errors import InputError
from bsig.inputs.paths import APP
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT

STARTS_WITHIN_S = 180.0
ANSWERS_WITHIN_S = 120.0


@dataclass(frozen=True)
class Served:
    """The running app: where it answers, its process, and its log."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def requests(self) -> list[dict[str, Any]]:
        """The log's lines about requests so far."""
        entries = []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):  # a line for people, or one that is not whole yet
                entries.append(json.loads(line))
        return [entry for entry in entries if isinstance(entry, dict) and "endpoint" in entry]

    def resident_mb(self, *, peak: bool = False) -> float | None:
        """Resident memory in MB (10^6 bytes), now or at its highest; None where the system does not say."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.is_file():
            return None
        return status_mb(status.read_text(encoding="ascii"), "VmHWM" if peak else "VmRSS")

    def resident_bytes(self) -> int:
        """Resident memory now; 0 where the system does not say."""
        return int(1e6 * (self.resident_mb() or 0.0))

    def wait_until_ready(self) -> None:
        """Waits until the first model is loaded; see `served`."""
        deadline = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health", timeout=5).is_success:
                    return
            time.sleep(0.05)
        raise InputError(f"the app (={APP.name}) must start and answer within {STARTS_WITHIN_S:.0f} s; run it by hand.")


@contextlib.contextmanager
def served(*arguments: str, is_awaited: bool = True) -> Iterator[Served]:
    """The app on a free port with a work folder of its own; it is ready when the block begins, and ends with it.

    Args:
        arguments: of `app.py`.
        is_awaited: whether the block begins when the app is ready; else at once.

    Raises:
        InputError: the app ended, or did not answer in time.
    """
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as folder:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        work_folder, log = Path(folder, "work"), Path(folder, "log")
        command = [sys.executable, str(APP), "--port", str(port), "--work-folder", str(work_folder), *arguments]
        quiet = subprocess.DEVNULL
        with (
            log.open("wb") as stderr,
            subprocess.Popen(command, cwd=APP.parent, stdin=quiet, stdout=quiet, stderr=stderr) as process,
        ):
            app = Served(f"http://127.0.0.1:{port}", process, log)
            try:
                if is_awaited:
                    app.wait_until_ready()
                yield app
            finally:
                process.terminate()


def status_mb(status: str, field: str) -> float | None:
    """A field of Linux's `/proc/PID/status` in MB (10^6 bytes); None where it is not there."""
    match = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    return round(int(match[1]) * 1024 / 1e6, 1) if match else None


class Visitor:
    """One visitor of the app at `url`, who keeps the connection."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=ANSWERS_WITHIN_S)

    def upload(self, picture: Path, tail: bytes = b"") -> dict[str, Any]:
        """Uploads a picture; with other bytes behind it, which no decoder reads, one that the app does not know."""
        answer = self._http.post("/gradio_api/upload", files={"files": (picture.name, picture.read_bytes() + tail)})
        return {"path": answer.raise_for_status().json()[0], "meta": {"_type": "gradio.FileData"}}

    def ask(
        self, file: dict[str, Any], class_name: str = "golf ball", method: str = "cam", weights: str = "signed",
        checkpoint: str = DEFAULT_CHECKPOINT,
    ) -> list[Any]:  # fmt: skip
        """The answer of `/compare`: three pictures' addresses and all numbers.

        Raises:
            InputError: the app refused.
        """
        values = [file, checkpoint, class_name, method, weights]
        answer = self._http.post("/gradio_api/call/compare", json={"data": values}).raise_for_status()
        stream = self._http.get(f"/gradio_api/call/compare/{answer.json()['event_id']}").raise_for_status()
        kind, content = stream.text.strip().split("\n\n")[-1].split("\n", 1)
        if kind != "event: complete":
            raise InputError(f"/compare of the app must answer, but said: {content[:150]}")
        return json.loads(content.removeprefix("data: "))

    def pictures(self, files: list[dict[str, Any]]) -> list[bytes]:
        """The PNG files of an answer."""
        paths = [file["path"] for file in files]
        return [self._http.get(f"/gradio_api/file={path}").raise_for_status().content for path in paths]

    def compare(self, picture: Path, **question: str) -> None:
        """Uploads a picture, asks about it and fetches the answer's pictures."""
        *files, _ = self.ask(self.upload(picture), **question)
        self.pictures(files)

    def close(self) -> None:
        """Ends the connection."""
        self._http.close()
