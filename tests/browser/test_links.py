"""A link opened by someone else shows what its maker saw."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.screens import alt_texts, choose, finding, map_sources, open_tab, sources, tick, toggle, upload
from bsig.ui.components.examples import bundled_examples
from bsig.ui.links.bar import NO_LINK
from bsig.ui.screens.tour import ABSENT

LINK = "#link-field input, #link-field textarea"
CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}


def _link(page: Any, path: str = "/") -> str:
    """What the button puts into the field, as the part behind the page's own address."""
    page.locator("#copy-link").click()
    field = page.locator(LINK)
    expect(field).to_have_value(re.compile("^http"))
    parts = urlsplit(field.input_value())
    assert parts.path == path
    return f"?{parts.query}"


def test_compare_is_restored_exactly(visit: Callable[..., Any]) -> None:
    page = visit("?example=coffee-and-cat", **CLIPBOARD)
    sentence = finding(page)
    choose(page, "class", "espresso")
    expect(page.locator("#finding .bsig-finding")).not_to_have_text(sentence, use_inner_text=True)
    choose(page, "method", "HiResCAM")
    expect(page.locator("#note")).to_contain_text("HiResCAM")
    tick(page, "weights", "Non-negative")
    toggle(page, "grid")
    toggle(page, "contour")
    before = map_sources(page)
    page.locator("#opacity input[type=number]").fill("40")
    page.locator("#opacity input[type=number]").press("Tab")
    expect(page.locator("#map-softmax img")).not_to_have_attribute("src", before[0])
    query = _link(page)
    assert page.evaluate("navigator.clipboard.readText()").endswith(query)
    assert urlsplit(page.url).query == query[1:]
    other = visit(query)
    expect(other.locator("#finding .bsig-finding")).to_have_text(finding(page), use_inner_text=True)
    expect(other.locator("#map-softmax img")).to_have_attribute("src", map_sources(page)[0])
    assert (alt_texts(other), map_sources(other)) == (alt_texts(page), map_sources(page))
    assert other.locator("#reason").inner_text() == page.locator("#reason").inner_text()
    assert _link(other) == query
    expect(other.locator("#link-notes .bsig-finding")).to_have_count(0)


def test_a_painted_cell_is_restored_and_reached_with_the_keys(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat-golf-ball")
    open_tab(page, "Logit shift")
    expect(page.locator("#shift-finding")).to_contain_text("Same classifier, another heatmap")
    tick(page, "shift-subject", "Asked in Compare: golf ball")
    expect(page.locator("#shift-finding")).to_contain_text("'golf ball'")
    for key in ["ArrowDown", *["ArrowRight"] * 6]:
        page.locator("#shift-drag .bsig-drag-map").press(key)
    expect(page.locator("#shift-after img")).to_have_attribute("alt", re.compile("row 3, column 7 of 7"))
    query = _link(page)
    assert parse_qs(query[1:])["cell"] == ["3,7"]
    other = visit(query)
    expect(other.locator("#shift-after img")).to_have_attribute("alt", re.compile("golf ball.*row 3, column 7 of 7"))
    assert sources(other, "shift-after") == sources(page, "shift-after")
    assert _link(other) == query


@pytest.mark.parametrize(
    ("query", "place_and_text"),
    [
        ("?example=cat&tab=logit-shift&shift=uniform&delta=-0.02", ("#shift-finding", "-0.020 added to every weight")),
        ("?tab=sign-collapse&example=cat&zoom=zero", ("#collapse-finding", "change sign")),
        ("?tab=evaluate&measured=birds10-efficientnet_lite0", ("#evaluate-finding", "birds10")),
        ("?tab=tour&step=2&choice=" + ABSENT[1].replace(" ", "+"), ("#tour-words-1", f"There is no {ABSENT[1]}")),
    ],
)
def test_every_other_screen_opens_as_linked(
    visit: Callable[..., Any], query: str, place_and_text: tuple[str, str]
) -> None:
    page = visit(query)
    expect(page.locator(place_and_text[0])).to_contain_text(place_and_text[1])
    expect(page.locator(place_and_text[0])).to_be_visible()
    parameters = parse_qs(_link(page)[1:])
    assert {key: parameters.get(key) for key in parse_qs(query[1:]) if key != "example"} == {
        key: value for key, value in parse_qs(query[1:]).items() if key != "example"
    }


def test_what_cannot_be_had_falls_back_and_is_said(visit: Callable[..., Any]) -> None:
    page = visit("?example=unicorn&class=unicorn&opacity=900&method=%3Cimg%3E&checkpoint=..%2F..&colour=red&cell=9,9")
    notes = page.locator("#link-notes")
    for words in ("unicorn", "opacity (='900')", "'<img>'", "checkpoint (='../..')", "'colour'", "7 x 7 grid"):
        expect(notes).to_contain_text(words)
    assert bundled_examples()[0].title in page.locator("#reason").inner_text()


def test_a_picture_of_ones_own_is_in_no_link(visit: Callable[..., Any]) -> None:
    page = visit()
    path = bundled_examples()[-1].path
    upload(page, "mine.png", path.read_bytes() + b"\0", "image/jpeg")
    expect(page.locator("#reason")).to_have_text("")
    page.locator("#copy-link").click()
    expect(page.locator("#link-said")).to_have_text(NO_LINK)
    assert "example" not in page.url


def test_without_a_clipboard_the_link_is_selected(visit: Callable[..., Any]) -> None:
    page = visit()
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.evaluate("history.replaceState(null, '', '/owner/space/')")  # as behind a path prefix
    query = _link(page, "/owner/space/")
    expect(page.locator("#link-said")).to_contain_text("copy it with Ctrl+C")
    assert urlsplit(page.url).path == "/owner/space/"
    assert page.evaluate("document.activeElement.value.slice(document.activeElement.selectionStart)").endswith(query)
