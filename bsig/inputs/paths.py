"""Where the project's own files lie, and where it keeps what it has computed.

Every other file asks here, so that a file may move between folders without its paths breaking.
"""

from __future__ import annotations

import os
from pathlib import Path

IMPORT_FOLDER = Path(__file__).resolve().parents[2]
"""The folder that bsig is imported from: the clone, or site-packages."""
_SHIPPED = IMPORT_FOLDER / "bsig" / "shipped"
ROOT = _SHIPPED if _SHIPPED.is_dir() else IMPORT_FOLDER
"""The folder of app.py, assets and checkpoints: the clone, or where the wheel has them (.ci/build_backend.py)."""
APP = ROOT / "app.py"
ASSETS = ROOT / "assets"
EXAMPLES = ASSETS / "examples"
BUNDLED_FEATURES = ASSETS / "training" / "imagenet-efficientnet_lite0.safetensors"
CHECKPOINTS_FOLDER = ROOT / "checkpoints"
CACHE_FOLDER = Path(os.environ.get("BSIG_CACHE", Path.home() / ".cache" / "bsig"))
