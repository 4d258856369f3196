"""What the page weighs: requests and bytes until the first comparison, and what waits until its screen is opened."""

from __future__ import annotations

from typing import Any

import pytest

from bsig.cli.bench.browser import COMPARISON, QUIET_MS, Traffic

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")

from browser.screens import open_tab

MOST_REQUESTS, MOST_BYTES = 150, 2_500_000
PLOTLY, SMALLEST_PLOTLY = "PlotlyPlot", 500_000


def _opened(browser: Any, address: str) -> tuple[Any, Traffic]:
    """A page of a browser that has nothing in its cache, with its first comparison drawn."""
    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    traffic = Traffic(page)
    page.goto(address, wait_until="commit")
    page.locator(COMPARISON).wait_for()
    page.wait_for_timeout(QUIET_MS)
    return page, traffic


def test_until_the_first_comparison_the_page_stays_below_its_bounds(browser: Any, app_url: str) -> None:
    page, traffic = _opened(browser, app_url)
    sizes = traffic.take()
    assert len(sizes) < MOST_REQUESTS
    assert sum(sizes.values()) < MOST_BYTES, sorted(sizes.items(), key=lambda pair: -pair[1])[:10]
    page.context.close()


@pytest.mark.parametrize("screen", ["Sign collapse", "Evaluate"])
def test_plots_come_with_their_screen(browser: Any, app_url: str, screen: str) -> None:
    page, traffic = _opened(browser, app_url)
    assert [address for address in traffic.take() if PLOTLY in address] == []
    open_tab(page, screen)
    page.locator(".js-plotly-plot").first.wait_for()
    (size,) = (size for address, size in traffic.take().items() if PLOTLY in address and address.endswith(".js"))
    assert size > SMALLEST_PLOTLY
    page.context.close()
