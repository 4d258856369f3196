"""What bsig takes for granted of gradio and gradio does not promise: one test each, failing with what has changed."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import re
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio import http_server
from gradio.blocks import Blocks
from gradio.data_classes import ImageData, PredictBody, PredictBodyInternal
from gradio.queueing import Event, EventQueue
from gradio.route_utils import get_fn
from gradio.routes import App
from gradio.state_holder import SessionState
from http_visitor import RefusedError, Visitor, file_data, wait_until
from in_process import loops_closed
from PIL import Image
from starlette.requests import Request

from bsig.ui.components.inputs import Choice, MapImage, PictureInput, ReadingSlider
from bsig.ui.page import launch_arguments
from bsig.ui.server import gradio_internals
from bsig.ui.server.gradio_internals import (
    DOM_ATTRIBUTES,
    DOM_CLASSES,
    TURN,
    UNKNOWN_NAME_ERRORS,
    WINDOW_NAMES,
    WITHOUT_ASKING_ITSELF,
    FairTurns,
    InvalidPathError,
    LeanSession,
    ObservedBlocks,
    PageRequest,
    ShownAsParent,
    cache_folder,
    check_version,
    current_headers,
    failed_on_inputs,
    is_update,
    launched_on,
    received_picture,
    requests_under_way,
    sent_picture,
    stored_picture,
    take_fair_turns,
    turn_of,
    uploaded_path,
    without_idle_applications,
)
from bsig.ui.server.guard import server_arguments
from bsig.ui.server.starting import StartingServer
from bsig.ui.server.visitors import key_script

OPENING = Path(gradio_internals.__file__).with_name("opening.html")
FRONTEND = Path(gr.__file__).parent / "templates" / "frontend"
# Classes that bsig's own markup and plotly's plots use in bsig's style sheet, beside those that begin with `bsig-`.
OWN_CLASSES = {
    "better",
    "ends",
    "epochs",
    "main",
    "number",
    "ramp",
    "sample",
    "step-label",
    "ticks",
    "wide",
    "words",
    "worse",
}
# Attributes that bsig sets itself, or that any element of HTML may have.
OWN_ATTRIBUTES = {
    "aria-describedby=term-centred",
    "aria-describedby=term-sigmoid",
    "aria-describedby=term-softmax",
    "aria-hidden",
    "aria-hidden=true",
    "aria-label",
    "data-better",
    "data-drawn",
    "data-file",
    "data-follows",
    "data-for",
    "data-name",
    "data-of",
    "data-press",
    "hidden",
    "id^=bsig-tab-",
    "role",
    "role=status",
    "tabindex",
}
OWN_WINDOW_NAMES = {"bsig"}
PLOTLY_CLASSES = {"bartext", "hoverlayer", "js-plotly-plot", "modebar", "modebar-btn--logo"}
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


# --- the version ------------------------------------------------------------------------------------------------------


def test_another_minor_version_of_gradio_is_refused_in_a_sentence() -> None:
    check_version("6.31.0")
    check_version("6.31.12")
    for version in ("6.32.0", "6.3.1", "7.31.0", "6.310"):
        with pytest.raises(
            ImportError, match=rf"made for gradio 6\.31, and {re.escape(version)} is installed; install"
        ):
            check_version(version)


# --- the page in the browser ------------------------------------------------------------------------------------------


@cache
def frontend() -> str:
    """The text of gradio's own page: scripts, style sheets, HTML."""
    files = [path for kind in ("js", "css", "html") for path in sorted(FRONTEND.rglob(f"*.{kind}"))]
    return "\n".join(
        path.read_text(encoding="utf-8", errors="replace") for path in files if path.stat().st_size < 2**21
    )


@pytest.mark.parametrize("name", sorted(DOM_CLASSES))
def test_gradios_page_has_the_classes_that_bsig_looks_for(name: str) -> None:
    assert re.search(rf"""[."'`\s]{re.escape(name)}["'`\s.,:{{>+~\[]""", frontend()), (
        f"gradio's page has no class `{name}` any more; bsig used it for: {DOM_CLASSES[name]}"
    )


