"""One line a request, and the border where whatever goes wrong becomes a sentence.

    {"time": "2026-11-25T10:00:00.123+00:00", "endpoint": "compare", "outcome": "ok", "ms": 231.4, "queued_ms": 3.1,
     "parts_ms": {"decode": 8.1, "encode": 97.0, "maps": 4.2, "drawing": 31.5, "png": 44.8}}

Handlers run in one of the server's threads and the pictures of their answers are encoded after them, in others:
`Blocks.process_api` is around all of it. No content, no file name and nothing about the visitor is written.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
import traceback
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import gradio as gr
from gradio.exceptions import InvalidPathError

from bsig.explain.timing import collected
from bsig.inputs.errors import InputError
from bsig.ui.server.gradio_internals import LeanSessions

logger = logging.getLogger("bsig.requests")
defects = logging.getLogger(__name__)
LONGEST_RULE, LONGEST_SENTENCE = 160, 500
DEFECT_WORDS = "Something went wrong on our side; the app keeps running."
FOREIGN_FILE = "the file was not uploaded to this app; upload it here first."
WRONG_INPUTS = "the request's values are not those that this endpoint takes; `/gradio_api/info` lists them."


# The request under way, as gradio's queue knows it; read by long work that nobody may be waiting for any more.
_event: ContextVar[Any] = ContextVar("bsig_request", default=None)


class VisitorLeftError(Exception):
    """Nobody waits for this answer any more."""


def leave_off_if_left(done: int, total: int) -> None:
    """Progress of long work that ends it once its visitor has gone.

    Raises:
        VisitorLeftError: the visitor has closed the page or cancelled the request.
    """
    event = _event.get()
    if event is not None and not event.alive and done < total:
        raise VisitorLeftError


def log_requests() -> None:
    """Lets the lines go to stderr, once however often it is called."""
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


@dataclass
class Record:
    """A request under way.

    Attributes:
        endpoint: its name in the web API, or the handler's.
        queued_ms: between its arrival and its start; None where it did not wait in the queue.
        seconds: by part.
    """

    endpoint: str
    queued_ms: float | None
    seconds: dict[str, float] = field(default_factory=dict)
    start: float = field(default_factory=time.perf_counter)

    def write(self, outcome: str, **more: str) -> None:
        """Writes the line."""
        line: dict[str, Any] = {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "endpoint": self.endpoint,
            "outcome": outcome,
            **more,
            "ms": round(1000 * (time.perf_counter() - self.start), 1),
        }
        if self.queued_ms is not None:
            line["queued_ms"] = round(self.queued_ms, 1)
        line["parts_ms"] = {name: round(1000 * seconds, 1) for name, seconds in self.seconds.items()}
        logger.info(json.dumps(line))


class LoggedBlocks(gr.Blocks):
    """A page whose requests are logged, and whose answers hold no words but ours when something fails."""

    health: Callable[[], dict[str, Any]]
    _streaming: weakref.WeakKeyDictionary[Any, tuple[Record, Any]] | None = None

    def queue(self, *arguments: Any, **named: Any) -> gr.Blocks:
        """As gradio's, without its statistics: a pandas table of the last 10,000 requests after every single one."""
        os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")
        os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
        return super().queue(*arguments, **named)

    async def process_api(self, block_fn: Any, *arguments: Any, **named: Any) -> dict[str, Any]:
        """As gradio's: takes the inputs in, runs the handler, makes the outputs ready. Of a generator, one step."""
        if self._streaming is None:
            self._streaming = weakref.WeakKeyDictionary()
        iterator = named.get("iterator")
        record, left = self._streaming.pop(iterator, (None, None)) if iterator is not None else (None, None)
        if left is not None:
            left.detach()
        event = self._queue.event_ids_to_events.get(named.get("event_id") or "")
        waited_ms = None if event is None else 1000 * (time.monotonic() - event.enqueue_time)
        record = record or Record(_name_of(self, block_fn), waited_ms)
        asked = _event.set(event)
        try:
            with collected(record.seconds):
                answer = await super().process_api(block_fn, *arguments, **named)
        except Exception as error:
            said, outcome = _in_words(error, record.endpoint)
            record.write(**outcome)
            self._forget(**named)
            if said is error:
                raise
            raise said from error
        finally:
            _event.reset(asked)
        if answer.get("is_generating") and answer.get("iterator") is not None:
            # A visitor who goes away ends the generator, and nothing is asked any more.
            left = weakref.finalize(answer["iterator"], record.write, "left")
            left.atexit = False
            self._streaming[answer["iterator"]] = (record, left)
        else:
            record.write("ok")
            self._forget(**named)
        return answer

    def _forget(self, session_hash: str | None = None, event_id: str | None = None, **_: Any) -> None:
        """Lets go of the session of a call that named none: gradio has called it like the call."""
        if session_hash and session_hash == event_id and isinstance(self.state_holder, LeanSessions):
            self.state_holder.forget(session_hash)


