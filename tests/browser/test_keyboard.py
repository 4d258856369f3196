"""Keys alone, from a fresh page: every way through the app that a pointer has."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.screens import map_sources, sources

A_RUN_S = 150_000
MOST_STOPS = 120
# Is the focused thing, or something inside the target, what is looked for? And can one see that it is focused?
FOCUSED = """([target, text]) => {
  const focused = document.activeElement;
  return Boolean(focused.closest(target)) && (!text || focused.textContent.trim() === text);
}"""
UNSEEN = """() => {
  const focused = document.activeElement;
  if (!focused || focused === document.body) return "";
  for (let seen = focused, up = 0; seen && up < 3; seen = seen.parentElement, up++) {
    const look = getComputedStyle(seen), box = seen.getBoundingClientRect();
    const outlined = look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2;
    if (outlined && box.width > 3 && box.height > 3 && box.right > 0) return "";
  }
  return focused.outerHTML.slice(0, 200);
}"""


def _tab_to(page: Any, target: str, key: str = "Tab", text: str = "") -> None:
    """Presses Tab until the target has the focus; each stop on the way must show that it is focused."""
    for _ in range(MOST_STOPS):
        if page.evaluate(FOCUSED, [target, text]):
            return
        page.keyboard.press(key)
        assert page.evaluate(UNSEEN) == ""
    raise AssertionError(f"{target} was not reached with {MOST_STOPS} times {key}")


def test_keys_alone_lead_everywhere(page: Any) -> None:
    before = map_sources(page)
    # another class, by typing its name
    _tab_to(page, "#class input")
    page.keyboard.press("Control+a")
    page.keyboard.type("Egyptian cat")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#finding .bsig-finding").first).to_contain_text("Egyptian cat")
    # another example, going backwards
    _tab_to(page, "#examples button.thumbnail-item", "Shift+Tab")
    reason = page.locator("#reason").inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("#reason")).not_to_have_text(reason)
    expect(page.locator("#map-softmax img")).not_to_have_attribute("src", before[0])
    # another tab, and a shift that is painted
    _tab_to(page, "#tabs [role=tab]", "Shift+Tab", "Logit shift")
    page.keyboard.press("Enter")
    expect(page.locator("#shift-finding")).to_contain_text("Same classifier, another heatmap")
    sources_before = sources(page, "shift-after")
    _tab_to(page, "#shift-drag .bsig-drag-map")
    for key in ["ArrowDown"] * 6 + ["ArrowLeft"]:
        page.keyboard.press(key)
    expect(page.locator("#shift-after img")).to_have_attribute("alt", re.compile("row 7, column 1 of 7"))
    assert sources(page, "shift-after") != sources_before
    # a fine-tune
    _tab_to(page, "#tabs [role=tab]", "Shift+Tab", "Fine-tune")
    page.keyboard.press("Enter")
    page.locator("#data-check [role=status]").wait_for()
    _tab_to(page, "#epochs input")
    page.keyboard.press("Control+a")
    page.keyboard.type("1")
    _tab_to(page, "#run-start")
    page.keyboard.press("Enter")
    page.locator("#run-status [data-standing=finished]").wait_for(timeout=A_RUN_S)


def test_a_term_is_explained_on_focus_and_hidden_by_escape(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat", viewport={"width": 400, "height": 800})
    _tab_to(page, ".bsig-term")
    tip, word = page.locator("#bsig-tip"), page.locator(".bsig-term:focus")
    expect(tip).to_be_visible()
    entry = page.locator(f"#{word.get_attribute('aria-describedby')}")
    assert tip.inner_text() == entry.evaluate("element => element.textContent")
    box = tip.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 400  # noqa: PT018
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    word.hover()
    expect(tip).to_be_visible()


def test_the_skip_link_leads_past_the_header(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the screens"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "tabs"
