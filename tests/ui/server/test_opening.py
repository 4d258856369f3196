"""The comparison that was drawn beforehand stands where it is the one that the app opens with, and nowhere else."""

from __future__ import annotations

import asyncio
import gzip
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT, DESCRIPTION
from bsig.ui.page import launch_arguments
from bsig.ui.server.opening import (
    DRAWN_BEFOREHAND,
    FILE,
    LOADING,
    asks_for_nothing,
    overlay,
    prepared_comparison,
    starting_page,
    with_overlay,
)
from bsig.ui.server.sending import CompressedPage
from bsig.ui.server.starting import StartingServer
from bsig.ui.workbench import Workbench

BROWSER = {"accept": "text/html"}
ALL_CHECKPOINTS = {path.parent.name for path in CHECKPOINTS_FOLDER.glob(f"*/{DESCRIPTION}")}
OTHER_CHECKPOINTS = sorted(ALL_CHECKPOINTS - {DEFAULT_CHECKPOINT})
COMPARISON = 'class="bsig-opening"'


@pytest.fixture(scope="module")
def comparison() -> str:
    return prepared_comparison(DEFAULT_CHECKPOINT, CHECKPOINTS_FOLDER)


def test_an_app_that_opens_with_the_shipped_checkpoint_has_it(comparison: str) -> None:
    assert comparison == FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*OTHER_CHECKPOINTS, "no-such", "hf:owner/repo", ""])
def test_an_app_that_opens_with_another_checkpoint_has_not(name: str) -> None:
    assert prepared_comparison(name, CHECKPOINTS_FOLDER) == ""


def test_nor_one_whose_checkpoint_of_that_name_was_trained_or_calibrated_again(tmp_path: Path) -> None:
    folder = tmp_path / DEFAULT_CHECKPOINT
    folder.mkdir()
    shutil.copyfile(CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT / DESCRIPTION, folder / DESCRIPTION)
    assert prepared_comparison(DEFAULT_CHECKPOINT, tmp_path)
    (folder / DESCRIPTION).write_text((folder / DESCRIPTION).read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert prepared_comparison(DEFAULT_CHECKPOINT, tmp_path) == ""


def test_nor_an_app_whose_checkpoint_was_written_anew_since_it_started(tmp_path: Path) -> None:
    description = tmp_path / DEFAULT_CHECKPOINT / DESCRIPTION
    description.parent.mkdir()
    shutil.copyfile(CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT / DESCRIPTION, description)
    layers = launch_arguments(Workbench(folder=tmp_path))["app_kwargs"]["middleware"]
    (opening_overlay,) = (layer.kwargs["overlay"] for layer in layers if layer.cls is CompressedPage)
    assert COMPARISON in opening_overlay()
    description.write_text(description.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert opening_overlay() == ""


@pytest.mark.parametrize(
    ("query", "is_shown"),
    [("", True), ("?__theme=dark", True), ("?__theme=light&__sign=abc", True), ("?example=cat", False),
     ("?tab=evaluate", False), ("?__theme=dark&class=cup", False), ("?tab", False), ("?%5F%5Ftheme=dark", True)],
)  # fmt: skip
def test_the_page_of_an_app_that_starts_shows_it_where_nothing_else_is_asked_for(
    comparison: str, query: str, is_shown: bool
) -> None:
    with StartingServer("127.0.0.1", 0, comparison) as server:
        page = httpx.get(server.url + query, headers=BROWSER).text
    assert (COMPARISON in page, DRAWN_BEFOREHAND in page, LOADING in page) == (is_shown, is_shown, not is_shown)


def test_without_it_the_page_has_words_alone() -> None:
    with StartingServer("127.0.0.1", 0) as server:
        page = httpx.get(server.url, headers=BROWSER).text
    assert (COMPARISON in page, LOADING in page) == (False, True)


def test_every_variable_that_the_page_uses_is_declared_in_it(comparison: str) -> None:
    page = starting_page(comparison)
    assert set(re.findall(r"var\((--[\w-]+)", page)) <= set(re.findall(r"(--[\w-]+):", page))


def test_over_the_live_page_it_has_the_same_content_in_a_tree_of_its_own(comparison: str) -> None:
    lying = overlay(comparison)
    assert overlay("") == ""
    assert ":root" not in lying
    assert ":host(.dark)" in lying
    assert _main(lying) == _main(starting_page(comparison))


def _main(page: str) -> str:
    """What stands in the page's main part, without rules of style."""
    return re.sub(r"<style>.*?</style>", "", page[page.index("<main>") : page.index("</main>")], flags=re.DOTALL)


def _answer(query: bytes, path: str = "/") -> str:
    """A page as a browser gets it by way of `CompressedPage`."""

    async def page(scope: Any, receive: Callable, send: Callable) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"<html><head><script>'<body>'</script></head>\n<body a>x"})

    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": query,
             "headers": [(b"accept-encoding", b"gzip")]}  # fmt: skip
    asyncio.run(CompressedPage(page, overlay=lambda: "<p>over</p>")(scope, None, send))  # type: ignore[arg-type]
    return gzip.decompress(messages[1]["body"]).decode()


@pytest.mark.parametrize(
    ("query", "path", "is_there"),
    [(b"", "/", True), (b"__theme=dark", "/", True), (b"tab=batch", "/", False), (b"", "/config", False)],
)
def test_the_live_page_begins_with_it_where_nothing_is_asked_for(query: bytes, path: str, is_there: bool) -> None:
    over = "<p>over</p>" if is_there else ""
    assert _answer(query, path) == f"<html><head><script>'<body>'</script></head>\n<body a>{over}x"


def test_a_page_without_a_body_stays_as_it_is() -> None:
    assert with_overlay(b"<p>no page</p>", b"over") == b"<p>no page</p>"


def test_an_address_without_a_query_asks_for_nothing() -> None:
    assert asks_for_nothing({})
    assert not asks_for_nothing({"query_string": b"example="})
