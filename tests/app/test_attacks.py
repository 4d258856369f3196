"""Files and values from strangers, sent over HTTP to `python app.py --public`: each refused in a sentence.

After every attack the app answers `/compare` as before it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from hostile_files import hostile_zips, jpeg_of_scans, png_of, sixteen_bit_png, small_picture, zip_of, zipped_folder
from http_visitor import CHECKPOINT, ROOT, AttackedApp, RefusedError, Visitor, file_data, refusal

from bsig.ui.components.examples import bundled_examples

CAT = next(example.path for example in bundled_examples() if example.key == "cat")
ZIPS = hostile_zips()


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("words.jpg", b"these are words, not a picture\n" * 20, "is not a picture that can be opened"),
        ("empty.jpg", b"", "is empty (0 bytes)"),
        ("400-megapixels.png", png_of(20_000, 20_000), "the limit is 64 million"),
        ("wide.png", png_of(2**31 - 1, 2**31 - 1, b""), "the limit is 64 million"),
        ("cut.jpg", CAT.read_bytes()[:5000], "may be cut short"),
        ("no-pixels.png", png_of(64, 64, b""), "cannot be decoded"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "use one of JPEG"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_usable_picture(attacker: Visitor, name: str, content: bytes, words: str) -> None:
    assert words in refusal(lambda: attacker.compare(content, name=name))


@pytest.mark.nightly
def test_a_picture_of_the_largest_size_is_read_and_its_memory_let_go(
    attacker: Visitor, attacked_app: AttackedApp
) -> None:
    content = png_of(8000, 8000)
    attacker.compare(content)
    before = attacked_app.process.memory_info().rss
    for width in range(7990, 7996):
        attacker.compare(png_of(width, 8000))
    assert attacked_app.process.memory_info().rss - before < 400 * 2**20


def test_a_jpeg_of_hundreds_of_empty_scans_costs_nobody_a_minute(attacker: Visitor, attacked_app: AttackedApp) -> None:
    """Sent at once by visitors who hang up; others are answered meanwhile."""
    content = jpeg_of_scans(8000, 8000, 600)  # 50 s of decoding
    assert "scans over 8000 x 8000 pixels" in refusal(lambda: attacker.compare(content))
    for _ in range(4):
        visitor = Visitor(attacked_app.url)
        visitor.send("compare", visitor.upload(content), CHECKPOINT, "", "cam", "signed")
        visitor.close()
    start = time.monotonic()
    attacker.compare(CAT.read_bytes())
    assert time.monotonic() - start < 10


@pytest.mark.nightly
def test_the_largest_pictures_at_once_on_every_endpoint_take_the_memory_of_two(
    attacker: Visitor, attacked_app: AttackedApp
) -> None:
    """Each holds 256 MB once it is decoded, and half as much again on the way."""
    picture = attacker.upload(sixteen_bit_png(8000, 8000), "deep.png")
    questions = {
        "compare": (CHECKPOINT, "", "cam", "signed"),
        "logit_shift": (CHECKPOINT, "", 0.1, ""),
        "sign_collapse": (CHECKPOINT, "", "cam"),
    }
    before = attacked_app.process.memory_info().rss
    others = [attacker.upload(sixteen_bit_png(8000, 7990 + number), "deep.png") for number in range(3)]
    events = [
        (name, attacker.send(name, file, *values)) for file in (picture, *others) for name, values in questions.items()
    ]
    peak, end = [before], threading.Event()

    def look() -> None:
        while not end.wait(0.02):
            peak.append(attacked_app.process.memory_info().rss)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for name, event in events:
            attacker.answer(name, event)
    finally:
        end.set()
        looking.join()
    assert max(peak) - before < 1200 * 2**20


# --- zips -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZIPS)
def test_a_hostile_zip_of_pictures(attacker: Visitor, attacked_app: AttackedApp, name: str) -> None:
    make, words = ZIPS[name]
    before = {path for path in attacked_app.files() if path.suffix == ".png"}
    file = attacker.upload(make(), "pets.zip")
    sentence = refusal(lambda: attacker.ask("evaluate", CHECKPOINT, "own", file, "cam", "signed", 10))
    assert words in sentence
    assert {path for path in attacked_app.files() if path.suffix == ".png"} == before
    assert not Path("/bsig-evil.png").exists()


def test_a_zip_of_one_class_is_not_trained_on(attacker: Visitor) -> None:
    entries = {f"tench/{number}.png": small_picture(colour=f"#{number:06x}") for number in range(4)}
    file = attacker.upload(zip_of(entries), "one.zip")
    values = (file, "one", CHECKPOINT, "new", "full", 1, 0.1, 8, 0)
    assert "class" in refusal(lambda: attacker.ask("finetune", *values))


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_every_hostile_checkpoint_is_refused(attacker: Visitor, attacked_app: AttackedApp) -> None:
    before = attacked_app.process.memory_info().rss
    picture = attacker.upload(CAT.read_bytes())
    for name, words in attacked_app.refusals.items():
        sentence = refusal(lambda name=name: attacker.ask("compare", picture, name, "", "cam", "signed"))
        assert words in sentence, name
    assert attacked_app.process.memory_info().rss - before < 500 * 2**20


@pytest.mark.parametrize(
    "name",
    ["million-classes", "nested", "cut", "tampered", "huge-tensor", "huge-header", "nan", "long-names", "deep",
     "no-number", "hub-backbone", "local-backbone"],
)  # fmt: skip
def test_a_hostile_checkpoint_zip_is_not_taken_in(attacker: Visitor, attacked_app: AttackedApp, name: str) -> None:
    file = attacker.upload(zipped_folder(attacked_app.checkpoints / name), f"{name}.zip")
    sentence = refusal(lambda: _bring_checkpoint(attacker, file))
    assert attacked_app.refusals[name] in sentence
    checkpoints = attacked_app.folder / "work" / "checkpoints"
    assert not any(path.name.startswith(name) for path in checkpoints.rglob("*"))


def test_a_name_of_two_classes_is_asked_by_index(attacker: Visitor, attacked_app: AttackedApp) -> None:
    """An uploaded checkpoint may give two classes one name: neither is taken for the other."""
    folder = zipped_folder(attacked_app.checkpoints / "twins").replace(b"twins/", b"twinz/")
    _bring_checkpoint(attacker, attacker.upload(folder, "twinz.zip"))
    picture = attacker.upload(CAT.read_bytes())

    def class_of(name: str) -> tuple[int, str]:
        answer = attacker.ask("compare", picture, "twinz", name, "cam", "signed")[-1]
        return answer["class_index"], answer["class_name"]

    assert "is the name of 2 classes of checkpoint 'twinz', 285 (twin), 574 (twin)" in refusal(lambda: class_of("twin"))
    assert (class_of("285"), class_of("574"), class_of("zebra")) == ((285, "twin"), (574, "twin"), (340, "zebra"))


def _bring_checkpoint(attacker: Visitor, file: dict[str, Any]) -> Any:
    """What the page sends when a checkpoint's zip is dropped on the Fine-tune tab."""
    config = attacker.http.get("/config").json()
    field = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "checkpoint-zip")
    handler = next(each["id"] for each in config["dependencies"] if [field, "upload"] in each["targets"])
    body = {"data": [file], "fn_index": handler, "session_hash": os.urandom(8).hex()}
    response = attacker.http.post("/gradio_api/queue/join", json=body)
    if response.status_code != 200:
        raise RefusedError(response.text)
    return attacker.answer("compare", response.json()["event_id"])


