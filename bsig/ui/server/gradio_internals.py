"""Everything of gradio that its documentation does not promise, in one file.

Each part says why it is needed and what would make it needless. `tests/ui/server/test_gradio_internals.py` holds one
test for each, which says in a sentence what a new version of gradio has changed.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, runtime_checkable

import gradio as gr

TESTED_VERSION = "6.31"


def check_version(version: str = gr.__version__) -> None:
    """Refuses another minor version of gradio than the one that this file was written for.

    Raises:
        ImportError: it is another one.
    """
    if version.split(".")[:2] != TESTED_VERSION.split("."):
        raise ImportError(
            f"bsig's page is made for gradio {TESTED_VERSION}, and {version} is installed; "
            f"install the right one with `pip install -r requirements.txt`."
        )


check_version()  # before the imports below, whose names another version may not have

from gradio import http_server  # noqa: E402
from gradio.context import LocalContext  # noqa: E402
from gradio.data_classes import ImageData  # noqa: E402
from gradio.exceptions import InvalidPathError  # noqa: E402, F401  for `bsig.ui.server.log`
from gradio.route_utils import FnIndexInferError  # noqa: E402
from gradio.routes import App  # noqa: E402
from gradio.state_holder import SessionState, StateHolder  # noqa: E402
from gradio.utils import LRUCache, get_upload_folder  # noqa: E402

# --- what the page's style sheet and script know of gradio's page -----------------------------------------------------

# Gradio gives its own parts no names that a page could choose. Needless once every part takes `elem_classes`.
DOM_CLASSES = {
    "block": "a component's box: may become narrower than its content on a phone",
    "caption-label": "what stands below a picture of a gallery",
    "column": "gr.Column: the heading of a plot is looked for in the plot's column",
    "dark": "the dark theme is on",
    "empty": "the box of a plot that shows nothing yet: the script gives it a name",
    "error": "what says of an output that its event failed, and of a toast that it is an error",
    "form": "inputs that gradio groups: their direction",
    "gallery-container": "gr.Gallery",
    "gradio-container": "the whole page: its width",
    "grid-container": "the pictures of a gallery: how many stand side by side",
    "grid-wrap": "the box around them: its height",
    "html-container": "gr.HTML: its padding",
    "icon": "the triangle of a folded part",
    "image-container": "a picture to upload: its height on a phone",
    "image-frame": "the box around that picture: its height on a phone",
    "label-wrap": "the line of a folded part: drawn as a browser draws its own",
    "lg": "a button of the usual size: as wide as its words",
    "md": "one of the middle size",
    "open": "a folded part that is open",
    "row": "gr.Row: inputs in one stand below each other on a phone",
    "selected": "the tab that is shown: its colour",
    "sm": "a small button",
    "tab-container": "the strip of tabs: its width on a phone",
    "tab-wrapper": "the box around the strip",
    "tabitem": "the content of a tab: may become narrower than its content",
    "toast-body": "the message of an error: the script puts its sentence below the input",
    "toast-close": "its button",
    "toast-message-text": "its sentence",
    "wrap": "the words of a field that files are dropped on: their size",
    "thumbnail-item": "a picture of a gallery: the script names it by what stands below it",
    "thumbnail-lg": "a large picture of a gallery",
}
DOM_ATTRIBUTES = {
    "aria-dropeffect": "the field that files are dropped on: its border",
    "data-tab-id": "the button of a tab: Back and Forward open the tab that the entry names",
    "data-testid=block-label": "the label in a picture's corner: away above the upload, in line above a map",
    "data-testid=status-tracker": "what says how an event of an output goes: its pill of an error is away",
    "role=combobox": "the field of a dropdown that is typed into: its words, and Tab, which closes its list",
    "role=listbox": "the field of another dropdown, and the list of options, which is no stop for Tab",
    "role=tab": "the first button of the strip: a jump to Compare presses it",
}
WINDOW_NAMES = {
    "fetch": "gradio's page asks its server through it: `visitor_key.js` wraps it to add the visitor's key as a header",
    "gradio_config.api_prefix": "where gradio's routes begin: the script asks `/progress` and fetches pictures itself",
    "gradio_config.root": "the address of the page, behind a path prefix too: for the same",
}
# Needless once gradio's client takes headers from the page, and tells the page's script the addresses of its routes.


# --- components -------------------------------------------------------------------------------------------------------


class ShownAsParent:
    """Makes the browser show a component by the code of gradio's component that it is derived from.

    The first base class must be gradio's. Needless once a component may name the code that shows it.
    """

    is_template = True


def uploaded_path(payload: Any) -> str | None:
    """The path of an uploaded picture that has not been opened; None where the content came in the request itself."""
    return None if payload.url and payload.url.startswith("data:") else payload.path


def stored_picture(path: str) -> ImageData:
    """The answer of a picture component for a file that lies in gradio's cache: gradio does not encode it again."""
    return ImageData(path=path, orig_name="image.png")


