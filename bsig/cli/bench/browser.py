"""The page in a browser: from the start of the app to the first comparison, and what each screen loads.

Needs playwright and a chromium, which the app does not; without them this part is left out.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from bsig.cli.bench.rounds import Bench, times_of
from bsig.cli.bench.served import served

COMPARISON = "#map-sigmoid img"
"""There once the first comparison is drawn."""
WORDS = "#starting"
"""What a browser is shown before the page is there."""
PREPARED = ".bsig-opening img"
"""There in the comparison that was drawn beforehand."""
TIMES = ("words on the page", "a prepared comparison on the page", "first comparison",
         "opened again, a prepared comparison", "opened again")  # fmt: skip
QUIET_MS = 1500
PATIENCE_MS = 120_000
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


class Traffic:
    """The requests of a page of chromium and their bytes, as they were sent, since the last look."""

    def __init__(self, page: Any) -> None:
        self._addresses: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", self._note_address)
        session.on("Network.loadingFinished", self._note_size)

    def _note_address(self, event: dict[str, Any]) -> None:
        self._addresses[event["requestId"]] = event["request"]["url"]

    def _note_size(self, event: dict[str, Any]) -> None:
        self._sizes[event["requestId"]] = self._sizes.get(event["requestId"], 0) + int(event["encodedDataLength"])

    def take(self) -> dict[str, int]:
        """The size of each file that was loaded since the last call, by its address."""
        sizes, self._sizes = self._sizes, {}
        bytes_by_address: dict[str, int] = {}
        for key, size in sizes.items():
            address = self._addresses.get(key, key)
            bytes_by_address[address] = bytes_by_address.get(address, 0) + size
        return bytes_by_address


def browser_results(bench: Bench) -> dict[str, Any]:
    """Seconds from the start to words, to each comparison, and at a later visit; requests and bytes of each screen."""
    rounds = min(bench.rounds, 5)
    seconds: dict[str, list[float]] = {name: [] for name in TIMES}
    with _chromium() as browser:
        for number in range(1, rounds + 1):
            bench.tell(f"start of the app, round {number} of {rounds}")
            context = browser.new_context()
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            start = time.perf_counter()
            with served(is_awaited=False) as app:
                _open_at_once(page, app.url)
                page.locator(f"{WORDS}, {COMPARISON}").first.wait_for()
                seconds["words on the page"].append(time.perf_counter() - start)
                page.locator(f"{PREPARED}, {COMPARISON}").last.wait_for()
                seconds["a prepared comparison on the page"].append(time.perf_counter() - start)
                page.locator(COMPARISON).wait_for()
                seconds["first comparison"].append(time.perf_counter() - start)
                context.close()
                app.wait_until_ready()
                start = time.perf_counter()
                with contextlib.closing(browser.new_context()) as context:
                    page = context.new_page()
                    page.set_default_timeout(PATIENCE_MS)
                    page.goto(app.url, wait_until="commit")
                    page.locator(f"{PREPARED}, {COMPARISON}").last.wait_for()
                    seconds["opened again, a prepared comparison"].append(time.perf_counter() - start)
                    page.locator(COMPARISON).wait_for()
                    seconds["opened again"].append(time.perf_counter() - start)
        bench.tell("what each screen loads")
        with served() as app:
            rows = _screens_loads(browser, app.url)
    return {"seconds": {name: round(times_of(values).median, 2) for name, values in seconds.items()}, "rows": rows}


def _screens_loads(browser: Any, url: str) -> list[dict[str, Any]]:
    """Requests and kilobytes of the opening and then of every other screen, each opened for the first time."""
    with contextlib.closing(browser.new_context(viewport={"width": 1440, "height": 1000})) as context:
        page = context.new_page()
        traffic = Traffic(page)
        page.goto(url, wait_until="commit")
        page.locator(COMPARISON).wait_for(timeout=PATIENCE_MS)
        page.wait_for_timeout(QUIET_MS)
        rows = [_row("Compare, at the opening", traffic.take())]
        for title in page.locator("#tabs button[role=tab]").all_inner_texts()[1:]:
            tab = page.get_by_role("tab", name=title, exact=True).first
            if not tab.is_visible():
                continue
            tab.click()
            page.wait_for_timeout(QUIET_MS)
            rows.append(_row(title, traffic.take()))
    return rows


def _row(screen: str, bytes_by_address: dict[str, int]) -> dict[str, Any]:
    return {
        "screen": screen,
        "requests": len(bytes_by_address),
        "kilobytes": round(sum(bytes_by_address.values()) / 1000),
    }


def _open_at_once(page: Any, url: str) -> None:
    """Opens the page as soon as anything listens; a browser's own page of words would be loaded at every try."""
    address = urlsplit(url)
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection((str(address.hostname), address.port or 80)).close()
            break
        time.sleep(0.02)
    page.goto(url, wait_until="commit")


@contextlib.contextmanager
def _chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
