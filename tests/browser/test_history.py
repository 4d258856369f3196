"""The browser's Back and Forward lead through the views of Compare and the tabs; a reload keeps the view."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.screens import choose, click_example, finding, map_sources, open_tab, tick, unfold, until_changed, upload
from bsig.ui.components.examples import bundled_examples

FORBIDDEN = """() => {
  for (const name of ["pushState", "replaceState"])
    history[name] = () => { throw new DOMException("no history in this frame", "SecurityError"); };
}"""


def _query(page: Any) -> dict[str, str]:
    """What the address bar asks for."""
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def _expect_address(page: Any, key: str, value: str | None) -> None:
    page.wait_for_function(
        "([key, value]) => new URLSearchParams(location.search).get(key) === value", arg=[key, value]
    )


def _class_is(page: Any, name: str) -> None:
    expect(page.locator("#finding .bsig-finding")).to_contain_text(re.compile(re.escape(name), re.IGNORECASE))


def test_back_and_forward_lead_through_classes_settings_and_tabs(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat-golf-ball")
    first = (finding(page), map_sources(page))
    choose(page, "class", "zebra")
    _expect_address(page, "class", "zebra")
    before = map_sources(page)
    tick(page, "weights", "Non-negative")
    _expect_address(page, "weights", "nonnegative")
    open_tab(page, "Models")
    _expect_address(page, "tab", "models")
    assert _query(page)["class"] == "zebra"
    page.go_back()
    expect(page.locator("#finding")).to_be_visible()
    page.go_back()
    _expect_address(page, "weights", None)
    expect(page.locator("#map-softmax img")).to_have_attribute("src", before[0])
    page.go_back()
    _class_is(page, "golf ball")
    expect(page.locator("#map-softmax img")).to_have_attribute("src", first[1][0])
    assert (finding(page), map_sources(page)) == first
    page.go_forward()
    _class_is(page, "zebra")
    expect(page.locator("#map-softmax img")).to_have_attribute("src", before[0])
    page.go_forward()
    _expect_address(page, "weights", "nonnegative")
    page.go_forward()
    expect(page.locator("#model-list")).to_be_visible()


@pytest.mark.parametrize("pause_ms", [0, 40, 400])
def test_however_quickly_one_goes_back_and_forth_maps_and_address_agree(
    visit: Callable[..., Any], pause_ms: int
) -> None:
    page = visit("?example=cat-golf-ball")
    for name in ("zebra", "teapot"):
        choose(page, "class", name)
        _expect_address(page, "class", name)
    for step in (-1, -1, 1, -1, 1, 1, -1):
        page.evaluate("step => history.go(step)", step)
        page.wait_for_timeout(pause_ms)
    page.wait_for_timeout(500)  # the browser has gone the last step
    name = _query(page).get("class", "golf ball")
    _class_is(page, name)
    page.wait_for_timeout(2000)  # nothing that was under way changes it afterwards
    _class_is(page, name)
    assert _query(page).get("class", "golf ball") == name
    choose(page, "class", "hamster")  # the page goes on writing entries
    _expect_address(page, "class", "hamster")
    page.go_back()
    _class_is(page, name)


def test_a_reload_keeps_the_view_and_the_way_back(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat-golf-ball")
    first = map_sources(page)
    choose(page, "class", "zebra")
    _expect_address(page, "class", "zebra")
    expect(page.locator("#map-softmax img")).not_to_have_attribute("src", first[0])
    page.reload()
    page.locator("#map-sigmoid img").wait_for()
    _class_is(page, "zebra")
    page.go_back()  # the server has forgotten that visit: the view comes from its link
    _class_is(page, "golf ball")
    expect(page.locator("#map-softmax img")).to_have_attribute("src", first[0])


def test_a_slider_changes_the_entry_and_undo_goes_back_in_the_browser_too(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat")
    length = page.evaluate("history.length")
    before = map_sources(page)
    choose(page, "class", "zebra")
    _expect_address(page, "class", "zebra")
    unfold(page, "opacity")
    page.locator("#opacity input[type=number]").fill("40")
    page.locator("#opacity input[type=number]").press("Tab")
    _expect_address(page, "opacity", "40")
    assert page.evaluate("history.length") == length + 1
    page.locator("#undo").click()
    _expect_address(page, "class", None)
    expect(page.locator("#map-softmax img")).to_have_attribute("src", before[0])
    page.go_forward()
    _class_is(page, "zebra")


def test_back_leads_to_a_picture_of_ones_own_within_the_visit(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat")
    before = map_sources(page)
    upload(page, "mine.png", bundled_examples()[-1].path.read_bytes() + b"\0", "image/jpeg")
    expect(page.locator("#reason")).to_have_text("")
    until_changed(page, "map-softmax", before[0])
    _expect_address(page, "example", None)
    own = (finding(page), map_sources(page))
    click_example(page, 1)
    page.wait_for_function("() => new URLSearchParams(location.search).get('example') !== null")
    page.go_back()
    expect(page.locator("#map-softmax img")).to_have_attribute("src", own[1][0])
    assert finding(page) == own[0]
    page.go_back()
    expect(page.locator("#map-softmax img")).to_have_attribute("src", before[0])


def test_where_entries_are_forbidden_the_page_works_without(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat")
    page.evaluate(FORBIDDEN)
    choose(page, "class", "zebra")
    _class_is(page, "zebra")
    tick(page, "view", "For the class")
    open_tab(page, "Models")
    expect(page.locator("#model-list")).to_be_visible()
    assert _query(page) == {"example": "cat"}
