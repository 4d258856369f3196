"""The arguments of `doctor`."""

from __future__ import annotations

import argparse

from bsig.cli.arguments.shared import add_checkpoints_folder_argument, add_device_argument
from bsig.explain.names import BRANCHES, METHODS, WEIGHTS
from bsig.model.checkpoints.names import LAST


def add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `doctor`."""
    parser.add_argument("model", metavar="MODEL", help="checkpoint name or folder, timm name, or hf:owner/repo")
    parser.add_argument("image", metavar="IMAGE", help="picture file")
    parser.add_argument("--class", dest="class_name", default=None, help="class name, id or index (default: predicted)")
    parser.add_argument("--method", default=None, help=f"{', '.join(METHODS)} (default: the model's own)")
    parser.add_argument("--weights", default="signed", help=f"treatment of negative weights: {', '.join(WEIGHTS)}")
    parser.add_argument("--branch", default="softmax", help=f"whose map: {' or '.join(BRANCHES)}")
    parser.add_argument("--layer", default=LAST, help="of a timm name: last, stride16, stride8, or a layer's name")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_checkpoints_folder_argument(parser)
    add_device_argument(parser)
