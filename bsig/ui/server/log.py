"""One line a request, and the border where whatever goes wrong becomes a sentence.

    {"time": "2026-11-25T10:00:00.123+00:00", "endpoint": "compare", "outcome": "ok", "ms": 231.4, "queued_ms": 3.1,
     "parts_ms": {"decode": 8.1, "encode": 97.0, "maps": 4.2, "drawing": 31.5, "png": 44.8}}

No content, no file name and nothing about the visitor is written.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import gradio as gr

from bsig.explain.timing import collected
from bsig.inputs.errors import InputError, disk_sentence, without_folders
from bsig.ui.server.gradio_internals import InvalidPathError, ObservedBlocks, PageRequest, failed_on_inputs

logger = logging.getLogger("bsig.requests")
defects = logging.getLogger(__name__)
LONGEST_RULE, LONGEST_SENTENCE = 160, 500
BORDER = (__name__, ObservedBlocks.__module__)  # where every error passes
DEFECT_WORDS = "Something went wrong on our side; the app keeps running."
FOREIGN_FILE = "the file was not uploaded to this app; upload it here first."
WRONG_INPUTS = "the request's values are not those that this endpoint takes; `/gradio_api/info` lists them."


# The request under way; read by long work that nobody may be waiting for any more.
_request: ContextVar[PageRequest | None] = ContextVar("bsig_request", default=None)


class VisitorLeftError(Exception):
    """Nobody waits for this answer any more."""


def leave_off_if_left(count: int, total: int) -> None:
    """Ends long work, which calls this as its progress, once its visitor has gone.

    Raises:
        VisitorLeftError: the visitor has closed the page or cancelled the request.
    """
    request = _request.get()
    if request is not None and not request.is_awaited and count < total:
        raise VisitorLeftError


def log_requests() -> None:
    """Sends the lines to stderr; calling it again changes nothing."""
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logging.getLogger("asyncio").addFilter(NoRoomForVisitors())
    logger.setLevel(logging.INFO)
    logger.propagate = False


class NoRoomForVisitors(logging.Filter):
    """Lets asyncio say once a minute that no connection can be taken: it says so, with a trace, thousands of times."""

    WORDS = "socket.accept() out of system resource"
    EVERY_S = 60.0

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; without its trace."""
        if not record.getMessage().startswith(self.WORDS):
            return True
        is_due = time.monotonic() >= self._next
        if is_due:
            self._next = time.monotonic() + self.EVERY_S
            record.msg, record.args = "no file is left for another connection; visitors wait.", ()
            record.exc_info = record.exc_text = None
        return is_due


@dataclass
class Record:
    """A request under way.

    Attributes:
        endpoint: its name in the web API, or the handler's.
        queued_ms: time from its arrival to its start; None where it did not wait in the queue.
        seconds: time spent by part.
    """

    endpoint: str
    queued_ms: float | None
    seconds: dict[str, float] = field(default_factory=dict)
    start: float = field(default_factory=time.perf_counter)

    def write(self, outcome: str, **more: str) -> None:
        """Writes the request's line."""
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


