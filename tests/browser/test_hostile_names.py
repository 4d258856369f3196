"""Class, checkpoint and file names that are markup, on every screen of a real browser: shown as text, never run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile_files import SCRIPT, markup_checkpoint
from http_visitor import running_app

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.screens import open_tab

RUN = "document.title === 'owned' || document.querySelectorAll('img[src=\"x\"]').length > 0"


@pytest.fixture(scope="module")
def hostile_url(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with a first checkpoint whose thousand class names are markup."""
    folder = tmp_path_factory.mktemp("hostile")
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir()
    markup_checkpoint(checkpoints)
    with running_app(folder, "--checkpoints", str(checkpoints), "--checkpoint", "markup") as (url, _):
        yield url


@pytest.fixture
def hostile_page(browser: Any, hostile_url: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.goto(hostile_url)
    page.locator("#map-sigmoid img").wait_for()
    yield page
    context.close()


def test_markup_in_class_names_is_text_on_every_screen(hostile_page: Any) -> None:
    page = hostile_page
    expect(page.locator("#finding")).to_contain_text(SCRIPT)
    page.locator("#class input").click()  # the list of classes
    expect(page.locator("ul[role=listbox]").first).to_contain_text(SCRIPT)
    assert not page.evaluate(RUN)
    page.keyboard.press("Escape")
    for tab, part in (
        ("Logit shift", "#plot-shared .js-plotly-plot:visible"),
        ("Sign collapse", ".bsig-plot .js-plotly-plot:visible"),
        ("Evaluate", "#tabs"),
        ("Fine-tune", "#run-start"),
        ("Models", "#model-list table"),
        ("Guided tour", "#tour-picture-0 img"),
    ):
        open_tab(page, tab)
        page.locator(part).first.wait_for()
        for plot in page.locator(".js-plotly-plot:visible").all()[:3]:
            plot.hover(force=True)  # plotly reads a little HTML in what it shows on hovering
        assert not page.evaluate(RUN), tab


def test_markup_in_a_file_name_and_in_a_refusal_is_text(hostile_page: Any, tmp_path: Path) -> None:
    page = hostile_page
    name = SCRIPT.replace("/", "") + ".jpg"
    file = tmp_path / name
    file.write_bytes(b"these are words\n" * 20)
    page.locator("#picture input[type=file]").set_input_files(str(file))
    expect(page.locator(".bsig-problem")).to_contain_text("not a picture")
    assert not page.evaluate(RUN)
