"""Every screen at every width, light and dark: nothing overlaps, nothing is cut, nothing is wider than the page.

Pictures of all of them lie in `tests/browser/screenshots` afterwards: look at them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")

from browser.looks import STATES, in_theme, problems, settle
from browser.screens import beyond_the_edge

PICTURES = Path(__file__).parent / "screenshots"
WIDTHS = (360, 400, 768, 1024, 1180, 1440, 1920)
SHOWN_AT = (400, 1024, 1440)
HEIGHT = 900


@pytest.fixture(scope="module")
def walked(contexts: Callable[..., Any], app_url: str) -> Iterator[Any]:
    """One page for all screens, with its first comparison drawn."""
    page = contexts(viewport={"width": 1440, "height": HEIGHT}, reduced_motion="reduce").new_page()
    page.goto(app_url)
    page.locator("#map-sigmoid img").wait_for()
    yield page
    page.close()


@pytest.mark.parametrize("state", STATES)
def test_a_screen_fits_every_width_in_light_and_dark(walked: Any, state: str) -> None:
    walked.set_viewport_size({"width": 1440, "height": HEIGHT})
    STATES[state](walked)
    wrong = {}
    PICTURES.mkdir(exist_ok=True)
    for width in WIDTHS:
        walked.set_viewport_size({"width": width, "height": HEIGHT})
        settle(walked)
        if found := problems(walked) + beyond_the_edge(walked):
            wrong[width] = found
        for theme in ("light", "dark") if width in SHOWN_AT else ():
            in_theme(walked, theme)
            walked.screenshot(path=PICTURES / f"{state}-{width}-{theme}.png", full_page=True)
        in_theme(walked, "light")
    assert not wrong
