"""Files that are made to be downloaded lie in Gradio's own folder, which hands them out without another copy.

What lies there goes with its visitor (`bsig.ui.server.visitor_space`), and at the latest when it is old.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from bsig.ui.server.gradio_internals import cache_folder


def new_download_folder() -> Path:
    """An empty folder with an unguessable name."""
    return download_folder(secrets.token_hex(16))


def download_folder(name: str) -> Path:
    """The folder of that name, made where it is not there."""
    folder = Path(cache_folder()) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
