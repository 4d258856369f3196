"""`python tests/browser/take_screenshots.py`: the README's pictures, taken from the running app in a real browser.

Starts `app.py`, opens every screen with the default example and writes assets/compare.png and assets/screens/*.png,
with 64 steps a colour, which no eye tells from 256. `test_looks.py` takes whole pages at every width.
Needs playwright and chromium (see .ci/requirements.txt).
"""

import io
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
SIZE_WH = (1080, 765)
"""Of the pictures, of a window of 1440 x 1020: as wide as a README is, and below 400 KB."""
SCREENS = {
    "compare": ("compare", "#contrast-sigmoid img"),
    "logit-shift": ("screens/logit-shift", "#plot-shared .js-plotly-plot"),
    "sign-collapse": ("screens/sign-collapse", ".bsig-plot .js-plotly-plot"),
    "evaluate": ("screens/evaluate", "#evaluate-table table"),
    "finetune": ("screens/finetune", "#run-status [data-standing=finished]"),
    "models": ("screens/models", "#model-list table"),
    "tour": ("screens/tour", "#tour-picture-0 img"),
}


def main() -> int:
    """Takes one picture a screen, light."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work = tempfile.TemporaryDirectory()
    command = [sys.executable, "app.py", "--port", str(port), "--work-folder", work.name]
    app = subprocess.Popen(command, cwd=ROOT)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_up(address)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            for tab, (name, last_part) in SCREENS.items():
                page = browser.new_page(viewport={"width": 1440, "height": 1020})
                _shoot(page, f"{address}/?tab={tab}&__theme=light", last_part, ROOT / "assets" / f"{name}.png")
            browser.close()
    finally:
        app.terminate()
        app.wait(20)
        work.cleanup()
    return 0


def _shoot(page: Page, address: str, last_part: str, file: Path) -> None:
    page.goto(address)
    if "tab=finetune" in address and not page.locator("#run-status [data-standing]").count():
        page.locator("#data-check [role=status]").wait_for()
        page.locator("#run-start").click()  # a run to look at; the first picture waits for its end
    page.wait_for_selector(last_part, state="visible", timeout=120_000)
    # A picture that loads when it is scrolled to is not waited for: on a narrow page it may never be.
    page.wait_for_function(
        "[...document.images].every(image => !image.offsetParent || image.complete || image.loading === 'lazy')"
    )
    page.wait_for_timeout(1500)  # the page's own transitions; a picture is taken, nothing is asserted
    file.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        small = picture.convert("RGB").resize(SIZE_WH, Image.Resampling.LANCZOS)
        small.point(lambda value: (value >> 2) * 255 // 63).save(file, optimize=True)
    page.close()


def _wait_until_up(address: str) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            subprocess.run(["sleep", "0.5"], check=True)
        else:
            return
    raise SystemExit(f"the app did not answer at {address}")


if __name__ == "__main__":
    sys.exit(main())
