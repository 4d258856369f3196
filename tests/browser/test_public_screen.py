"""A public app in real browsers: two visitors, one who takes no cookies, and what is left when they have gone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from http_visitor import running_app

from browser.conftest import ARGUMENTS, CHROMIUM, PATIENCE_S

SESAME = "sesame"
CLOSED_S = 10.0
APP = f"""
import sys, app
from dataclasses import replace
from bsig.ui.server.limits import Limits
public = Limits.public
Limits.public = staticmethod(lambda password=None: replace(public(password), closed_seconds={CLOSED_S}))
sys.exit(app.main())
"""


@dataclass
class PublicApp:
    """`python app.py --public` and the folder that it keeps visitors' things in."""

    url: str
    work: Path

    def runs(self) -> list[str]:
        return [path.parent.name for path in self.work.glob("public/*/visitors/*/runs/*/run.json")]

    def wait_until_nothing_is_left(self) -> None:
        deadline = time.monotonic() + CLOSED_S + PATIENCE_S
        while self.runs():
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture(scope="module")
def app(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublicApp]:
    folder = tmp_path_factory.mktemp("public")
    environment = {"BSIG_FINETUNE_PASSWORD": SESAME, "GRADIO_IS_E2E_TEST": "1"}
    with running_app(folder, "--public", program=("-c", APP), env=environment) as (url, _):
        public_app = PublicApp(url, folder / "work")
        yield public_app
    log = folder / "log"
    assert list((public_app.work / "public").iterdir()) == []  # nothing of a visitor outlives the app
    assert "Traceback" not in log.read_text()
    assert SESAME not in log.read_text()


def open_finetune(context: Any, app: PublicApp) -> Any:
    context.set_default_timeout(1000 * PATIENCE_S / 2)
    page = context.pages[0] if context.pages else context.new_page()
    page.goto(f"{app.url}/?tab=finetune")
    page.locator("#run-status .bsig-finding").wait_for()
    return page


def start(page: Any, name: str, password: str) -> None:
    page.locator("#epochs input").fill("1")
    page.locator("#run-name input, #run-name textarea").fill(name)
    page.locator("#finetune-password input").fill(password)
    page.locator("#run-start").click()


def finished(page: Any, name: str) -> None:
    page.locator("#run-status [data-standing=finished]").wait_for(timeout=1000 * PATIENCE_S)
    assert page.locator("#run-chosen input").input_value().startswith(name)


def test_a_visitor_sees_only_the_own_run_also_after_a_reload_and_it_goes_with_the_visitor(
    browser: Any, app: PublicApp
) -> None:
    own_context, other = browser.new_context(), browser.new_context()
    page = open_finetune(own_context, app)
    assert "50 epochs and 2 min a run" in page.locator("#finetune-limits").inner_text()
    assert "10 s after you close the page" in page.locator("#privacy").inner_text()
    start(page, "secret-run", "wrong")
    page.get_by_role("alert").filter(has_text="password for fine-tuning is not the right one").wait_for()
    assert app.runs() == []
    start(page, "secret-run", SESAME)
    finished(page, "secret-run")
    page = open_finetune(own_context, app)
    finished(page, "secret-run")
    other_page = open_finetune(other, app)
    other_page.goto(f"{app.url}/?tab=finetune&run=secret-run")
    other_page.get_by_text("No run yet").wait_for()
    other_page.get_by_text("There is no such run here").wait_for()
    assert "secret-run" not in other_page.content()
    assert app.runs() == ["secret-run"]
    own_context.close()
    app.wait_until_nothing_is_left()
    other.close()


def test_a_browser_that_takes_no_cookies_keeps_its_run_while_the_page_is_open(
    browser: Any, app: PublicApp, tmp_path: Path
) -> None:
    preferences = tmp_path / "profile" / "Default" / "Preferences"
    preferences.parent.mkdir(parents=True)
    preferences.write_text(json.dumps({"profile": {"default_content_setting_values": {"cookies": 2}}}))
    context = browser.browser_type.launch_persistent_context(
        str(tmp_path / "profile"), executable_path=CHROMIUM, args=ARGUMENTS
    )
    try:
        page = open_finetune(context, app)
        assert context.cookies() == []
        start(page, "without-cookies", SESAME)
        finished(page, "without-cookies")
        assert app.runs() == ["without-cookies"]
    finally:
        context.close()
    app.wait_until_nothing_is_left()
