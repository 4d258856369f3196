"""Who is asking: an unguessable key for each visitor of a public app, and what each of them has open and has fetched.

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
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qs

from gradio.context import LocalContext
from starlette.responses import PlainTextResponse

COOKIE = "bsig_visitor"
HEADER = "x-bsig-visitor"
KEY_PATTERN = re.compile(r"[0-9a-f]{32,64}")
SESSIONS_KEPT = 10_000
ASKING = re.compile(r"/gradio_api/(queue/join|run|api|call|cancel|reset)\b")  # requests whose body may name a session
LARGEST_ANSWER = 2**20  # of an upload: the names of at most 1000 files
KEPT_IN_PAGE_JS = """<script>
(() => {
  /* Used where no cookie is taken. In storage, so that it outlives a reload; in memory where that is refused too. */
  const fresh = () =>
    [...crypto.getRandomValues(new Uint8Array(16))].map(b => b.toString(16).padStart(2, '0')).join('');
  let key;
  try {
    key = sessionStorage.getItem('bsig_visitor') || fresh();
    sessionStorage.setItem('bsig_visitor', key);
  } catch { key = fresh(); }
  const plain = window.fetch;
  window.fetch = (target, options) => {
    const address = new URL(target instanceof Request ? target.url : target, location.href);
    if (address.origin !== location.origin) return plain(target, options);
    const headers = new Headers((options && options.headers) || (target instanceof Request ? target.headers : {}));
    headers.set('X-Bsig-Visitor', key);
    return plain(target, {...options, headers});
  };
})();
</script>"""


@runtime_checkable
class Visits(Protocol):
    """Who is told of what visitors do."""

    def seen(self, key: str) -> None:
        """A request came."""

    def opened(self, key: str) -> None:
        """A page was opened."""

    def closed(self, key: str) -> None:
        """A page was closed, or its connection broke."""

    def has_file(self, key: str, path: str) -> None:
        """A file was uploaded by the visitor, or handed to them."""


def current_key() -> str | None:
    """The key of the visitor whose event is being handled in this thread; None outside of events."""
    request = LocalContext.request.get(None)
    headers = getattr(request, "headers", None)
    found = headers.get(HEADER) if headers else None
    return found if found and KEY_PATTERN.fullmatch(found) else None


class VisitorMiddleware:
    """Gives every request its visitor's key, and every new visitor a cookie."""

    def __init__(self, app: Any, visits: Visits) -> None:
        self._app, self._visits = app, visits
        # Whose session it is that answers are fetched for: nobody else gets them.
        self._sessions: OrderedDict[str, str] = OrderedDict()
        # Of pages that keep their own key. The browser opens a page's lasting connection by itself and puts no header
        # on it, only the session's name. It says when the page has gone, and decides nothing else.
        self._without_cookie: OrderedDict[str, str] = OrderedDict()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known = _key_in_cookie(scope)
        own = _key_in_header(scope)
        key = known or own or secrets.token_hex(16)
        headers = [(name, value) for name, value in scope["headers"] if name != HEADER.encode()]
        scope = {**scope, "headers": [*headers, (HEADER.encode(), key.encode())]}
        path = scope.get("path", "")
        watched = _Answer(self._visits, key, path, send, None if known else cookie(key, is_secure=_is_secure(scope)))
        session = path.rsplit("/heartbeat/", 1)[1] if "/heartbeat/" in path else None
        self._visits.seen(key)
        asked, receive = await _session_of(scope, path, receive)
        if asked is not None:
            if self._sessions.get(asked, key) != key:
                await PlainTextResponse("This session is another visitor's.", status_code=403)(scope, receive, send)
                return
            if known or own:
                self._note_session(asked, key, has_cookie=bool(known))
        if session and (known or own):
            self._visits.opened(key)
        try:
            await self._app(scope, receive, watched.send)
        finally:
            if session and (known or own):
                self._visits.closed(key)
            elif session and session in self._without_cookie:
                self._visits.closed(self._without_cookie.pop(session))

    def _note_session(self, session: str, key: str, *, has_cookie: bool) -> None:
        if not session or session in self._sessions:
            return
        self._sessions[session] = key
        if not has_cookie:
            self._visits.opened(key)
            self._without_cookie[session] = key
        for kept in (self._sessions, self._without_cookie):
            while len(kept) > SESSIONS_KEPT:
                kept.popitem(last=False)


class _Answer:
    """Passes an answer on; adds the cookie, and notes which files it is about."""

    def __init__(self, visits: Visits, key: str, path: str, send: Any, set_cookie: str | None) -> None:
        self._visits, self._key, self._path, self._send, self._cookie = visits, key, path, send, set_cookie
        self._is_upload, self._body = path.endswith("/upload"), b""

    async def send(self, message: Any) -> None:
        """One part of the answer."""
        if message["type"] == "http.response.start":
            if self._cookie:
                headers = [*message.get("headers", []), (b"set-cookie", self._cookie.encode())]
                message = {**message, "headers": headers}
            self._is_upload = self._is_upload and message["status"] == 200
            if message["status"] in (200, 206) and "/file=" in self._path:
                self._visits.has_file(self._key, self._path.split("/file=", 1)[1])
        elif self._is_upload and len(self._body) < LARGEST_ANSWER:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                for path in _paths_in(self._body):
                    self._visits.has_file(self._key, path)
        await self._send(message)


async def _session_of(scope: Any, path: str, receive: Any) -> tuple[str | None, Any]:
    """The session that a request speaks for, and what to read its body with; None for one that names no session.

    A session holds values of the page (which evaluation is under way, ...), so not only its answers are its visitor's,
    but also asking in it and cancelling.
    """
    if path.endswith("/queue/data"):
        return parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_hash", [""])[0], receive
    if scope.get("method") != "POST" or not ASKING.search(path):
        return None, receive
    messages, body = [], b""
    while True:  # no longer than the guard in front of this lets any body be
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    waiting = iter(messages)

    async def again() -> Any:
        found = next(waiting, None)
        return await receive() if found is None else found

    try:
        said = json.loads(body)
    except (ValueError, RecursionError):  # whoever reads it next says what is wrong with it
        return None, again
    asked = said.get("session_hash") if isinstance(said, dict) else None
    return (asked if isinstance(asked, str) else None), again


def cookie(key: str, *, is_secure: bool) -> str:
    """The cookie's line. Over https it is also sent inside another site's frame, but to each embedding site apart."""
    how = "SameSite=None; Secure; Partitioned" if is_secure else "SameSite=Lax"
    return f"{COOKIE}={key}; Path=/; Max-Age=86400; HttpOnly; {how}"


def _key_in_cookie(scope: Any) -> str | None:
    for name, value in scope["headers"]:
        if name == b"cookie":
            try:
                found = SimpleCookie(value.decode("latin-1")).get(COOKIE)
            except CookieError:
                continue
            if found and KEY_PATTERN.fullmatch(found.value):
                return found.value
    return None


def _key_in_header(scope: Any) -> str | None:
    given = [value.decode("latin-1") for name, value in scope["headers"] if name == HEADER.encode()]
    return next((value for value in given if KEY_PATTERN.fullmatch(value)), None)


def _is_secure(scope: Any) -> bool:
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
    return scope.get("scheme") == "https" or any(value.split(b",")[0].strip() == b"https" for value in forwarded)


def _paths_in(body: bytes) -> list[str]:
    try:
        said = json.loads(body)
    except ValueError:
        return []
    return [path for path in said if isinstance(path, str)] if isinstance(said, list) else []