# --- a full disk ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def full_disk(process: psutil.Process) -> Iterator[None]:
    """No file takes another byte of this process."""
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_is_said_and_used_again_when_it_has_room(
    attacker: Visitor, attacked_app: AttackedApp
) -> None:
    pictures = {f"{name}/{number}.png": small_picture() for name in ("tench", "banana") for number in range(3)}
    archive = attacker.upload(zip_of(pictures), "pets.zip")
    picture = attacker.upload(CAT.read_bytes())
    files = set(attacked_app.files())
    questions = [
        lambda: attacker.compare(CAT.read_bytes()),
        lambda: attacker.ask("compare", picture, CHECKPOINT, "sundial", "cam", "signed"),
        lambda: attacker.ask("evaluate", CHECKPOINT, "own", archive, "cam", "signed", 10),
        lambda: attacker.ask("finetune", archive, "full", CHECKPOINT, "own", "full", 1, 0.1, 8, 0),
        lambda: attacker.ask("finetune", None, "full", CHECKPOINT, "own", "full", 1, 0.1, 64, 0),
    ]
    with full_disk(attacked_app.process):
        sentences = [refusal(question) for question in questions]
        assert attacker.http.get("/health").json()["status"] == "ready"
        attacker.ask("logit_shift", picture, CHECKPOINT, "", 0.1, "")  # writes nothing
    assert all("space" in words for words in sentences), sentences
    assert [path for path in set(attacked_app.files()) - files if path.stat().st_size] == []
    assert questions[1]()[-1]["class_name"] == "sundial"