def received_picture(payload: dict[str, Any] | None) -> ImageData | None:
    """What gradio hands to a picture component's `preprocess`, for an event that goes without."""
    return None if payload is None else ImageData(**payload)


def sent_picture(file: Path) -> dict[str, Any]:
    """What gradio makes of `stored_picture`, for an event that goes without `postprocess`."""
    return stored_picture(str(file)).model_dump()


def is_update(answer: Any) -> bool:
    """Whether a handler's answer is what `gr.update` returns: its value is made ready on the event loop."""
    return isinstance(answer, dict) and answer.get("__type__") == "update"


def cache_folder() -> str:
    """The folder in which gradio keeps uploads and answers, and from which it serves them."""
    return get_upload_folder()


# --- requests ---------------------------------------------------------------------------------------------------------

# What gradio's routes raise when they look up a name that a visitor sent: an endpoint, a handler, a component, an
# upload. Needless once its routes answer 404 to each of them.
UNKNOWN_NAME_ERRORS = (FnIndexInferError, LookupError, ValueError, TypeError, AttributeError)
READING_INPUTS = ("preprocess_data", "special_args")


def failed_on_inputs(error: BaseException) -> bool:
    """Whether gradio failed on what was sent, before any handler ran.

    Gradio has no error of its own for that: its functions are looked for in the traceback.
    """
    names = {frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)}
    return not names.isdisjoint(READING_INPUTS)


def current_headers() -> Any:
    """The headers of the request whose handler runs in this thread; None outside of handlers.

    Needless once every handler of the page takes a `gr.Request` and hands it on.
    """
    return getattr(LocalContext.request.get(None), "headers", None)


def requests_under_way(blocks: gr.Blocks) -> dict[str, int]:
    """How many requests wait in the queue and how many are being answered."""
    return {"waiting": len(blocks._queue), "running": blocks._queue.get_active_worker_count()}


class PageRequest:
    """One step of a request: all of it, or one answer of a generator.

    Attributes:
        endpoint: the handler's name in the web API, else its own.
        queued_ms: from its arrival to its start; None where it did not wait in the queue.
        iterator: the generator that goes on; None at the first step.
    """

    def __init__(self, blocks: ObservedBlocks, block_fn: Any, keywords: dict[str, Any]) -> None:
        handler = blocks.fns.get(block_fn) if isinstance(block_fn, int) else block_fn
        self._blocks, self._session, self._event_id = blocks, keywords.get("session_hash"), keywords.get("event_id")
        self._event = blocks._queue.event_ids_to_events.get(self._event_id or "")
        self.endpoint = str(getattr(handler, "api_name", None) or getattr(handler, "name", None) or "unknown")
        self.queued_ms = None if self._event is None else 1000 * (time.monotonic() - self._event.enqueue_time)
        self.iterator = keywords.get("iterator")

    @property
    def is_awaited(self) -> bool:
        """Whether somebody still waits for the answer: gradio marks the request of a visitor who has gone."""
        return self._event is None or self._event.alive

    def forget_session(self) -> None:
        """Lets go of the session of a call of the web API that named none: gradio has named it like the call."""
        if self._session and self._session == self._event_id and isinstance(self._blocks.state_holder, LeanSessions):
            self._blocks.state_holder.forget(self._session)


def with_later_inputs(blocks: gr.Blocks, block_fn: Any, inputs: Any) -> Any:
    """The inputs of a request, with the values of those that it may leave out (`may_be_left_out`) at the end.

    So that an endpoint can get another parameter: gradio refuses a request that was written before. Needless once its
    server fills in the defaults that it names in its description of the API.
    """
    handler = blocks.fns.get(block_fn) if isinstance(block_fn, int) else block_fn
    later = handler.inputs[len(inputs) :] if handler is not None and isinstance(inputs, list) else []
    if not later or not all(getattr(component, "may_be_left_out", False) for component in later):
        return inputs
    return [*inputs, *(component.value for component in later)]  # type: ignore[union-attr]


