"""Requests from strangers: forged, cancelled, abandoned, far too many; the app goes on and mixes nobody up."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from conftest import CAT
from hostile_files import SCRIPT, small_picture, zip_of
from http_visitor import CHECKPOINT, AttackedApp, RefusedError, Visitor, refusal, running_app, wait_until

from bsig.ui.server.limits import PASSWORD_VARIABLE

JUNK: list[Any] = [None, 1e308, {"path": "x"}, SCRIPT]
EVENT_JUNK: list[Any] = [None, {"index": 10**9}, {"index": [3, 4], "value": {}}, "x"]


def _join(visitor: Visitor, **body: Any) -> httpx.Response:
    return visitor.http.post("/gradio_api/queue/join", json={"data": [], **body})


# --- values that no page would send -----------------------------------------------------------------------------------


@pytest.mark.nightly
def test_junk_for_every_handler_of_the_page_is_no_defect(attacker: Visitor) -> None:
    handlers = [each for each in attacker.http.get("/config").json()["dependencies"] if each["backend_fn"]]
    assert len(handlers) > 50
    session, refusals = os.urandom(8).hex(), []
    for handler in handlers:
        for junk in JUNK:
            for event in EVENT_JUNK if junk is None and handler["collects_event_data"] else [None]:
                values = [junk] * len(handler["inputs"])
                response = _join(attacker, data=values, fn_index=handler["id"], session_hash=session, event_data=event)
                try:
                    attacker.answer("x", response.json()["event_id"])
                except RefusedError as error:
                    refusals.append((str(error), handler["api_name"], junk, event))
    assert refusals
    assert [each for each in refusals if "\n" in each[0] or "went wrong on our side" in each[0]] == []


@pytest.mark.parametrize(
    ("class_name", "method", "weights", "checkpoint"),
    [
        (SCRIPT, "cam", "signed", CHECKPOINT),
        ("", SCRIPT, "signed", CHECKPOINT),
        ("", "cam", SCRIPT, CHECKPOINT),
        ("", "cam", "signed", SCRIPT),
        ("9" * 5000, "cam", "signed", CHECKPOINT),
        ("\ud800", "cam", "signed", CHECKPOINT),
        ("\0", "cam", "signed", "a\0b"),
        ("x" * 1_000_000, "cam", "signed", CHECKPOINT),
        ("", "cam", "signed", "hf:owner/repo"),
        ("", "cam", "signed", "/etc"),
        ("", "cam", "signed", "~root"),
    ],
)
def test_text_of_any_kind_is_refused_in_words(
    attacker: Visitor, class_name: str, method: str, weights: str, checkpoint: str
) -> None:
    picture = attacker.upload(CAT.read_bytes())
    body = json.dumps({"data": [picture, checkpoint, class_name, method, weights]}).encode()
    headers = {"content-type": "application/json"}
    response = attacker.http.post("/gradio_api/call/compare", content=body, headers=headers)
    assert response.status_code == 200
    refusal(lambda: attacker.answer("compare", response.json()["event_id"]))


# --- the password -----------------------------------------------------------------------------------------------------


@pytest.mark.nightly
def test_guesses_of_the_password_are_slow_and_hold_up_nobody(tmp_path: Path) -> None:
    """Forty visitors guess without a pause; questions are answered, and who knows the password trains."""
    with running_app(tmp_path, "--public", env={PASSWORD_VARIABLE: "sesame"}) as (url, _):

        def trained(visitor: Visitor, name: str, password: str | None) -> str:
            values = (None, name, CHECKPOINT, "own", "full", 1, 0.1, 64, 0, password)
            return visitor.ask("finetune", *values)[0]["standing"]

        def guess(number: int) -> str:
            visitor = Visitor(url)
            words = refusal(lambda: trained(visitor, "mine", f"sesam{number}"))
            visitor.close()
            return words

        owner, other = Visitor(url), Visitor(url)
        assert trained(owner, "first", "sesame") == "finished"
        assert "is missing" in refusal(lambda: trained(other, "mine", None))
        start = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            guesses = pool.map(guess, range(40))
            assert other.compare(CAT.read_bytes(), "zebra")[-1]["class_name"] == "zebra"
            assert trained(owner, "second", "sesame") == "finished"
            words = list(guesses)
        guesses_heard = sum("not the right one" in word for word in words)
        assert 1 <= guesses_heard <= 5 + (time.monotonic() - start) / 5
        assert sum("too many wrong passwords" in word for word in words) == 40 - guesses_heard
        owner.close()
        other.close()
    assert "sesam" not in (tmp_path / "log").read_text()


# --- whose answer it is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("session", ["a", "0" * 32, "../../x", "x" * 10_000, SCRIPT])
def test_an_unknown_session_or_request_gives_nothing(attacker: Visitor, session: str) -> None:
    for path, query in (("queue/data", {"session_hash": session}), ("call/compare/" + os.urandom(16).hex(), {})):
        with attacker.http.stream("GET", f"/gradio_api/{path}", params=query) as stream:
            text = stream.read().decode()
        assert "process_completed" not in text
        assert "event: complete" not in text


def test_a_stranger_cannot_cancel_by_guessing(attacker: Visitor, attacked_app: AttackedApp) -> None:
    picture = attacker.upload(CAT.read_bytes())
    event = attacker.send("compare", picture, CHECKPOINT, "golf ball", "ablation-cam", "signed")
    stranger = Visitor(attacked_app.url)
    for index in range(20):
        body = {"session_hash": os.urandom(16).hex(), "fn_index": index, "event_id": os.urandom(16).hex()}
        assert stranger.http.post("/gradio_api/cancel", json=body).status_code == 200
    stranger.close()
    *_, answer = attacker.answer("compare", event)
    assert answer["method"] == "ablation-cam"


def test_visitors_side_by_side_get_their_own_class(attacker: Visitor, attacked_app: AttackedApp) -> None:
    names = ["golf ball", "zebra", "tench", "banana", "teapot", "jeep"]

    def class_answered(name: str) -> str:
        visitor = Visitor(attacked_app.url)
        *_, answer = visitor.compare(CAT.read_bytes(), name)
        visitor.close()
        return answer["class_name"]

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(class_answered, names * 2)) == names * 2


def test_anothers_heartbeat_and_stream_can_be_neither_opened_nor_closed(
    attacker: Visitor, attacked_app: AttackedApp
) -> None:
    """Gradio drops a session's values, and ends its work, when a heartbeat of it is closed."""
    session = os.urandom(8).hex()
    attacker.http.get("/")  # which gives the visitor a key
    handler = next(each for each in attacker.http.get("/config").json()["dependencies"] if each["api_name"] == "runs")
    assert _join(attacker, fn_index=handler["id"], session_hash=session).status_code == 200
    stranger, nobody = Visitor(attacked_app.url), httpx.Client(base_url=attacked_app.url)
    stranger.http.get("/")
    for client in (stranger.http, nobody):
        for path in (f"heartbeat/{session}", f"heartbeat/{session}/", f"queue/data?session_hash={session}"):
            assert client.get(f"/gradio_api/{path}").status_code == 403, path
        for path in ("queue/join", "cancel", "reset"):
            body = {"data": [], "fn_index": handler["id"], "session_hash": session, "event_id": "x"}
            assert client.post(f"/gradio_api/{path}", json=body).status_code == 403, path
            nobody.cookies.clear()
    with attacker.http.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as stream:
        assert any("process_completed" in line for line in stream.iter_lines())
    with attacker.http.stream("GET", f"/gradio_api/heartbeat/{session}") as stream:
        assert next(stream.iter_lines()) == "data: ALIVE"
    stranger.close()
    nobody.close()


