"""A long job leaves the page free: no event of gradio's, no plot, and no task that takes the thread from a frame.

What is asserted does not depend on what else the machine does: how much is asked and written, and the time that the
page's thread ran itself, not the time that it waited for a core. Frames a second do depend on it: they are reported.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from bisect import bisect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")

from PIL import Image
from playwright.sync_api import expect

from browser.test_finetune_screen import new_name, standing, start
from bsig.inputs.paths import EXAMPLES
from bsig.ui.screens.batch import MOST_PICTURES

WATCHED_S = 12
PICTURES = 600
MOST_LOOKS = 2 * (WATCHED_S + 1)
MOST_UPDATES_A_SECOND = 60
MOST_LETTERS_A_SECOND = 20_000
LONG_TASK_MS = 50
"""From here on a task is long: three frames go by (W3C, Long Tasks API)."""
MOST_BUSY_SHARE = 0.25
FRAME = "bsig frame"
FRAMES = """(name) => {
  const mark = () => { performance.mark(name); requestAnimationFrame(mark); };
  requestAnimationFrame(mark);
}"""
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


@dataclass
class PageThread:
    """What the page's thread did while it was watched, in milliseconds of the trace's clock.

    Attributes:
        tasks: start, end and own time of each task; the own time does not count waiting for a core.
        frames: when the page drew.
    """

    tasks: list[tuple[float, float, float]] = field(default_factory=list)
    frames: list[float] = field(default_factory=list)

    @property
    def own_times(self) -> list[float]:
        """How long each task ran itself."""
        return [own for _, _, own in self.tasks]

    @property
    def frames_a_second(self) -> float:
        """How often the page drew: on a busy machine this says how busy it is."""
        return 1000 * (len(self.frames) - 1) / (self.frames[-1] - self.frames[0])

    def gaps(self) -> list[tuple[float, float]]:
        """How long each time between two frames was, and how much of it the thread's tasks took themselves."""
        starts = [start for start, _, _ in self.tasks]
        return [
            (last - first, sum(own for _, _, own in self.tasks[bisect(starts, first) - 1 : bisect(starts, last) - 1]))
            for first, last in pairwise(self.frames)
        ]

    def own_gaps(self) -> list[tuple[float, float]]:
        """The gaps of several frames that the page's own work made, not another load of the machine."""
        return [(gap, own) for gap, own in self.gaps() if own >= LONG_TASK_MS and own > gap / 2]

    def read(self, trace: bytes) -> None:
        """Takes in the busiest page's thread of a trace."""
        events = json.loads(trace)["traceEvents"]
        pages = {
            (event["pid"], event["tid"])
            for event in events
            if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
        }
        tasks: dict[tuple[int, int], list[tuple[float, float, float]]] = {page: [] for page in pages}
        for event in events:
            page, start = (event["pid"], event["tid"]), event.get("ts", 0) / 1000
            if page in pages and event["name"].endswith("RunTask"):
                tasks[page].append((start, start + event.get("dur", 0) / 1000, event.get("tdur", 0) / 1000))
        busiest = max(pages, key=lambda page: sum(own for _, _, own in tasks[page]))
        self.tasks = sorted(tasks[busiest])
        self.frames = sorted(
            event["ts"] / 1000 for event in events if event["name"] == FRAME and (event["pid"], event["tid"]) == busiest
        )


@contextmanager
def _watched(page: Any) -> Iterator[PageThread]:
    """What the page's thread does in the block, known after it."""
    thread, browser = PageThread(), page.context.browser
    page.evaluate(FRAMES, FRAME)
    browser.start_tracing(page=page, categories=["toplevel", "blink.user_timing"])
    yield thread
    thread.read(browser.stop_tracing())


