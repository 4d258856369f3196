"""The public profile over HTTP, with two real visitors: what one makes does not exist for the other, limits hold."""

from __future__ import annotations

import io
import json
import re
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from forked_worker import ForkedWorker
from generated import class_folders
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from in_process import served_demo
from PIL import Image

from bsig.inputs.errors import InputError
from bsig.inputs.paths import ASSETS, CHECKPOINTS_FOLDER
from bsig.training.runs.queue import RunQueue
from bsig.training.runs.run import RunRequest
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.finetune.form import Form
from bsig.ui.screens.finetune.new_run import create_run
from bsig.ui.server.limits import PASSWORD_VARIABLE, Limits
from bsig.ui.server.visitor_space import VisitorSpaces, hashed
from bsig.ui.server.visitors import COOKIE, HEADER, cookie
from bsig.ui.workbench import Workbench

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)  # of the server's and the client's own sockets
START = "imagenet1k-efficientnet_lite0"
CAT = next(example.path for example in bundled_examples() if example.key == "cat")
UPLOAD_LIMIT = 2 * 2**20
DOC = ASSETS / "docs" / "hosting.md"
PATIENCE_S = 240.0
SHORT: dict[str, Any] = {
    "start": START, "labels": "own", "branch": "full", "epochs": 1, "learning_rate": 0.2, "batch_size": 128, "seed": 0,
}  # fmt: skip


# --- the profile ------------------------------------------------------------------------------------------------------


def test_a_refusal_says_the_value_the_rule_and_the_remedy() -> None:
    public = Limits.public()
    with pytest.raises(InputError, match=r"`epochs` \(=51\) must be at most 50 in this public app; choose fewer"):
        public.check("epochs", 51, public.finetune_epochs, "choose fewer")
    public.check("epochs", 50, public.finetune_epochs, "choose fewer")
    Limits.local().check("epochs", 10_000, Limits.local().finetune_epochs, "choose fewer")
    with pytest.raises(InputError, match="you have 5 runs, a visitor of this public app may have 5; delete one first"):
        public.check_count("runs", 5, public.runs_kept, "delete one first")


def test_a_space_is_public_and_nothing_else_is_unless_asked() -> None:
    assert not Limits.for_app(public=False, environment={}).is_public
    assert Limits.for_app(public=True, environment={}).is_public
    assert Limits.for_app(public=False, environment={"SPACE_ID": "someone/bsig"}).is_public
    with_password = Limits.for_app(public=True, environment={PASSWORD_VARIABLE: "sesame"})
    assert with_password.asks_password
    assert "sesame" not in repr(with_password)
    assert not Limits.for_app(public=True, environment={PASSWORD_VARIABLE: ""}).asks_password


@pytest.mark.parametrize(
    ("password", "sentence"), [(None, "is missing"), ("", "is missing"), ("sesam", "not the right one")]
)
def test_without_the_password_nothing_is_trained(password: str | None, sentence: str, tmp_path: Path) -> None:
    spaces = VisitorSpaces(Limits.public("sesame"), tmp_path)
    bench = Workbench(visitor_spaces=spaces)
    form = Form(start=START, password=password)
    assert "sesam" not in repr(form)
    runs = bench.visitor_space.runs
    assert runs
    with pytest.raises(InputError, match=sentence) as caught:
        create_run(form, bench, runs, "x", None, None)
    assert "sesam" not in str(caught.value)
    assert runs.names() == []
    assert create_run(Form(start=START, password="sesame"), bench, runs, "x", None, None) == "x"
    spaces.close()


def test_a_password_of_half_a_letter_is_a_wrong_one() -> None:
    with pytest.raises(InputError, match="not the right one"):
        Limits.public("sesame").check_password("\ud800")


