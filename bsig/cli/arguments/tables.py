"""The arguments of `results` and `paper`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bsig.cli.arguments.shared import add_checkpoints_folder_argument


def add_results_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `results`."""
    add_checkpoints_folder_argument(parser)
    parser.add_argument(
        "--frontier", type=Path, default=None, help="folder to draw one SVG a result into, in place of the tables"
    )


def add_paper_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `paper`."""
    add_checkpoints_folder_argument(parser)
    parser.add_argument(
        "--results", type=Path, default=None, help="file of `evaluate --out`, to be compared in place of the shipped"
    )
