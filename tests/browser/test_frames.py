"""A long job leaves the page free: what the page's own thread works during a fine-tune, and not what others take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.test_finetune_screen import new_name, standing, start

MOST_BUSY = 0.25
WATCHED_MS = 8000
LONGEST_FRAME = """(duration) => new Promise((done) => {
  let last = performance.now(), worst = 0, frames = 0;
  const begin = last, step = (now) => {
    worst = Math.max(worst, now - last); last = now; frames += 1;
    if (now - begin < duration) requestAnimationFrame(step); else done({ worst, frames });
  };
  requestAnimationFrame(step);
})"""


def test_a_running_fine_tune_leaves_the_page_free(visit: Callable[..., Any]) -> None:
    page = visit("?tab=finetune")
    start(page, new_name("frames"), 5000)
    page.locator("#run-status [data-epochs]:not([data-epochs='0'])").wait_for(timeout=150_000)
    session = page.context.new_cdp_session(page)
    # The thread's own time: other processes of the machine, such as the run itself, do not count.
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy_s() -> float:
        measures = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        return measures["TaskDuration"]

    before = busy_s()
    frames = page.evaluate(LONGEST_FRAME, WATCHED_MS)
    assert (busy_s() - before) / (WATCHED_MS / 1000) < MOST_BUSY, frames
    page.locator("#run-stop").click()
    standing(page, "stopped")
    expect(page.locator("#run-status")).to_contain_text("Stopped")
