"""One line a request: where the time went and how it ended, and nothing of what the visitor sent."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from in_process import served_demo

from bsig.inputs.errors import InputError, without_folders
from bsig.ui.components.examples import bundled_examples
from bsig.ui.server.log import NoRoomForVisitors, rule_of
from bsig.ui.workbench import Workbench

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
CHECKPOINT = "imagenet1k-efficientnet_lite0"
CAT = next(example.path for example in bundled_examples() if example.key == "cat")


# --- what a rule says -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "secret"),
    [
        ("'grandma's house.jpg' has 400 million pixels; the limit is 64 million.", "grandma"),
        ("`image` (=/pictures/grandma.jpg) cannot be read; check the path.", "grandma"),
        ("checkpoint 'grandma': tensor 'x' holds NaN; train it again.", "grandma"),
        ("cannot be unpacked ([Errno 28] no space: '/pictures/grandma'); free space.", "grandma"),
    ],
)
def test_a_rule_keeps_its_words_and_loses_names(sentence: str, secret: str) -> None:
    rule = rule_of(sentence)
    assert secret not in rule
    assert "…" in rule
    assert sentence.split(";")[1].strip() in rule
    assert len(rule_of(sentence * 50)) <= 160


@pytest.mark.parametrize("name", ["a\nb", 'a\r\n{"outcome": 1}', "a\x1b[31mb", "a\u202eb", "a\u2028b", "\ud800"])
def test_a_message_stays_one_line_whatever_it_quotes(name: str) -> None:
    words = str(InputError(f"'{name}' is not there; choose another."))
    assert len(words.splitlines()) == 1
    assert words.isprintable()
    assert words.encode("utf-8")


@pytest.mark.parametrize(
    ("sentence", "rest"),
    [
        ("cannot be kept ([Errno 28] No space left: '/srv/app/store/my run/x.npy'); free space.",
         "cannot be kept ([Errno 28] No space left: 'x.npy'); free space."),
        ("no file at /srv/app/store/x.npy, choose another.", "no file at x.npy, choose another."),
        ("no file at C:\\Users\\me\\x.npy.", "no file at x.npy."),
        ("`--out` (='/srv/x') and '/srv/a/b.png' differ.", "`--out` (='x') and 'b.png' differ."),
        ("`class` (='and/or') must be one of a/b, c/d; see https://example.org/a/b.",
         "`class` (='and/or') must be one of a/b, c/d; see https://example.org/a/b."),
        ("1/2 of 3 / 4 epochs.", "1/2 of 3 / 4 epochs."),
    ],
)  # fmt: skip
def test_a_stranger_reads_no_folder_of_this_machine(sentence: str, rest: str) -> None:
    assert without_folders(sentence) == rest


def test_that_no_connection_can_be_taken_is_said_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    rule = NoRoomForVisitors()

    def sentence_for(words: str) -> str | None:
        record = logging.LogRecord("asyncio", logging.ERROR, "", 0, words, (), (OSError, OSError(24), None))
        return logging.Formatter().format(record) if rule.filter(record) else None

    flood = "socket.accept() out of system resource\nsocket: <asyncio.TransportSocket fd=14>"
    assert sentence_for(flood) == "no file is left for another connection; visitors wait."
    assert [sentence_for(flood) for _ in range(100)] == [None] * 100
    assert "OSError" in str(sentence_for("another fault"))
    now[0] += 60.0
    assert sentence_for(flood) is not None


def test_a_rule_keeps_numbers() -> None:
    sentence = "`epochs` (=900) must be from 1 to 100."
    assert rule_of(sentence) == sentence


# --- lines of the running app -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with served_demo(Workbench()) as url:
        yield Client(url, verbose=False, download_files=str(tmp_path_factory.mktemp("answers")))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(logging.getLogger("bsig.requests"), "propagate", True)
    caplog.set_level(logging.INFO, "bsig.requests")
    return lambda: [json.loads(record.getMessage()) for record in caplog.records if record.name == "bsig.requests"]


def _ask(client: Client, file: Path, class_name: str = "") -> Any:
    return client.predict(handle_file(str(file)), CHECKPOINT, class_name, "cam", "signed", api_name="/compare")


def test_an_answer_is_one_line_with_all_its_parts(client: Client, lines: Any, tmp_path: Path) -> None:
    file = tmp_path / "grandma.jpg"
    file.write_bytes(CAT.read_bytes() + b"never seen before")
    _ask(client, file)
    (line,) = lines()
    assert (line["endpoint"], line["outcome"]) == ("compare", "ok")
    assert set(line["parts_ms"]) == {"decode", "encode", "maps", "drawing", "png"}
    assert all(milliseconds > 0 for milliseconds in line["parts_ms"].values())
    assert sum(line["parts_ms"].values()) <= line["ms"]
    assert line["queued_ms"] >= 0
    assert "grandma" not in json.dumps(line)


def test_a_refusal_is_one_line_that_names_the_rule_and_not_the_file(client: Client, lines: Any, tmp_path: Path) -> None:
    file = tmp_path / "grandma.jpg"
    file.write_bytes(b"these are words\n" * 20)
    with pytest.raises(AppError, match="not a picture"):
        _ask(client, file)
    (line,) = lines()
    assert (line["outcome"], line["by"]) == ("refused", "bsig.inputs.images._opened")
    assert "use one of JPEG" in line["rule"]
    assert "grandma" not in json.dumps(line)
    with pytest.raises(AppError, match="purple"):
        _ask(client, CAT, "purple cow")
    assert "purple" not in json.dumps(lines()[1])


def test_a_defect_is_told_without_its_words_and_logged_with_its_place(
    client: Client, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **keywords: Any) -> Any:
        raise KeyError("secret")

    monkeypatch.setattr("bsig.ui.api.compare_answer", broken)
    with pytest.raises(AppError) as caught:
        _ask(client, CAT)
    assert "secret" not in str(caught.value)
    assert "the app keeps running" in str(caught.value)
    (line,) = lines()
    assert (line["outcome"], line["kind"]) == ("defect", "KeyError")
    assert "secret" not in json.dumps(line)
