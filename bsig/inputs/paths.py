"""Where the project's own files lie, and where it keeps what it has computed.

Every other file asks here, so that a file may move between folders without its paths breaking.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "app.py"
ASSETS = ROOT / "assets"
EXAMPLES = ASSETS / "examples"
CHECKPOINTS_FOLDER = ROOT / "checkpoints"
CACHE_FOLDER = Path(os.environ.get("BSIG_CACHE", Path.home() / ".cache" / "bsig"))
