"""The report and the slide as a visitor gets them: downloaded, opened from the disk with no network, printed."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from PIL import Image
from playwright.sync_api import expect

from browser.screens import finding, pixels, sources, until_changed, upload
from bsig.explain.drawing.slide import PICTURE_TOP, PLACES, SIDE
from bsig.ui.components.examples import example_by_key

DARK, LIGHT = "rgb(20, 24, 29)", "rgb(255, 255, 255)"


def _downloaded(page: Any, key: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.locator(f"#prepare-{key}").click()
    file = folder / waiting.value.suggested_filename
    waiting.value.save_as(file)
    return file


@pytest.fixture
def page_of_upload(visit: Callable[..., Any]) -> Any:
    """A page with a picture of the visitor's own, seen for and against."""
    page = visit()
    before = sources(page, "map-softmax")[0]
    picture = Image.open(example_by_key("cat").path).convert("RGB").rotate(180)
    content = io.BytesIO()
    picture.save(content, "PNG")
    upload(page, "holiday.png", content.getvalue())
    until_changed(page, "map-softmax", before)
    return page


def test_the_report_of_an_upload_opens_offline_and_prints(page_of_upload: Any, browser: Any, tmp_path: Path) -> None:
    file = _downloaded(page_of_upload, "report", tmp_path)
    assert re.fullmatch(r"bsig-[\w-]+-cam\.html", file.name)
    offline = browser.new_context(offline=True, viewport={"width": 400, "height": 900}, color_scheme="dark")
    try:
        report, urls, messages = offline.new_page(), [], []
        report.on("request", lambda request: urls.append(request.url))
        report.on("console", lambda message: messages.append(message.text))
        report.goto(file.as_uri())
        assert [url for url in urls if not url.startswith("data:")] == [file.as_uri()]
        assert messages == []
        assert report.locator(".finding").inner_text() in finding(page_of_upload)
        expect(report.locator("body")).to_contain_text("holiday.png")
        expect(report.locator("body")).to_contain_text("All maps share one scale, from −")
        assert all(report.locator("img").evaluate_all("all => all.map((one) => one.complete && one.naturalWidth > 0)"))
        assert report.evaluate("document.documentElement.scrollWidth <= innerWidth")
        paper = "getComputedStyle(document.body).backgroundColor"
        assert report.evaluate(paper) == DARK
        report.emulate_media(media="print")
        assert report.evaluate(paper) == LIGHT
        pdf = report.pdf(prefer_css_page_size=True, print_background=True)
    finally:
        offline.close()
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 5
    assert re.search(rb"/MediaBox\s*\[0 0 59[45][.\d]* 84[12]", pdf)  # A4


def test_the_slide_of_an_upload_shows_what_the_screen_shows(page_of_upload: Any, tmp_path: Path) -> None:
    file = _downloaded(page_of_upload, "card", tmp_path)
    assert re.fullmatch(r"bsig-[\w-]+-cam\.png", file.name)
    with Image.open(file) as card:
        assert card.size == (1920, 1080)
        left, top = PLACES[1], 156 + PICTURE_TOP
        on_card = np.asarray(card.crop((left, top, left + SIDE, top + SIDE)))
    on_screen = Image.fromarray(pixels(page_of_upload, "map-softmax")).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(on_card, np.asarray(on_screen))
