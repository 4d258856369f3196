"""The comparison drawn beforehand: there at once, in the place of the live one, and gone when that is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT
from bsig.ui.server.opening import DRAWN_BEFOREHAND, prepared_comparison
from bsig.ui.server.starting import StartingServer

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

WIDTHS = (360, 400, 768, 1024, 1440, 1920)
FIRST_MAP = ".bsig-opening .bsig-map img >> nth=0"
ASKED = re.compile("/gradio_api/queue/join")


@pytest.fixture(scope="module")
def starting_url() -> Iterator[str]:
    """An app that never gets further than its start."""
    with StartingServer("127.0.0.1", 0, prepared_comparison(DEFAULT_CHECKPOINT, CHECKPOINTS_FOLDER)) as server:
        yield server.url


@pytest.fixture
def held(contexts: Callable[..., Any], app_url: str) -> Iterator[Callable[..., Any]]:
    """`held("?__theme=dark", **context_options)` -> the live page whose questions wait, and what lets them go."""
    pages = []

    def open_page(query: str = "", **options: Any) -> tuple[Any, Callable[[], None]]:
        page = contexts(**{"viewport": {"width": 1440, "height": 900}, **options}).new_page()
        pages.append(page)
        waiting: list[Any] = []
        is_held = [True]

        def on_question(route: Any) -> None:
            waiting.append(route) if is_held[0] else route.continue_()

        def release() -> None:
            is_held[0] = False
            for route in waiting:
                route.continue_()

        page.route(ASKED, on_question)
        page.goto(app_url + "/" + query)
        return page, release

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_of_an_app_that_starts_fits_every_width(browser: Any, starting_url: str, theme: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{starting_url}?__theme={theme}", wait_until="commit")
    expect(page.locator(".bsig-opening img")).to_have_count(5)
    expect(page.locator("#starting")).to_have_text(DRAWN_BEFOREHAND)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        softmax, sigmoid = (page.locator(".bsig-map").nth(place).bounding_box() for place in (0, 1))
        assert softmax["x"] + softmax["width"] <= sigmoid["x"], "the two maps stand side by side"
        assert softmax["y"] == pytest.approx(sigmoid["y"], abs=1)
    context.close()


def test_it_lies_over_the_page_until_the_live_comparison_is_there_in_its_place(held: Callable[..., Any]) -> None:
    page, release = held()
    expect(page.locator("#examples")).to_be_attached()  # gradio has set up its page
    expect(page.locator("#class")).not_to_be_visible()
    prepared = page.locator(FIRST_MAP).bounding_box()
    words = page.locator(".bsig-opening .bsig-finding").all_inner_texts()
    said = page.get_by_role("status").filter(has_text="live page is ready")
    expect(said).to_have_count(0)
    release()
    expect(page.locator("#map-sigmoid img")).to_be_visible()
    expect(page.locator("#bsig-opening")).to_have_count(0)
    expect(page.locator("#class")).to_be_visible()
    live = page.locator("#map-softmax img").bounding_box()
    assert live["x"] == pytest.approx(prepared["x"], abs=8)
    assert live["width"] == pytest.approx(prepared["width"], abs=8)
    assert [page.locator(f"#{name} .bsig-finding").inner_text() for name in ("finding", "contrast-finding")] == words
    expect(said).to_contain_text(words[0].split(".")[0])


@pytest.mark.parametrize("width", [400, 1440])
def test_whoever_has_scrolled_goes_on_looking_at_the_same_maps(held: Callable[..., Any], width: int) -> None:
    page, release = held(viewport={"width": width, "height": 800})
    page.locator(FIRST_MAP).wait_for()
    page.evaluate("scrollTo(0, 250)")
    before = page.locator(FIRST_MAP).bounding_box()["y"]
    release()
    expect(page.locator("#map-softmax img")).to_be_visible()
    assert page.locator("#map-softmax img").bounding_box()["y"] == pytest.approx(before, abs=60)


def test_a_link_to_something_else_has_none_of_it(held: Callable[..., Any]) -> None:
    page, _ = held("?example=cat")
    expect(page.locator("#class")).to_be_visible()
    expect(page.locator("#bsig-opening")).to_have_count(0)