class ObservedBlocks(gr.Blocks):
    """A page that hands each step of a request to `observed`.

    `Blocks.process_api` is the one place around all of a request: gradio takes the inputs in before the handler and
    makes the outputs ready after it, in other threads. Needless once gradio has a hook around a request.
    """

    async def process_api(self, block_fn: Any, *arguments: Any, **keywords: Any) -> dict[str, Any]:
        """Gradio's answer of one step, by way of `observed`."""
        answer = super().process_api
        if "inputs" in keywords:
            keywords["inputs"] = with_later_inputs(self, block_fn, keywords["inputs"])
        return await self.observed(
            PageRequest(self, block_fn, keywords), lambda: answer(block_fn, *arguments, **keywords)
        )

    async def observed(self, request: PageRequest, answer: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """The answer that the visitor gets, from gradio's."""
        raise NotImplementedError

    def queue(self, *arguments: Any, **keywords: Any) -> gr.Blocks:
        """Gradio's queue without its statistics: a pandas table of the last 10,000 requests after every single one.

        Needless once gradio makes them for its monitoring page only, which is closed here.
        """
        os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")
        os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
        return super().queue(*arguments, **keywords)


# --- the start --------------------------------------------------------------------------------------------------------

# Gradio asks its own page before it goes on, and ends the app where no answer has come after three seconds or a proxy
# stands between: an app on a busy machine ended right after it had begun to answer. Needless once it asks longer.
WITHOUT_ASKING_ITSELF = {"_frontend": False}


@contextlib.contextmanager
def without_idle_applications() -> Iterator[None]:
    """Keeps gradio from making web applications for a page that is being built: only that of `launch` is ever asked.

    It makes one when a page begins, one when it ends and one with its queue, each with a description of the whole page.
    Needless once gradio makes its application in `launch` alone.
    """
    make = App.create_app
    App.create_app = staticmethod(lambda *_, **__: None)  # type: ignore[assignment]
    try:
        yield
    finally:
        App.create_app = staticmethod(make)  # type: ignore[method-assign]


@runtime_checkable
class RunningServer(Protocol):
    """A server that listens, and what gradio asks of it."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The page's address on this machine."""

    def admit(self, app: Any) -> None:
        """Hands all requests to gradio's application."""

    def close(self) -> None:
        """Ends the server."""


@contextlib.contextmanager
def launched_on(server: RunningServer) -> Iterator[None]:
    """Makes `Blocks.launch` hand its application to a server that listens already, in place of starting one.

    Gradio listens when everything has been imported, loaded and built; until then a browser finds nothing. Needless
    once `launch` takes such a server.
    """
    start = http_server.start_server

    def admitted(app: Any, *_: Any, **__: Any) -> tuple[str, int, str, RunningServer]:
        server.admit(app)
        return server.host, server.port, server.url, server

    http_server.start_server = admitted  # type: ignore[assignment]
    try:
        yield
    finally:
        http_server.start_server = start


# --- turns ------------------------------------------------------------------------------------------------------------

TURN = "bsig_turn"
"""In a request's scope: the visitor whose turn it takes."""
VISITORS_REMEMBERED = 1000


def take_fair_turns(blocks: gr.Blocks, waiting_each: int) -> None:
    """Makes gradio's queue take the visitors in turns, and keep only so many questions of each waiting.

    Gradio answers in the order of arrival: who sends sixty slow questions at once makes all others wait for all of
    them. Needless once gradio's queue knows visitors.
    """
    queue = blocks._queue
    turns = FairTurns(waiting_each)
    take, push = queue.get_events, queue.push

    def get_events() -> Any:
        running = [event for events in queue.active_jobs if events for event in events]
        hidden = {}
        for name, line in queue.event_queue_per_concurrency_id.items():
            under_way = [turn_of(event) for event in running if event.concurrency_id == name]
            at = turns.next_of([turn_of(event) for event in line.queue], under_way, line.concurrency_limit)
            if at is None:
                hidden[name], line.queue = line.queue, []  # out of sight of gradio's own choice
            else:
                line.queue.insert(0, line.queue.pop(at))
        batch = take()
        for name, events in hidden.items():
            queue.event_queue_per_concurrency_id[name].queue = events
        if batch:
            turns.note_taken(turn_of(batch[0][0]))
        return batch

    async def fair_push(body: Any, request: Any, username: Any) -> Any:
        waits = (turn_of(event) for line in queue.event_queue_per_concurrency_id.values() for event in line.queue)
        visitor = request.scope.get(TURN, "")
        if refusal := turns.refusal(sum(turn == visitor for turn in waits)):
            return False, refusal, "queue_full"
        return await push(body, request, username)

    queue.get_events, queue.push = get_events, fair_push  # type: ignore[method-assign]


def turn_of(event: Any) -> str:
    """The visitor whose turn an event of the queue takes."""
    return event.request.scope.get(TURN, "")


class FairTurns:
    """The order of visitors: next is who has the fewest questions under way; of several, who waited longest for a turn.

    Nobody has all the places of a line: one is left for whoever comes next.

    Args:
        waiting_each: how many questions of one visitor may wait.
    """

    def __init__(self, waiting_each: int) -> None:
        self._waiting_each = waiting_each
        self._turns = 0
        self._last_turn: LRUCache[str, int] = LRUCache(VISITORS_REMEMBERED)

    def next_of(self, waiting: list[str], running: list[str], places: int | None) -> int | None:
        """The place, in the line of the visitors who wait, of the question to be answered next; None for none now.

        Args:
            waiting: the visitor of each question, in order of arrival.
            running: the visitor of each question of this line that is being answered.
            places: how many are answered at the same time; None for any number.
        """
        most_each = max(1, places - 1) if places else len(running) + 1
        positions = [at for at, visitor in enumerate(waiting) if running.count(visitor) < most_each]
        order = lambda at: (running.count(waiting[at]), self._last_turn.get(waiting[at], 0), at)  # noqa: E731
        return min(positions, key=order, default=None)

    def note_taken(self, visitor: str) -> None:
        """Notes that a visitor has had a turn."""
        self._turns += 1
        self._last_turn[visitor] = self._turns

    def refusal(self, waiting: int) -> str | None:
        """The refusal for a visitor with that many waiting questions; None while there is room for one more."""
        if waiting < self._waiting_each:
            return None
        verb = "is" if waiting == 1 else "are"
        most = self._waiting_each
        return f"Queue is full: {waiting} of your questions {verb} waiting, a visitor may have {most}; wait."


# --- sessions ---------------------------------------------------------------------------------------------------------


class LeanSession(SessionState):
    """A session that holds the values a visitor has changed, without descriptions of the page's components.

    Gradio describes every component anew for each session (30 ms of the event loop and 0.7 MB for this page), and takes
    each call of the web API that names no session for a new one. The descriptions serve its deep links alone, which are
    closed here (`bsig.ui.server.routes`). Needless once gradio describes a session when a link to it is asked for.
    """

    def __init__(self, blocks: Any) -> None:
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))  # type: ignore[arg-type]

    def __setitem__(self, key: int, value: Any) -> None:
        """Keeps a state's value, or a component that an answer has changed."""
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None:
        """Describes nothing."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Describes nothing."""


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
    # Calls whose answer nobody fetches; as many as gradio keeps mailboxes.
    queue.pending_event_ids_session = LRUCache(queue.pending_messages_per_session.max_size)


class DeliveredMailboxes:
    """Middleware that lets go of the mailbox of a call that named no session, once its answer has been fetched.

    Gradio keeps 2 kB for every such call, searches all of them for each answer, and throws away the oldest of more than
    2,000, whoever may still be waiting at it (a fine-tune takes minutes). A page keeps its mailbox: it opens its stream
    again whenever it asks, also for what the stream before has brought. Needless once gradio drops what is delivered.
    """

    FETCHING = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/(?P<event>\w+)/?")

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Callable, send: Callable) -> None:
        """Answers one request."""
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "http" and scope["method"] == "GET":
                path = self.FETCHING.fullmatch(scope["path"].removeprefix(scope.get("root_path", "")))
                if path:  # such a call's session has the name of its event
                    _forget_mailbox(scope["app"].get_blocks()._queue, path["event"])


def _forget_mailbox(queue: Any, session: str) -> None:
    if not queue.pending_event_ids_session.get(session):  # else it is still under way
        queue.pending_event_ids_session.pop(session, None)
        queue.pending_messages_per_session.pop(session, None)