# --- those who go away ------------------------------------------------------------------------------------------------


def _fresh_picture() -> bytes:
    return CAT.read_bytes() + os.urandom(8)


def test_score_cam_ends_when_its_visitor_has_gone(attacker: Visitor, attacked_app: AttackedApp) -> None:
    before = len(attacked_app.log())
    picture = attacker.upload(_fresh_picture())
    event = attacker.send("compare", picture, CHECKPOINT, "", "score-cam", "signed")
    with pytest.raises(httpx.ReadTimeout):
        attacker.http.get(f"/gradio_api/call/compare/{event}", timeout=0.5)
    assert wait_until(lambda: '"outcome": "left"' in attacked_app.log()[before:], 10)


def test_visitors_who_ask_and_never_listen_do_no_harm(attacker: Visitor, attacked_app: AttackedApp) -> None:
    picture = attacker.upload(_fresh_picture())
    for number in range(30):  # 24 of a visitor may wait
        with suppress(RefusedError) if number >= 24 else nullcontext():
            attacker.send("compare", picture, CHECKPOINT, "", "cam", "signed")

    def is_idle() -> bool:
        return attacker.http.get("/health").json()["requests"] == {"waiting": 0, "running": 0}

    assert wait_until(is_idle, 60)


def test_connections_cut_in_the_middle_do_no_harm(attacker: Visitor, attacked_app: AttackedApp) -> None:
    def cut(number: int) -> None:
        client = httpx.Client(base_url=attacked_app.url, timeout=0.02 + 0.01 * number)
        try:
            paths = client.post("/gradio_api/upload", files={"files": ("cat.jpg", _fresh_picture())}).json()
            body = {"data": [{"path": paths[0], "meta": {"_type": "gradio.FileData"}}, CHECKPOINT, "", "cam", "signed"]}
            event = client.post("/gradio_api/call/compare", json=body).json()["event_id"]
            client.get(f"/gradio_api/call/compare/{event}")
        except httpx.TimeoutException:
            pass
        client.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(cut, range(40)))
    assert attacker.http.get("/health").status_code == 200