def test_guessing_is_slow_however_many_visitors_guess_and_holds_up_nobody_who_knows_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, visitor = [1000.0], ["0" * 32]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("bsig.ui.server.visitor_space.current_key", lambda: visitor[0])
    spaces = VisitorSpaces(Limits.public("sesame"))
    spaces.check_password("sesame")

    def words(password: str | None) -> str:
        with pytest.raises(InputError) as caught:
            spaces.check_password(password)
        assert "sesam" not in str(caught.value)
        return str(caught.value)

    for number in range(1, 21):  # each guess as another visitor
        visitor[0] = f"{number:032x}"
        assert "is missing" in words(None)
        assert ("not the right one" if number <= 5 else "too many wrong passwords") in words("sesam")
    assert "try again in 5 s" in words("sesame")  # right, and not told so
    visitor[0] = "0" * 32
    spaces.check_password("sesame")
    count = 0
    for number in range(1000):
        now[0] += 1.0
        visitor[0] = f"{number + 100:032x}"
        count += "not the right one" in words("sesam")
    assert count == 200
    now[0] += 60.0
    spaces.check_password("sesame")


def test_apps_that_start_at_once_on_one_work_folder_take_none_of_each_other_for_dead(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def started(_: int) -> VisitorSpaces:
        start.wait()
        return VisitorSpaces(Limits.public(), tmp_path)

    with ThreadPoolExecutor(8) as pool:
        apps = list(pool.map(started, range(8)))
    assert len(list((tmp_path / "public").iterdir())) == 8
    for spaces in apps:
        spaces.close()
    assert list((tmp_path / "public").iterdir()) == []


def test_the_document_lists_the_limits_as_they_are() -> None:
    text = DOC.read_text(encoding="utf-8")
    local, public = Limits.local().words(), Limits.public().words()
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| (.+) \|$", text, flags=re.MULTILINE))
    assert rows == {name: f"{local[name]} | {public[name]}" for name in public}


def test_what_the_screens_say_before_a_start_is_what_is_enforced() -> None:
    public = Limits.public()
    assert all(text in public.finetune_limits() for text in ("2,000 pictures", "50 epochs", "2 min", "200 MB"))
    assert str(public.evaluation_pictures) in public.evaluate_limits()
    assert "60 s after you close the page" in public.privacy()
    assert Limits.local().finetune_limits() == Limits.local().evaluate_limits() == ""
    assert "on the machine it runs on" in Limits.local().privacy()


def test_the_cookie_is_for_this_site_alone_and_in_a_frame_only_over_https() -> None:
    plain, framed = cookie("a" * 32, is_secure=False), cookie("a" * 32, is_secure=True)
    assert "HttpOnly" in plain
    assert "SameSite=Lax" in plain
    assert "Secure" not in plain
    assert "SameSite=None; Secure; Partitioned" in framed


def test_what_is_left_of_a_killed_app_goes_with_the_next_start(tmp_path: Path) -> None:
    rest = tmp_path / "public" / "0123" / "visitors" / "someone"
    rest.mkdir(parents=True)
    alive = VisitorSpaces(Limits.public(), tmp_path)
    assert not rest.exists()
    other = VisitorSpaces(Limits.public(), tmp_path)
    assert len(list((tmp_path / "public").iterdir())) == 2  # nothing of the app that still runs
    for spaces in (alive, other):
        spaces.close()
    assert list((tmp_path / "public").iterdir()) == []


# --- two visitors -----------------------------------------------------------------------------------------------------


@dataclass
class App:
    """One public app, as its tests see it."""

    url: str
    bench: Workbench
    queue: RunQueue

    def visitor(self, **options: Any) -> Client:
        return Client(self.url, verbose=False, **options)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    limits = replace(
        Limits.public(), upload_bytes=UPLOAD_LIMIT, finetune_pictures=1000, runs_kept=3, evaluation_pictures=4
    )
    before = _content(CHECKPOINTS_FOLDER)
    spaces = VisitorSpaces(limits, tmp_path_factory.mktemp("work"))
    bench = Workbench(visitor_spaces=spaces)
    assert spaces.shared.runs
    folder = spaces.shared.runs
    queue = RunQueue(folder, CHECKPOINTS_FOLDER, lambda: ForkedWorker(folder, CHECKPOINTS_FOLDER))
    try:
        with pytest.MonkeyPatch.context() as patch, served_demo(bench, queue) as url:
            patch.setenv("GRADIO_IS_E2E_TEST", "1")  # a page that has gone is noticed after 0.25 s instead of 15
            yield App(url, bench, queue)
    finally:
        queue.close()
        spaces.close()
    assert _content(CHECKPOINTS_FOLDER) == before  # visitors write nothing there


def _content(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def alice(app: App) -> Client:
    return app.visitor()


@pytest.fixture(scope="module")
def bob(app: App) -> Client:
    return app.visitor()


def refusal(ask: Callable[[], Any]) -> str:
    with pytest.raises(AppError) as caught:
        ask()
    words = str(caught.value)
    assert "Traceback" not in words
    assert "\n" not in words
    return words


def finetuned(visitor: Client, name: str, **changes: Any) -> dict[str, Any]:
    return visitor.predict(data=None, name=name, api_name="/finetune", **{**SHORT, **changes})


@pytest.fixture(scope="module")
def first_run(alice: Client) -> dict[str, Any]:
    """A fine-tune of Alice's."""
    answer = finetuned(alice, "mine")
    assert answer["standing"] == "finished", answer["status"]
    return answer


def test_a_visitor_has_an_unguessable_key_and_a_made_up_header_is_not_it(app: App, alice: Client, bob: Client) -> None:
    keys = {visitor.cookies[COOKIE] for visitor in (alice, bob)}
    assert len(keys) == 2
    assert all(len(key) == 32 for key in keys)
    answer = httpx.get(app.url, headers={"x-forwarded-proto": "https"})
    assert "Partitioned" in answer.headers["set-cookie"]
    second = httpx.get(app.url, cookies={COOKIE: "a" * 32})
    assert "set-cookie" not in second.headers
    assert "set-cookie" in httpx.get(app.url, cookies={COOKIE: "../../etc"}).headers


def test_what_one_visitor_makes_does_not_exist_for_another(
    alice: Client, bob: Client, first_run: dict[str, Any]
) -> None:
    assert [run["name"] for run in alice.predict(api_name="/runs")] == ["mine"]
    assert "mine" in [row["name"] for row in alice.predict(api_name="/checkpoints")]
    picture = handle_file(str(CAT))
    *_, answer = alice.predict(picture, first_run["checkpoint"], "", "cam", "signed", api_name="/compare")
    assert answer["class_name"] == "Egyptian cat"
    assert bob.predict(api_name="/runs") == []
    assert "mine" not in [row["name"] for row in bob.predict(api_name="/checkpoints")]
    asks: dict[str, Callable[[str], Any]] = {
        "run": lambda name: bob.predict(name, api_name="/run"),
        "stop": lambda name: bob.predict(name, api_name="/stop_run"),
        "compare": lambda name: bob.predict(picture, name, "", "cam", "signed", api_name="/compare"),
        "shift": lambda name: bob.predict(picture, name, "", 0.1, "", api_name="/logit_shift"),
        "signs": lambda name: bob.predict(picture, name, "", "cam", api_name="/sign_collapse"),
        "evaluate": lambda name: bob.predict(name, "shipped", None, "cam", "signed", 9, api_name="/evaluate"),
        "finetune": lambda name: finetuned(bob, "x", start=name),
    }
    for door, ask in asks.items():
        real, fake = (refusal(lambda name=name, ask=ask: ask(name)) for name in ("mine", "nothing"))  # type: ignore[misc]
        assert real == fake.replace("nothing", "mine"), door
    assert bob.predict(api_name="/runs") == []


def test_anothers_session_or_a_forged_header_shows_nothing(app: App, alice: Client, first_run: dict[str, Any]) -> None:
    key = alice.cookies[COOKIE]
    mallory = app.visitor(headers={HEADER: hashed(key)})  # the name of Alice's folder, should it ever be seen
    assert mallory.predict(api_name="/runs") == []
    stream = f"{app.url}gradio_api/queue/data?session_hash={alice.session_hash}"
    for cookies in ({}, {COOKIE: "b" * 32}):
        assert httpx.get(stream, cookies=cookies, timeout=10).status_code == 403
        for route in ("queue/join", "run/predict", "cancel", "reset"):
            forged = {"data": [], "fn_index": 0, "session_hash": alice.session_hash, "event_id": "0"}
            answer = httpx.post(f"{app.url}gradio_api/{route}", json=forged, cookies=cookies, timeout=10)
            assert answer.status_code == 403, route
    # The cookie decides, not the header beside it.
    mallory = app.visitor(headers={HEADER: key}, httpx_kwargs={"cookies": {COOKIE: "b" * 32}})
    assert mallory.predict(api_name="/runs") == []


def test_a_page_that_may_keep_no_cookie_is_known_by_its_own_key(app: App, first_run: dict[str, Any]) -> None:
    def runs(headers: dict[str, str]) -> list[str]:
        event = httpx.post(f"{app.url}gradio_api/call/runs", json={"data": []}, headers=headers).json()
        answer = httpx.get(f"{app.url}gradio_api/call/runs/{event['event_id']}", headers=headers, timeout=60).text
        return [run["name"] for run in json.loads(answer.split("data: ", 1)[1].splitlines()[0])[0]]

    own = {HEADER: "c" * 32}
    space = app.bench.visitor_spaces._space_named(hashed("c" * 32))
    assert space.runs
    assert runs(own) == []
    submitted_name = submitted_on(app, space, "in a frame")
    assert runs(own) == [submitted_name]
    assert runs({}) == []


def submitted_on(app: App, space: Any, name: str) -> str:
    """A run that waits for nobody: in the folder, in no line."""
    return space.runs.create(name, RunRequest("bundled", "x", Form(start=START).config(app.bench))).name


@pytest.mark.nightly
def test_two_visitors_may_use_one_name(app: App, alice: Client, bob: Client, first_run: dict[str, Any]) -> None:
    answer = finetuned(bob, "mine", seed=1)
    assert (answer["name"], answer["standing"]) == ("mine", "finished")
    for visitor, seed in ((alice, 0), (bob, 1)):
        folder = app.bench.visitor_spaces._space_named(hashed(visitor.cookies[COOKIE])).folder
        assert folder
        assert json.loads((folder / "checkpoints" / "mine" / "checkpoint.json").read_text())["training"]["seed"] == seed
    *_, first = alice.predict(handle_file(str(CAT)), "mine", "zebra", "cam", "signed", api_name="/compare")
    *_, second = bob.predict(handle_file(str(CAT)), "mine", "zebra", "cam", "signed", api_name="/compare")
    assert first["softmax"]["map"] == second["softmax"]["map"]
    assert first["sigmoid"]["map"] != second["sigmoid"]["map"]  # each sees the own one, also from memory


# --- limits, over the web ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 51}, "`epochs` (=51) must be at most 50"),
        ({"start": "timm: local-dir:/etc"}, "must be one of timm's own names"),
        ({"start": "timm: hf-hub:someone/thing"}, "must be one of timm's own names"),
        ({"start": "timm: vit_huge_patch14_clip_224.laion2b_ft_in1k"}, "must be at most 150,000,000"),
        ({"start": str(CHECKPOINTS_FOLDER / START)}, "must be one of"),
    ],
)
def test_a_finetune_beyond_the_limits_is_refused_in_words(bob: Client, changes: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(lambda: finetuned(bob, "beyond", **changes))


def zip_of(folder: Path, file: Path) -> str:
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return str(file)


def test_too_many_pictures_and_too_large_files_are_refused(app: App, tmp_path: Path) -> None:
    visitor = app.visitor()
    folders = class_folders(tmp_path / "data", {"tench": "red", "goldfish": "green"}, count=510)
    file = zip_of(folders, tmp_path / "many.zip")
    assert Path(file).stat().st_size < 6 * UPLOAD_LIMIT
    form = Form(kind="zip", zip_file=file, start=START)
    with pytest.raises(InputError, match=r"`pictures` \(=1,020\) must be at most 1,000 in this public app"):
        create_run(form, app.bench, app.bench.visitor_space.runs, "many", None, None)  # type: ignore[arg-type]
    assert app.bench.visitor_space.runs.names() == []  # type: ignore[union-attr]
    large = tmp_path / "large.zip"
    large.write_bytes(bytes(UPLOAD_LIMIT + 1))
    with pytest.raises(ValueError, match="exceeds the maximum"):  # the client looks by itself
        visitor.predict(data=handle_file(str(large)), name="large", api_name="/finetune", **SHORT)
    with large.open("rb") as content:  # and so does the server
        answer = httpx.post(f"{app.url}gradio_api/upload", files={"files": ("large.zip", content)})
    assert answer.status_code == 413


@pytest.mark.nightly
def test_a_run_that_takes_too_long_is_stopped_in_words_and_a_third_in_line_is_refused(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.bench, "limits", replace(app.bench.limits, finetune_seconds=6.0))
    visitor = app.visitor()
    settings = {**SHORT, "data": None, "batch_size": 1, "epochs": 50}
    first = visitor.submit(name="long", api_name="/finetune", **settings)
    until(lambda: len(visitor.predict(api_name="/runs")) == 1)
    second = visitor.submit(name="waits", api_name="/finetune", **settings)
    until(lambda: len(visitor.predict(api_name="/runs")) == 2)
    assert "you have 2 runs in line" in refusal(lambda: finetuned(visitor, "third"))
    assert visitor.predict("waits", api_name="/stop_run")["standing"] == "stopped"
    answer = first.result(timeout=PATIENCE_S)
    assert answer["standing"] == "stopped", answer["status"]
    assert answer["status"].startswith("Stopped after 6 s, the limit of a run here")
    second.cancel()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_no_path_of_the_server_is_taken_anywhere(app: App, bob: Client, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(CAT.read_bytes())
    for path in (str(secret), "/etc/passwd", str(app.bench.folder / START / "checkpoint.json")):
        crafted = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "picture.png"}
        for name, data in {
            "compare": [crafted, START, "", "cam", "signed"],
            "finetune": [crafted, "x", START, "own", "full", 1, 0.1, 32, 0],
            "evaluate": [START, "own", crafted, "cam", "signed", 3],
        }.items():
            event = httpx.post(f"{app.url}gradio_api/call/{name}", json={"data": data}).json()
            answer = httpx.get(f"{app.url}gradio_api/call/{name}/{event['event_id']}", timeout=60).text
            assert "event: error" in answer, (name, answer[:500])
            assert "Traceback" not in answer
        assert httpx.get(f"{app.url}gradio_api/file={path}").status_code == 403
    assert "must be 'shipped'" in refusal(
        lambda: bob.predict(START, str(tmp_path), None, "cam", "signed", 3, api_name="/evaluate")
    )
    assert "`limit` (=5 pictures) must be at most 4" in refusal(
        lambda: bob.predict(START, "own", handle_file(_small_zip(tmp_path)), "cam", "signed", 5, api_name="/evaluate")
    )


def _small_zip(tmp_path: Path) -> str:
    return zip_of(class_folders(tmp_path / "small", {"tench": "red", "goldfish": "green"}, count=1), tmp_path / "s.zip")


# --- when a visitor has left ------------------------------------------------------------------------------------------


def test_what_a_visitor_made_goes_when_the_visitor_has_gone(app: App) -> None:
    carol = app.visitor()
    *pictures, _ = carol.predict(handle_file(str(_own_picture())), START, "", "cam", "signed", api_name="/compare")
    assert pictures
    key = carol.cookies[COOKIE]
    spaces = app.bench.visitor_spaces
    space = spaces._space_named(hashed(key))
    run = submitted_on(app, space, "left behind")
    assert space.folder
    assert (space.folder / "runs" / run).is_dir()
    uploads = [file for file in space.files if file.is_file()]
    assert uploads, "the upload and the maps are known to be Carol's"
    encodings = len(app.bench._encodings)
    until(lambda: space.pages > 0 or space.had_page)
    spaces.sweep(app.queue, app.bench.forget)
    assert space.folder.is_dir()  # she is still there
    carol.close()
    until(lambda: space.pages == 0)
    space.last_request -= (app.bench.limits.closed_seconds or 0) + 1
    spaces.sweep(app.queue, app.bench.forget)
    assert not space.folder.exists()
    assert not any(file.exists() for file in uploads)
    assert len(app.bench._encodings) == encodings - 1
    assert hashed(key) not in spaces._spaces


def _own_picture() -> Path:
    """A picture that nobody else has sent, so that no cache knows it."""
    with Image.open(CAT) as image:
        picture = image.convert("RGB").rotate(11).resize((301, 263))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    file = Path(tempfile.mkdtemp(prefix="bsig-test-")) / "mine.png"
    file.write_bytes(buffer.getvalue())
    return file
