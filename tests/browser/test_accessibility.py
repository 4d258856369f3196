"""Every screen under axe-core, in light and in dark; keyboard, zoom, and what a name says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
pytest.importorskip("axe_playwright_python", reason="axe is not installed (pip install -r .ci/requirements.txt)")
from axe_playwright_python.sync_playwright import Axe

from browser.screens import beyond_the_edge, open_tab

# Tab -> what is there last.
DRAWN = {
    "Compare": "#map-centred img",
    "Logit shift": "#plot-shared .js-plotly-plot",
    "Sign collapse": "#collapse-numbers table",
    "Evaluate": "#evaluate-table table",
    "Fine-tune": "#data-check [role=status]",
    "Models": "#model-list table",
    "Guided tour": "#tour-picture-0 img",
}
# Gradio dims what is about to be replaced.
SETTLED = "() => ![...document.querySelectorAll('.pending, .translucent')].some((one) => one.checkVisibility())"
BAD = ("serious", "critical")


def _opened(page: Any, tab: str) -> None:
    if tab != "Compare":
        open_tab(page, tab)
    page.locator(DRAWN[tab]).first.wait_for()
    page.wait_for_function(SETTLED)
    # What lies closed is seen by someone, too.
    closed = page.locator("button.label-wrap:visible:not(.open)")
    while closed.count():
        closed.first.click()


def _violations(page: Any) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{one['impact']} {one['id']}: {node['target']} {node['html'][:160]} {node.get('failureSummary', '')[:160]}"
        for one in found
        if one["impact"] in BAD
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_screen_has_a_serious_violation(visit: Callable[..., Any], theme: str) -> None:
    page = visit(f"?example=cat&__theme={theme}", reduced_motion="reduce")
    found = {}
    for tab in DRAWN:
        _opened(page, tab)
        if wrong := _violations(page):
            found[tab] = wrong
    assert not found


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
