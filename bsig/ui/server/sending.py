"""How answers are sent that gradio sends slowly: drawn pictures in one piece, the page's text compressed.

Gradio hands a file out in parts of 64 kB and reads each in another thread, after it has resolved some sixty paths to
see whether the file may be sent: 3 ms for a map that was drawn a moment ago and lies in the system's memory. Here a
file that the app has drawn itself is known by the form of its path. And gradio compresses scripts but not the page,
whose description of every component is a megabyte that says the same again and again.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from typing import Any

from isal import igzip

from bsig.ui.server.gradio_internals import cache_folder
from bsig.ui.server.opening import asks_for_nothing, with_overlay
from bsig.ui.server.routes import API

DRAWN = re.compile(r"/[0-9a-f]{64}/image\.png")
"""A drawn picture below gradio's cache folder: the hash of its content, which nobody guesses, and its name."""
LARGEST_BYTES = 4 * 2**20
PAGE_PATHS = frozenset({"/", "/config", "/config/"})
Headers = list[tuple[bytes, bytes]]


class DrawnPictures:
    """Middleware that answers for drawn pictures, and leaves everything else to the application."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Callable, send: Callable) -> None:
        """Answers one request."""
        content = _drawn_picture(scope) if scope["type"] == "http" else None
        if content is None:
            await self._app(scope, receive, send)
            return
        headers = {
            "content-type": "image/png",
            "content-length": str(len(content)),
            "content-disposition": 'inline; filename="image.png"',
            "cache-control": "private, max-age=3600, immutable",  # another content has another path
        }
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": pairs})
        await send({"type": "http.response.body", "body": content})


def _drawn_picture(scope: Any) -> bytes | None:
    """A file's content; None where the request asks for something else, or for a part of it."""
    before, _, path = scope["path"].partition(f"{API}/file=")
    if scope["method"] != "GET" or before != scope.get("root_path", "") or not DRAWN.search(path):
        return None
    folder = cache_folder()
    if not path.startswith(folder) or not DRAWN.fullmatch(path.removeprefix(folder)):
        return None
    if any(name == b"range" for name, _ in scope["headers"]):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            is_usual = stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_BYTES
            return file.read() if is_usual else None
    except OSError:  # it has gone; gradio says so
        return None


class CompressedPage:
    """Middleware that compresses the page and its description for whoever takes gzip.

    Args:
        app: what answers.
        overlay: gives what lies over the page that the app opens with, until its first maps are drawn (`opening.py`).
    """

    def __init__(self, app: Any, overlay: Callable[[], str] = str) -> None:
        self._app = app
        self._overlay = overlay

    async def __call__(self, scope: Any, receive: Callable, send: Callable) -> None:
        """Answers one request."""
        if _takes_compressed_page(scope):
            is_opening = _path(scope) == "/" and asks_for_nothing(scope)
            send = _Compressed(send, self._overlay().encode() if is_opening else b"")
        await self._app(scope, receive, send)


def _takes_compressed_page(scope: Any) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    if _path(scope) not in PAGE_PATHS:
        return False
    return any(name == b"accept-encoding" and b"gzip" in value for name, value in scope["headers"])


def _path(scope: Any) -> str:
    return scope["path"].removeprefix(scope.get("root_path", ""))


class _Compressed:
    """`send` for an answer that is compressed once all of it has come."""

    def __init__(self, send: Callable, overlay: bytes) -> None:
        self._send = send
        self._overlay = overlay
        self._start: dict[str, Any] = {}
        self._body = b""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            self._start = message
            return
        if not self._start:  # a refusal, which is short
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        body = igzip.compress(with_overlay(self._body, self._overlay))
        own_names = (b"content-length", b"content-encoding")
        headers: Headers = [pair for pair in self._start.get("headers", []) if pair[0].lower() not in own_names]
        headers += [
            (b"content-encoding", b"gzip"),
            (b"content-length", str(len(body)).encode()),
            (b"vary", b"accept-encoding"),
        ]
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
