"""The settings of an evaluation, declared once.

    config = EvaluationConfig(methods=("cam", "grad-cam"), limit=200)
    config.to_arguments()     the options of `python -m bsig evaluate` that ask for the same, for a job of its own
    config.to_json()          what results keep of it

Each field carries its help, its least value, and how it is read from and written as text. The command line, the jobs of
the app and the results take all of them from here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any

from bsig.explain.names import METHODS, READINGS, WEIGHTS
from bsig.inputs.datasets.classes import class_map_from
from bsig.inputs.errors import InputError

ABSENT_FROM = ("model", "data")
NEEDS_OTHER_CLASS = "pairwise"
FURTHER_READINGS = ("competition", "cell-log-odds", "finer", "probability-gradient")
"""Readings that are measured where they are asked for: each adds maps to search. The others of one class, which add a
number to a map or look through a window, are columns of every table."""
RESAMPLES = 1000


def names_from(text: str) -> tuple[str, ...]:
    """The names between commas, without blanks around them."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def text_of_class_map(class_map: Mapping[str, str]) -> str:
    """The inverse of `class_map_from`."""
    return ",".join(f"{left}={right}" for left, right in class_map.items())


def _setting(
    default: Any,
    about: str,
    parse: Callable[[str], Any] = int,
    write: Callable[[Any], str] = str,
    *,
    at_least: int | None = None,
) -> Any:
    """A field with its help, how it is read from and written as text, and the least number it may be."""
    metadata = {"help": about, "read": parse, "write": write, "at_least": at_least}
    return field(default_factory=lambda: copy(default), metadata=metadata)


@dataclass(frozen=True)
class EvaluationConfig:
    """What is measured, how often and with which draws: the fields say it.

    Raises:
        InputError: a number is too small, or a list names nothing or what is not known.
    """

    methods: tuple[str, ...] = _setting(("cam",), f"some of {', '.join(METHODS)}, with commas", names_from, ",".join)
    weights: tuple[str, ...] = _setting(("signed",), f"some of {', '.join(WEIGHTS)}, with commas", names_from, ",".join)
    readings: tuple[str, ...] = _setting(
        (), f"further columns: some of {', '.join(FURTHER_READINGS)}, with commas", names_from, ",".join
    )
    class_map: dict[str, str] = _setting(  # noqa: RUF009  a copy for each
        {},
        "data class=model class, with commas, where names do not match; or a JSON file",
        class_map_from,
        text_of_class_map,
    )
    limit: int | None = _setting(None, "only so many pictures, drawn over the whole split", at_least=1)
    absent_from: str = _setting("model", f"whose classes are asked for: {' or '.join(ABSENT_FROM)}", str)
    # Fewer where the model or the data set has fewer.
    absent_per_image: int = _setting(10, "absent classes asked of each picture", at_least=1)
    # Other classes of the data set, which are more like the picture's own; fewer where it has fewer.
    siblings_per_image: int = _setting(10, "absent classes of the data set asked of each picture", at_least=0)
    # Among those that softmax gets right; each costs some 40 forward passes a map.
    faithfulness: int = _setting(0, "pictures for deletion, ROAD, ...; slow", at_least=0)
    faithfulness_methods: tuple[str, ...] | None = _setting(
        None, "whose maps are scored on them, with commas; all methods where left out", names_from, ",".join
    )
    # A forward pass a map: maps of the picture's own class by the methods that faithfulness is measured of.
    drop_pictures: int = _setting(0, "pictures for average drop and increase in confidence alone", at_least=0)
    mosaics: int = _setting(150, "2 x 2 mosaics of the grid pointing game; 0 for none", at_least=0)
    resamples: int = _setting(RESAMPLES, "draws of the intervals", at_least=1)
    seed: int = _setting(0, "of absent classes, mosaics, draws and --limit", at_least=0)
    batch_size: int = _setting(32, "pictures a forward pass", at_least=1)

    def __post_init__(self) -> None:
        for setting in fields(self):
            value, least = getattr(self, setting.name), setting.metadata["at_least"]
            if least is not None and value is not None and value < least:
                unit = " picture" if setting.name == "limit" else ""
                raise InputError(f"`{setting.name}` (={value}) must be at least {least}{unit}.")
        if not self.methods or not self.weights:
            raise InputError("`methods` and `weights` must each name at least one, e.g. 'cam' and 'signed'.")
        if self.absent_from not in ABSENT_FROM:
            raise InputError(f"`absent_from` (='{self.absent_from}') must be one of {', '.join(ABSENT_FROM)}.")
        if NEEDS_OTHER_CLASS in self.readings:
            raise InputError(
                f"`readings` (='{NEEDS_OTHER_CLASS}') compares two classes, and labels name no class B of 'why A and "
                "not B'; leave it out."
            )
        for key in self.readings:
            if key not in FURTHER_READINGS:
                known = " is a column of every table already, and" if key in READINGS else ""
                raise InputError(f"`readings` (='{key[:60]}'){known} must be among {', '.join(FURTHER_READINGS)}.")
        for name, key in (("methods", "cam"), ("weights", "signed")):
            if self.readings and key not in getattr(self, name):
                raise InputError(
                    f"`readings` (='{', '.join(self.readings)}') are of signed CAM, and `{name}` "
                    f"(='{', '.join(getattr(self, name))}') lacks '{key}'; add it there."
                )
        strangers = set(self.faithfulness_methods or ()) - set(self.methods)
        if strangers:
            raise InputError(
                f"`faithfulness_methods` (='{', '.join(sorted(strangers))}') must be among `methods` "
                f"(='{', '.join(self.methods)}'); add it there."
            )

    def to_json(self) -> dict[str, Any]:
        """All settings, ready for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def to_arguments(self) -> list[str]:
        """The options that ask for the same on the command line; those at their default are left out.

        Raises:
            InputError: a name holds a comma or an equals sign, which the command line takes for its own.
        """
        default = EvaluationConfig()
        arguments = []
        for setting in fields(self):
            value = getattr(self, setting.name)
            if value == getattr(default, setting.name):
                continue
            text = setting.metadata["write"](value)
            if not _is_read_back(setting, text, value):
                raise InputError(f"`{setting.name}` (='{text}') must hold no comma and no '=' in a name; rename it.")
            arguments.append(f"{_option(setting)}={text}")
        return arguments

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Adds an option for each setting."""
        default = EvaluationConfig()
        for setting in fields(EvaluationConfig):
            value, is_number = getattr(default, setting.name), setting.metadata["read"] is int
            parser.add_argument(
                _option(setting),
                type=int if is_number else str,
                default=value if is_number or value is None else setting.metadata["write"](value),
                help=setting.metadata["help"],
            )

    @staticmethod
    def from_arguments(options: argparse.Namespace) -> EvaluationConfig:
        """The settings of a parsed command line.

        Raises:
            InputError: a setting breaks its rule.
        """
        values = {}
        for setting in fields(EvaluationConfig):
            value = getattr(options, setting.name)
            values[setting.name] = setting.metadata["read"](value) if isinstance(value, str) else value
        return EvaluationConfig(**values)


def _is_read_back(setting: Field[Any], text: str, value: Any) -> bool:
    try:
        return setting.metadata["read"](text) == value
    except InputError:
        return False


def _option(setting: Field[Any]) -> str:
    return "--" + setting.name.replace("_", "-")
