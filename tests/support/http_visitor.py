"""A visitor who speaks HTTP with the app and needs no more than httpx: uploads, asks, reads the stream of answers."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from forked import ForkedProgram, free_port

from bsig.inputs.paths import CHECKPOINTS_FOLDER, ROOT

CHECKPOINT = "imagenet1k-efficientnet_lite0"
START_S = 90


class RefusedError(Exception):
    """The app said no; the text is its sentence."""


class Visitor:
    """One visitor of the app at `url`."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)

    def close(self) -> None:
        self.http.close()

    def upload(self, content: bytes, name: str = "picture.jpg") -> dict[str, Any]:
        """Uploads a file; what a handler is given in its place."""
        response = self.http.post("/gradio_api/upload", files={"files": (name, content)})
        if response.status_code != 200:
            raise RefusedError(response.text)
        return file_data(response.json()[0])

    def ask(self, endpoint: str, *values: Any) -> Any:
        """The endpoint's answer."""
        return self.answer(endpoint, self.send(endpoint, *values))

    def send(self, endpoint: str, *values: Any) -> str:
        """Puts a request into the queue and does not wait."""
        response = self.http.post(f"/gradio_api/call/{endpoint}", json={"data": list(values)})
        if response.status_code != 200:
            raise RefusedError(response.text)
        return response.json()["event_id"]

    def answer(self, endpoint: str, event: str) -> Any:
        """The last thing said about a request."""
        kind = None
        with self.http.stream("GET", f"/gradio_api/call/{endpoint}/{event}") as stream:
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: ") and kind in ("complete", "error"):
                    answer = json.loads(line.removeprefix("data: "))
                    if kind == "error":
                        raise RefusedError(answer["error"] if isinstance(answer, dict) else str(answer))
                    return answer
        raise RefusedError("the stream ended without an answer")

    def compare(
        self, picture: bytes, class_name: str = "", method: str = "cam", weights: str = "signed",
        checkpoint: str = CHECKPOINT, name: str = "picture.jpg",
    ) -> list[Any]:  # fmt: skip
        """The three maps' files and all numbers."""
        return self.ask("compare", self.upload(picture, name), checkpoint, class_name, method, weights)


def refusal(ask: Callable[[], Any]) -> str:
    """The sentence of a refusal: one line, no path of the machine, no trace."""
    with pytest.raises(RefusedError) as caught:
        ask()
    words = str(caught.value)
    assert 15 < len(words) < 700
    assert "\n" not in words.strip()
    assert not any(
        secret in words for secret in ("Traceback", "site-packages", str(ROOT), str(Path.home()), tempfile.gettempdir())
    ), words
    return words


def file_data(path: str, **entries: Any) -> dict[str, Any]:
    """A file as gradio's handlers are told of it."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **entries}


@contextlib.contextmanager
def running_app(
    folder: Path, *arguments: object, program: Sequence[object] = ("app.py",), env: Mapping[str, str] | None = None
) -> Iterator[tuple[str, ForkedProgram]]:
    """`python app.py` with all that it writes in `folder`; its address and process. Its log is `folder/log`."""
    port = free_port()
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(folder / "gradio"), "BSIG_CACHE": str(folder / "cache"),
                   "TMPDIR": str(folder / "tmp"), "PYTHONUNBUFFERED": "1",
                   "OMP_NUM_THREADS": "1", **(env or {})}  # fmt: skip
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    process = ForkedProgram(
        *program, "--port", port, "--work-folder", folder / "work", *arguments, output=folder / "log", env=environment
    )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}", process, folder / "log")
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(condition: Callable[[], Any], seconds: float = 10) -> bool:
    """Whether it holds within that time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def wait_until_healthy(url: str, process: ForkedProgram, log: Path, seconds: float = START_S) -> None:
    """Returns once `/health` answers."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the app ended at once: {log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        time.sleep(0.2)
    raise RuntimeError("the app does not start")


def resident_bytes(process: psutil.Process) -> int:
    """Memory of a process and of all that it started."""
    size = 0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            size += each.memory_info().rss
    return size


@dataclass(frozen=True)
class AttackedApp:
    """A running app in a process of its own.

    Attributes:
        folder: everything that it writes lies below; `log` is its output.
        checkpoints: its checkpoint folder.
        refusals: of its hostile checkpoints, words by name.
    """

    url: str
    folder: Path
    checkpoints: Path
    refusals: dict[str, str]
    process: psutil.Process

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def files(self) -> list[Path]:
        """All files below its temporary and work folders."""
        return [path for path in self.folder.rglob("*") if path.is_file() and not path.is_relative_to(self.checkpoints)]


@contextlib.contextmanager
def attacked_app_in(
    folder: Path, loadable: Callable[[Path], None], hostile: Callable[[Path], dict[str, str]]
) -> Iterator[AttackedApp]:
    """`python app.py --public`, whose checkpoints are those that ship and the hostile ones."""
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir()
    loadable(checkpoints)
    for path in CHECKPOINTS_FOLDER.iterdir():
        (checkpoints / path.name).symlink_to(path)
    with running_app(folder, "--public", "--checkpoints", str(checkpoints)) as (url, process):
        yield AttackedApp(url, folder, checkpoints, hostile(checkpoints), psutil.Process(process.pid))