@pytest.mark.parametrize("selector", sorted(DOM_ATTRIBUTES))
def test_gradios_page_has_the_attributes_that_bsig_looks_for(selector: str) -> None:
    name, _, value = selector.partition("=")
    pattern = rf"""{name}["'`]?\s*[=:,]\s*["'`]{value}["'`]""" if value else rf"""\b{name}["'`]?\s*[=:,]"""
    assert re.search(pattern, frontend()), (
        f"gradio's page has no `[{selector}]` any more; bsig used it for: {DOM_ATTRIBUTES[selector]}"
    )


def scripts() -> str:
    """The page's own scripts, also those of a public app and of what is shown until the page is there."""
    return launch_arguments()["head"] + key_script() + OPENING.read_text(encoding="utf-8")


def selectors() -> list[str]:
    """Every selector of the style sheet and of the scripts."""
    rules = re.sub(r"/\*.*?\*/", "", launch_arguments()["css"], flags=re.DOTALL)
    calls = re.findall(r"\b(?:querySelector(?:All)?|closest|matches)\((['\"`])(.*?)\1", scripts())
    return re.findall(r"([^{}]+)\{", rules) + [text for _, text in calls]


def attributes_in(texts: list[str]) -> set[str]:
    """The attributes that selectors name, as `name` or `name=value`."""
    return {re.sub("[\"']", "", text) for selector in texts for text in re.findall(r"\[([^\]]+)\]", selector)}


def data_attributes_in(script: str) -> set[str]:
    """The attributes that a script reads and writes as `dataset.name`."""
    names = re.findall(r"\bdataset\.(\w+)", script)
    for inside in re.findall(r"\{([\w\s,]+)\}\s*=\s*[\w.]+\.dataset\b", script):
        names += re.split(r"\s*,\s*", inside.strip())
    return {"data-" + re.sub("[A-Z]", lambda letter: "-" + letter[0].lower(), name) for name in names}


def window_names_in(script: str) -> set[str]:
    """What a script takes of `window`, one level into gradio's configuration."""
    names = re.findall(r"\bwindow\.(gradio_config\.\w+|\w+)", script)
    return set(names) | {f"[{text}]" for text in re.findall(r"\bwindow\[([^\]]+)\]", script)}


def test_the_style_sheet_and_the_script_use_no_other_class_of_gradios() -> None:
    names = {name for selector in selectors() for name in re.findall(r"\.([a-zA-Z][\w-]*)", selector)}
    foreign = {name for name in names if not name.startswith("bsig-")} - OWN_CLASSES - PLOTLY_CLASSES
    assert foreign == set(DOM_CLASSES), "name it in gradio_internals.DOM_CLASSES with its reason, or take it out there"


def test_the_style_sheet_and_the_script_use_no_other_attribute_of_gradios() -> None:
    script = scripts()
    names = attributes_in(selectors()) | data_attributes_in(script)
    assert names - OWN_ATTRIBUTES == set(DOM_ATTRIBUTES), (
        "name it in gradio_internals.DOM_ATTRIBUTES with its reason, or take it out there"
    )
    roles = {f"role={role}" for role in re.findall(r"""getAttribute\(["']role["']\)\s*[!=]==\s*["'](\w+)""", script)}
    assert roles <= set(DOM_ATTRIBUTES)


def test_the_scripts_take_nothing_else_of_the_window() -> None:
    names = window_names_in(scripts())
    assert names - OWN_WINDOW_NAMES == set(WINDOW_NAMES), (
        "name it in gradio_internals.WINDOW_NAMES with its reason, or take it out there"
    )


def test_what_is_not_declared_is_seen() -> None:
    assert attributes_in(['div[data-new="a b"] > p:not([hidden])', "#plain"]) == {"data-new=a b", "hidden"}
    assert data_attributes_in("part.dataset.tabId; const { press, drawnBy } = part.dataset;") == {
        "data-tab-id", "data-press", "data-drawn-by",
    }  # fmt: skip
    assert window_names_in("window.gradio_config.root + window.gradio_x + window['odd']") == {
        "gradio_config.root", "gradio_x", "['odd']",
    }  # fmt: skip


