"""Sessions that hold what a visitor changed and nothing more.

Gradio describes every component of the page anew for each session (30 ms of the event loop and 0.7 MB for this page,
kept for up to 10,000 sessions), and takes each call of the web API that names no session for a new one. The
descriptions serve its deep links alone, which are closed here (`bsig.ui.server`).
"""

from __future__ import annotations

from copy import copy
from datetime import datetime
from typing import Any

from gradio.components import State
from gradio.state_holder import SessionState, StateHolder


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
