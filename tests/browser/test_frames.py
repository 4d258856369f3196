"""A long job leaves the page free: no event of gradio's, no plot, and no task that takes the thread from a frame.

What is measured does not depend on what else the machine does: how much is asked and written, and the time that the
page's thread ran itself, not the time that it waited for a core.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")

from playwright.sync_api import expect

from browser.test_finetune_screen import new_name, standing, start
from bsig.inputs.paths import EXAMPLES

WATCHED_S = 12
PICTURES = 600
MOST_LOOKS = 2 * (WATCHED_S + 1)
MOST_UPDATES_A_SECOND = 60
MOST_LETTERS_A_SECOND = 20_000
LONG_TASK_MS = 50
"""From here on a task is long: three frames go by (W3C, Long Tasks API)."""
MOST_BUSY_SHARE = 0.25
WATCH = """() => {
  const work = window.work = { events: 0, looks: 0, updates: 0, letters: 0, plots: 0, places: {} };
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
      if (record.type === "attributes") work.letters += (element.getAttribute(record.attributeName) ?? "").length;
      for (const node of record.addedNodes) work.letters += (node.outerHTML ?? node.data ?? "").length;
    }
  }).observe(document.querySelector("#tabs"),
             { subtree: true, childList: true, characterData: true, attributes: true });
}"""


def _own_times(trace: bytes) -> list[float]:
    """The milliseconds that each task of the busiest page's thread ran itself."""
    events = json.loads(trace)["traceEvents"]
    names = {(event["pid"], event["tid"]): event["args"]["name"] for event in events if event["name"] == "thread_name"}
    times: dict[int, list[float]] = {}
    for event in events:
        if event["name"].endswith("RunTask") and names.get((event["pid"], event["tid"])) == "CrRendererMain":
            times.setdefault(event["pid"], []).append(event.get("tdur", 0) / 1000)
    return max(times.values(), key=sum)


@contextmanager
def _tasks(page: Any) -> Iterator[list[float]]:
    """A list that holds, after the block, the own time of each task of the page's thread in the block."""
    tasks: list[float] = []
    browser = page.context.browser
    browser.start_tracing(page=page, categories=["toplevel"])
    yield tasks
    tasks += _own_times(browser.stop_tracing())


def _expect_a_free_page(page: Any, words: str) -> None:
    """Watches the page for a while: what it does, and that the words of the job go on all the same."""
    page.evaluate(WATCH)
    before = page.locator(words).first.inner_html()
    with _tasks(page) as tasks:
        page.wait_for_timeout(1000 * WATCHED_S)
    work = page.evaluate("window.work")
    work["places"] = dict(sorted(work["places"].items(), key=lambda place: -place[1])[:12])
    work["longest tasks, ms"] = sorted(tasks)[-5:]
    work["busy, ms"] = sum(tasks)
    words_of_work = json.dumps(work)
    assert work["events"] == work["plots"] == 0, words_of_work
    assert work["updates"] <= MOST_UPDATES_A_SECOND * WATCHED_S, words_of_work
    assert work["letters"] <= MOST_LETTERS_A_SECOND * WATCHED_S, words_of_work
    assert 1 <= work["looks"] <= MOST_LOOKS, words_of_work
    assert max(tasks) < LONG_TASK_MS, words_of_work
    assert 0 < sum(tasks) < 1000 * MOST_BUSY_SHARE * WATCHED_S, words_of_work
    assert page.locator(words).first.inner_html() != before, words_of_work


def test_a_page_that_is_blocked_is_seen_as_blocked(visit: Callable[..., Any]) -> None:
    page = visit("?tab=evaluate")
    page.locator("#evaluate-table table").wait_for()
    with _tasks(page) as tasks:
        for _ in range(5):  # the first may be over before the page's process has begun to record
            page.evaluate("() => { const end = performance.now() + 400; while (performance.now() < end); }")
            page.wait_for_timeout(400)
    assert max(tasks) > LONG_TASK_MS


def test_a_running_fine_tune_leaves_the_page_free(visit: Callable[..., Any]) -> None:
    page = visit("?tab=finetune")
    start(page, new_name("frames"), 5000)
    page.locator("#run-status [data-epochs]:not([data-epochs='0'])").wait_for(timeout=150_000)
    try:
        expect(page.locator("#run-live img")).to_have_count(2)
        page.wait_for_function("[...document.querySelectorAll('#run-live img')].every((image) => image.naturalWidth)")
        _expect_a_free_page(page, "#run-live ul")
    finally:  # the app goes on for other tests
        page.locator("#run-stop").click()
        standing(page, "stopped")
    expect(page.locator("#run-status")).to_contain_text("Stopped")
    page.locator("#run-plot-branch .js-plotly-plot").wait_for()
    expect(page.locator("#run-live")).to_be_empty()


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
    _expect_a_free_page(page, "#evaluate-progress")
    page.locator("#evaluate-stop").click()
    expect(page.locator("#evaluate-progress")).to_contain_text("Cancelled", timeout=60_000)