def test_gradios_page_tells_its_script_where_its_routes_are(page: Any, visitor: Visitor) -> None:
    text = visitor.http.get("/").text
    match = re.search(r"window\.gradio_config\s*=\s*(\{.*?\});", text)
    assert match, "gradio's page has its configuration under another name: see WINDOW_NAMES"
    config = json.loads(match[1])
    assert config["root"].rstrip("/") == page.address
    assert config["api_prefix"] == "/gradio_api"


def test_gradios_page_asks_its_server_through_windows_fetch() -> None:
    assert re.search(
        r"\bfetch\((\w+),(\w+)\)\{let (\w+)=new Headers.{0,200}fetch\(\1,\{\.\.\.\2,headers:\3\}\)", frontend()
    ), "gradio's client does not call the page's `fetch` any more, by which visitor_key.js sends the visitor's key"


# --- components -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("component", "name"),
    [(PictureInput, "image"), (MapImage, "image"), (Choice, "dropdown"), (ReadingSlider, "slider")],
)
def test_a_component_is_shown_by_gradios_own_code(component: type[Any], name: str) -> None:
    assert issubclass(component, ShownAsParent)
    assert component().get_block_name() == name, "gradio does not read `is_template` any more"


def test_an_uploaded_picture_is_known_by_its_path_and_content_in_the_request_by_its_address() -> None:
    assert (
        uploaded_path(ImageData(path="/uploads/cat.jpg", url="http://host/file=/uploads/cat.jpg")) == "/uploads/cat.jpg"
    )
    assert uploaded_path(ImageData(path=None, url="data:image/png;base64,AAAA")) is None


