"""What stands between strangers and gradio: limits on what is sent, open routes, headers, `/health`.

`server_arguments` is what `Blocks.launch` takes for it. Everything is plain ASGI around gradio's own application.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bsig.inputs.errors import disk_sentence, megabytes, without_folders
from bsig.inputs.files import temporary_place
from bsig.inputs.version import __version__
from bsig.model.checkpoints.listing import list_checkpoints
from bsig.training.runs.queue import RunQueue
from bsig.ui.server.gradio_internals import (
    UNKNOWN_NAME_ERRORS,
    DeliveredMailboxes,
    cache_folder,
    requests_under_way,
    use_lean_sessions,
)
from bsig.ui.server.headers import SECURITY_HEADERS
from bsig.ui.server.hosts import OwnHosts
from bsig.ui.server.routes import UPLOAD_PATH, is_open
from bsig.ui.workbench import Workbench

logger = logging.getLogger(__name__)
MAX_REQUEST_BYTES = 4 * 2**20
UPLOAD_PATIENCE_S = 20.0
SLOWEST_BYTES_PER_S = 8 * 2**10
DISK_LEFT_BYTES = 512 * 2**20
KEPT_SESSIONS = 1000


def server_arguments(
    max_upload_bytes: int, upload_patience_s: float = UPLOAD_PATIENCE_S, hosts: OwnHosts | None = None
) -> dict[str, Any]:
    """The arguments of `Blocks.launch` for a server that strangers may reach.

    Args:
        max_upload_bytes: limit of one upload, all its files together.
        upload_patience_s: how long a request may take beyond the time at `SLOWEST_BYTES_PER_S`.
        hosts: the names that the app is asked for by; None for any.
    """
    guard = Middleware(Guard, max_upload_bytes=max_upload_bytes, upload_patience_s=upload_patience_s, hosts=hosts)
    return {
        "max_file_size": max_upload_bytes,
        "state_session_capacity": KEPT_SESSIONS,
        "enable_monitoring": False,
        "app_kwargs": {
            "routes": [Route("/health", _health)],
            "middleware": [guard, Middleware(DeliveredMailboxes)],
            "lifespan": _lifespan,
            "exception_handlers": {RequestValidationError: _wrong_request},
        },
    }


async def _health(request: Request) -> JSONResponse:
    """The answer of `/health`: that the app lives and how busy it is."""
    return JSONResponse(request.app.get_blocks().health())


def health_of(blocks: Any, bench: Workbench, runs: RunQueue) -> Callable[[], dict[str, Any]]:
    """The function behind `/health`: version, seconds since the start, loaded models, queue lengths.

    Until the first model is loaded, `bsig.ui.server.starting` answers "loading" in its place. Only models that ship are
    named; others are a visitor's and counted.
    """
    start, names = time.monotonic(), {row["name"] for row in list_checkpoints(bench.folder)}

    def health() -> dict[str, Any]:
        loaded_names = bench.loaded_names()
        return {
            "status": "ready",
            "version": __version__,
            "uptime_s": round(time.monotonic() - start, 1),
            "models": sorted(names & set(loaded_names)),
            "other_models": sum(name not in names for name in loaded_names),
            "requests": requests_under_way(blocks),
            "finetunes": runs.counts(),
        }

    return health


@contextlib.asynccontextmanager
async def _lifespan(app: Any) -> AsyncIterator[None]:
    use_lean_sessions(app)
    yield


async def _wrong_request(_: Request, error: Exception) -> JSONResponse:
    """The first of FastAPI's complaints about a body as a sentence that does not repeat the body."""
    first = error.errors()[0] if isinstance(error, RequestValidationError) and error.errors() else {}
    place = ".".join(str(step) for step in first.get("loc", ())[:4])[:80]
    return _refusal(422, f"the request cannot be read at '{place}': {first.get('msg', 'wrong form')}.")


def _refusal(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status_code=status)


class Guard:
    """Counts and times what is sent, keeps routes closed, adds headers, turns what escapes into a sentence.

    A body is counted while it streams, so that a missing or false content-length changes nothing. Gradio's upload
    parser removes its partial files on a `MultiPartException` and on nothing else, which is why a refusal is one.
    """

    def __init__(
        self,
        app: Any,
        max_upload_bytes: int,
        upload_patience_s: float = UPLOAD_PATIENCE_S,
        hosts: OwnHosts | None = None,
    ) -> None:
        self.app, self.max_upload_bytes, self.patience_s, self.hosts = app, max_upload_bytes, upload_patience_s, hosts

    async def __call__(self, scope: Any, receive: Callable, send: Callable) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        is_upload = path.rstrip("/") == UPLOAD_PATH
        limit = self.max_upload_bytes if is_upload else MAX_REQUEST_BYTES
        body = _Body(receive, dict(scope["headers"]), limit, self.patience_s)
        answer = _Answer(send, body)
        if self.hosts and (words := self.hosts.refusal(scope["method"], *_host_and_origin(scope))):
            await _refusal(403, words)(scope, receive, answer)
            return
        if not is_open(scope["method"], path):
            await _refusal(404, "this app has no such page.")(scope, receive, answer)
            return
        try:
            body.check_announced()
            if is_upload:
                _check_disk(body)
            await self.app(scope, body, answer)
        except Exception as error:  # noqa: BLE001  whatever it is, the visitor gets a sentence
            if not body.refused:
                body.refused = _in_words(error)
            if answer.has_started:  # a stream of answers to no question
                await answer.end()
                return
        if body.refused and not answer.has_started:
            status, sentence = body.refused
            body.refused = None
            await _refusal(status, sentence)(scope, receive, answer)


