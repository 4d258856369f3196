"""The Evaluate screen in a real browser: results that ship, own pictures, a phone."""

from __future__ import annotations

import json
import re
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
    expect(rows.filter(has_text="positive area, absent class").first).to_be_visible()
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
    expect(page.locator("#evaluate-check")).to_contain_text("3 pictures, 3 classes; 3 are measured")
    page.locator("#evaluate-start").click()
    expect(page.locator("#evaluate-progress")).to_contain_text("Done: 3 pictures", timeout=180_000)
    expect(page.locator("#evaluate-finding")).to_contain_text("localization is not measured")
    first = page.locator("#evaluate-gallery button.thumbnail-lg, #evaluate-gallery button").first
    expect(first).to_be_visible()
    with page.expect_download() as download:
        page.locator("#evaluate-make-file").click()
    assert json.loads(Path(download.value.path()).read_text())["counts"]["used"] == 3
    page.reload()
    expect(page.locator("#evaluate-data input")).to_have_value(re.compile("^own pictures"))
    expect(page.locator("#evaluate-finding")).to_contain_text("localization is not measured")
    first.scroll_into_view_if_needed()
    first.click()
    expect(page.locator("#finding")).to_be_visible()
    expect(page.locator("#answer")).to_be_in_viewport()
    page.wait_for_function("Math.abs(document.querySelector('#answer').getBoundingClientRect().top) < 40")
    expect(page.locator("#finding")).to_contain_text("Softmax predicts")


def test_pictures_of_no_known_class_are_refused_at_upload_and_a_cancel_is_no_error(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    bad, good = tmp_path / "beasts.zip", tmp_path / "good.zip"
    for file, class_name in ((bad, "unicorn"), (good, "espresso")):
        with zipfile.ZipFile(file, "w") as archive:
            archive.write(EXAMPLES / "coffee.jpg", f"{class_name}/coffee.jpg")
            archive.write(EXAMPLES / "cat.jpg", f"{class_name}/cat.jpg")
    page = visit("?tab=evaluate")
    page.locator("#evaluate-own button").first.click()
    page.locator("#evaluate-zip input[type=file]").set_input_files(bad)
    problem = page.locator("#evaluate-check .bsig-problem")
    expect(problem).to_contain_text("No class of 'beasts' (e.g. 'unicorn')")
    page.locator("#evaluate-zip button[aria-label=Clear], #evaluate-zip button[aria-label=Remove]").first.click()
    page.locator("#evaluate-zip input[type=file]").set_input_files(good)
    expect(problem).to_have_count(0)
    page.locator("#evaluate-start").click()
    expect(page.locator("#evaluate-progress progress")).to_be_visible()
    page.locator("#evaluate-stop").click()
    expect(page.locator("#evaluate-progress")).to_contain_text("Cancelled. Nothing of it is kept.")
    expect(page.locator(".bsig-problem, [data-testid=toast-body]")).to_have_count(0)
