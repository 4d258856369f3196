"""A server that listens before its app is there: a browser gets words, questions wait, `/health` says loading."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from http_visitor import wait_until

from bsig.inputs.errors import InputError
from bsig.inputs.paths import ROOT
from bsig.ui.page import TITLE
from bsig.ui.screens.compare.words import LOADING
from bsig.ui.server import starting
from bsig.ui.server.assets import assets_folder
from bsig.ui.server.headers import SECURITY_HEADERS
from bsig.ui.server.starting import StartingServer

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
HEAVY = {"torch", "timm", "gradio", "numpy", "fastapi", "PIL"}


class Echo:
    """An application that answers with the path and the body of a request, and knows whether it lives."""

    def __init__(self) -> None:
        self.lives: list[bool] = []
        self.router = SimpleNamespace(lifespan_context=self.lifespan)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        assert app is self
        self.lives.append(True)
        yield
        self.lives.append(False)

    async def __call__(self, scope: Any, receive: Callable, send: Callable) -> None:
        body, message = b"", {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode() + b" " + body})


@pytest.fixture
def server() -> Iterator[StartingServer]:
    with StartingServer("127.0.0.1", 0) as server:
        yield server


def test_a_browser_reads_that_the_model_is_loading(server: StartingServer) -> None:
    answer = httpx.get(server.url, headers=BROWSER)
    assert answer.status_code == 200
    assert "Loading the model" in answer.text
    assert f"<h1>{TITLE}</h1>" in answer.text
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


def test_its_words_are_those_of_the_page() -> None:
    page = Path(starting.__file__).with_name("starting.html").read_text(encoding="utf-8")
    head = (ROOT / "bsig" / "ui" / "page.py").read_text(encoding="utf-8")
    words = page.split("<p>")[1].split("</p>")[0]
    assert f'"{words}"' in head
    loading = page.split('role="status">')[1].split("</p>")[0]
    assert loading in LOADING


def test_health_says_loading_until_the_model_is_there(server: StartingServer) -> None:
    assert httpx.get(server.url + "health").status_code == 503
    server.admit(Echo())
    loading = httpx.get(server.url + "health")
    assert (loading.status_code, loading.json()["status"]) == (503, "loading")
    server.note_ready()
    assert httpx.get(server.url + "health").text == "/health "


def test_questions_wait_and_are_answered_whole(server: StartingServer) -> None:
    answers: list[str] = []
    content = bytes(range(48, 58)) * 100_000  # more than the server takes in before somebody reads it

    def ask() -> None:
        answers.append(httpx.post(server.url + "gradio_api/upload", content=content, timeout=20).text)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert not wait_until(lambda: answers, 0.2)
    server.admit(Echo())
    for thread in threads:
        thread.join(20)
    assert answers == ["/gradio_api/upload " + content.decode()] * 3


def test_the_page_is_the_apps_once_it_is_there(server: StartingServer) -> None:
    server.admit(Echo())
    assert httpx.get(server.url, headers=BROWSER).text == "/ "


def test_the_app_lives_as_long_as_its_server() -> None:
    app = Echo()
    with StartingServer("127.0.0.1", 0) as server:
        server.admit(app)
        assert app.lives == [True]
    assert app.lives == [True, False]


def test_an_answer_does_not_wait_until_the_one_before_is_acknowledged() -> None:
    """Nagle's algorithm costs 40 ms for each of an answer's requests; what is accepted has it off."""
    with starting._listening_socket("127.0.0.1", 0) as listening:
        address = listening.getsockname()
        with socket.create_connection(address), listening.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_refused_in_a_sentence(server: StartingServer) -> None:
    with pytest.raises(InputError, match=rf"`--port` \(={server.port}\) cannot be listened on .*; choose another port"):
        StartingServer("127.0.0.1", server.port)


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "localhost"), ("[::1]", "[::1]"), ("::1", "[::1]")]
)
def test_the_address_of_the_page(host: str, address: str) -> None:
    try:
        server = StartingServer(host, 0)
    except InputError:
        pytest.skip(f"this machine has no {host}")
    with server:
        assert server.url == f"http://{address}:{server.port}/"
        assert httpx.get(server.url, headers=BROWSER).status_code == 200


def test_scripts_of_the_page_are_there_before_the_app(server: StartingServer) -> None:
    script = max(assets_folder().glob("index-*.js"), key=lambda file: file.stat().st_size)
    with httpx.Client(base_url=server.url) as browser:
        answer = browser.get(f"/assets/{script.name}")
        assert answer.content == script.read_bytes()
        assert answer.headers["content-encoding"] == "gzip"
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"].startswith("text/javascript")
        assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
        server.admit(Echo())
        assert browser.get(f"/assets/{script.name}").content == script.read_bytes()
        for other in ("/assets/no-such.js", "/assets/../index.html", "/assets/a/b.js", "/assets/", "/static/x.js"):
            assert browser.get(other).text.startswith("/"), other
        plain = browser.get(f"/assets/{script.name}", headers={"accept-encoding": "identity"})
        assert plain.text == f"/assets/{script.name} "


def test_names_of_scripts_hold_a_hash_of_their_content() -> None:
    names = [file.name for file in assets_folder().iterdir() if file.suffix in (".js", ".css")]
    assert len(names) > 100, "gradio keeps its scripts elsewhere now"
    odd = [name for name in names if not re.fullmatch(r"[\w.-]+-[\w-]{8,}\.(js|css)", name)]
    assert odd == [], "gradio names scripts without a hash now: browsers must not keep them for a year"


def test_it_listens_before_anything_heavy_is_imported() -> None:
    code = f"import app, sys; print(*({HEAVY} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True).stdout.split() == []
