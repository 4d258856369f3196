"""The comparison that was drawn beforehand: it stands on the page from the first moment until the live one is drawn.

`assets/opening.html` holds it (`bsig.ui.screens.compare.opening` makes it). It is shown where the app opens with that
very comparison: the checkpoint is the one that it was drawn with, and the address asks for nothing else. Before the app
is there, it is a part of the page of words (`starting.html`). In the live page it lies over everything until the same
maps are drawn below it. Importing this file costs neither gradio nor torch.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from bsig.inputs.paths import ASSETS
from bsig.model.checkpoints.names import DESCRIPTION

FILE = ASSETS / "opening.html"
DRAWN_WITH = re.compile(r'data-checkpoint="(\w+)"')
BEGINNING = re.compile(rb"</head>\s*<body[^>]*>")
LOADING = "Loading the model. The first comparison follows in a few seconds."
DRAWN_BEFOREHAND = (
    "Drawn in advance with the model that comes with this app. The live page takes its place in a few seconds."
)
HERE = Path(__file__).parent
STYLE_SHEET = HERE.parent / "components" / "static" / "style.css"


def prepared_comparison(checkpoint: str, folder: Path) -> str:
    """The comparison, as HTML; empty where it was drawn with another checkpoint than the app opens with.

    Args:
        checkpoint: the name of the one that the app opens with.
        folder: of checkpoint folders.
    """
    try:
        comparison = FILE.read_text(encoding="utf-8")
        description = (folder / checkpoint / DESCRIPTION).read_bytes()
    except (OSError, ValueError):
        return ""
    drawn_with = DRAWN_WITH.search(comparison)
    is_the_same = drawn_with is not None and drawn_with[1] == hashlib.sha256(description).hexdigest()
    return comparison if is_the_same else ""


def starting_page(comparison: str = "") -> str:
    """The page of an app that is still starting.

    Args:
        comparison: as of `prepared_comparison`.
    """
    page = (HERE / "starting.html").read_text(encoding="utf-8")
    if not comparison:
        return page
    style_sheet = f"<style>{STYLE_SHEET.read_text(encoding='utf-8')}</style>"
    return page.replace("<!-- comparison -->", f"{style_sheet}\n{comparison}").replace(LOADING, DRAWN_BEFOREHAND)


@lru_cache(maxsize=2)
def overlay(comparison: str) -> str:
    """What lies over the live page until it has drawn its first maps: the starting page, apart from the live one.

    Args:
        comparison: as of `prepared_comparison`; nothing lies over the page where it is empty.
    """
    if not comparison:
        return ""
    page = starting_page(comparison)
    styles = "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    main = page[page.index("<main>") : page.index("</main>") + len("</main>")]
    main = re.sub(r"<style>.*?</style>", "", main, flags=re.DOTALL)
    template = (HERE / "opening.html").read_text(encoding="utf-8")
    return template.replace("/* styles */", _of_host(styles)).replace("<!-- main -->", main)


def _of_host(styles: str) -> str:
    """A style sheet for a shadow root: there the document's root cannot be reached."""
    return re.sub(r":root(\.\w+)?", lambda match: f":host({match[1]})" if match[1] else ":host", styles)


def asks_for_nothing(scope: Any) -> bool:
    """Whether an address has no query beside the names that Gradio and Spaces put there, such as `__theme`."""
    query = scope.get("query_string", b"").decode("latin-1")
    return all(name.startswith("__") for name, _ in parse_qsl(query, keep_blank_values=True))


def with_overlay(page: bytes, overlay: bytes) -> bytes:
    """A page with the overlay at its beginning."""
    beginning = BEGINNING.search(page)
    return page if beginning is None else page[: beginning.end()] + overlay + page[beginning.end() :]
