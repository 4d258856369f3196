"""A long job leaves the page free: few events of gradio's, and little that is written, however fast the machine is.

What a step of an event costs depends on the machine (LOG.md); how many there are, and how much is written into the
page outside of plots, does not. How long Plotly takes over the plots of one event is not bounded here; long tasks of
the page's thread are told when a bound is broken.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.test_finetune_screen import new_name, standing, start
from bsig.inputs.paths import EXAMPLES

WATCHED_S = 12
DRAWN_EVERY_S = 10
PICTURES = 600
MOST_EVENTS = WATCHED_S // DRAWN_EVERY_S + 1
MOST_UPDATES_A_SECOND = 20
MOST_LETTERS_A_SECOND = 20_000
WATCH = """() => {
  const work = window.work = { events: 0, looks: 0, updates: 0, letters: 0, plots: 0, longTasks: [], places: {} };
  const plain = window.fetch;
  window.fetch = (target, options) => {
    const address = String(target.url ?? target);
    work.events += address.includes("/queue/join");
    work.looks += address.includes("/run/progress");
    return plain(target, options);
  };
  new MutationObserver((records) => {
    for (const record of records) {
      const element = record.target.nodeType === 1 ? record.target : record.target.parentElement;
      // Plotly works on parts that are not in the page any more when this is told.
      if (!element?.isConnected || element.closest(".bsig-plot")) { work.plots += 1; continue; }
      work.updates += 1;
      const place = `${element?.closest("[id]")?.id} ${record.type} ${record.attributeName ?? ""}`;
      work.places[place] = (work.places[place] ?? 0) + 1;
      if (record.type === "characterData") work.letters += record.target.data.length;
      for (const node of record.addedNodes) work.letters += (node.outerHTML ?? node.data ?? "").length;
    }
  }).observe(document.querySelector("#tabs"),
             { subtree: true, childList: true, characterData: true, attributes: true });
  new PerformanceObserver((list) => work.longTasks.push(...list.getEntries().map((task) => Math.round(task.duration))))
    .observe({ type: "longtask" });
}"""


def _expect_little_work(page: Any, words: str) -> dict[str, Any]:
    """Watches the page for a while: what it does, and that the words of the job go on all the same."""
    page.evaluate(WATCH)
    before = page.locator(words).inner_html()
    page.wait_for_timeout(1000 * WATCHED_S)
    work = page.evaluate("window.work")
    work["places"] = dict(sorted(work["places"].items(), key=lambda place: -place[1])[:12])
    told = json.dumps(work)
    assert work["events"] <= MOST_EVENTS, told
    assert work["updates"] <= MOST_UPDATES_A_SECOND * WATCHED_S, told
    assert work["letters"] <= MOST_LETTERS_A_SECOND * WATCHED_S, told
    assert 1 <= work["looks"] <= WATCHED_S + 1, told
    assert page.locator(words).inner_html() != before, told
    return work


def test_a_running_fine_tune_leaves_the_page_free(visit: Callable[..., Any]) -> None:
    page = visit("?tab=finetune")
    start(page, new_name("frames"), 5000)
    page.locator("#run-status [data-epochs]:not([data-epochs='0'])").wait_for(timeout=150_000)
    try:
        _expect_little_work(page, "#run-status")
    finally:  # the app goes on for other tests
        page.locator("#run-stop").click()
        standing(page, "stopped")
    expect(page.locator("#run-status")).to_contain_text("Stopped")


def test_a_measurement_of_own_pictures_leaves_the_page_free(visit: Callable[..., Any], tmp_path: Path) -> None:
    page = visit("?tab=evaluate")
    page.locator("#evaluate-own button").first.click()
    file = tmp_path / "mine.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(PICTURES):  # each with bytes of its own, so that none is left out as a copy
            content = (EXAMPLES / "cat.jpg").read_bytes() + number.to_bytes(2, "big")
            archive.writestr(f"Egyptian cat/{number}.jpg", content)
    page.locator("#evaluate-zip input[type=file]").set_input_files(file)
    expect(page.locator("#evaluate-check")).to_contain_text(f"{PICTURES} pictures")
    page.locator("#evaluate-limit input").fill(str(PICTURES))
    page.locator("#evaluate-start").click()
    page.locator("#evaluate-progress progress[value]").wait_for(timeout=150_000)
    _expect_little_work(page, "#evaluate-progress")
    page.locator("#evaluate-stop").click()
    expect(page.locator("#evaluate-progress")).to_contain_text("stopped", timeout=60_000)
