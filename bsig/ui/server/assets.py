"""Gradio's scripts and style sheets, compressed once, kept by browsers, and there before gradio is imported.

A page asks for a hundred of them. Gradio reads each in parts, in threads, and compresses it at every request, while the
model is being loaded by the same interpreter; and it lets browsers ask for them again at every visit. Their names hold
a hash of their content, so a browser may keep them. Needless once gradio sends them compressed and says so.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from isal import igzip

ASSET = re.compile(r"/assets/(?P<name>[\w.-]+\.(?P<kind>js|css))", re.ASCII)
KINDS = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
KEPT_S = 365 * 24 * 3600
COMPRESSION = 3
KEPT_FILES = 256


def asset(scope: Any) -> tuple[dict[str, str], bytes] | None:
    """Headers and body of the answer to a request for a script or style sheet of gradio's page.

    None where it asks for something else, or does not take gzip.
    """
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    name = ASSET.fullmatch(scope["path"].removeprefix(scope.get("root_path", "")))
    takes_gzip = any(key == b"accept-encoding" and b"gzip" in value for key, value in scope["headers"])
    body = _compressed(name["name"]) if name and takes_gzip else None
    if name is None or body is None:
        return None
    headers = {
        "content-type": KINDS[name["kind"]],
        "content-encoding": "gzip",
        "vary": "accept-encoding",
        "cache-control": f"public, max-age={KEPT_S}, immutable",
    }
    return headers, body


@lru_cache(maxsize=KEPT_FILES)
def _compressed(name: str) -> bytes | None:
    """A file's content; None where there is none."""
    try:
        return igzip.compress((assets_folder() / name).read_bytes(), COMPRESSION)
    except OSError:
        return None


@lru_cache(maxsize=1)
def assets_folder() -> Path:
    """The folder of the assets in gradio's package; gradio itself is not imported."""
    package = find_spec("gradio")
    return Path(package.origin if package and package.origin else "").parent / "templates" / "frontend" / "assets"
