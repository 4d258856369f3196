"""The Sign collapse screen and the guided tour in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.screens import beyond_the_edge, choose, drag_to, open_tab, tick
from bsig.explain.diagnostics.catalogue import DIAGNOSTICS
from bsig.ui.components.examples import example_by_key
from bsig.ui.screens.tour import STEPS


@pytest.fixture
def collapse_page(visit: Callable[..., Any]) -> Any:
    page = visit("?example=cat")
    open_tab(page, "Sign collapse")
    expect(page.locator("#collapse-finding .bsig-finding")).to_contain_text("change sign")
    return page


def test_every_plot_of_the_signs_is_drawn(collapse_page: Any) -> None:
    plots = collapse_page.locator(".bsig-plot .js-plotly-plot:visible")
    expect(plots).to_have_count(4)
    for plot in plots.all():
        assert plot.locator(".trace").count() >= 1


def test_every_diagnostic_stands_in_the_table(collapse_page: Any) -> None:
    table = collapse_page.locator("#collapse-numbers")
    expect(table).to_contain_text(next(iter(DIAGNOSTICS.values())).title)
    text = table.inner_text()
    assert [diagnostic.title for diagnostic in DIAGNOSTICS.values() if diagnostic.title not in text] == []


def test_the_four_maps_of_evidence_say_what_they_show(collapse_page: Any) -> None:
    for branch in ("softmax", "sigmoid"):
        alts = [
            picture.get_attribute("alt") for picture in collapse_page.locator(f"[id^=collapse-{branch}-] img").all()
        ]
        assert len(alts) == 2
        assert all(alts)
        assert alts[0] != alts[1]


def test_a_method_without_channel_weights_is_replaced_in_words(collapse_page: Any) -> None:
    open_tab(collapse_page, "Compare")
    choose(collapse_page, "method", "Eigen-CAM")
    expect(collapse_page.locator("#finding")).to_contain_text("Eigen-CAM knows no class")
    open_tab(collapse_page, "Sign collapse")
    expect(collapse_page.locator("#collapse-finding")).to_contain_text("Eigen-CAM")


def test_the_tour_opens_by_a_link_and_leads_through_its_four_steps(visit: Callable[..., Any]) -> None:
    page = visit("?tab=tour")
    for number, step in enumerate(STEPS):
        if step.is_dragged:
            expect(page.locator(f"#tour-drag-{number} .bsig-drag[data-drawn]")).to_be_visible()
        else:
            for picture in page.locator(f"[id^=tour-picture-{number}] img").all():
                expect(picture).to_be_visible()
                assert picture.get_attribute("alt")
            expect(page.locator(f"[id^=tour-picture-{number}] img")).to_have_count(2)
        words = page.locator(f"#tour-words-{number}")
        before = words.inner_text()
        tick(page, f"tour-control-{number}", step.choices[-1])
        expect(words).not_to_have_text(before)
        assert re.search(r"\d", words.inner_text()), "a step without a number shows nothing"
        if number + 1 < len(STEPS):
            page.locator(f"#tour-next-{number}").click()


def test_in_the_visitors_hand_softmax_stands_still_and_sigmoid_does_not(visit: Callable[..., Any]) -> None:
    for number, sentence in ((2, "No probability moves"), (3, "The probabilities move, by up to")):
        page = visit(f"?tab=tour&step={number + 1}")
        numbers = page.locator(f"#tour-drag-{number} table")
        page.locator(f"#tour-drag-{number} .bsig-drag[data-drawn]").wait_for()
        before = numbers.inner_text()
        drag_to(page, f"tour-drag-{number}", 1, 1)
        expect(page.locator(f"#tour-drag-{number} .bsig-drag-change")).to_contain_text(sentence)
        page.mouse.up()
        assert (numbers.inner_text() == before) == (number == 2)


def test_the_tour_ends_with_the_visitors_own_picture_in_compare(visit: Callable[..., Any]) -> None:
    page = visit("?tab=tour&step=4")
    page.locator("#tour-drag-3 .bsig-drag[data-drawn]").wait_for()
    path = example_by_key("pavilion").path
    with page.expect_file_chooser() as waiting:
        page.locator("#tour-own").click()
    file = {"name": "mine.jpg", "mimeType": "image/jpeg", "buffer": path.read_bytes() + b"\0"}
    waiting.value.set_files(file)
    expect(page.locator("#map-softmax img")).to_be_visible()
    expect(page.locator("#finding")).to_contain_text("palace")
    expect(page.locator("#reason")).to_have_text("")


@pytest.mark.parametrize("tab", ["logit-shift", "sign-collapse", "tour"])
def test_nothing_is_wider_than_a_phone(visit: Callable[..., Any], tab: str) -> None:
    page = visit(f"?__theme=dark&tab={tab}", viewport={"width": 400, "height": 900})
    page.locator({"logit-shift": "#plot-shared .js-plotly-plot", "sign-collapse": "#collapse-numbers table",
                  "tour": "#tour-picture-0 img"}[tab]).first.wait_for()  # fmt: skip
    assert beyond_the_edge(page) == []
