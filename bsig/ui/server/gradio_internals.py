"""Sessions that hold what a visitor changed and nothing more, and a queue that keeps nothing of what was delivered.

Gradio describes every component of the page anew for each session (30 ms of the event loop and 0.7 MB for this page,
kept for up to 10,000 sessions), and takes each call of the web API that names no session for a new one. The
descriptions serve its deep links alone, which are closed here (`bsig.ui.server.guard`).

Its queue keeps a mailbox for each session, and the ids of what is under way in it, after the last answer has been
fetched: 2 kB for every call of the web API that names no session, searched from the first to the last for every answer,
and of more than 2,000 mailboxes the oldest is thrown away, whoever may still be waiting at it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import copy
from datetime import datetime
from typing import Any

from gradio.components import State
from gradio.state_holder import SessionState, StateHolder
from gradio.utils import LRUCache

FETCHED = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/(?P<event>\w+)/?")


class LeanSession(SessionState):
    """A session without descriptions of its components."""

    def __init__(self, blocks: Any) -> None:
        self.blocks_config = copy(blocks.default_config)
        self.config_values: dict[int, Any] = {}
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, Any] = {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = 3600

    def __setitem__(self, key: int, value: Any) -> None:
        """Keeps a state's value, or a component that an answer has changed."""
        block = self.blocks_config.blocks.get(key)
        if isinstance(block, State):
            self._state_ttl[key] = (block.time_to_live, datetime.now())
            self.state_data[key] = value
        else:
            self.blocks_config.blocks[key] = value

    def _update_config(self, key: int) -> None:
        """Nothing: it is asked for by deep links alone."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Nothing, as above."""


class LeanSessions(StateHolder):
    """Lean sessions by name, least recently used first."""

    def __getitem__(self, session_id: str) -> SessionState:
        """The session, a new one if there is none of that name."""
        if session_id not in self.session_data:
            self.session_data[session_id] = LeanSession(self.blocks)
        return super().__getitem__(session_id)

    def forget(self, session_id: str) -> None:
        """Lets go of a session."""
        with self.lock:
            self.session_data.pop(session_id, None)
            self.time_last_used.pop(session_id, None)


def use_lean_sessions(app: Any) -> None:
    """Gives gradio's application lean sessions in place of its own; at its start, when there is none yet."""
    sessions = LeanSessions()
    sessions.set_blocks(app.get_blocks())
    app.state_holder = sessions
    queue = app.get_blocks()._queue
    # Of those who never come for their answer; as many as gradio keeps mailboxes.
    queue.pending_event_ids_session = LRUCache(queue.pending_messages_per_session.max_size)


class ForgetsDelivered:
    """Lets go of the mailbox of a call that named no session, once its answer has been fetched.

    A page keeps its mailbox: it opens its stream again whenever it asks, also for what the stream before has brought.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Callable, send: Callable) -> None:
        """One request."""
        try:
            await self._app(scope, receive, send)
        finally:
            # Such a call's session has the name of its event.
            if scope["type"] == "http" and scope["method"] == "GET" and (event := _fetched_event(scope)):
                _forget_mailbox(scope["app"].get_blocks()._queue, event)


def _fetched_event(scope: Any) -> str | None:
    path = FETCHED.fullmatch(scope["path"].removeprefix(scope.get("root_path", "")))
    return path["event"] if path else None


def _forget_mailbox(queue: Any, session: str) -> None:
    if not queue.pending_event_ids_session.get(session):  # else it is still under way
        queue.pending_event_ids_session.pop(session, None)
        queue.pending_messages_per_session.pop(session, None)