def test_a_stored_picture_is_handed_on_as_it_lies(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    file.write_bytes(b"as it is")
    picture = stored_picture(str(file))
    assert (picture.path, picture.orig_name) == (str(file), "image.png")
    assert isinstance(picture, gr.Image.data_model), "gr.Image answers with another class now"


def test_an_event_without_pre_and_postprocessing_is_handed_and_answers_the_same(tmp_path: Path) -> None:
    payload = ImageData(path=str(tmp_path / "picture.jpg"), orig_name="picture.jpg")
    assert received_picture(payload.model_dump()) == payload, "gradio hands over pictures in another form now"
    assert received_picture(None) is None
    data = MapImage(format="png").postprocess(Image.new("RGB", (4, 3)))
    assert sent_picture(Path(data.path)) == data.model_dump(), "gradio answers with another form now"


def test_an_update_is_told_from_a_handlers_own_dict() -> None:
    assert is_update(gr.update(value=1)), "gr.update returns something else now; pictures in it would be encoded twice"
    assert not is_update({"value": 1})


def test_gradio_serves_what_lies_in_its_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert cache_folder() == str(tmp_path)
    assert cache_folder() == gr.Image().GRADIO_CACHE


# --- the start ------------------------------------------------------------------------------------------------------


def test_a_page_that_is_built_makes_no_application_and_launch_makes_the_one_that_answers() -> None:
    make, numbers = App.create_app, []
    with warnings.catch_warnings(), loops_closed():
        warnings.simplefilter("ignore")
        with without_idle_applications():
            with gr.Blocks(analytics_enabled=False) as demo:
                gr.Button().click(lambda: "here", None, gr.Textbox(), api_name="here")
            demo.queue()
        assert App.create_app is make
        assert demo.app is None, "gradio makes its application in another way now"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(App, "create_app", staticmethod(lambda *a, **k: numbers.append(1) or make(*a, **k)))
            demo.launch(prevent_thread_lock=True, quiet=True, **WITHOUT_ASKING_ITSELF)
        assert len(numbers) == 1
        visitor = Visitor(demo.local_url)
        assert visitor.ask("here") == ["here"]
        visitor.close()
        demo.close(verbose=False)
        gc.collect()


def test_launch_hands_its_application_to_a_server_that_listens_already() -> None:
    start = http_server.start_server
    with StartingServer("127.0.0.1", 0) as server, warnings.catch_warnings(), loops_closed():
        warnings.simplefilter("ignore")
        with gr.Blocks(analytics_enabled=False) as demo:
            gr.Button().click(lambda: "here", None, gr.Textbox(), api_name="here")
        with launched_on(server):
            demo.launch(prevent_thread_lock=True, quiet=True, server_port=server.port, **WITHOUT_ASKING_ITSELF)
        assert http_server.start_server is start
        assert demo.local_url == server.url, "gradio's launch starts its server by another function now"
        visitor = Visitor(server.url)
        assert visitor.ask("here") == ["here"]
        visitor.close()
        demo.close(verbose=False)
        assert server.should_exit, "gradio ends its server in another way now"
        gc.collect()


# --- requests ---------------------------------------------------------------------------------------------------------


class Noted(gr.Number):
    """A number that notes when gradio takes it in and makes it ready."""

    is_template = True
    steps: list[str] = []  # noqa: RUF012

    def preprocess(self, payload: Any) -> Any:
        self.steps.append("taken in")
        return super().preprocess(payload)

    def postprocess(self, value: Any) -> Any:
        self.steps.append("made ready")
        return super().postprocess(value)


class Watched(ObservedBlocks):
    """A page that keeps what it observes."""

    requests: list[PageRequest]
    errors: list[Exception]

    async def observed(self, request: PageRequest, answer: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        self.requests.append(request)
        Noted.steps.append("asked")
        try:
            return await answer()
        except Exception as error:
            self.errors.append(error)
            raise
        finally:
            Noted.steps.append("answered")


@pytest.fixture(scope="module")
def page() -> Iterator[Watched]:
    with warnings.catch_warnings(), loops_closed(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.delenv("GRADIO_ANALYTICS_MAX_EVENTS", raising=False)
        patch.delenv("GRADIO_ANALYTICS_CACHE_FREQUENCY", raising=False)
        patch.setenv("GRADIO_IS_E2E_TEST", "1")  # a visitor who has gone is noticed after 0.25 s instead of 15
        with Watched(analytics_enabled=False) as demo:
            number, text, state, file = Noted(), gr.Textbox(), gr.State(0), gr.File()
            gr.Button().click(lambda value: Noted.steps.append("handled") or value, number, number, api_name="same")
            gr.Button().click(lambda: dict(current_headers() or {}).get("x-test"), None, text, api_name="header")
            gr.Button().click(lambda: str(requests_under_way(demo)), None, text, api_name="under_way")
            gr.Button().click(lambda value: value, file, text, api_name="file")
            gr.Button().click(lambda: 1 / 0, None, text, api_name="defect")
            gr.Button().click(lambda value: (value + 1, value + 1), state, [state, number], api_name="count")
            gr.Button().click(waiting, None, text, api_name="waiting")
            gr.Button().click(counting, None, number, api_name="counting")
        demo.requests, demo.errors, demo.health = [], [], dict  # type: ignore[attr-defined]
        demo.queue(default_concurrency_limit=2)
        _, address, _ = demo.launch(
            prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **server_arguments(2**20)
        )
        demo.address = address.rstrip("/")  # type: ignore[attr-defined]
        yield demo
        GO.set()
        demo.close(verbose=False)
        gc.collect()


GO = threading.Event()


def waiting() -> str:
    GO.wait(90)
    return "went on"


def counting() -> Iterator[int]:
    yield from range(3)


@pytest.fixture
def visitor(page: Any) -> Iterator[Visitor]:
    page.requests.clear()
    page.errors.clear()
    Noted.steps.clear()
    client = Visitor(page.address)
    yield client
    client.close()


def test_process_api_is_around_all_of_a_request(page: Any, visitor: Visitor) -> None:
    assert visitor.ask("same", 3) == [3]
    assert Noted.steps == ["asked", "taken in", "handled", "made ready", "answered"], (
        "gradio answers a request by another way than Blocks.process_api; lines of the log would miss parts of it"
    )
    (request,) = page.requests
    assert request.endpoint == "same"
    assert request.queued_ms is not None, "the request is not among queue.event_ids_to_events"
    assert 0 <= request.queued_ms < 30_000


def test_every_answer_of_a_generator_comes_with_the_generator(page: Any, visitor: Visitor) -> None:
    assert visitor.ask("counting") == [2]
    iterators = [request.iterator for request in page.requests]
    assert iterators[0] is None
    assert len({id(iterator) for iterator in iterators[1:]}) == 1, "gradio does not hand the generator back any more"


def test_the_request_of_a_visitor_who_has_gone_is_not_awaited(page: Any, visitor: Visitor) -> None:
    handler = next(handler for handler in page.fns.values() if handler.api_name == "waiting")
    body = {"data": [], "fn_index": handler._id, "session_hash": "goes"}
    visitor.http.post("/gradio_api/queue/join", json=body)

    def request() -> PageRequest | None:
        return next((request for request in page.requests if request.endpoint == "waiting"), None)

    try:
        with visitor.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": "goes"}) as stream:
            lines = stream.iter_lines()  # held: the stream is closed with it
            next(lines)
            assert wait_until(request, seconds=30)
            assert request().is_awaited
        assert wait_until(lambda: not request().is_awaited, seconds=30), "gradio marks it otherwise than by `alive`"
    finally:
        GO.set()


def test_a_handler_sees_the_headers_of_its_request(visitor: Visitor) -> None:
    visitor.http.headers["x-test"] = "from the visitor"
    assert visitor.ask("header") == ["from the visitor"], "gradio keeps the request under way elsewhere"
    assert current_headers() is None


def test_the_queue_says_how_many_wait_and_run(page: Any, visitor: Visitor) -> None:
    assert wait_until(lambda: requests_under_way(page) == {"waiting": 0, "running": 0}, seconds=30)
    assert visitor.ask("under_way") == ["{'waiting': 0, 'running': 1}"]


@pytest.mark.parametrize("endpoint", ["file", "defect"])
def test_what_fails_before_the_handler_is_told_from_what_fails_in_it(
    page: Any, visitor: Visitor, endpoint: str
) -> None:
    with pytest.raises(RefusedError):
        visitor.ask(endpoint, *(["not a file"] if endpoint == "file" else []))
    (error,) = page.errors
    assert failed_on_inputs(error) == (endpoint == "file"), "gradio's functions that read inputs have other names"


def test_a_file_that_was_not_uploaded_has_an_error_of_its_own(page: Any, visitor: Visitor) -> None:
    with pytest.raises(RefusedError):
        visitor.ask("file", file_data("/etc/passwd"))
    assert isinstance(page.errors[0], InvalidPathError)


def test_gradio_raises_one_of_the_known_errors_for_a_name_that_it_does_not_know(page: Any) -> None:
    for name in ("none", None):
        with pytest.raises(UNKNOWN_NAME_ERRORS):
            get_fn(page, name, PredictBody(data=[], fn_index=None))


def test_gradio_keeps_no_statistics_of_requests(page: Any, visitor: Visitor) -> None:
    for value in range(5):
        visitor.ask("same", value)
    assert len(page._queue.event_analytics) <= 1, "GRADIO_ANALYTICS_MAX_EVENTS is not read any more"
    assert page._queue.ANAYLTICS_CACHE_FREQUENCY >= 10**9, "GRADIO_ANALYTICS_CACHE_FREQUENCY is not read any more"


# --- the start --------------------------------------------------------------------------------------------------------


def test_gradio_asks_its_own_page_only_where_it_has_a_frontend() -> None:
    asks = "if _frontend and not networking.url_ok(self.local_url)"
    assert asks in inspect.getsource(Blocks.launch), "gradio asks itself otherwise: see `WITHOUT_ASKING_ITSELF`"
    assert inspect.getsource(Blocks.launch).count("_frontend") == 2, "gradio does more by `_frontend` than it did"
    assert launch_arguments().items() >= WITHOUT_ASKING_ITSELF.items()


# --- turns ------------------------------------------------------------------------------------------------------------


def test_the_visitor_with_the_fewest_questions_under_way_is_next_and_of_several_who_waited_longest() -> None:
    turns = FairTurns(3)
    assert turns.next_of(["a", "a", "b"], [], 2) == 0
    turns.note_taken("a")
    assert turns.next_of(["a", "a", "b"], [], 2) == 2
    turns.note_taken("b")
    assert turns.next_of(["b", "a", "a"], [], None) == 1  # the first of a's, since b has just had a turn
    assert turns.next_of(["b", "a", "a"], ["a"], None) == 0
    assert turns.next_of(["a", "a"], ["a"], None) == 0
    assert turns.next_of(["a", "a"], ["a"], 2) is None  # the second place is left for somebody else
    assert turns.next_of(["a", "a", "c"], ["a"], 2) == 2
    assert turns.next_of(["a"], ["b"], 1) == 0  # gradio sees to it that a line of one place is full
    assert turns.next_of([], ["b"], 2) is None
    assert turns.refusal(2) is None
    assert "3 of your questions are waiting" in str(turns.refusal(3))


def _event(visitor: str) -> Event:
    request = Request({"type": "http", "headers": [], TURN: visitor})
    return Event("session", SimpleNamespace(concurrency_id="x", batch=False), request, None)  # type: ignore[arg-type]


def test_gradios_queue_takes_visitors_in_turns_and_a_questions_visitor_is_in_its_requests_scope() -> None:
    with loops_closed():
        _check_turns()


def _check_turns() -> None:
    with Blocks() as demo:
        gr.Button().click(lambda: None, api_name="nothing")
    demo.queue(max_size=9)
    take_fair_turns(demo, waiting_each=4)
    queue = demo._queue
    line = queue.event_queue_per_concurrency_id["x"] = EventQueue("x", 9)
    line.queue = [_event("greedy") for _ in range(4)] + [_event("other") for _ in range(2)]
    order = []
    while line.queue:
        events, _, _ = queue.get_events()
        order.append(turn_of(events[0]))
    assert order == ["greedy", "other", "greedy", "other", "greedy", "greedy"]
    line.concurrency_limit = 2
    queue.active_jobs = [[_event("greedy")], None]
    line.queue = [_event("greedy") for _ in range(4)]
    assert queue.get_events() is None
    assert len(line.queue) == 4
    line.queue.append(_event("other"))
    assert turn_of(queue.get_events()[0][0]) == "other"
    body = PredictBodyInternal(data=[], fn_index=next(iter(demo.fns)))
    answer = asyncio.run(queue.push(body, _event("greedy").request, None))
    assert answer == (False, str(FairTurns(4).refusal(4)), "queue_full"), "gradio's queue takes questions otherwise"
    assert len(queue) == 4


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_a_lean_session_does_what_gradios_does_without_descriptions(page: Any) -> None:
    number = next(key for key, block in page.blocks.items() if isinstance(block, gr.Number))
    state = next(key for key, block in page.blocks.items() if isinstance(block, gr.State))
    plain, lean = SessionState(page), LeanSession(page)
    assert len(plain.config_values) > 5, "gradio describes no components any more: LeanSession is needless, delete it"
    for session in (plain, lean):
        assert session[state] == 0
        session[state] = 7
        session[number] = gr.Number(5, render=False)
        session._update_config(number)
        session._update_value_in_config(number, 6)
        assert session[state] == 7
        assert session[number].value == 5
        assert [value for _, value, _ in session.state_components] == [7]
    assert vars(lean).keys() == vars(plain).keys()
    assert lean.config_values == {}


def test_calls_of_the_web_api_have_a_session_named_like_themselves(page: Any, visitor: Visitor) -> None:
    before = set(page.state_holder.session_data)
    event = visitor.send("count")
    assert visitor.answer("count", event)[-1] == 1
    assert event in page.state_holder.session_data, "such a session has another name; forget_session would miss it"
    page.requests[0].forget_session()
    assert set(page.state_holder.session_data) == before


def test_gradio_keeps_the_mailbox_of_a_call_that_was_answered(page: Any) -> None:
    plain = Blocks().queue()._queue
    assert plain.pending_event_ids_session == {}
    assert plain.pending_messages_per_session.max_size == 2000
    assert isinstance(page._queue.pending_event_ids_session, gradio_internals.LRUCache)