# --- too many ---------------------------------------------------------------------------------------------------------


def test_hundreds_of_tiny_requests_leave_no_memory_behind(attacker: Visitor, attacked_app: AttackedApp) -> None:
    def flood(count: int) -> int:
        client = httpx.Client(base_url=attacked_app.url, timeout=60)
        refusals = 0
        for _ in range(count):
            body = {"data": ["none of this name"], "session_hash": os.urandom(8).hex()}
            response = client.post("/gradio_api/call/run", json=body)
            refusals += response.status_code != 200
            client.get("/health")
        client.close()
        return refusals

    flood(60)
    before = attacked_app.process.memory_info().rss
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(flood, [60] * 4))
    assert attacked_app.process.memory_info().rss - before < 100 * 2**20
    assert wait_until(lambda: attacker.http.get("/health").json()["requests"]["waiting"] == 0, 60)


def test_a_full_queue_says_so(attacker: Visitor, attacked_app: AttackedApp) -> None:
    picture = attacker.upload(_fresh_picture())
    words = []
    for _ in range(80):
        try:
            attacker.send("compare", picture, CHECKPOINT, "", "ablation-cam", "signed")
        except RefusedError as error:
            words.append(str(error))
    assert all("Queue is full" in each for each in words)
    assert wait_until(lambda: attacker.http.get("/health").json()["requests"]["waiting"] == 0, 60)


@pytest.mark.nightly
def test_one_visitor_who_fills_the_line_keeps_nobody_waiting(attacker: Visitor, attacked_app: AttackedApp) -> None:
    other, session = Visitor(attacked_app.url), os.urandom(8).hex()
    attacker.http.get("/")
    handlers = attacker.http.get("/config").json()["dependencies"]
    handler = next(each["id"] for each in handlers if each["api_name"] == "compare")
    values = [attacker.upload(_fresh_picture()), CHECKPOINT, "", "score-cam", "signed"]
    with attacker.http.stream("GET", f"/gradio_api/queue/data?session_hash={session}"):  # they go with the stream
        responses = [_join(attacker, data=values, fn_index=handler, session_hash=session) for _ in range(40)]
        sentences = [each.json()["detail"] for each in responses if each.status_code != 200]
        assert len(sentences) >= 10
        assert all("a visitor may have 24" in each for each in sentences)
        *_, answer = other.compare(CAT.read_bytes(), "golf ball")
        assert answer["class_name"] == "golf ball"
        assert other.http.get("/health").json()["requests"]["waiting"] >= 20
    assert wait_until(lambda: other.http.get("/health").json()["requests"] == {"waiting": 0, "running": 0}, 60)
    other.close()


