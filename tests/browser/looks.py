"""Every screen after something was done on it, and what can be measured of how it looks.

    for bring in STATES.values(): bring(page); settle(page); problems(page)

One page walks through all of them, so that the app compares, shifts and trains once for all widths and themes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from browser.screens import choose, open_tab
from bsig.evaluation.quiz import QUESTIONS
from bsig.inputs.paths import EXAMPLES

PATIENCE_MS = 180_000
SIZES_PX = (12, 13, 14, 15, 19, 22, 28)
"""The scale of letters of `bsig/ui/components/theme.py`, at 16 pixels a rem."""

# The page has come to rest: its height and its plots stay as they are for some frames.
SETTLE = """() => new Promise((resolve) => {
  let last = "", same = 0;
  for (const image of document.querySelectorAll("img[loading=lazy]")) image.loading = "eager";
  const look = () => {
    const plots = [...document.querySelectorAll(".main-svg, .main-svg .legend")].map(
      (plot) => plot.clientWidth + (plot.getAttribute("transform") ?? ""));
    const images = [...document.images].filter((image) => image.offsetParent && !image.complete);
    const now = [document.documentElement.scrollHeight, document.querySelectorAll(".pending").length, images.length,
                 ...plots].join();
    same = now === last ? same + 1 : 0;
    last = now;
    same > 12 ? resolve() : requestAnimationFrame(look);
  };
  look();
})"""
# Lines of text that lie over each other, that their box cuts off, and that have a size of their own.
PROBLEMS = """(sizes) => {
  const hidden = ".bsig-sr, .bsig-offscreen, .bsig-skip, .toast-wrap, noscript, script, style";
  const lines = [], wrong = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const parent = text.parentElement, words = text.textContent.trim();
    if (!words || parent.closest(hidden)) continue;
    if (!parent.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    range.selectNodeContents(text);
    const style = getComputedStyle(parent), size = parseFloat(style.fontSize);
    if (!sizes.some((one) => Math.abs(one - size) < 0.6)) wrong.add(`size ${size}: ${words.slice(0, 40)}`);
    for (const box of range.getClientRects()) {
      let { left, right, top, bottom } = box, isCut = false;
      for (let outer = parent; outer && outer !== document.body; outer = outer.parentElement) {
        const of = getComputedStyle(outer);
        if (of.overflowX === "visible" && of.overflowY === "visible") continue;
        const frame = outer.getBoundingClientRect();
        if (of.overflowX === "hidden" && of.textOverflow !== "ellipsis" && outer === parent
            && right > frame.right + 1) isCut = true;
        left = Math.max(left, frame.left), right = Math.min(right, frame.right);
        top = Math.max(top, frame.top), bottom = Math.min(bottom, frame.bottom);
      }
      const plot = parent.closest(".main-svg")?.getBoundingClientRect();
      if (plot && (box.left < plot.left - 1 || box.right > plot.right + 1)) isCut = true;
      if (right - left < 2 || bottom - top < 2) continue;
      if (isCut) wrong.add(`cut: ${words.slice(0, 60)}`);
      const inset = (bottom - top) * 0.2;
      lines.push({ words, parent, left: left + 1, right: right - 1, top: top + inset, bottom: bottom - inset });
    }
  }
  lines.sort((one, other) => one.top - other.top);
  lines.forEach((one, place) => {
    for (let next = place + 1; next < lines.length && lines[next].top < one.bottom; next++) {
      const other = lines[next];
      if (other.left < one.right && one.left < other.right)
        wrong.add(`overlap: ${one.words.slice(0, 40)} / ${other.words.slice(0, 40)}`);
    }
  });
  for (const field of document.querySelectorAll("input[role=listbox], input[role=combobox]"))
    if (field.checkVisibility() && field.scrollWidth > field.clientWidth + 1
        && getComputedStyle(field).textOverflow !== "ellipsis") wrong.add(`cut field: ${field.value}`);
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) wrong.add(`page ${wide} wide in a window of ${innerWidth}`);
  return [...wrong];
}"""


def _unfold(page: Any) -> None:
    closed = page.locator(".tabitem:visible button.label-wrap:visible:not(.open)")
    while closed.count():
        closed.first.click()


def _compare(page: Any) -> None:
    open_tab(page, "Compare")
    page.locator("#contrast-sigmoid img").wait_for()


def _compare_unfolded(page: Any) -> None:
    _compare(page)
    _unfold(page)
    page.locator("#why-pairwise img").wait_for()


def _logit_shift(page: Any) -> None:
    open_tab(page, "Logit shift")
    page.locator("#plot-shared .js-plotly-plot").wait_for()
    page.locator("#shift-prove").click()
    page.locator("#shift-proof table").wait_for()


def _sign_collapse(page: Any) -> None:
    open_tab(page, "Sign collapse")
    page.locator("#collapse-numbers table").wait_for()


def _blank_map(page: Any) -> None:
    open_tab(page, "Blank map")
    page.locator("#doctor-facts dl").wait_for()


def _batch(page: Any) -> None:
    open_tab(page, "Batch")
    names = ("cat.jpg", "coffee.jpg", "rocket.jpg", "astronaut.jpg")
    page.locator("#batch-files input[type=file]").set_input_files([EXAMPLES / name for name in names])
    expect(page.locator("#batch-files")).to_contain_text("astronaut")
    page.locator("#batch-start").click()
    page.locator("#batch-sheet img").first.wait_for(timeout=PATIENCE_MS)


def _evaluate(page: Any) -> None:
    open_tab(page, "Evaluate")
    page.locator("#evaluate-table table").wait_for()
    choose(page, "evaluate-data", "imagenet20")  # the screen opens with what was measured last on this app
    _unfold(page)
    page.locator("#evaluate-published table").wait_for()
    page.locator("#evaluate-plot-reliability .js-plotly-plot").wait_for()


def _finetune_running(page: Any) -> None:
    open_tab(page, "Fine-tune")
    page.locator("#data-check [role=status]").wait_for()
    page.locator("#epochs input").fill("5000")
    page.locator("#run-start").click()
    page.locator("#run-status [data-epochs]:not([data-epochs='0'])").wait_for(timeout=PATIENCE_MS)
    page.locator("#run-live .bsig-chart").first.wait_for()


def _finetune(page: Any) -> None:
    page.locator("#run-stop").click()
    page.locator("#run-status [data-standing=stopped]").wait_for(timeout=PATIENCE_MS)
    page.locator("#epochs input").fill("10")
    page.locator("#run-start").click()
    page.locator("#run-status [data-standing=finished]").wait_for(timeout=PATIENCE_MS)
    page.locator("#run-plot-branch .js-plotly-plot").wait_for()
    page.locator("#two-ask").scroll_into_view_if_needed()
    page.locator("#two-after input").click()
    page.locator("ul[role=listbox] li").nth(1).click()
    page.locator("#two-ask").click()
    page.locator("#two-after-map img").wait_for()


def _models(page: Any) -> None:
    open_tab(page, "Models")
    page.locator("#model-load").click()
    page.locator("#finding").wait_for(timeout=PATIENCE_MS)  # it jumps to Compare
    open_tab(page, "Models")
    page.locator("#model-table").wait_for()


def _tour(step: int) -> Callable[[Any], None]:
    def bring(page: Any) -> None:
        open_tab(page, "Guided tour")
        for _ in range(step):
            if page.locator(f"#tour-words-{step}").is_visible():
                break
            button = page.locator("[id^=tour-next-]:visible").first
            number = button.get_attribute("id")
            button.click()
            page.locator(f"#{number}").wait_for(state="hidden")
        page.locator(f"#tour-words-{step} .bsig-finding").wait_for()

    return bring


def _quiz(page: Any) -> None:
    open_tab(page, "Blind quiz")
    page.locator("#quiz-start").click()
    page.locator("#quiz-picture img").wait_for()


def _quiz_result(page: Any) -> None:
    for number in range(QUESTIONS):
        expect(page.locator("#quiz-status")).to_contain_text(f"Map {number + 1} of {QUESTIONS}")
        page.locator("#quiz-yes" if number % 3 else "#quiz-no").click()
    page.locator("#quiz-result table").wait_for()


STATES: dict[str, Callable[[Any], None]] = {
    "compare": _compare,
    "compare-unfolded": _compare_unfolded,
    "logit-shift": _logit_shift,
    "sign-collapse": _sign_collapse,
    "blank-map": _blank_map,
    "batch": _batch,
    "evaluate": _evaluate,
    "tour-1": _tour(0),
    "tour-2": _tour(1),
    "tour-3": _tour(2),
    "tour-4": _tour(3),
    "quiz": _quiz,
    "quiz-result": _quiz_result,
    "models": _models,
    "fine-tune-running": _finetune_running,
    "fine-tune": _finetune,
}
"""How each screen is brought into the state in which it is looked at, in the order of one walk."""


def settle(page: Any) -> None:
    """Waits until nothing moves."""
    page.evaluate(SETTLE)


def problems(page: Any) -> list[str]:
    """Lines of text that overlap, are cut off or have no size of the scale; a page that is wider than its window."""
    return page.evaluate(PROBLEMS, SIZES_PX)


def in_theme(page: Any, theme: str) -> None:
    """Turns the page light or dark, as gradio does."""
    page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", theme == "dark")
