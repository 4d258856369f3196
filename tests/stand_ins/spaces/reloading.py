"""What Gradio starts on a Space for its developers; here it only waits for the end."""

from __future__ import annotations

import threading
from typing import Any


def start_reload_server(prerun: Any, postrun: Any, stop_event: threading.Event) -> None:
    """Returns when the app ends."""
    stop_event.wait()
