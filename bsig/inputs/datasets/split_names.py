"""The usual names of a split, in any case -> `train`, `val` or `test`."""

from __future__ import annotations

import argparse
import re

NAMES_OF_SPLIT = {
    "train": ("train", "training", "trn", "tr"),
    "val": ("val", "valid", "validation", "validate", "dev", "devel", "development"),
    "test": ("test", "testing", "tst"),
}
SPLIT_OF_NAME = {name: split for split, names in NAMES_OF_SPLIT.items() for name in names}
NOTHING = "none"
"""No split: nothing is held out."""
WHOLE_NAME = re.compile(r"(?P<name>[a-z]+)(?:[ _-]?(?:set|split|data|images|imgs))?")


def split_named(name: str) -> str | None:
    """The split that a folder, a cell or an option names: 'Valid', 'dev' and 'validation_set' are all `val`."""
    match = WHOLE_NAME.fullmatch(name.strip().casefold())
    return SPLIT_OF_NAME.get(match["name"]) if match else None


def split_argument(text: str) -> str:
    """The split that an option names, for argparse."""
    split = split_named(text)
    if split is None:
        raise argparse.ArgumentTypeError(f"'{text}' must be train, val or test")
    return split
