"""A run from one click: curves, evidence that forms, stop, its checkpoint in Compare; the softmax branch unmoved."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from generated import class_folders

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.screens import beyond_the_edge, map_sources, open_tab, sources, tick, unfold

STANDS = "#run-status [data-standing={}]"
A_RUN_S = 150_000


def start(page: Any, name: str, epochs: int) -> None:
    page.locator("#epochs input").fill(str(epochs))
    page.locator("#run-name textarea, #run-name input").first.fill(name)
    page.locator("#run-start").click()
    expect(page.locator("#run-chosen input")).to_have_value(re.compile(f"^{name} "))


def new_name(stem: str) -> str:
    """Runs outlive tests: each has a name of its own."""
    return f"{stem}-{uuid.uuid4().hex[:8]}"


def standing(page: Any, word: str) -> None:
    page.locator(STANDS.format(word)).wait_for(timeout=A_RUN_S)


def softmax_numbers(page: Any) -> str:
    """The first row of numbers: the asked class in the softmax branch."""
    return page.locator("#numbers tbody tr").nth(1).inner_text()


def test_one_click_then_curves_evidence_that_forms_and_the_checkpoint_in_compare(page: Any) -> None:
    before = map_sources(page)
    numbers = softmax_numbers(page)
    open_tab(page, "Fine-tune")
    name = new_name("click")
    start(page, name, 3)
    standing(page, "finished")
    expect(page.locator("#run-status")).to_contain_text("fell from")
    for key in ("loss", "accuracy", "areas", "branch"):
        expect(page.locator(f"#run-plot-{key} .scatterlayer .trace").first).to_be_attached()
    last = sources(page, "probe-softmax", "probe-sigmoid")
    expect(page.locator("#probe-sigmoid img")).to_have_attribute("alt", re.compile("after epoch 3"))
    slider = page.locator("#probe-epoch input[type=range]")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#probe-sigmoid img")).to_have_attribute("alt", re.compile("after epoch 0"))
    first = sources(page, "probe-softmax", "probe-sigmoid")
    assert first[1] == first[0]  # a clone starts as its softmax head
    assert last[1] != first[1]
    assert last[0] == first[0]
    page.locator("#run-use").click()
    expect(page.locator("#map-sigmoid img")).not_to_have_attribute("src", before[1])
    unfold(page, "checkpoint")
    expect(page.locator("#checkpoint input")).to_have_value(name)
    after = map_sources(page)
    assert after[1] != before[1]
    # The pictures share one scale with the sigmoid map, so it is the numbers that must be the same.
    assert softmax_numbers(page) == numbers
    open_tab(page, "Fine-tune")
    page.locator("#two-after").scroll_into_view_if_needed()
    page.locator("#two-after input").click()
    page.locator("ul[role=listbox] li", has_text=name).first.click()
    page.locator("#two-ask").click()
    expect(page.locator("#two-finding [data-softmax-change]")).to_have_attribute("data-softmax-change", "0.000e+00")
    expect(page.locator("#two-after-map img")).to_be_visible()


def test_two_visitors_one_runs_one_waits_any_tab_looks_on_and_stop_keeps_the_last_epoch(
    visit: Callable[..., Any],
) -> None:
    first_page, second_page = visit(), visit()
    for page in (first_page, second_page):
        open_tab(page, "Fine-tune")
    first, second = new_name("first"), new_name("second")
    start(first_page, first, 5000)
    standing(first_page, "running")
    start(second_page, second, 2)
    standing(second_page, "queued")
    expect(second_page.locator("#run-status")).to_contain_text("this one is next")
    first_page.locator("#run-status [data-epochs]:not([data-epochs='0'])").wait_for(timeout=A_RUN_S)
    # Compare answers while a run is made.
    open_tab(first_page, "Compare")
    before = map_sources(first_page)
    first_page.locator("#examples button.thumbnail-item").nth(9).click()
    expect(first_page.locator("#map-sigmoid img")).not_to_have_attribute("src", before[1])
    # The tab is closed, the run goes on, another tab takes it up and stops it.
    first_page.close()
    second_page.locator("#run-chosen input").click()
    second_page.locator("ul[role=listbox] li", has_text=first).first.click()
    standing(second_page, "running")
    second_page.locator("#run-stop").click()
    standing(second_page, "stopped")
    expect(second_page.locator("#run-prepare")).to_be_enabled()
    with second_page.expect_download() as download:
        second_page.locator("#run-prepare").click()
    assert download.value.suggested_filename == f"{first}.zip"
    second_page.locator("#run-chosen input").click()
    second_page.locator("ul[role=listbox] li", has_text=second).first.click()
    standing(second_page, "finished")


def test_own_pictures_are_looked_over_before_they_are_trained_on(visit: Callable[..., Any], tmp_path: Path) -> None:
    folders = class_folders(tmp_path / "data", {"red": "red", "green": "green", "blue": "blue"}, count=6)
    (folders / "red" / "broken.png").write_text("no picture")
    archive = shutil.make_archive(str(tmp_path / "colours"), "zip", folders)
    page = visit("?tab=finetune")
    page.locator("#run-start").wait_for()
    tick(page, "data-kind", "Upload a zip")
    page.locator("#data-zip input[type=file]").set_input_files(archive)
    expect(page.locator("#data-check .bsig-problem")).to_contain_text("at least 2 are needed")  # no ImageNet classes
    page.locator("#data-new-labels").click()
    expect(page.locator("#data-check")).to_contain_text("3 classes")
    expect(page.locator("#data-check")).to_contain_text("1 file cannot be read")
    expect(page.locator("#data-check")).to_contain_text("broken.png")
    start(page, new_name("colours"), 2)
    standing(page, "finished")
    expect(page.locator("#run-status")).to_contain_text("broken.png")
    expect(page.locator("#probe-sigmoid")).to_contain_text(re.compile("after epoch 2: '(red|green|blue)'"))


def test_settings_are_refused_in_words_and_the_screen_fits_a_phone(visit: Callable[..., Any]) -> None:
    page = visit("?tab=finetune", viewport={"width": 400, "height": 900})
    page.locator("#run-start").wait_for()
    page.locator("#learning-rate input").fill("-1")
    page.locator("#run-start").click()
    expect(page.locator("body")).to_contain_text("`learning_rate` (=-1.0) must be above 0")
    assert beyond_the_edge(page) == []