def _host_and_origin(scope: Any) -> tuple[str | None, str | None]:
    headers = dict(scope["headers"])
    host, origin = headers.get(b"host"), headers.get(b"origin")
    return host and host.decode("latin-1"), origin and origin.decode("latin-1")


def _in_words(error: Exception) -> tuple[int, str]:
    """Status and sentence for what gradio's routes raise. Handlers run in the queue and never fail here."""
    # Starlette makes a RuntimeError of the 404 with which gradio ends a stream that has begun.
    if isinstance(error, UNKNOWN_NAME_ERRORS) or isinstance(error.__cause__, HTTPException):
        logger.warning("a request that fits nothing: %s", type(error).__name__)
        return 400, "the request names or holds nothing that this app knows; `/gradio_api/info` lists what it takes."
    if sentence := disk_sentence(error):
        logger.error(sentence)
        return 507, without_folders(sentence)
    logger.error("defect while answering a request", exc_info=error)
    return 500, "something went wrong on our side; the app keeps running."


class _Body:
    """`receive`, counted and timed.

    Attributes:
        is_whole: all of the body has come.
        refused: status and sentence of the refusal; None while the request is within its limits.
    """

    def __init__(self, receive: Callable, headers: dict[bytes, bytes], limit: int, patience_s: float) -> None:
        self._receive, self._limit, self._patience_s = receive, limit, patience_s
        length = headers.get(b"content-length", b"0")
        self._announced = int(length) if length.isdigit() else 0
        self._received, self._start = 0, time.monotonic()
        self.is_whole = self._announced == 0 and b"transfer-encoding" not in headers
        self.refused: tuple[int, str] | None = None

    async def __call__(self) -> Any:
        if self.is_whole:  # from here on only whether the visitor is still there
            return await self._receive()
        left_s = self._start + self._patience_s + self._received / SLOWEST_BYTES_PER_S - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, left_s))
        except asyncio.TimeoutError:  # not yet the built-in one in Python 3.10
            self._refuse(408, f"the request took longer than {self._patience_s:.0f} s; send it faster.")
        except OSError as error:
            raise MultiPartException("the visitor has gone.") from error
        if message["type"] == "http.disconnect":
            raise MultiPartException("the visitor has gone.")
        self._received += len(message.get("body", b""))
        self._check_size(self._received)
        self.is_whole = not message.get("more_body", False)
        return message

    def check_announced(self) -> None:
        """Refuses by the announced length, before anything is read."""
        self._check_size(self._announced)

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            limit = megabytes(self._limit)
            self._refuse(413, f"the request is larger than the maximum allowed size of {limit}; send less.")

    def _refuse(self, status: int, sentence: str) -> None:
        self.refused = (status, sentence)
        raise MultiPartException(sentence)


class _Answer:
    """`send` with our headers; swallows what the application answers to a request that is refused."""

    def __init__(self, send: Callable, body: _Body) -> None:
        self._send, self._body = send, body
        self.has_started = False

    async def __call__(self, message: Any) -> None:
        if self._body.refused and not self.has_started:
            return
        if message["type"] == "http.response.start":
            self.has_started = True
            own = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
            own_names = set(SECURITY_HEADERS)
            others = [pair for pair in message.get("headers", []) if pair[0].decode("latin-1").lower() not in own_names]
            if not self._body.is_whole:  # what is still being sent is not read
                own.append((b"connection", b"close"))
            message = {**message, "headers": [*others, *own]}
        await self._send(message)

    async def end(self) -> None:
        """Ends an answer that was begun and broke off."""
        with contextlib.suppress(Exception):  # it may have ended, or the visitor be gone
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _check_disk(body: _Body) -> None:
    temporary_place()  # where gradio writes what is being uploaded
    folder = Path(cache_folder())  # made with the first upload, and with the next one if a cleaner removed it
    free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.is_dir())).free
    if free < DISK_LEFT_BYTES:
        body.refused = (507, "the disk of this app is full; try again later.")
        raise MultiPartException("the disk is full.")
