"""The finer grid in Compare: maps of the model's own grid appear at once, and finer ones take their place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.screens import choose, click_example, finding, map_sources, toggle, until_changed

# Every address that the softmax map has had since.
RECORDED = """() => {
  window.shownMaps = [document.querySelector("#map-softmax img").getAttribute("src")];
  new MutationObserver(() => {
    const image = document.querySelector("#map-softmax img"), shown = image && image.getAttribute("src");
    if (shown && shown !== window.shownMaps.at(-1)) window.shownMaps.push(shown);
  }).observe(document.querySelector("#answer"), { subtree: true, childList: true, attributes: true });
}"""


def _cells(page: Any) -> tuple[int, int]:
    maps = json.loads(page.locator("#cells script").text_content())["rows"][0]
    return len(maps["softmax"]), len(maps["sigmoid"][0])


def test_the_finer_maps_take_the_place_of_those_that_appear_at_once(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat-golf-ball")
    coarse, presence = map_sources(page), finding(page).partition("(")[2].partition(")")[0]
    assert _cells(page) == (7, 7)
    toggle(page, "finer-grid")
    until_changed(page, "map-softmax", coarse[0])
    expect(page.locator("#numbers thead")).to_contain_text("14 x 14")
    assert _cells(page) == (14, 14)
    assert finding(page).partition("(")[2].partition(")")[0] == presence, "how likely the class is does not change"
    page.evaluate(RECORDED)
    click_example(page, 0)
    expect(page.locator("#reason")).not_to_contain_text("golf ball")
    page.wait_for_function("() => window.shownMaps.length >= 3")
    page.wait_for_function("() => new URLSearchParams(location.search).get('example') !== 'cat-golf-ball'")
    _, first, second = page.evaluate("window.shownMaps")
    own = visit("?" + urlsplit(page.url).query.replace("finer-grid=yes", "finer-grid=no"))
    assert map_sources(own)[0].rsplit("/", 2)[-2:] == first.rsplit("/", 2)[-2:], "the model's own grid came first"
    finer = visit("?" + urlsplit(page.url).query)
    expect(finer.locator("#numbers thead")).to_contain_text("14 x 14")
    assert map_sources(finer)[0].rsplit("/", 2)[-2:] == second.rsplit("/", 2)[-2:], "a link holds the grid"


def test_cells_and_classes_follow_the_grid(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat&finer-grid=yes")
    expect(page.locator("#numbers thead")).to_contain_text("14 x 14")
    before = map_sources(page)
    choose(page, "class", "zebra")
    until_changed(page, "map-softmax", before[0])
    assert _cells(page) == (14, 14), "another class is drawn on the finer cells at once"
    image = page.locator("#map-sigmoid img")
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 13.5 / 14, box["y"] + box["height"] * 9.5 / 14)
    expect(page.locator("#bsig-cell-words")).to_contain_text("zebra, row 10, column 14")
    width = page.locator("#map-sigmoid .bsig-cell").bounding_box()["width"]
    assert width == pytest.approx(box["width"] / 14, abs=2.5)
