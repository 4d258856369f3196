"""The server of an app that is still starting: it listens at once, says so in words, and lets questions wait.

    with StartingServer(host, port) as server:        listens; gradio, torch and the page may take seconds from here on
        with launched_on(server):                     (`gradio_internals.py`)
            demo.launch(...)                          the page takes over
        server.note_ready()                           the model is loaded

Until the page takes over, a browser is shown a page of words that opens the real one by itself, with the comparison
that the app opens with where that was drawn beforehand (`opening.py`); everything else waits and is then answered.
`/health` says "loading", with status 503, until the model is loaded. Importing this file costs neither gradio nor
torch.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any

import uvicorn

from bsig.inputs.errors import InputError
from bsig.inputs.version import __version__
from bsig.ui.server.assets import asset
from bsig.ui.server.headers import SECURITY_HEADERS
from bsig.ui.server.opening import asks_for_nothing, starting_page

CLOSES_WITHIN_S = 5.0
HEALTH_PATH = "/health"


class StartingApp:
    """An ASGI application that answers for another one until that one is there.

    Args:
        comparison: what its page shows meanwhile, as of `prepared_comparison`.

    Attributes:
        is_ready: whether `/health` is the other one's to answer.
    """

    def __init__(self, comparison: str = "") -> None:
        self.is_ready = False
        self._app: Any = None
        self._arrival = asyncio.Event()
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._lifespan = contextlib.AsyncExitStack()
        self._words = starting_page().encode()
        self._page = starting_page(comparison).encode()

    def admit(self, app: Any) -> None:
        """Hands all requests to an application, those that wait first; returns when its start is done.

        Args:
            app: of Starlette or FastAPI.
        """
        asyncio.run_coroutine_threadsafe(self._admitted(app), self._loop.result()).result()

    async def __call__(self, scope: Any, receive: Callable, send: Callable) -> None:
        """Answers one request, or lives as long as the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and scope["path"] == HEALTH_PATH and not self.is_ready:
            body = {"status": "loading", "version": __version__}
            await _answer(send, 503, {"content-type": "application/json"}, json.dumps(body).encode())
        elif self._app is None and _is_for_eyes(scope):
            page = self._page if asks_for_nothing(scope) else self._words
            await _answer(send, 200, {"content-type": "text/html; charset=utf-8"}, page)
        elif file := asset(scope):
            await _answer(send, 200, *file)
        else:
            await self._arrival.wait()
            await self._app(scope, receive, send)

    async def _admitted(self, app: Any) -> None:
        await self._lifespan.enter_async_context(app.router.lifespan_context(app))
        self._app = app
        self._arrival.set()

    async def _live(self, receive: Callable, send: Callable) -> None:
        await receive()
        self._loop.set_result(asyncio.get_running_loop())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._lifespan.aclose()
        await send({"type": "lifespan.shutdown.complete"})


class StartingServer(uvicorn.Server):
    """A web server in a thread of its own, which listens from the moment that it is made.

    It has what gradio asks of a server of its own: `close`.

    Args:
        host: a name or an address, an IPv6 one also in brackets.
        port: 0 for any that is free.
        comparison: what its page shows until the app is there, as of `prepared_comparison`.

    Raises:
        InputError: the address cannot be listened on.
    """

    def __init__(self, host: str, port: int, comparison: str = "") -> None:
        self.starting = StartingApp(comparison)
        self.host = host.removeprefix("[").removesuffix("]")
        self._socket = _listening_socket(self.host, port)
        self.port = self._socket.getsockname()[1]
        super().__init__(uvicorn.Config(self.starting, host=self.host, port=self.port, log_level="warning"))
        self._thread = threading.Thread(target=self.run, args=([self._socket],), daemon=True, name="web server")

    @property
    def url(self) -> str:
        """The page's address on this machine."""
        name = "localhost" if self.host == "0.0.0.0" else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.port}/"

    def admit(self, app: Any) -> None:
        """Hands all requests to gradio's application, those that wait first."""
        self.starting.admit(app)

    def note_ready(self) -> None:
        """Notes that the model is loaded."""
        self.starting.is_ready = True

    def close(self) -> None:
        """Ends the server, once the answers that are under way have been sent."""
        self.should_exit = True
        self._thread.join(CLOSES_WITHIN_S)

    def __enter__(self) -> StartingServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:  # nobody can be answered any more
            self.should_exit = self.force_exit = True


def _listening_socket(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(
            f"`--host` (='{host}') and `--port` (={port}) cannot be listened on ({error}); choose another port."
        ) from error
    # Of its own sockets asyncio does this itself. Without it each answer waits 40 ms for the visitor's acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _is_for_eyes(scope: Any) -> bool:
    """Whether a browser asks for the page."""
    if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


async def _answer(send: Callable, status: int, headers: dict[str, str], body: bytes) -> None:
    headers = {"content-length": str(len(body)), "cache-control": "no-store", **headers, **SECURITY_HEADERS}
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