# --- files of the machine ---------------------------------------------------------------------------------------------


def test_no_file_of_the_machine_can_be_fetched(attacker: Visitor, attacked_app: AttackedApp) -> None:
    link = attacked_app.folder / "gradio" / "link.png"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to("/etc/passwd")
    run = attacked_app.folder / "work" / "runs" / "secret.json"
    run.parent.mkdir(parents=True, exist_ok=True)
    run.write_text("secret")
    log = attacked_app.folder / "log"
    plain = [
        "/etc/passwd", "/proc/self/environ", "/proc/self/cwd/app.py", str(run), str(log), str(link), "app.py",
        "requirements.txt", "bsig/ui/server/guard.py", "./app.py", f"{ROOT}/app.py", f"{ROOT}/.git/config",
        f"{ROOT}/assets/../app.py", f"{ROOT}/assets/examples/../../pyproject.toml", "../app.py", "file:///etc/passwd",
        f"{attacked_app.folder}/gradio/../log", "C:\\Windows\\win.ini", "~/.bashrc", "\\\\host\\share", "a\0b",
    ]  # fmt: skip
    for path in plain:
        for spelling in {path, urllib.parse.quote(path), urllib.parse.quote(path, safe=""), path.replace("/", "%252f")}:
            for route in ("/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/", "/svelte/"):
                request = attacker.http.build_request("GET", attacker.http.base_url)
                request.url = httpx.URL(attacked_app.url).copy_with(
                    raw_path=f"{route}{spelling}".replace("\0", "%00").encode()
                )
                response = attacker.http.send(request)
                assert response.status_code in (400, 403, 404, 422), (route, spelling)
                assert len(response.content) < 2000


def test_pictures_that_ship_can_be_fetched(attacker: Visitor) -> None:
    response = attacker.http.get(f"/gradio_api/file={CAT}")
    assert response.status_code == 200
    assert response.content == CAT.read_bytes()


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/proc/self/environ", str(ROOT / "app.py"), "app.py", "../../etc/passwd", "", "/", "a\0b",
     "~/x.png"],
)  # fmt: skip
def test_a_path_of_the_machine_is_no_picture(attacker: Visitor, path: str) -> None:
    for value in (
        file_data(path),
        file_data(path, url=path),
        file_data(path, orig_name="cat.jpg", is_stream=True),
        path,
    ):
        sentence = refusal(lambda value=value: attacker.ask("compare", value, CHECKPOINT, "", "cam", "signed"))
        assert "root:" not in sentence
    sentence = refusal(lambda: attacker.ask("evaluate", CHECKPOINT, "own", file_data(path), "cam", "signed", 10))
    assert "root:" not in sentence


def test_no_address_is_fetched_for_a_visitor(attacker: Visitor, listener: Any) -> None:
    address = f"http://127.0.0.1:{listener.server_port}/cat.jpg"
    upload = attacker.upload(CAT.read_bytes())
    for value in (file_data(address), file_data(address, url=address), {**upload, "path": address}, address):
        refusal(lambda value=value: attacker.ask("compare", value, CHECKPOINT, "", "cam", "signed"))
    attacker.ask("compare", {**upload, "url": address}, CHECKPOINT, "", "cam", "signed")
    for route in ("/gradio_api/file=", "/gradio_api/proxy="):
        assert attacker.http.get(f"{route}{address}").status_code == 404
    assert listener.paths == []


@pytest.fixture
def listener() -> Iterator[Any]:
    """A web server that notes what it is asked for."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Asked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.paths.append(self.path)  # type: ignore[attr-defined]
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    server.paths = []  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
