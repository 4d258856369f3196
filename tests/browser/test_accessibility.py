"""Every screen under axe-core, in light and in dark; keyboard, zoom, and what a name says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
pytest.importorskip("axe_playwright_python", reason="axe is not installed (pip install -r .ci/requirements.txt)")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from browser.screens import beyond_the_edge, open_tab, tick
from bsig.explain.report.glossary import TERMS, terms_in

# Tab -> what is there last.
DRAWN = {
    "Compare": "#contrast-sigmoid img",
    "Logit shift": "#plot-shared .js-plotly-plot",
    "Sign collapse": "#collapse-numbers table",
    "Blank map": "#doctor-facts dl",
    "Batch": "#batch-start",
    "Evaluate": "#evaluate-table table",
    "Fine-tune": "#data-check [role=status]",
    "Blind quiz": "#quiz-start",
    "Models": "#model-list table",
    "Guided tour": "#tour-picture-0 img",
}
# Gradio dims what is about to be replaced.
SETTLED = """() => [...document.querySelectorAll(".bsig-finding, .bsig-table, .bsig-note")].every((one) => {
  if (!one.checkVisibility()) return true;
  for (let outer = one; outer; outer = outer.parentElement) if (getComputedStyle(outer).opacity !== "1") return false;
  return true;
})"""
BAD = ("serious", "critical")


def _opened(page: Any, tab: str) -> None:
    if tab != "Compare":
        open_tab(page, tab)
    page.locator(DRAWN[tab]).first.wait_for()
    page.wait_for_function(SETTLED)
    # What lies closed is seen by someone, too.
    folds = page.locator("button.label-wrap:visible:not(.open)")
    while folds.count():
        folds.first.click()
    # What is being drawn again is faded until it is there.
    page.wait_for_function("![...document.querySelectorAll('.pending:not(button)')].some((one) => one.offsetParent)")


def _violations(page: Any) -> list[str]:
    violations = Axe().run(page).response["violations"]
    return [
        f"{rule['impact']} {rule['id']}: {node['target']} {node['html'][:160]} {node.get('failureSummary', '')[:160]}"
        for rule in violations
        if rule["impact"] in BAD
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_screen_has_a_serious_violation(visit: Callable[..., Any], theme: str) -> None:
    page = visit(f"?example=cat&__theme={theme}", reduced_motion="reduce")
    violations = {}
    for tab in DRAWN:
        _opened(page, tab)
        if wrong := _violations(page):
            violations[tab] = wrong
    assert not violations


def test_axe_finds_what_is_wrong(page: Any) -> None:
    """The test above can fail: a nameless button and a grey on grey are found."""
    page.locator("#note").evaluate(
        """note => note.insertAdjacentHTML("beforeend",
             '<button></button><p style="color: #aaa; background: #bbb">grey on grey</p>')"""
    )
    wrong = " ".join(_violations(page))
    assert "button-name" in wrong
    assert "color-contrast" in wrong


def test_at_200_percent_nothing_is_cut_off(visit: Callable[..., Any]) -> None:
    """A window of 1440 pixels has 720 at twice the size."""
    page = visit("?example=cat", viewport={"width": 720, "height": 500})
    for tab in DRAWN:
        _opened(page, tab)
        assert beyond_the_edge(page) == [], tab


HEADINGS = ".bsig-head, .bsig-section, th, .bsig-numbers td"


def test_every_heading_explains_its_terms_or_has_a_line_under_it(visit: Callable[..., Any]) -> None:
    page = visit("?example=cat")
    for tab in DRAWN:
        _opened(page, tab)
        visible = page.locator(HEADINGS).locator("visible=true")
        terms = {key for text in visible.all_inner_texts() for _, _, key in terms_in(text)}
        words = page.locator(".bsig-term:visible")
        described = words.evaluate_all("all => all.map((one) => one.getAttribute('aria-describedby'))")
        entries = {key.removeprefix("term-") for key in described}
        assert terms, tab
        assert terms <= entries, tab
        unexplained = page.locator("[data-testid=block-info]:visible").evaluate_all(
            """labels => labels.filter((one) => !one.parentElement.querySelector("[class*=info-text], .md, .prose")
                 && !(one.nextElementSibling)).map((one) => one.innerText)"""
        )
        assert [text for text in unexplained if {key for _, _, key in terms_in(text)} - entries] == [], tab


def test_a_term_is_explained_to_the_mouse_the_keyboard_and_a_reader(page: Any) -> None:
    term = page.locator("#numbers .bsig-term", has_text="Logit")
    tip = page.locator("#bsig-tip")
    term.hover()
    expect(tip).to_be_visible()
    expect(tip).to_have_text(TERMS["logit"].meaning)
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.mouse.move(0, 0)
    term.focus()
    expect(tip).to_be_visible()
    assert page.locator(f"#{term.get_attribute('aria-describedby')}").text_content() == TERMS["logit"].meaning
    page.keyboard.press("Tab")
    expect(tip).to_have_text(TERMS["softmax"].meaning)  # the next term: the name of the first row


PLACE_JS = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const box = one.closest("[id]");
  const inside = [...document.querySelectorAll("[id]")].filter((outer) => outer.contains(one)).map((outer) => outer.id);
  const drawn = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  return { inside, tag: one.tagName, type: one.type || "", shown: drawn && one.getBoundingClientRect().right > 0,
           where: box && box.id, label: one.className };
}"""
CLOSED_FOLD_JS = """() => {
  const focused = document.activeElement;
  return focused.matches("button.label-wrap") && !focused.classList.contains("open");
}"""
UNFOLDED_JS = "() => document.activeElement.classList.contains('open')"
CONTROLS = {
    "examples", "picture", "class", "checkpoint", "method", "weights", "show", "view", "bias", "grid", "contour",
    "threshold", "opacity", "colormap", "own-scale", "prepare-report", "prepare-card", "glossary",
}  # fmt: skip


def test_the_keys_lead_to_every_control_and_show_where_they_are(page: Any) -> None:
    """Tab through Compare: tabs, examples, picture, choices, sliders; each with an outline that can be seen."""
    page.locator("#copy-link").focus()
    controls, hidden = set(), []
    for _ in range(160):  # some more than there are; a menu that closes takes one for itself
        page.keyboard.press("Tab")
        if page.evaluate(CLOSED_FOLD_JS):
            page.keyboard.press("Enter")  # what is folded lies behind its title, one key away
            page.wait_for_function(UNFOLDED_JS)
            page.wait_for_timeout(200)  # what it holds is put on the page only now
        place = page.evaluate(PLACE_JS)
        controls.update(place["inside"])
        if not place["shown"] and place["tag"] != "BODY":
            hidden.append((place["where"], place["tag"], place["type"], place["label"]))
    assert CONTROLS - controls == set()
    assert hidden == []


def test_the_line_between_the_two_maps_is_moved_with_the_keys(page: Any) -> None:
    tick(page, "show", "Wipe between the two")
    expect(page.locator("#wipe")).to_contain_text("Left: softmax branch, evidence on")
    line = page.locator("#wipe [class*=outer]").first
    line.wait_for()
    before = line.bounding_box()["x"]
    for _ in range(20):
        page.locator("#wipe-at input[type=range]").press("ArrowRight")
    page.wait_for_function(
        "(before) => document.querySelector('#wipe [class*=outer]').getBoundingClientRect().x > before + 20", arg=before
    )
