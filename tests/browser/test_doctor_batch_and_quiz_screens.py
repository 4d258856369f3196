"""The Blank map, Batch and Blind quiz screens in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from bsig.evaluation.quiz import QUESTIONS
from bsig.inputs.paths import EXAMPLES


def test_the_doctor_follows_its_own_controls_and_draws_every_mend(visit: Callable[..., Any]) -> None:
    page = visit("?tab=doctor&example=cat&class=golf+ball")
    expect(page.locator("#doctor-finding")).to_contain_text("speaks for golf ball")
    expect(page.locator("#doctor-zero")).to_contain_text("The zero is arbitrary")
    expect(page.locator("#doctor-mends .thumbnail-item")).to_have_count(4)
    page.locator("#doctor-branch").get_by_text("Sigmoid branch").click()
    expect(page.locator("#doctor-zero")).to_contain_text("The zero is not arbitrary")
    page.locator("#doctor-weights").get_by_text("Set them to zero").click()
    expect(page.locator("#doctor-facts")).to_contain_text("+")


def test_a_batch_becomes_a_sheet_whose_pictures_open_in_compare(visit: Callable[..., Any], tmp_path: Path) -> None:
    page = visit("?tab=batch")
    page.locator("#batch-files input[type=file]").set_input_files([EXAMPLES / "cat.jpg", EXAMPLES / "coffee.jpg"])
    expect(page.locator("#batch-files")).to_contain_text("coffee")
    page.locator("#batch-start").click()
    expect(page.locator("#batch-status")).to_contain_text("2 pictures.")
    with page.expect_download() as download:
        page.locator("#batch-html").click()
    download.value.save_as(tmp_path / "sheet.html")
    assert (tmp_path / "sheet.html").read_text(encoding="utf-8").count("<article>") == 2
    caption = page.locator("#batch-sheet .caption-label").first.inner_text()
    page.locator("#batch-sheet .thumbnail-item").first.click()
    name = "espresso" if "coffee" in caption else "Egyptian cat"
    expect(page.locator("#finding .bsig-finding")).to_contain_text(name, ignore_case=True)


def test_a_quiz_of_twelve_answers_ends_with_both_hit_rates(visit: Callable[..., Any]) -> None:
    page = visit("?tab=quiz")
    expect(page.locator("#quiz-privacy")).to_contain_text("not stored")
    page.locator("#quiz-start").click()
    for number in range(QUESTIONS):
        expect(page.locator("#quiz-status")).to_contain_text(f"Map {number + 1} of {QUESTIONS}")
        page.locator("#quiz-yes").click()
    expect(page.locator("#quiz-status")).to_contain_text("You were right with 3 of 6 softmax maps")
    expect(page.locator("#quiz-result table")).to_contain_text("3 of 6 (19 to 81 %)")
    expect(page.locator("#quiz-truth .thumbnail-item")).to_have_count(QUESTIONS)