def _expect_a_free_page(page: Any, words: str) -> None:
    """Watches the page for a while: what it does, and that the words of the job go on all the same."""
    page.evaluate(WATCH)
    before = page.locator(words).first.inner_html()
    with _watched(page) as thread:
        page.wait_for_timeout(1000 * WATCHED_S)
    work, own_times = page.evaluate("window.work"), thread.own_times
    work["places"] = dict(sorted(work["places"].items(), key=lambda place: -place[1])[:12])
    work["longest tasks, ms"] = sorted(own_times)[-5:]
    work["busy, ms"] = sum(own_times)
    work["frames a second"] = thread.frames_a_second
    work["longest gaps between frames, ms, and the page's own work in them"] = sorted(thread.gaps())[-5:]
    work["processes that wait for a core"] = os.getloadavg()[0]
    words_of_work = json.dumps(work)
    assert work["events"] == work["plots"] == 0, words_of_work
    assert work["updates"] <= MOST_UPDATES_A_SECOND * WATCHED_S, words_of_work
    assert work["letters"] <= MOST_LETTERS_A_SECOND * WATCHED_S, words_of_work
    assert 1 <= work["looks"] <= MOST_LOOKS, words_of_work
    assert max(own_times) < LONG_TASK_MS, words_of_work
    assert thread.own_gaps() == [], words_of_work
    assert 0 < sum(own_times) < 1000 * MOST_BUSY_SHARE * WATCHED_S, words_of_work
    assert page.locator(words).first.inner_html() != before, words_of_work


def test_a_page_that_is_blocked_is_seen_as_blocked(visit: Callable[..., Any]) -> None:
    page = visit("?tab=evaluate")
    page.locator("#evaluate-table table").wait_for()
    with _watched(page) as thread:
        for _ in range(5):  # the first may be over before the page's process has begun to record
            page.evaluate("() => { const end = performance.now() + 400; while (performance.now() < end); }")
            page.wait_for_timeout(400)
    assert max(thread.own_times) > LONG_TASK_MS
    assert thread.own_gaps()


def _zip_of_cats(file: Path, count: int, picture: bytes) -> Path:
    ending = "png" if picture.startswith(b"\x89PNG") else "jpg"
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(count):  # each with bytes of its own, so that none is left out as a copy
            archive.writestr(f"Egyptian cat/{number}.{ending}", picture + number.to_bytes(2, "big"))
    return file


def _large_cat() -> bytes:
    """A picture of few kilobytes that takes long to open."""
    content = io.BytesIO()
    with Image.open(EXAMPLES / "cat.jpg") as cat:
        cat.quantize(16).resize((4000, 4000)).convert("RGB").save(content, "PNG")
    return content.getvalue()


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
    file = _zip_of_cats(tmp_path / "mine.zip", PICTURES, (EXAMPLES / "cat.jpg").read_bytes())
    page.locator("#evaluate-zip input[type=file]").set_input_files(file)
    expect(page.locator("#evaluate-check")).to_contain_text(f"{PICTURES} pictures")
    page.locator("#evaluate-limit input").fill(str(PICTURES))
    page.locator("#evaluate-start").click()
    page.locator("#evaluate-progress progress[value]").wait_for(timeout=150_000)
    _expect_a_free_page(page, "#evaluate-progress")
    page.locator("#evaluate-stop").click()
    expect(page.locator("#evaluate-progress")).to_contain_text("Cancelled", timeout=60_000)


def test_a_batch_leaves_the_page_free(visit: Callable[..., Any], tmp_path: Path) -> None:
    page = visit("?tab=batch")
    file = _zip_of_cats(tmp_path / "cats.zip", MOST_PICTURES, _large_cat())
    page.locator("#batch-files input[type=file]").set_input_files(file)
    expect(page.locator("#batch-files")).to_contain_text("cats")
    page.locator("#batch-start").click()
    page.locator("#batch-status progress[value]").wait_for()
    _expect_a_free_page(page, "#batch-status")
    expect(page.locator("#batch-status")).to_contain_text(f"Explaining {MOST_PICTURES} pictures")
    expect(page.locator("#batch-status")).to_contain_text("left")
    page.locator("#batch-cancel").click()
    expect(page.locator("#batch-status")).to_contain_text("Cancelled")
    expect(page.locator("#batch-sheet img")).to_have_count(0)
    page.locator("#batch-start").click()  # a batch that was cancelled is in nobody's way
    page.locator("#batch-status progress[value]").wait_for()
    page.locator("#batch-cancel").click()
    expect(page.locator("#batch-status")).to_contain_text("Cancelled")
