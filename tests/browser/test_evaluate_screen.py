"""The Evaluate screen in a real browser: results that ship, own pictures, a phone."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.screens import beyond_the_edge, choose
from bsig.inputs.paths import CHECKPOINTS_FOLDER, EXAMPLES
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT, RESULTS

needs_results = pytest.mark.skipif(
    not (CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT / RESULTS).is_file(), reason="the default checkpoint ships no results"
)


@needs_results
def test_shipped_results_are_a_sentence_a_table_and_plots(visit: Callable[..., Any]) -> None:
    page = visit("?tab=evaluate")
    expect(page.locator("#evaluate-finding")).to_contain_text("a class that is not there")
    rows = page.locator("#evaluate-table tbody tr")
    assert rows.count() >= 6
    expect(rows.first).to_contain_text("positive area, absent class")
    plots = page.locator(".bsig-plot .js-plotly-plot:visible")
    expect(plots).to_have_count(3)
    page.locator("#evaluate-published-part button").first.click()
    expect(page.locator("#evaluate-published .bsig-verdict.worse").first).to_be_visible()
    expect(page.locator("#evaluate-listed")).to_contain_text("may not be passed on")
    before = page.locator("#evaluate-table").inner_text()
    choose(page, "evaluate-method", "Ablation-CAM")
    expect(page.locator("#evaluate-table")).not_to_have_text(before)


@needs_results
def test_nothing_is_wider_than_a_phone(visit: Callable[..., Any]) -> None:
    page = visit("?__theme=dark&tab=evaluate", viewport={"width": 400, "height": 900})
    page.locator("#evaluate-table table").wait_for()
    page.locator("#evaluate-published-part button").first.click()
    page.locator("#evaluate-published table").wait_for()
    assert beyond_the_edge(page) == []


def test_own_pictures_are_measured_and_open_in_compare(visit: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "mine.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name, class_name in (("cat.jpg", "Egyptian cat"), ("coffee.jpg", "espresso"), ("rocket.jpg", "missile")):
            archive.write(EXAMPLES / name, f"{class_name}/{name}")
    page = visit("?tab=evaluate")
    page.locator("#evaluate-own button").first.click()
    page.locator("#evaluate-zip input[type=file]").set_input_files(file)
    expect(page.locator("#evaluate-zip")).to_contain_text("mine")
    page.locator("#evaluate-start").click()
    expect(page.locator("#evaluate-progress")).to_contain_text("Done", timeout=180_000)
    expect(page.locator("#evaluate-finding")).to_contain_text("localization is not measured")
    first = page.locator("#evaluate-gallery button.thumbnail-lg, #evaluate-gallery button").first
    expect(first).to_be_visible()
    first.click()
    expect(page.locator("#finding")).to_be_visible()
    expect(page.locator("#finding")).to_contain_text("Softmax predicts")
