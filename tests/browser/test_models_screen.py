"""The Models screen in a real browser: found by typing, loaded, shown in Compare, led on to a fine-tune."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.screens import beyond_the_edge, choose, open_tab, unfold
from bsig.inputs.paths import EXAMPLES


@pytest.fixture
def models_page(visit: Callable[..., Any]) -> Any:
    page = visit("?tab=models")
    expect(page.locator("#model-load")).to_be_visible()
    return page


def test_a_finer_grid_of_the_default_backbone_is_loaded_and_shown_in_compare(models_page: Any) -> None:
    box = models_page.locator("#model-stage input")
    box.click()
    models_page.locator("ul[role=listbox] li").filter(has_text="stride16").first.click()
    models_page.locator("#model-load").click()
    expect(models_page.locator("#model-table")).to_contain_text("14 x 14 cells")
    expect(models_page.locator("#model-table")).to_contain_text("not fine-tuned yet")
    expect(models_page.locator("#answer")).to_be_in_viewport()  # without a click on the tab
    expect(models_page.locator("#note")).to_contain_text("14 x 14 cells")
    expect(models_page.locator("#note")).to_contain_text("still the clone")
    unfold(models_page, "checkpoint")
    expect(models_page.locator("#checkpoint input")).to_have_value("tf_efficientnet_lite0-stride16")


def test_typing_finds_timms_names_and_the_button_leads_to_a_fine_tune_of_it(models_page: Any) -> None:
    choose(models_page, "model-backbone", "resnet50.a1_in1k")
    expect(models_page.locator("#model-stage input")).to_have_value("last: the last feature map on which places matter")
    models_page.locator("#model-finetune").click()
    expect(models_page.locator("#run-start")).to_be_visible()
    expect(models_page.locator("#start input")).to_have_value("timm: resnet50.a1_in1k")


def test_with_labelled_pictures_the_screen_stays_and_shows_how_many_are_right(models_page: Any, tmp_path: Path) -> None:
    (tmp_path / "tabby").mkdir()
    shutil.copyfile(EXAMPLES / "cat.jpg", tmp_path / "tabby" / "1.jpg")
    models_page.locator("#model-settings button").first.click()
    models_page.get_by_label("Labelled pictures").fill(str(tmp_path))
    models_page.locator("#model-load").click()
    expect(models_page.locator("#model-trials")).to_be_in_viewport(timeout=30_000)
    expect(models_page.locator("#model-trials")).to_contain_text("Crop squash")
    expect(models_page.locator("#model-facts")).to_contain_text("How many of 1 labelled pictures are right")


def test_a_name_that_timm_does_not_know_is_refused_in_words(models_page: Any) -> None:
    box = models_page.locator("#model-backbone input")
    box.click()
    box.clear()
    box.press_sequentially("resnet5x")
    box.press("Enter")
    expect(models_page.locator(".bsig-problem")).to_contain_text("must be a model name that timm")


def test_the_screen_fits_a_phone_with_a_model_loaded(visit: Callable[..., Any]) -> None:
    page = visit("?__theme=dark&tab=models", viewport={"width": 400, "height": 900})
    page.locator("#model-load").click()
    expect(page.locator("#answer")).to_be_in_viewport()
    open_tab(page, "Models")
    page.locator("#model-table").wait_for()
    assert beyond_the_edge(page) == []