@pytest.mark.parametrize("beginning", ["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: ", "upload", "question"])
def test_hundreds_of_slow_connections_leave_room_for_others(
    attacker: Visitor, attacked_app: AttackedApp, beginning: str
) -> None:
    bodies = {
        "upload": "POST /gradio_api/upload HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n"
        "content-type: multipart/form-data; boundary=xyz\r\n\r\n--xyz",
        "question": "POST /gradio_api/call/compare HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n\r\n{",
    }
    address = urlsplit(attacked_app.url)
    with contextlib.ExitStack() as connections:
        for _ in range(200):
            connection = connections.enter_context(
                socket.create_connection((address.hostname, address.port), timeout=5)
            )
            connection.sendall(bodies.get(beginning, beginning).encode())
        *_, answer = attacker.compare(CAT.read_bytes(), "golf ball")
        assert answer["class_name"] == "golf ball"


# --- runs -------------------------------------------------------------------------------------------------------------


def test_starts_and_stops_at_once_leave_every_run_ended(attacker: Visitor, attacked_app: AttackedApp) -> None:
    pictures = {f"{name}/{number}.png": small_picture(colour=f"#{number:02x}00{shade}")
                for name, shade in (("tench", "10"), ("banana", "f0")) for number in range(3)}  # fmt: skip
    file = attacker.upload(zip_of(pictures), "pets.zip")
    starts = [
        attacker.send("finetune", file, name, CHECKPOINT, "own", "full", 50, 0.1, 4, 0)
        for name in ("left", "right", "left")
    ]
    end = threading.Event()
    problems: list[str] = []

    def stop() -> None:
        visitor = Visitor(attacked_app.url)
        visitor.http.cookies = attacker.http.cookies
        while not end.is_set():
            for run in visitor.ask("runs")[0]:
                try:
                    visitor.ask("stop_run", run["name"])
                except RefusedError as error:
                    if "went wrong" in str(error):
                        problems.append(str(error))
        visitor.close()

    threads = [threading.Thread(target=stop) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for start in starts:  # answered when its run has ended: a list of runs may not hold the last one yet
            with contextlib.suppress(RefusedError):
                attacker.answer("finetune", start)
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert problems == []
    standings = {run["standing"] for run in attacker.ask("runs")[0]}
    assert standings
    assert standings <= {"finished", "stopped"}


# --- names that are markup --------------------------------------------------------------------------------------------


def test_markup_in_class_and_file_names_reaches_no_screen_as_markup(
    attacker: Visitor, attacked_app: AttackedApp
) -> None:
    picture = attacker.upload(CAT.read_bytes(), f"{SCRIPT}.jpg")
    fields = attacker.http.get("/config").json()
    handlers = [each for each in fields["dependencies"] if each["api_name"] == "on_picture"]
    values = {part["id"]: part["props"].get("value") for part in fields["components"]}
    elements = {part["props"].get("elem_id"): part["id"] for part in fields["components"]}
    values |= {elements["picture"]: picture, elements["checkpoint"]: "markup", elements["class"]: None}
    body = [values[number] for number in handlers[0]["inputs"]]
    response = _join(attacker, data=body, fn_index=handlers[0]["id"], session_hash=os.urandom(8).hex())
    text = json.dumps(attacker.answer("x", response.json()["event_id"]))
    html = [part["id"] for part in fields["components"] if part["type"] == "html"]
    assert SCRIPT[1:10] in text
    assert any(number in html for number in handlers[0]["outputs"])
    for number, answer in zip(handlers[0]["outputs"], json.loads(text), strict=True):
        if number in html:
            assert "<img" not in json.dumps(answer)
