"""The arguments of `calibrate` and `fit-readings`, which fit settings of a checkpoint on labelled pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from bsig.cli.arguments.shared import DATA_HELP, add_checkpoints_folder_argument, add_device_argument
from bsig.inputs.datasets.split_names import split_argument

FITTED_READINGS = ("levelled", "sigmoid-logit", "competition", "finer")


def add_calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `calibrate`."""
    _add_arguments(parser, "pictures that the branch was not trained on")


def add_fit_readings_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `fit-readings`."""
    _add_arguments(parser, "labelled pictures; never those measured on")
    parser.add_argument(
        "--readings",
        default=FITTED_READINGS[0],
        help=f"whose settings: {', '.join(FITTED_READINGS)}, with commas (default: %(default)s); those but the first "
        "are fitted on mosaics and may cost the order of places in one object, so run `evaluate` before and after",
    )


def _add_arguments(parser: argparse.ArgumentParser, pictures: str) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="name or folder; its checkpoint.json is changed")
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument("--split", default="train", type=split_argument, help=f"train, val or test: {pictures}")
    parser.add_argument("--images", type=Path, default=None, help="folder or zip of the pictures of WSOL metadata")
    add_checkpoints_folder_argument(parser)
    add_device_argument(parser)
