"""The arguments of `bundle-features`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bsig.cli.arguments.shared import add_checkpoint_argument, add_device_argument
from bsig.inputs.paths import BUNDLED_FEATURES


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `bundle-features`."""
    parser.add_argument("data", metavar="DATA", help="data set whose train split is trained on")
    parser.add_argument("--held-out", default=None, metavar="DATA", help="data set whose val split is only measured")
    add_checkpoint_argument(parser)
    add_device_argument(parser)
    parser.add_argument("--source", default="", help="where the pictures come from, in words")
    parser.add_argument("--licence", default="", help="what may be done with the file, in words")
    parser.add_argument("--out", type=Path, default=BUNDLED_FEATURES, help="file to write")
