"""The real app in a process of its own, a visitor who asks it over HTTP, and what it logs and weighs meanwhile.

The visitor speaks as a browser does: upload, ask, read the stream, fetch the pictures. It is no `gradio_client`, which
looks for news every 50 ms: that would be most of what is measured.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from bsig.inputs.errors import InputError
from bsig.inputs.paths import APP

STARTS_WITHIN_S = 180.0
ANSWERS_WITHIN_S = 60.0


class Served:
    """The running app.

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
                entry = json.loads(line)
                if isinstance(entry, dict) and "endpoint" in entry:
                    self.lines.append(entry)

    def close(self) -> None:
        """Ends the app."""
        self._process.terminate()
        self._process.wait()
        self._listener.join()
        if self._process.stderr:
            self._process.stderr.close()

    @property
    def process_id(self) -> int:
        """The number of the app's own process; its workers are its children."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Waits until the page answers.

        Raises:
            InputError: the app ended, or did not answer in time.
        """
        deadline = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(self.url, timeout=5):
                return
            time.sleep(0.05)
        raise InputError(f"the app (={APP.name}) must start and answer within {STARTS_WITHIN_S:.0f} s; run it by hand.")


@contextlib.contextmanager
def served(*arguments: str) -> Iterator[Served]:
    """The app on a free port with a work folder of its own, for as long as the block runs."""
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
            kibibytes = next((int(line.split()[1]) for line in file if line.startswith(field)), None)
    except OSError:
        return None
    return None if kibibytes is None else round(kibibytes * 1024 / 1e6, 1)


class Visitor:
    """One visitor of the app at `url`, who keeps the connection."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=ANSWERS_WITHIN_S)

    def compare(
        self, picture: Path, checkpoint: str, class_name: str = "golf ball", method: str = "cam"
    ) -> tuple[list[bytes], dict[str, Any]]:
        """The three maps as PNG files and all numbers.

        Raises:
            InputError: the app refused, or gave no answer.
        """
        *pictures, numbers = self._ask("compare", self._upload(picture), checkpoint, class_name, method, "signed")
        files = [self._http.get(f"/gradio_api/file={entry['path']}").content for entry in pictures]
        return files, numbers

    def close(self) -> None:
        """Ends the connection."""
        self._http.close()

    def _upload(self, picture: Path) -> dict[str, Any]:
        with picture.open("rb") as file:
            answer = self._http.post("/gradio_api/upload", files={"files": (picture.name, file)})
        return {"path": answer.raise_for_status().json()[0], "meta": {"_type": "gradio.FileData"}}

    def _ask(self, endpoint: str, *values: Any) -> Any:
        answer = self._http.post(f"/gradio_api/call/{endpoint}", json={"data": values}).raise_for_status()
        event, kind = answer.json()["event_id"], ""
        with self._http.stream("GET", f"/gradio_api/call/{endpoint}/{event}") as stream:
            for line in stream.iter_lines():
                name, _, rest = line.partition(": ")
                if name == "event":
                    kind = rest
                elif name == "data" and kind == "complete":
                    return json.loads(rest)
                elif name == "data" and kind == "error":
                    raise InputError(f"/{endpoint} of the app must answer, but said: {rest}")
        raise InputError(f"/{endpoint} of the app must answer, but its stream ended without one.")
