"""`python -m bsig explain`: its arguments, and a look at pictures and checkpoint before torch is imported.

What follows is in `explain_pictures.py`. Nothing here imports torch, timm or NumPy before a command has passed its
arguments: help and wrong usage are answered at once, a bad picture or checkpoint in a fraction of a second.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bsig.cli.arguments.shared import add_checkpoint_argument, add_device_argument, add_engine_argument
from bsig.cli.imports import long_imports
from bsig.explain.names import METHODS, READINGS, WEIGHTS
from bsig.explain.setting_text import reading_settings_from
from bsig.inputs.errors import InputError
from bsig.inputs.names import MANIFEST, SHEET, TABLE

if TYPE_CHECKING:
    from bsig.inputs.picture_files import PictureFile

FILES = (
    "comparison.png, softmax.npy, sigmoid.npy, centred.npy (signed maps, float32), explanation.json, report.html (one "
    "page, opens offline) and card.png (a slide of 1920 x 1080)"
)
MANY = f"several pictures or classes give one folder each, {SHEET} and {TABLE}, the largest disagreement first"


def add_explain_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `explain`."""
    parser.add_argument("image", nargs="+", metavar="IMAGE", help="picture, folder of pictures, or zip of pictures")
    add_checkpoint_argument(parser)
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument("--class", dest="class_name", default=None, help="class name, id or index; else the predicted")
    classes.add_argument("--classes", default=None, metavar="A,B,C", help="several classes, with commas")
    parser.add_argument(
        "--method", default=None, help=f"CAM variant: {', '.join(METHODS)} (default: cam where it is exact)"
    )
    parser.add_argument("--weights", default="signed", help=f"treatment of negative weights: {', '.join(WEIGHTS)}")
    own = "as on the screen: the sigmoid branch's map levelled by presence where that is calibrated, softmax's plain"
    parser.add_argument(
        "--reading", default=None, help=f"what is made of the maps: {', '.join(READINGS)} (default: {own})"
    )
    parser.add_argument(
        "--reading-settings",
        default=None,
        metavar="KEY=NUMBER,...",
        help="numbers of the reading, such as lambda=2 (default: the checkpoint's own)",
    )
    parser.add_argument(
        "--other-class", default=None, help="the class B of 'why A and not B', for the reading pairwise: name or index"
    )
    parser.add_argument(
        "--finer-grid",
        action="store_true",
        help="maps of twice as many rows and columns (14 x 14 for 7 x 7), from the same weights; 2.5 times the time",
    )
    parser.add_argument("--bias", action="store_true", help="add each branch's bias: the logit of each cell alone")
    parser.add_argument("--channels", type=int, default=None, help="Score-CAM: only the strongest so many channels")
    parser.add_argument(
        "--crop-mode",
        default=None,
        choices=("center", "squash"),
        help="center: the middle of the picture; squash: the whole of it, squashed (default: the checkpoint's own)",
    )
    add_device_argument(parser)
    add_engine_argument(parser)
    parser.add_argument("--out", type=Path, default=Path("explanation"), help=f"folder to write into: {FILES}; {MANY}")
    parser.add_argument(
        "--whole-picture", action="store_true", help="also maps and overlays over the whole picture at its own size"
    )
    parser.add_argument(
        "--reports", action="store_true", help="report.html and card.png for each of several pictures too"
    )
    parser.add_argument(
        "--bundle",
        action="store_true",
        help=f"also copies of the pictures and {MANIFEST} with hashes: others compare with "
        "`python -m bsig check-bundle DIR`",
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON instead of the finding")


def run_explain(options: argparse.Namespace) -> None:
    """Explains the pictures, writes the files and prints what was found.

    Raises:
        InputError: a picture, the checkpoint or a setting cannot be used, or the folder cannot be written.
    """
    from bsig.inputs.picture_files import picture_files

    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"`--out` (='{options.out}') is a file; choose another folder.")
    check_classes("--class", options.class_name, [options.class_name])
    check_classes("--classes", options.classes, (options.classes or "").split(","))
    check_setting("method", options.method, METHODS)
    check_setting("weights", options.weights, WEIGHTS)
    check_setting("reading", options.reading, READINGS)
    reading_settings_from(options.reading_settings)
    with picture_files(options.image, reserved=(SHEET, TABLE, MANIFEST)) as files:
        if len(files.pictures) == 1:
            check_picture(files.pictures[0])
        if not options.checkpoint.startswith("hf:"):
            check_description(options.checkpoint, options.checkpoints)
        with long_imports():  # only now: torch takes seconds
            import timm  # noqa: F401  loading the checkpoint would import it

            from bsig.cli.explain_pictures import explain_pictures

        explain_pictures(options, files)


def check_setting(name: str, value: str | None, keys: tuple[str, ...]) -> None:
    """Refuses a value that is no key."""
    if value is not None and value not in keys:
        raise InputError(f"`{name}` (='{value}') must be one of {', '.join(keys)}.")


def check_classes(option: str, text: str | None, names: Sequence[str | None]) -> None:
    """Refuses an empty class name, which would stand for the prediction."""
    if text is not None and not all(name and name.strip() for name in names):
        raise InputError(f"`{option}` (='{text}') names an empty class; give its name, or leave the option out.")


def check_description(checkpoint: str, checkpoints: Path) -> None:
    """Refuses a checkpoint that is not there, or whose JSON cannot be used."""
    from bsig.model.checkpoints.description import CheckpointDescription
    from bsig.model.checkpoints.listing import checkpoint_path

    CheckpointDescription.read(checkpoint_path(checkpoint, checkpoints))


def check_picture(picture: PictureFile) -> None:
    """Refuses a picture that cannot be decoded; of several, each is refused when its turn comes."""
    from bsig.inputs.images import read_image

    read_image(picture.path, f"'{picture.name}'")
