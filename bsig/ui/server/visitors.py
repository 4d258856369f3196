"""The visitor who is asking: an unguessable key for each of a public app, and what each has open and has fetched.

A key is 128 random bits. It is set as a cookie with the first answer; where a browser takes no cookie (a page inside
another's frame may be refused) the page's own script sends a key of its own as a header, which lasts as long as the
tab. Whoever knows a key is that visitor, so nothing that a client can learn of another is one: neither the session
hash, which stands in addresses, nor a network address.

The key reaches handlers as a header that this middleware sets on every request, after removing what a client may have
put there.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import OrderedDict
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse

from bsig.ui.server.gradio_internals import TURN, current_headers

COOKIE = "bsig_visitor"
HEADER = "x-bsig-visitor"
KEY_PATTERN = re.compile(r"[0-9a-f]{32,64}")
NEWCOMERS = "those who send no key"  # each request without one would be a new visitor with a turn of its own
SESSIONS_KEPT = 10_000
QUESTIONS = re.compile(r"/gradio_api/(queue/join|run|api|call|cancel|reset)\b")  # their bodies may name a session
LARGEST_ANSWER = 2**20  # bytes of an upload's answer: the names of at most 1000 files


def key_script() -> str:
    """The script that gives a page a key of its own, for the page's head."""
    script = Path(__file__).with_name("visitor_key.js").read_text(encoding="utf-8")
    return f"<script>\n{script}</script>"


@runtime_checkable
class Visits(Protocol):
    """A record of what visitors do."""

    def note_request(self, key: str) -> None:
        """Notes that a request came."""

    def note_page_opened(self, key: str) -> None:
        """Notes that a page was opened."""

    def note_page_closed(self, key: str) -> None:
        """Notes that a page was closed, or its connection broke."""

    def note_file(self, key: str, path: str) -> None:
        """Notes that the visitor uploaded a file, or was handed one."""


def current_key() -> str | None:
    """The key of the visitor whose event is being handled in this thread; None outside of events."""
    headers = current_headers()
    key = headers.get(HEADER) if headers else None
    return key if key and KEY_PATTERN.fullmatch(key) else None


class VisitorMiddleware:
    """Gives every request its visitor's key, and every new visitor a cookie."""

    def __init__(self, app: Any, visits: Visits) -> None:
        self._app, self._visits = app, visits
        # The visitor's key by session: nobody else gets the session's answers.
        self._sessions: OrderedDict[str, str] = OrderedDict()
        # The same for pages that keep their own key. The browser opens a page's lasting connection by itself and puts
        # no header on it, only the session's name. It says when the page has gone, and decides nothing else.
        self._without_cookie: OrderedDict[str, str] = OrderedDict()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from_cookie, from_page = _key_in_cookie(scope), _key_in_header(scope)
        key = from_cookie or from_page or secrets.token_hex(16)
        has_key = bool(from_cookie or from_page)
        headers = [(name, value) for name, value in scope["headers"] if name != HEADER.encode()]
        scope = {**scope, "headers": [*headers, (HEADER.encode(), key.encode())], TURN: key if has_key else NEWCOMERS}
        path = scope.get("path", "")
        set_cookie = None if from_cookie else cookie(key, is_secure=_is_secure(scope))
        answer = _Answer(self._visits, key, path, send, set_cookie)
        heartbeat_session = _heartbeat_session(path)
        self._visits.note_request(key)
        session, receive = await _session_of(scope, path, receive)
        if not self._may_use(heartbeat_session, key if has_key else None) or not self._may_use(session, key):
            await PlainTextResponse("This session is another visitor's.", status_code=403)(scope, receive, send)
            return
        if session is not None and has_key:
            self._note_session(session, key, has_cookie=bool(from_cookie))
        if heartbeat_session and from_cookie:
            self._note_session(heartbeat_session, key, has_cookie=True)
        if heartbeat_session and has_key:
            self._visits.note_page_opened(key)
        try:
            await self._app(scope, receive, answer.send)
        finally:
            if heartbeat_session and has_key:
                self._visits.note_page_closed(key)
            elif heartbeat_session and heartbeat_session in self._without_cookie:
                self._visits.note_page_closed(self._without_cookie.pop(heartbeat_session))

    def _may_use(self, session: str | None, key: str | None) -> bool:
        """Whether the session is nobody's or this visitor's; of those who send no key, only a page that keeps its own.

        Gradio drops a session's values when its heartbeat ends, whoever has opened that.
        """
        owner = self._sessions.get(session or "")
        return owner in (None, key) or (key is None and session in self._without_cookie)

    def _note_session(self, session: str, key: str, *, has_cookie: bool) -> None:
        if not session:
            return
        if session in self._sessions:
            self._sessions.move_to_end(session)  # so that a flood of new ones makes the app forget none that is used
            return
        self._sessions[session] = key
        if not has_cookie:
            self._visits.note_page_opened(key)
            self._without_cookie[session] = key
        for sessions in (self._sessions, self._without_cookie):
            while len(sessions) > SESSIONS_KEPT:
                sessions.popitem(last=False)


