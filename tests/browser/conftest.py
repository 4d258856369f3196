"""The real app in a process of its own, and visitors with a real browser who watch for errors and foreign hosts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from http_visitor import running_app

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_S = 60
MAIN_ACTS = {
    "test_the_page_opens_with_a_compared_example",
    "test_the_softmax_map_goes_where_one_drags_it_and_no_probability_moves[7-1]",
}


@pytest.hookimpl(tryfirst=True)  # before those of the nightly lane are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every run opens the page and drags its map; a page takes seconds to open, so all else is in the nightly lane."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if item.name not in MAIN_ACTS:
                item.add_marker(pytest.mark.nightly)


def _missing(reason: str) -> None:
    if os.environ.get("BSIG_REQUIRE_BROWSER") == "1":
        pytest.fail(f"BSIG_REQUIRE_BROWSER=1, but {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Closed with the last test of this folder: Playwright's event loop would be in the way of other tests."""
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        _missing("playwright is not installed (pip install -r .ci/requirements.txt)")
    if not Path(CHROMIUM).exists():
        _missing(f"{CHROMIUM} is missing (apt-get install chromium)")
    expect.set_options(timeout=1000 * PATIENCE_S / 2)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def app_url(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py --port <free>`, once it answers; all files here ask the same one."""
    folder = tmp_path_factory.mktemp("app")
    with running_app(folder) as (url, process):
        yield url
        assert process.poll() is None, f"the app ended by itself:\n{(folder / 'log').read_text()}"
    assert "Traceback" not in (folder / "log").read_text(), (folder / "log").read_text()


@pytest.fixture(scope="module")
def contexts(browser: Any) -> Iterator[Callable[..., Any]]:
    """`contexts(**options)` -> the browser context of these options: one a file, so that what is cached is kept."""
    contexts_: dict[str, Any] = {}

    def context(**options: Any) -> Any:
        key = repr(sorted(options.items()))
        if key not in contexts_:
            contexts_[key] = browser.new_context(**options)
            contexts_[key].set_default_timeout(1000 * PATIENCE_S / 2)
        return contexts_[key]

    yield context
    for each in contexts_.values():
        each.close()


@pytest.fixture
def visit(contexts: Callable[..., Any], app_url: str) -> Iterator[Callable[..., Any]]:
    """`visit("?example=cat", **context_options)` -> a page of its own, with its first comparison drawn.

    At the end no page may have logged an error or asked another host for anything.
    """
    pages, complaints = [], []

    def on_request(request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.hostname != "127.0.0.1":
            complaints.append(f"request to another host: {request.url}")

    def on_console(message: Any) -> None:
        # A page that is left while it listens logs the request that the browser then gives up; nothing went wrong.
        if message.type == "error" and "AbortError: signal is aborted" not in message.text:
            complaints.append(f"console: {message.text} ({message.location.get('url')})")

    def open_page(query: str = "", **options: Any) -> Any:
        page = contexts(**{"viewport": {"width": 1440, "height": 1000}, **options}).new_page()
        pages.append(page)
        page.on("request", on_request)
        page.on("console", on_console)
        page.on("pageerror", lambda error: complaints.append(f"page error: {error}"))
        page.goto(app_url + "/" + query)
        if "tab=" not in query:  # a link to another tab leaves Compare hidden; its test knows what to wait for
            page.locator("#finding .bsig-finding").wait_for()
            page.locator("#map-sigmoid img").wait_for()
            page.wait_for_function("() => history.state?.bsig")  # the view is an entry of the history
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


@pytest.fixture
def page(visit: Callable[..., Any]) -> Any:
    """The page as it opens."""
    return visit()
