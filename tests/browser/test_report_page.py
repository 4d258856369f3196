"""The report and the slide as a visitor gets them: downloaded, opened from the disk with no network, printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from PIL import Image

from browser.screens import finding


def _downloaded(page: Any, key: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.locator(f"#prepare-{key}").click()
    file = folder / waiting.value.suggested_filename
    waiting.value.save_as(file)
    return file


def test_the_report_opens_offline_and_prints(page: Any, browser: Any, tmp_path: Path) -> None:
    file = _downloaded(page, "report", tmp_path)
    assert file.suffix == ".html"
    offline = browser.new_context(offline=True, viewport={"width": 720, "height": 900})
    try:
        report, asked, said = offline.new_page(), [], []
        report.on("request", lambda request: asked.append(request.url))
        report.on("console", lambda message: said.append(message.text))
        report.goto(file.as_uri())
        assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
        assert said == []
        assert report.locator(".finding").inner_text() in finding(page)
        assert all(report.locator("img").evaluate_all("all => all.map((one) => one.complete && one.naturalWidth > 0)"))
        assert report.evaluate("document.documentElement.scrollWidth <= innerWidth")
        printed = report.pdf(prefer_css_page_size=True, print_background=True)
    finally:
        offline.close()
    sheets = re.findall(rb"/Type\s*/Page\b", printed)
    assert 3 <= len(sheets) <= 10
    assert re.search(rb"/MediaBox\s*\[0 0 59[45][.\d]* 84[12]", printed)  # A4


def test_the_slide_is_a_picture_of_1920_by_1080(page: Any, tmp_path: Path) -> None:
    with Image.open(_downloaded(page, "card", tmp_path)) as card:
        assert card.size == (1920, 1080)