def _name_of(blocks: gr.Blocks, block_fn: Any) -> str:
    known = blocks.fns.get(block_fn) if isinstance(block_fn, int) else block_fn
    return str(getattr(known, "api_name", None) or getattr(known, "name", None) or "unknown")


def _in_words(error: Exception, endpoint: str) -> tuple[Exception, dict[str, str]]:
    """What the visitor is told in place of `error`, and what the log says of it."""
    cause = error.__cause__ if isinstance(error, gr.Error) else error
    if isinstance(cause, InputError):
        return refusal(_shortened(str(cause))), {"outcome": "refused", "rule": rule_of(str(cause)), "by": _place(cause)}
    if isinstance(cause, VisitorLeftError):
        return defect(), {"outcome": "left"}
    if isinstance(cause, InvalidPathError):
        return refusal(FOREIGN_FILE), {"outcome": "refused", "rule": FOREIGN_FILE, "by": "gradio"}
    if _while_reading_inputs(error) and not isinstance(error, gr.Error):
        return refusal(WRONG_INPUTS), {"outcome": "refused", "rule": WRONG_INPUTS, "by": "gradio"}
    if isinstance(error, gr.Error) and cause is None:
        error.message = _shortened(str(error.message))  # gradio lists all of a thousand choices
        error.print_exception = False
        return error, {"outcome": "refused", "rule": rule_of(error.message), "by": _place(error)}
    if not isinstance(error, gr.Error):  # `in_words` has logged those that come from a handler
        defects.error("defect in %s", endpoint, exc_info=error)
    return defect(), {"outcome": "defect", "kind": type(cause).__name__, "by": _place(cause or error)}


def refusal(sentence: str) -> gr.Error:
    """The app's message for an input that cannot be used."""
    return gr.Error(sentence, title="This cannot be used", duration=15, print_exception=False)


def defect() -> gr.Error:
    """The app's message for a fault of its own."""
    return gr.Error(DEFECT_WORDS, print_exception=False)


def rule_of(sentence: str) -> str:
    """The sentence without whatever it quotes (file names, values that came from outside), shortened."""
    bare = re.sub(r"'.*'", "'…'", sentence, flags=re.DOTALL)
    bare = re.sub(r"\(=(?![-+0-9.e]*\)).*?\)", "(=…)", bare, flags=re.DOTALL)
    bare = re.sub(r"\S*/\S*", "…", bare)
    return _shortened(bare, LONGEST_RULE)


def _shortened(text: str, length: int = LONGEST_SENTENCE) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _while_reading_inputs(error: BaseException) -> bool:
    """Whether gradio failed on what was sent, before any handler ran."""
    names = {frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)}
    return bool(names & {"preprocess_data", "special_args"})


def _place(error: BaseException) -> str:
    """Where it was raised: `bsig.inputs.images._check_size`, or the innermost place in this package."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    named = [(str(frame.f_globals.get("__name__", "")), frame.f_code.co_name) for frame in frames]
    ours = [(module, name) for module, name in named if module.startswith("bsig.") and module != __name__]
    if not ours:
        return "gradio"
    return ".".join(ours[-1])
