"""The first screen as someone meets it who never heard of CAMs: verdicts, cells, more classes, the way back, phones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bsig import Explainer, load_checkpoint
from bsig.explain.cams import TRAINED
from bsig.explain.explanation import Explanation
from bsig.explain.readings import comparison_readings
from bsig.ui.components.examples import bundled_examples, example_by_key

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.looks import settle
from browser.screens import (
    beyond_the_edge,
    choose,
    click_example,
    finding,
    map_sources,
    open_tab,
    sources,
    toggle,
    unfold,
    until_changed,
)

PHONE = {"viewport": {"width": 400, "height": 800}}
WIDTHS = (360, 400, 768, 1024, 1180, 1440, 1920)
# Whether the page has loaded nothing for three seconds.
QUIET = """() => {
  const loaded = performance.getEntriesByType("resource").length;
  if (loaded !== window.loadedBefore) [window.loadedBefore, window.quietSince] = [loaded, performance.now()];
  return performance.now() - window.quietSince > 3000;
}"""
# Cells of the number table whose text reaches over its cell, or whose box lies over its neighbour's.
OVERLAPS = """() => {
  const wrong = [];
  for (const row of document.querySelectorAll("#numbers tr")) {
    const cells = [...row.cells].filter((cell) => cell.offsetParent);
    cells.forEach((cell, place) => {
      const range = document.createRange();
      range.selectNodeContents(cell);
      const text = range.getBoundingClientRect(), box = cell.getBoundingClientRect();
      if (cell.innerText.trim() && (text.left < box.left - 1 || text.right > box.right + 1)) wrong.push(cell.innerText);
      const next = cells[place + 1]?.getBoundingClientRect();
      if (next && box.right > next.left + 1) wrong.push(cell.innerText);
    });
  }
  return wrong;
}"""


def _box(page: Any, selector: str) -> dict[str, float]:
    return page.locator(selector).first.bounding_box()


def _cell(page: Any, elem_id: str, row: int, column: int, grid: int = 7) -> tuple[float, float]:
    """The middle of a cell of a map, in the window."""
    page.locator(f"#{elem_id} img").scroll_into_view_if_needed()
    box = _box(page, f"#{elem_id} img")
    return box["x"] + (column + 0.5) * box["width"] / grid, box["y"] + (row + 0.5) * box["height"] / grid


def _golf_ball() -> Explanation:
    model = load_checkpoint()
    encoded = Explainer(model).encode(example_by_key("cat-golf-ball").path)
    return encoded.explain("golf ball", **comparison_readings(model, "cam", "signed"))


def _cell_words(explanation: Explanation, row: int, column: int) -> str:
    """What the box says of a cell: the logits that it has alone, and the values of both maps."""
    encoded, lines = explanation.encoded, []
    assert encoded is not None
    logits = {branch: encoded.cell_logits(branch)[0, explanation.class_index, row, column] for branch in TRAINED}
    maps = {branch: explanation.evidence(branch).map[row, column] for branch in TRAINED}
    for title, values in (("Logits of this cell", logits), ("On the maps", maps)):
        softmax, sigmoid = (f"{float(values[branch]):+.2f}".replace("-", "−") for branch in TRAINED)
        lines.append(f"{title}: softmax {softmax}, sigmoid {sigmoid}")
    return "\n".join([*lines[:-1], f"{lines[-1]} (levelled by presence)"])


def _outlines(page: Any, *elem_ids: str) -> list[tuple[float, ...]]:
    """Where the outline lies on each map, as shares of the map."""
    places = []
    for elem_id in elem_ids:
        image, mark = _box(page, f"#{elem_id} img"), _box(page, f"#{elem_id} .bsig-cell")
        left, top = (mark["x"] - image["x"]) / image["width"], (mark["y"] - image["y"]) / image["height"]
        places.append((left, top, mark["width"] / image["width"], mark["height"] / image["height"]))
    return places


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_the_verdict_stands_above_both_rows_of_maps(visit: Callable[..., Any]) -> None:
    page, example = visit(), bundled_examples()[0]
    expect(page.locator("#contrast-sigmoid img")).to_be_visible()
    assert finding(page).startswith(f"No {example.class_name} here (under 0.1 %). Softmax still marks 96 %")
    expect(page.locator("#contrast-finding .bsig-finding")).to_have_text(
        re.compile(r"^Tripod is here \(9\d\.?\d* %\)\. ")
    )
    order = ["#finding", "#map-softmax", "#scale", "#contrast-finding", "#contrast-softmax", "#numbers"]
    tops = [_box(page, selector)["y"] for selector in order]
    assert tops == sorted(tops)
    assert _box(page, "#scale")["y"] < 1000, "the first row is above the fold"
    for row in ("map", "contrast"):
        softmax, sigmoid = (_box(page, f"#{row}-{branch}") for branch in ("softmax", "sigmoid"))
        assert softmax["y"] == pytest.approx(sigmoid["y"], abs=1)
        assert softmax["x"] + softmax["width"] <= sigmoid["x"]


def test_a_present_class_has_an_absent_one_below_it(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat")
    assert finding(page).startswith("Egyptian cat is here")
    expect(page.locator("#contrast-finding .bsig-finding")).to_have_text(re.compile(r"^No .+ here \(under 0\.1 %\)\."))


def test_a_method_without_classes_has_one_row(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat&method=eigen-cam")
    assert "knows no class" in finding(page)
    expect(page.locator("#contrast-softmax")).to_have_count(0)


# --- cells ------------------------------------------------------------------------------------------------------------


def test_a_cell_under_the_pointer_is_outlined_on_both_maps_and_told_without_a_request(
    visit: Callable[..., Any],
) -> None:
    page, explanation = visit("?example=cat-golf-ball"), _golf_ball()
    cells = json.loads(page.locator("#cells script").text_content())
    np.testing.assert_allclose(cells["rows"][0]["sigmoid"], explanation.sigmoid.map, atol=0.006)
    page.wait_for_function(QUIET)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url) if request.method == "POST" else None)
    page.mouse.move(*_cell(page, "map-softmax", 5, 1))
    box = page.locator("#bsig-cell-words")
    expect(box).to_contain_text("golf ball, row 6, column 2")
    assert _cell_words(explanation, 5, 1) in box.inner_text()
    expect(page.locator(".bsig-cell")).to_have_count(2)
    for place in _outlines(page, "map-softmax", "map-sigmoid"):
        assert place == pytest.approx((1 / 7, 5 / 7, 1 / 7, 1 / 7), abs=0.01)
    page.mouse.move(*_cell(page, "map-sigmoid", 0, 6))
    expect(box).to_contain_text("row 1, column 7")
    page.mouse.move(2, 2)
    expect(page.locator(".bsig-cell")).to_have_count(0)
    expect(box).to_be_hidden()
    assert requests == []


def test_the_arrow_keys_read_a_map_cell_by_cell(visit: Callable[..., Any]) -> None:
    page, explanation = visit("?example=cat-golf-ball"), _golf_ball()
    box = page.locator("#bsig-cell-words")
    page.locator("#map-sigmoid .bsig-cells").focus()
    page.keyboard.press("ArrowRight")
    expect(box).to_contain_text("row 4, column 4")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    expect(box).to_contain_text("row 3, column 3")
    assert _cell_words(explanation, 2, 2) in box.inner_text()
    for _ in range(9):
        page.keyboard.press("ArrowLeft")
    expect(box).to_contain_text("row 3, column 1")
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()


def test_a_tap_reads_a_cell(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat-golf-ball", **PHONE, has_touch=True, is_mobile=True)
    page.touchscreen.tap(*_cell(page, "map-sigmoid", 3, 2))
    expect(page.locator("#bsig-cell-words")).to_contain_text("golf ball, row 4, column 3")
    box = _box(page, "#bsig-cell-words")
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 400


# --- why, more classes, the way back ----------------------------------------------------------------------------------


def test_why_sets_the_class_against_the_runner_up_or_the_class_that_is_chosen(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat")
    unfold(page, "why-words")
    expect(page.locator("#why-words")).to_contain_text("evidence for Egyptian cat less that for tiger cat")
    before = sources(page, "why-pairwise")[0]
    choose(page, "other-class", "lynx")
    until_changed(page, "why-pairwise", before)
    expect(page.locator("#why-words")).to_contain_text("blue for lynx")
    expect(page.locator("#why-pairwise img")).to_have_attribute("alt", "Egyptian cat rather than lynx")


def test_four_classes_stand_in_rows_on_one_scale(visit: Callable[..., Any]) -> None:
    page = visit("?example=coffee-and-cat&class=Egyptian%20cat&more-classes=espresso|cup")
    for row, name in (("map", "Egyptian cat"), ("more-1", "espresso"), ("more-2", "cup")):
        expect(page.locator(f"#{row}-sigmoid img")).to_have_attribute("alt", re.compile(f"for {name}:"))
    rows = ("scale", "contrast-scale", "more-1-scale", "more-2-scale")
    ends = [page.locator(f"#{row} .ticks span").last.inner_text() for row in rows]
    assert len(set(ends)) == 1
    expect(page.locator("#scale")).to_contain_text("one scale for all maps")
    expect(page.locator("#numbers tbody tr")).to_have_count(12)
    page.mouse.move(*_cell(page, "more-2-softmax", 1, 1))
    expect(page.locator("#bsig-cell-words")).to_contain_text("cup, row 2, column 2")


def test_undo_leads_back_view_by_view_and_the_list_to_any(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat-golf-ball")
    expect(page.locator("#undo")).to_have_count(0)
    first = (finding(page), map_sources(page))
    choose(page, "class", "zebra")
    expect(page.locator("#finding")).to_contain_text("zebra")
    before = map_sources(page)
    toggle(page, "grid")
    until_changed(page, "map-softmax", before[0])
    page.locator("#undo").click()
    expect(page.locator("#grid input")).not_to_be_checked()
    expect(page.locator("#map-softmax img")).to_have_attribute("src", before[0])
    assert "zebra" in finding(page)
    page.locator("#undo").click()
    expect(page.locator("#finding")).to_contain_text("golf ball")
    assert (finding(page), map_sources(page)) == first
    expect(page.locator("#undo")).to_have_count(0)


# --- lists ------------------------------------------------------------------------------------------------------------


def test_a_list_closes_on_tab_and_on_a_click_elsewhere(page: Any) -> None:
    lists = page.locator("ul[role=listbox]")
    page.locator("#class input").click()
    expect(lists).to_have_count(1)
    settle(page)  # as a hand does: within 50 ms of the click Tab finds nowhere to go
    page.keyboard.press("Tab")
    expect(lists).to_have_count(0)
    assert page.evaluate("document.activeElement !== document.body")
    page.locator("#class input").click()
    expect(lists).to_have_count(1)
    page.locator("#numbers").click()
    expect(lists).to_have_count(0)


def test_the_arrow_keys_walk_through_the_classes(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat")
    page.locator("#class input").click()
    page.keyboard.press("ArrowDown")  # from the class that is shown to the next likely one
    page.keyboard.press("Enter")
    expect(page.locator("#finding .bsig-finding")).to_have_text(re.compile("^Tiger cat is here"))


def test_a_finger_has_no_use_for_the_bar_of_a_plot(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat", **PHONE, has_touch=True, is_mobile=True)
    open_tab(page, "Sign collapse")
    page.locator(".bsig-plot .js-plotly-plot").first.wait_for()
    expect(page.locator(".bsig-plot .modebar:visible")).to_have_count(0)


# --- widths -----------------------------------------------------------------------------------------------------------


def test_no_number_stands_over_another_at_any_width(visit: Callable[..., Any]) -> None:
    page = visit()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(OVERLAPS) == [], width
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert beyond_the_edge(page) == [], width
        table = page.locator("#numbers .bsig-scroll")
        assert table.evaluate("box => box.scrollWidth - box.clientWidth") <= 1, f"the table scrolls at {width}"


def test_a_phone_shows_both_maps_side_by_side_and_what_is_asked_above_the_fold(visit: Callable[..., Any]) -> None:
    page = visit(**PHONE)
    expect(page.locator("#contrast-sigmoid img")).to_be_attached()
    for selector in ("#picture", "#class"):
        box = _box(page, selector)
        assert box["y"] + box["height"] <= 800, selector
    softmax, sigmoid = (_box(page, f"#map-{branch}") for branch in ("softmax", "sigmoid"))
    assert softmax["x"] + softmax["width"] <= sigmoid["x"]
    assert softmax["y"] == pytest.approx(sigmoid["y"], abs=1)
    assert page.evaluate("document.documentElement.scrollHeight") <= 3 * 800


@pytest.mark.parametrize("width", [400, 1440])
def test_after_a_click_on_an_example_its_maps_are_in_view(visit: Callable[..., Any], width: int) -> None:
    page = visit("?example=cat", viewport={"width": width, "height": 800})
    before = map_sources(page)
    click_example(page, 1)
    until_changed(page, "map-sigmoid", before[1])
    page.wait_for_function(
        """() => { const box = document.querySelector("#maps").getBoundingClientRect();
                   return box.top >= 0 && box.bottom <= innerHeight; }"""
    )
    assert finding(page).startswith("No golf ball here")


def test_a_jump_lands_on_the_maps(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat", **PHONE)
    open_tab(page, "Models")
    page.locator("#model-list table").wait_for()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.evaluate("bsig.openCompare()")
    expect(page.locator("#finding")).to_be_in_viewport()
    expect(page.locator("#map-softmax")).to_be_in_viewport()