class _Answer:
    """Passes an answer on; adds the cookie, and notes which files it is about."""

    def __init__(self, visits: Visits, key: str, path: str, send: Any, set_cookie: str | None) -> None:
        self._visits, self._key, self._path, self._send, self._cookie = visits, key, path, send, set_cookie
        self._is_upload, self._body = path.endswith("/upload"), b""

    async def send(self, message: Any) -> None:
        """Passes one part of the answer on."""
        if message["type"] == "http.response.start":
            if self._cookie:
                headers = [*message.get("headers", []), (b"set-cookie", self._cookie.encode())]
                message = {**message, "headers": headers}
            self._is_upload = self._is_upload and message["status"] == 200
            if message["status"] in (200, 206) and "/file=" in self._path:
                self._visits.note_file(self._key, self._path.split("/file=", 1)[1])
        elif self._is_upload and len(self._body) < LARGEST_ANSWER:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                for path in _paths_in(self._body):
                    self._visits.note_file(self._key, path)
        await self._send(message)


def _heartbeat_session(path: str) -> str | None:
    """The session of a page's lasting connection."""
    return path.rsplit("/heartbeat/", 1)[1].rstrip("/") if "/heartbeat/" in path else None


async def _session_of(scope: Any, path: str, receive: Any) -> tuple[str | None, Any]:
    """The session that a request speaks for, and what to read its body with; None for one that names no session.

    A session holds values of the page (which evaluation is under way, ...), so not only its answers are its visitor's,
    but also asking in it and cancelling.
    """
    if path.endswith("/queue/data"):
        return parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_hash", [""])[0], receive
    if scope.get("method") != "POST" or not QUESTIONS.search(path):
        return None, receive
    messages, body = [], b""
    while True:  # no longer than the guard in front of this lets any body be
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    waiting = iter(messages)

    async def replay() -> Any:
        message = next(waiting, None)
        return await receive() if message is None else message

    try:
        question = json.loads(body)
    except (ValueError, RecursionError):  # whoever reads it next says what is wrong with it
        return None, replay
    session = question.get("session_hash") if isinstance(question, dict) else None
    return (session if isinstance(session, str) else None), replay


def cookie(key: str, *, is_secure: bool) -> str:
    """The cookie's line. Over https it is also sent inside another site's frame, but to each embedding site apart."""
    rules = "SameSite=None; Secure; Partitioned" if is_secure else "SameSite=Lax"
    return f"{COOKIE}={key}; Path=/; Max-Age=86400; HttpOnly; {rules}"


def _key_in_cookie(scope: Any) -> str | None:
    for name, value in scope["headers"]:
        if name == b"cookie":
            try:
                key = SimpleCookie(value.decode("latin-1")).get(COOKIE)
            except CookieError:
                continue
            if key and KEY_PATTERN.fullmatch(key.value):
                return key.value
    return None


def _key_in_header(scope: Any) -> str | None:
    keys = [value.decode("latin-1") for name, value in scope["headers"] if name == HEADER.encode()]
    return next((key for key in keys if KEY_PATTERN.fullmatch(key)), None)


def _is_secure(scope: Any) -> bool:
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
    return scope.get("scheme") == "https" or any(value.split(b",")[0].strip() == b"https" for value in forwarded)


def _paths_in(body: bytes) -> list[str]:
    try:
        paths = json.loads(body)
    except ValueError:
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []
