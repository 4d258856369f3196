"""The settings of an evaluation, declared once.

    config = EvaluationConfig(methods=("cam", "grad-cam"), limit=200)
    config.to_arguments()     the options of `python -m bsig evaluate` that ask for the same, for a job of its own
    config.to_json()          what results keep of it

Each field carries its help and how it is read from and written as text. The command line, the jobs of the app and the
results take all of them from here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any

from bsig.evaluation.metrics.intervals import RESAMPLES
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.inputs.errors import InputError

ABSENT_FROM = ("model", "data")
AT_LEAST = {
    "absent_per_image": 1, "mosaics": 0, "faithfulness": 0, "limit": 1, "resamples": 1, "seed": 0, "batch_size": 1,
}  # fmt: skip


def names_from(text: str) -> tuple[str, ...]:
    """The names between commas, without blanks around them."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def class_map_from(text: str) -> dict[str, str]:
    """Pairs like `airplane=404` between commas, as a dictionary.

    Raises:
        InputError: a part is no such pair.
    """
    pairs = [name.partition("=") for name in names_from(text)]
    if not all(left and sign and right for left, sign, right in pairs):
        raise InputError(f"`--class-map` (='{text}') must be pairs like airplane=404 with commas between.")
    return {left.strip(): right.strip() for left, _, right in pairs}


def text_of_class_map(class_map: Mapping[str, str]) -> str:
    """The inverse of `class_map_from`."""
    return ",".join(f"{left}={right}" for left, right in class_map.items())


def _text(help_text: str, read: Callable[[str], Any] = int, write: Callable[[Any], str] = str) -> dict[str, Any]:
    """The metadata of a setting: its help, and how it is read from and written as text."""
    return {"help": help_text, "read": read, "write": write}


@dataclass(frozen=True)
class EvaluationConfig:
    """What is measured, how often and with which draws.

    Attributes:
        methods: keys of `CAM_METHODS`, without Score-CAM.
        weights: keys of `TREATMENTS`.
        absent_per_image: classes asked for that are not the picture's; fewer where the model has fewer.
        absent_from: `model` draws them from all classes of the model, `data` only from those of the data set.
        mosaics: of the grid pointing game; 0 leaves it out.
        faithfulness: pictures to score insertion, deletion, ROAD, drop and increase on, among those that softmax gets
            right; each costs some 40 forward passes a map. 0 leaves it out.
        faithfulness_methods: which methods' maps are scored on them; None for all.
        limit: only so many pictures, drawn over the whole split; None for all.
        class_map: class of the data set -> class of the model (name, id or index), where names do not match.
        resamples: draws of the intervals.
        seed: of absent classes, mosaics, draws and `limit`.
        batch_size: pictures a forward pass.

    Raises:
        InputError: a number is too small, or a list names nothing or what is not known.
    """

    methods: tuple[str, ...] = field(
        default=("cam",), metadata=_text(f"some of {', '.join(CAM_METHODS)}, with commas", names_from, ",".join)
    )
    weights: tuple[str, ...] = field(
        default=("signed",), metadata=_text(f"some of {', '.join(TREATMENTS)}, with commas", names_from, ",".join)
    )
    class_map: dict[str, str] = field(
        default_factory=dict,
        metadata=_text(
            "data class=model class, with commas, where names do not match", class_map_from, text_of_class_map
        ),
    )
    limit: int | None = field(default=None, metadata=_text("only so many pictures, drawn over the whole split"))
    absent_from: str = field(
        default="model", metadata=_text(f"whose classes are asked for: {' or '.join(ABSENT_FROM)}", str)
    )
    absent_per_image: int = field(default=10, metadata=_text("absent classes asked of each picture"))
    faithfulness: int = field(default=0, metadata=_text("pictures for deletion, ROAD, ...; slow"))
    faithfulness_methods: tuple[str, ...] | None = field(
        default=None,
        metadata=_text("whose maps are scored on them, with commas; all methods where left out", names_from, ",".join),
    )
    mosaics: int = field(default=150, metadata=_text("2 x 2 mosaics of the grid pointing game; 0 for none"))
    resamples: int = field(default=RESAMPLES, metadata=_text("draws of the intervals"))
    seed: int = field(default=0, metadata=_text("of absent classes, mosaics, draws and --limit"))
    batch_size: int = field(default=32, metadata=_text("pictures a forward pass"))

    def __post_init__(self) -> None:
        for name, least in AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                unit = " picture" if name == "limit" else ""
                raise InputError(f"`{name}` (={value}) must be at least {least}{unit}.")
        if not self.methods or not self.weights:
            raise InputError("`methods` and `weights` must each name at least one, e.g. 'cam' and 'signed'.")
        if self.absent_from not in ABSENT_FROM:
            raise InputError(f"`absent_from` (='{self.absent_from}') must be one of {', '.join(ABSENT_FROM)}.")
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
        texts = {setting.name: getattr(options, setting.name) for setting in fields(EvaluationConfig)}
        readers = {setting.name: setting.metadata["read"] for setting in fields(EvaluationConfig)}
        return EvaluationConfig(
            **{name: readers[name](text) if isinstance(text, str) else text for name, text in texts.items()}
        )


def _is_read_back(setting: Field[Any], text: str, value: Any) -> bool:
    try:
        return setting.metadata["read"](text) == value
    except InputError:
        return False


def _option(setting: Field[Any]) -> str:
    return "--" + setting.name.replace("_", "-")
