"""The guard in front of gradio, with limits small enough to reach: what is too large, too slow or closed."""

from __future__ import annotations

import gc
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from http_visitor import RefusedError, Visitor, file_data, wait_until
from in_process import loops_closed

from bsig.ui.server.gradio_internals import LeanSession
from bsig.ui.server.guard import MAX_REQUEST_BYTES, server_arguments
from bsig.ui.server.log import LoggedBlocks

LIMIT, PATIENCE_S = 2**20, 1.0
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where uploads go."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("uploads")
        patch.setenv("GRADIO_TEMP_DIR", str(path))
        yield path


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """A page of one upload, one counter and one defect."""
    with warnings.catch_warnings(), loops_closed():
        warnings.simplefilter("ignore")
        with LoggedBlocks(analytics_enabled=False) as demo:
            file, size, count = gr.File(), gr.Number(), gr.State(0)
            gr.Button().click(lambda path: len(Path(path).read_bytes()), file, size, api_name="size")
            gr.Button().click(lambda count: (count + 1, count + 1), count, [count, size], api_name="count")
            gr.Button().click(lambda: 1 / 0, None, size, api_name="defect")
        demo.health = lambda: {"status": "ok"}
        yield demo


@pytest.fixture(scope="module")
def url(page: Any, folder: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, address, _ = page.launch(
            prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **server_arguments(LIMIT, PATIENCE_S)
        )
        yield address.rstrip("/")
        page.close(verbose=False)
        gc.collect()


@pytest.fixture
def visitor(url: str) -> Iterator[Visitor]:
    client = Visitor(url)
    yield client
    assert client.ask("size", client.upload(b"12345")) == [5]  # the app goes on
    client.close()


def _left_behind(folder: Path) -> list[Path]:
    """Files beside the folders of whole uploads."""
    return [path for path in folder.iterdir() if path.is_file()]


def _multipart(content: bytes) -> bytes:
    head = b'--xyz\r\nContent-Disposition: form-data; name="files"; filename="a.bin"\r\n\r\n'
    return head + content + b"\r\n--xyz--\r\n"


TYPE = {"content-type": "multipart/form-data; boundary=xyz"}


# --- too large --------------------------------------------------------------------------------------------------------


def test_an_upload_of_the_limit_is_taken(visitor: Visitor) -> None:
    size = LIMIT - 500  # the form around it counts
    assert visitor.ask("size", visitor.upload(bytes(size))) == [size]


def test_an_upload_that_announces_too_much_is_refused_unread(visitor: Visitor, folder: Path) -> None:
    with pytest.raises(RefusedError, match="larger than the maximum allowed size of 1 MB; send less"):
        visitor.upload(bytes(LIMIT + 1))
    assert _left_behind(folder) == []


def test_an_upload_without_a_length_is_counted_while_it_comes(visitor: Visitor, folder: Path) -> None:
    size = 0

    def endless() -> Iterator[bytes]:
        nonlocal size
        yield _multipart(b"")[:-12]
        while size < 200 * LIMIT:
            size += 2**16
            yield bytes(2**16)

    try:
        response = visitor.http.post("/gradio_api/upload", content=endless(), headers=TYPE)
        assert response.status_code == 413
        assert "maximum allowed size" in response.text
    except httpx.TransportError:
        pass  # the connection is closed while we are still sending
    assert size < 50 * LIMIT
    assert wait_until(lambda: _left_behind(folder) == [])


def test_several_files_count_together(visitor: Visitor) -> None:
    files = [("files", (f"{number}.bin", bytes(LIMIT // 4))) for number in range(5)]
    assert visitor.http.post("/gradio_api/upload", files=files).status_code == 413


def test_other_requests_have_a_smaller_limit(visitor: Visitor) -> None:
    response = visitor.http.post("/gradio_api/call/size", content=b"[" * (MAX_REQUEST_BYTES + 1))
    assert response.status_code == 413
    assert response.json()["detail"].endswith("send less.")


# --- too slow ---------------------------------------------------------------------------------------------------------


def _connected(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def _start_upload(connection: socket.socket) -> None:
    connection.sendall(
        b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=xyz\r\n"
        b"Content-Length: 100000\r\n\r\n" + _multipart(b"first bytes")[:-12]
    )


def test_a_byte_now_and_then_is_cut_and_blocks_nobody(visitor: Visitor, url: str, folder: Path) -> None:
    with _connected(url) as connection:
        _start_upload(connection)
        start = time.monotonic()
        answer = b""
        while not answer and time.monotonic() - start < 20 * PATIENCE_S:
            assert visitor.http.get("/health").status_code == 200
            connection.settimeout(0.1)
            try:
                connection.sendall(b"x")
                answer = connection.recv(4000)
            except TimeoutError:
                continue
        assert time.monotonic() - start < 10 * PATIENCE_S
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer
    assert wait_until(lambda: _left_behind(folder) == [])


def test_a_visitor_who_goes_in_the_middle_leaves_nothing(visitor: Visitor, url: str, folder: Path) -> None:
    with _connected(url) as connection:
        _start_upload(connection)
        assert wait_until(lambda: _left_behind(folder) != [])
    assert wait_until(lambda: _left_behind(folder) == [])


# --- closed, hidden, said ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/proxy=https://huggingface.co/", "/gradio_api/file=http://127.0.0.1/",
     "/gradio_api/file=HTTPS://127.0.0.1/", "/gradio_api/file/etc/passwd", "/gradio_api/%70roxy=http://127.0.0.1/",
     "/gradio_api/deep_link?session_hash=a", "/gradio_api/dev/reload", "/gradio_api/runs", "/gradio_api/token",
     "/gradio_api/user", "/gradio_api/login_check", "/gradio_api/queue/status", "/gradio_api/openapi.json",
     "/gradio_api/run-history/records", "/gradio_api/run-history/connect", "/gradio_api/component_server",
     "/gradio_api/component_server/", "/gradio_api/process_recording", "/gradio_api/vibe-code",
     "/gradio_api/vibe-edit/", "/gradio_api/undo-vibe-edit", "/gradio_api/vibe-starter-queries",
     "/gradio_api/stream/a/0/1/playlist.m3u8", "/gradio_api/stream/a/close", "/gradio_api/profiling/traces",
     "/gradio_api/profiling/clear", "/gradio_api/mcp/", "/monitoring", "/monitoring/summary", "/monitoring/key",
     "/login", "/login/huggingface", "/logout", "/custom_component/a/client/component/index.js", "/openapi.json"],
)  # fmt: skip
def test_routes_that_the_page_does_not_use_are_closed(visitor: Visitor, path: str) -> None:
    for method in ("GET", "POST", "HEAD"):
        response = visitor.http.request(method, path)
        assert response.status_code == 404
        assert method == "HEAD" or response.json() == {"detail": "this app has no such page."}


@pytest.mark.parametrize("path", ["/", "/health", "/config", "/nothing", "/gradio_api/monitoring", "/gradio_api/info"])
def test_every_answer_carries_the_headers(visitor: Visitor, path: str) -> None:
    headers = visitor.http.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'self' https://huggingface.co" in policy
    assert "http:" not in policy.replace("https:", "")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("call/size", b"{bad"), ("call/size", b"[" * 100_000), ("call/size", b'{"data": 3}'), ("call/size", b"null"),
        ("call/size", b'{"data": {"a": 1}}'), ("call/size", b'"\xff"'), ("call/none", b'{"data": []}'),
        ("call/v2/none", b"{}"), ("queue/join", b'{"data": [], "fn_index": 9999, "session_hash": "a"}'),
        ("queue/join", b'{"data": [], "fn_index": -1, "session_hash": "a"}'),
        ("queue/join", b'{"data": [], "fn_index": "x", "session_hash": "a"}'),
        ("queue/join", b'{"data": [], "fn_index": 1e400, "session_hash": "a"}'),
        ("queue/join", b'{"data": [], "fn_index": 0}'), ("queue/join", b'{"data": [], "session_hash": []}'),
        ("run/none", b'{"data": []}'), ("cancel", b"{}"), ("upload", b"x"), ("component_server", b"{}"),
    ],
)  # fmt: skip
def test_a_request_that_fits_nothing_is_refused_in_words(visitor: Visitor, path: str, body: bytes) -> None:
    response = visitor.http.post(f"/gradio_api/{path}", content=body, headers={"content-type": "application/json"})
    assert 400 <= response.status_code < 500
    assert len(response.text) < 400
    assert "Traceback" not in response.text
    assert isinstance(response.json()["detail"], str)


@pytest.mark.parametrize(
    "body",
    [b"", b"--xyz", _multipart(b"")[:40], b"--xyz\r\n\r\n\r\n--xyz--", b"--other--\r\n" * 3,
     _multipart(b"x").replace(b"name=", b"n="),
     b"--xyz\r\nContent-Disposition: form-data; name=" + b"n" * 100_000 + b"\r\n\r\n\r\n--xyz--\r\n",
     _multipart(b"x").replace(b'"a.bin"', b'"../../../evil.bin"'),
     _multipart(b"x").replace(b'"a.bin"', b'"\xff\xfe\x00"')],
)  # fmt: skip
def test_malformed_forms_are_refused_or_stay_in_their_folder(visitor: Visitor, folder: Path, body: bytes) -> None:
    response = visitor.http.post("/gradio_api/upload", content=body, headers=TYPE)
    assert response.status_code in (200, 400, 413, 422)
    assert "Traceback" not in response.text
    if response.status_code == 200:
        assert all(Path(path).resolve().is_relative_to(folder.resolve()) for path in response.json())
    assert not list(folder.parent.rglob("evil.bin")) or list(folder.rglob("evil.bin"))
    assert _left_behind(folder) == []


def test_a_defect_is_told_in_a_sentence(visitor: Visitor) -> None:
    with pytest.raises(RefusedError) as caught:
        visitor.ask("defect")
    assert str(caught.value) == "Something went wrong on our side; the app keeps running."


def test_a_path_that_was_not_uploaded_is_refused(visitor: Visitor) -> None:
    with pytest.raises(RefusedError, match="was not uploaded to this app"):
        visitor.ask("size", file_data("/etc/passwd"))


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_calls_without_a_session_leave_none_behind(visitor: Visitor, page: Any) -> None:
    before = set(page.state_holder.session_data)
    for _ in range(20):
        assert visitor.ask("count")[-1] == 1
    assert set(page.state_holder.session_data) == before


def test_a_session_keeps_its_values_and_shares_none(visitor: Visitor, page: Any) -> None:
    def counted(session: str) -> int:
        handler = next(each for each in page.fns.values() if each.api_name == "count")
        body = {"data": [None], "fn_index": handler._id, "session_hash": session}
        event = visitor.http.post("/gradio_api/queue/join", json=body).json()["event_id"]
        return visitor.answer("count", event)[-1]

    assert [counted("one"), counted("one"), counted("other"), counted("one")] == [1, 2, 1, 3]
    assert isinstance(page.state_holder.session_data["one"], LeanSession)
    assert page.state_holder.session_data["one"].config_values == {}


def test_nothing_of_an_answer_is_kept_once_it_was_fetched(visitor: Visitor, page: Any) -> None:
    queue = page._queue
    queue.pending_messages_per_session.clear()
    queue.pending_event_ids_session.clear()
    waiting = visitor.send("count")
    for _ in range(20):
        visitor.ask("count")
    with pytest.raises(RefusedError):
        visitor.ask("defect")
    assert wait_until(lambda: list(queue.pending_messages_per_session) == [waiting])  # nobody has come for it
    assert queue.pending_event_ids_session == {waiting: {waiting}}
    assert visitor.answer("count", waiting)[-1] == 1
    assert wait_until(lambda: not queue.pending_messages_per_session and not queue.pending_event_ids_session)
    with pytest.raises(RefusedError, match="Not Found"):
        visitor.answer("count", waiting)


def test_a_page_asks_again_after_its_stream_has_ended(visitor: Visitor, page: Any) -> None:
    handler = next(each for each in page.fns.values() if each.api_name == "count")
    body = {"data": [None], "fn_index": handler._id, "session_hash": "streams"}
    for count in (1, 2, 3):
        events = [visitor.http.post("/gradio_api/queue/join", json=body).json()["event_id"] for _ in range(2)]
        stream = visitor.http.get("/gradio_api/queue/data", params={"session_hash": "streams"}).text
        assert all(event in stream for event in events)  # both, in one stream
        assert f'"data":[{2 * count},{2 * count}]' in stream or f'"data":[null,{2 * count}]' in stream
        # A page may open its stream once more before it asks: not found would be an error on its screen.
        assert "streams" in page._queue.pending_messages_per_session
        assert not page._queue.pending_event_ids_session["streams"]


def test_many_at_once_get_their_own_answers(url: str) -> None:
    wrong: list[Any] = []

    def ask(size: int) -> None:
        client = Visitor(url)
        for _ in range(3):
            answer = client.ask("size", client.upload(bytes(size)))
            if answer != [size]:
                wrong.append((size, answer))
        client.close()

    threads = [threading.Thread(target=ask, args=(1000 + number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