class LoggedBlocks(ObservedBlocks):
    """A page whose requests are logged, and whose answers hold no words but ours when something fails."""

    health: Callable[[], dict[str, Any]]
    answer_opening: Callable[[], Any]
    """Computes what the page opens with, for the first visitor to find."""
    tells_folders = True
    """Whether a refusal may name folders of this machine; not in a public app."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        # Generators that wait to be asked for their next answer, with what writes the line should nobody ask.
        self._generating: weakref.WeakKeyDictionary[Any, tuple[Record, Any]] = weakref.WeakKeyDictionary()

    async def observed(self, request: PageRequest, answer: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Gradio's answer of one step of a request; the line of the request is written at its last step."""
        record = self._record_of(request)
        token = _request.set(request)
        try:
            with collected(record.seconds):
                step = await answer()
        except Exception as error:
            public_error, outcome = _in_words(error, record.endpoint, tells_folders=self.tells_folders)
            record.write(**outcome)
            request.forget_session()
            if public_error is error:
                raise
            raise public_error from error
        finally:
            _request.reset(token)
        iterator = step.get("iterator")
        if step.get("is_generating") and iterator is not None:
            # A visitor who goes away ends the generator, and nothing is asked any more.
            finalizer = weakref.finalize(iterator, record.write, "left")
            finalizer.atexit = False
            self._generating[iterator] = (record, finalizer)
        else:
            record.write("ok")
            request.forget_session()
        return step

    def _record_of(self, request: PageRequest) -> Record:
        """The record that the steps before have begun, or a new one."""
        if request.iterator is None or request.iterator not in self._generating:
            return Record(request.endpoint, request.queued_ms)
        record, finalizer = self._generating.pop(request.iterator)
        finalizer.detach()
        return record


def _in_words(error: Exception, endpoint: str, *, tells_folders: bool) -> tuple[Exception, dict[str, str]]:
    """The error that the visitor is told in place of `error`, and the log's words for it."""
    cause = error.__cause__ if isinstance(error, gr.Error) else error
    if isinstance(cause, InputError):
        sentence = str(cause) if tells_folders else without_folders(str(cause))
        return refusal(_shortened(sentence)), {"outcome": "refused", "rule": rule_of(str(cause)), "by": _place(cause)}
    if isinstance(cause, VisitorLeftError):
        return defect(), {"outcome": "left"}
    if isinstance(cause, InvalidPathError):
        return refusal(FOREIGN_FILE), {"outcome": "refused", "rule": FOREIGN_FILE, "by": "gradio"}
    if disk := disk_sentence(error):
        defects.error("%s in %s", disk, endpoint)
        return refusal(disk if tells_folders else without_folders(disk)), {"outcome": "disk", "by": _place(error)}
    if failed_on_inputs(error) and not isinstance(error, gr.Error):
        return refusal(WRONG_INPUTS), {"outcome": "refused", "rule": WRONG_INPUTS, "by": "gradio"}
    if isinstance(error, gr.Error) and cause is None:
        words = str(error.message) if tells_folders else without_folders(str(error.message))
        error.message = _shortened(words)  # gradio lists all of a thousand choices
        error.print_exception = False
        return error, {"outcome": "refused", "rule": rule_of(error.message), "by": _place(error)}
    if not isinstance(error, gr.Error):  # `in_words` has logged those that come from a handler
        defects.error("defect in %s", endpoint, exc_info=error)
    return defect(), {"outcome": "defect", "kind": type(cause).__name__, "by": _place(cause or error)}


def refusal(sentence: str) -> gr.Error:
    """The app's message about an input that cannot be used."""
    return gr.Error(sentence, title="This cannot be used", duration=15, print_exception=False)


def defect() -> gr.Error:
    """The app's message about a defect of its own."""
    return gr.Error(DEFECT_WORDS, print_exception=False)


def rule_of(sentence: str) -> str:
    """The sentence, shortened and without what it quotes: file names and values that came from outside."""
    bare = re.sub(r"'.*'", "'…'", sentence, flags=re.DOTALL)
    bare = re.sub(r"\(=(?![-+0-9.e]*\)).*?\)", "(=…)", bare, flags=re.DOTALL)
    bare = re.sub(r"\S*/\S*", "…", bare)
    return _shortened(bare, LONGEST_RULE)


def _shortened(text: str, length: int = LONGEST_SENTENCE) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _place(error: BaseException) -> str:
    """The innermost place in bsig that the error passed, as `bsig.inputs.images._check_size`."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    places = [(str(frame.f_globals.get("__name__", "")), frame.f_code.co_name) for frame in frames]
    own_places = [(module, name) for module, name in places if module.startswith("bsig.") and module not in BORDER]
    if not own_places:
        return "gradio"
    return ".".join(own_places[-1])
