"""The arguments of `evaluate` and `evaluate-shipped`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bsig.cli.arguments.shared import (
    DATA_HELP,
    add_checkpoint_argument,
    add_checkpoints_folder_argument,
    add_device_argument,
    add_engine_argument,
)
from bsig.evaluation.config import EvaluationConfig
from bsig.inputs.datasets.split_names import split_argument


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `evaluate`; those of what is measured come from `EvaluationConfig`."""
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    add_checkpoint_argument(parser)
    parser.add_argument(
        "--split", default=None, type=split_argument, help="train, val or test; default: val, else test, else all"
    )
    parser.add_argument("--images", type=Path, default=None, help="folder or zip of the pictures of WSOL metadata")
    EvaluationConfig.add_arguments(parser)
    add_device_argument(parser)
    add_engine_argument(parser)
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write, with a CSV of all rows beside it")
    parser.add_argument("--record", action="store_true", help="put the main figures into the checkpoint's own JSON")
    parser.add_argument("--progress", default="auto", choices=("auto", "lines"), help="lines: for programs")
    parser.add_argument("--nice", type=int, default=0, help="lower the priority by so much, so that others come first")


def add_evaluate_shipped_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `evaluate-shipped`."""
    parser.add_argument("--data", type=Path, required=True, help="folder that holds imagenet20, shapes5 and birds10")
    add_checkpoints_folder_argument(parser)
    parser.add_argument("--only", default=None, help="this checkpoint alone")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="signed CAM alone, without average drop and faithfulness: minutes, not hours",
    )
    add_device_argument(parser)
