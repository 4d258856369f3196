"""The web app; the only package that imports gradio.

In: a `Workbench` (models and pictures) and a `RunQueue` (fine-tunes). Out: a page to launch, and its web API. Open
`page.py` first: it lays out the screens, each a file or folder under `screens/`; `api.py` has the endpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bsig.ui.page import build_demo, launch_arguments

__all__ = ["build_demo", "launch_arguments"]


def __getattr__(name: str) -> Any:
    """The page's builders, imported when they are asked for, so that a part of the page costs no whole page."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bsig.ui import page

    return getattr(page, name)
