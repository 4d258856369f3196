"""What several commands share: their arguments, and the refusal of a place that cannot be written."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT

# Of bsig.model.engines, which imports torch; tests/cli/test_explain.py holds them together.
ENGINES = ("torch", "onnxruntime")
DATA_HELP = "folder of class folders, index.csv or WSOL, a zip of one, or torchvision:NAME"


def add_checkpoint_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--checkpoint`, and `--checkpoints` for where names are looked up."""
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, help="name, folder or hf:owner/repo")
    add_checkpoints_folder_argument(parser)


def add_checkpoints_folder_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--checkpoints`."""
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS_FOLDER, help="folder of checkpoint folders")


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--device`."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def add_engine_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--engine`."""
    parser.add_argument(
        "--engine",
        default=ENGINES[0],
        choices=ENGINES,
        help="what runs the backbone: onnxruntime is faster on CPUs (pip install onnxruntime onnx), the same to 1e-4",
    )


@contextmanager
def written_to(option: str, path: Path, kind: str) -> Iterator[None]:
    """Runs a block that writes to an option's path, which is some kind of place.

    Raises:
        InputError: the disk refuses.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"`{option}` (='{path}') cannot be written ({error}); choose another {kind}.") from error
