"""Every setting of a fine-tune, declared once: its default, its rule, and what people read of it.

A setting is a field of a frozen dataclass, and its `Setting` lies in the field's metadata. From that one place come

    the check when a configuration is made      an `InputError` that names the setting
    JSON and back                               `to_json`, `from_json`: run.json, checkpoint.json
    the options of the command line             `settings_of(kind)` in `bsig.cli.finetune`
    the fields of the form                      `settings_of(kind)` in `bsig.ui.screens.finetune.fields`

They are dataclasses, not pydantic models: code gives them by position, replaces and compares them as plain values, and
each refusal is one sentence of this project. Pydantic reads them from JSON, where types are not known yet.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError

from bsig.inputs.errors import InputError
from bsig.model.backbones import DEFAULT_BACKBONE
from bsig.model.dual_branch import BranchKind

Kind = TypeVar("Kind")
LARGEST_SEED = 2**31 - 1


# Declaring a setting.


@dataclass(frozen=True)
class Setting:
    """What people read of a setting, and the rule that its values keep.

    Attributes:
        label: of its field in a form.
        help: a few words on what it does.
        at_least, above, at_most, below: bounds of a number; None for no bound on that side.
        choices: value -> its words in a form; empty where the value is free.
        name: in sentences, and of the command line's value; empty for the field's own name.
        option: of the command line; empty for the one made of `name`, None where the command line does not offer it.
        metavar: of the option's value in the help.
        empty: what no value means, in words; empty where there must be one.
        kind: `int`, `float`, `bool` or `str`, filled in from the field's annotation by `settings_of`.
    """

    label: str
    help: str
    at_least: int | float | None = None
    above: int | float | None = None
    at_most: int | float | None = None
    below: int | float | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    option: str | None = ""
    metavar: str | None = None
    empty: str = ""
    kind: type = str

    @property
    def rule(self) -> str:
        """The rule as the end of a sentence; empty where any value will do."""
        if self.choices:
            return f"must be {' or '.join(repr(value) for value in self.choices)}"
        if self.at_least is not None and self.at_most is not None:
            return f"must be from {_plain(self.at_least)} to {_plain(self.at_most)}"
        bounds = {"at least": self.at_least, "above": self.above, "at most": self.at_most, "below": self.below}
        words = [f"{word} {_plain(bound)}" for word, bound in bounds.items() if bound is not None]
        if self.kind is float and self.at_most is None and self.below is None:
            words.append("finite")
        return f"must be {' and '.join(words)}"

    def check(self, value: Any) -> None:
        """Refuses a value that breaks the rule.

        Raises:
            InputError: the sentence names the setting and its rule.
        """
        if (value is None and self.empty) or not self._has_rule:
            return
        if not self._holds(value):
            raise InputError(f"`{self.name}` (={value}) {self.rule}.")

    def read(self, raw: Any) -> Any:
        """The value of a form's field: a whole number where one is needed, None for an emptied one that may be empty.

        Raises:
            InputError: no number, no whole number, or a value that breaks the rule.
        """
        if raw is None or raw == "":
            if self.empty:
                return None
            raise InputError(f"`{self.name}` (={raw}) must be given; fill it in.")
        if self.kind in (int, float):
            if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
                raise InputError(f"`{self.name}` (={raw}) must be a number; fill it in.")
            if self.kind is int and raw != int(raw):
                raise InputError(f"`{self.name}` (={raw}) must be a whole number.")
            raw = self.kind(raw)
        self.check(raw)
        return raw

    @property
    def _has_rule(self) -> bool:
        return self.kind in (int, float) or bool(self.choices)

    def _holds(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        numbers = (int,) if self.kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, numbers) or not math.isfinite(value):
            return False
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )


def _plain(bound: int | float) -> str:
    return str(int(bound)) if bound == int(bound) else f"{bound:g}"


def _about(label: str, text: str, **details: Any) -> dict[str, Setting]:
    """The metadata of a field that is a setting."""
    return {"setting": Setting(label, text, **details)}


@lru_cache(maxsize=64)
def settings_of(kind: Any) -> Mapping[str, Setting]:
    """The settings of a configuration class by field name, in order; parts that are configurations are left out."""
    hints = get_type_hints(kind)
    settings = {}
    for each in fields(kind):
        if "setting" in each.metadata:
            setting: Setting = each.metadata["setting"]
            name = setting.name or each.name
            option = f"--{name.replace('_', '-')}" if setting.option == "" else setting.option
            settings[each.name] = replace(setting, name=name, option=option, kind=_plain_kind(hints[each.name]))
    return MappingProxyType(settings)


def _plain_kind(hint: Any) -> type:
    """`int` of `int | None`, `str` of `Literal["full", "shift"]`."""
    options = [each for each in get_args(hint) or (hint,) if each is not type(None)]
    return options[0] if isinstance(options[0], type) else type(options[0])


class _Checked:
    """Checks every setting of a configuration where it is made."""

    # An entry that this version does not know cannot be honoured: it is refused, never dropped.
    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for name, setting in settings_of(kind).items():
            setting.check(getattr(self, name))


# The configurations.


@dataclass(frozen=True)
class TrainingConfig(_Checked):
    """Settings of one training of a sigmoid branch; the defaults are the published code's where it has one.

    Attributes:
        branch: `full` (cloned head) or `shift` (one fitted vector and bias).
        epochs: passes over the pictures; each takes one view of each, in turn.
        learning_rate: of SGD with Nesterov momentum, at the start.
        schedule: `cosine` to zero over all steps, or `constant`.
        batch_size: pictures a step.
        weight_decay: L2 on what is trained (for `shift`: on the shift alone).
        positive_weight: of the one positive class; None for class-balanced, C - 1.
        stay_near_softmax: weight of `sum (W - W0 - 1 v^T)^2`, v the mean row of `W - W0`: the shared shift is free,
            the rest is held to the softmax head. 0 is the paper.
        initialisation: `clone` of the softmax head or `fresh` zeros (full branch only).
        seed: of the order of the pictures.
    """

    branch: BranchKind = field(
        default="full",
        metadata=_about(
            "Branch",
            "The shift learns one vector and one number for all classes; the clone every weight.",
            choices={"full": "Full clone of the head", "shift": "Fitted shift"},
        ),
    )
    epochs: int = field(default=3, metadata=_about("Epochs", "Passes over the data.", at_least=1, at_most=10_000))
    learning_rate: float = field(
        default=0.03,
        metadata=_about("Learning rate", "0.03 as published; more moves zero further.", above=0, below=100),
    )
    schedule: Literal["cosine", "constant"] = field(
        default="cosine",
        metadata=_about(
            "Schedule",
            "Of the learning rate; cosine falls to 0.",
            choices={"cosine": "cosine", "constant": "constant"},
        ),
    )
    batch_size: int = field(default=32, metadata=_about("Batch size", "Pictures a step.", at_least=1, at_most=65_536))
    momentum: float = field(
        default=0.9, metadata=_about("Momentum", "Of each step before.", at_least=0, below=1, option=None)
    )
    weight_decay: float = field(default=5e-4, metadata=_about("Weight decay", "Pull towards 0.", at_least=0, below=1))
    positive_weight: float | None = field(
        default=None,
        metadata=_about(
            "Positive weight", "Of the right class; empty: balanced.", above=0, below=1e9, empty="classes - 1"
        ),
    )
    stay_near_softmax: float = field(
        default=0.0,
        metadata=_about(
            "Stay near softmax", "Penalty on what is not a shift shared by all classes.", at_least=0, below=1e6
        ),
    )
    initialisation: Literal["clone", "fresh"] = field(
        default="clone",
        metadata=_about(
            "Initialisation", "The softmax head's copy, or zeros.", choices={"clone": "clone", "fresh": "fresh"}
        ),
    )
    seed: int = field(default=0, metadata=_about("Seed", "The same gives the same.", at_least=0, at_most=LARGEST_SEED))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.initialisation == "fresh" and self.branch != "full":
            raise InputError(
                f"`initialisation` (={self.initialisation}) must be 'clone', or 'fresh' for a full branch."
            )


@dataclass(frozen=True)
class SoftmaxHeadConfig(_Checked):
    """Settings of the "vanilla" softmax head that a new label set needs first."""

    epochs: int = field(
        default=100,
        metadata=_about(
            "Epochs of the softmax head", "Passes over the data.", at_least=1, at_most=10_000, name="softmax_epochs"
        ),
    )
    learning_rate: float = field(
        default=0.03,
        metadata=_about(
            "Learning rate of the softmax head", "At the start.", above=0, below=100, name="softmax_learning_rate"
        ),
    )
    weight_decay: float = field(
        default=5e-4,
        metadata=_about(
            "Weight decay of the softmax head",
            "Pull towards 0.",
            at_least=0,
            below=1,
            name="softmax_weight_decay",
            option=None,
        ),
    )


@dataclass(frozen=True)
class Views(_Checked):
    """How many versions of each picture are encoded, and how they differ.

    The first view is the evaluation crop. Every further one is a random part of the picture (`smallest_area` to all of
    its area, sides 3:4 to 4:3) resized to the input, flipped every second time; drawn from `seed`, sample and view.
    """

    count: int = field(
        default=1, metadata=_about("Views", "Cuts of each picture; one an epoch.", at_least=1, name="views")
    )
    smallest_area: float = field(
        default=0.35,
        metadata=_about(
            "Smallest area", "Share of the picture that a random cut keeps.", above=0, at_most=1, option=None
        ),
    )
    seed: int = field(
        default=0,
        metadata=_about(
            "Seed of the views", "Draws the cuts.", at_least=0, at_most=LARGEST_SEED, name="views_seed", option=None
        ),
    )


ONE_VIEW = Views()


@dataclass(frozen=True)
class FlatShiftConfig(_Checked):
    """Settings of a flat shift (`bsig.training.closed_form.flat_shift`).

    Attributes:
        ridge: share of the mean within-picture variance that is added to every channel's.
        absent_area: share of the cells on which a class that is not there may stay positive.
        seed: of the cells and absent classes that fix the level.
    """

    ridge: float = field(
        default=0.3,
        metadata=_about("Ridge", "Share of the variance that is added to every channel's.", above=0, option=None),
    )
    absent_area: float = field(
        default=0.1,
        metadata=_about(
            "Absent area",
            "Fit the flattest shift that leaves absent classes positive on this share of the cells, e.g. 0.1: all of a "
            "shift branch, the start of a full one.",
            at_least=0,
            below=1,
            option="--flat-shift",
            metavar="AREA",
        ),
    )
    seed: int = field(
        default=0,
        metadata=_about(
            "Seed of the flat shift",
            "Draws cells and classes.",
            at_least=0,
            at_most=LARGEST_SEED,
            name="flat_shift_seed",
            option=None,
        ),
    )


@dataclass(frozen=True)
class DampingConfig(_Checked):
    """Settings of a damping (`bsig.training.closed_form.damping`).

    Attributes:
        strength: of the wish for flatness within likely pictures; 0 changes nothing.
        pictures: how many (views of) pictures a class is damped on.
        temper: their weights are the class's probability to this power.
        most_pictures: of a larger set so many are read.
    """

    strength: float = field(
        default=20.0,
        metadata=_about(
            "Damping",
            "Damp what a full branch learned where its class is likely, e.g. 20: more of the order of places stays.",
            at_least=0,
            option="--damp",
            metavar="STRENGTH",
        ),
    )
    pictures: int = field(
        default=16,
        metadata=_about(
            "Pictures a class", "On which a class is damped.", at_least=1, name="damping_pictures", option=None
        ),
    )
    temper: float = field(
        default=0.25, metadata=_about("Temper", "Power of the class's probability.", at_least=0, option=None)
    )
    most_pictures: int = field(
        default=4000, metadata=_about("Most pictures", "Of a larger set so many are read.", at_least=1, option=None)
    )


@dataclass(frozen=True)
class EncodingConfig(_Checked):
    """How pictures are fed to the encoder; no setting changes features by more than rounding.

    Attributes:
        batch_size: pictures a forward pass; None for 16 on a CPU and 128 elsewhere.
        workers: threads that decode; None for one a core, at most 8.
    """

    batch_size: int | None = field(
        default=None,
        metadata=_about(
            "Pictures a forward pass",
            "Of the encoder.",
            at_least=1,
            at_most=65_536,
            name="encoding_batch_size",
            option=None,
            empty="16 on a CPU, 128 elsewhere",
        ),
    )
    workers: int | None = field(
        default=None,
        metadata=_about("Workers", "Threads that decode.", at_least=1, at_most=256, empty="one a core, at most 8"),
    )

    def batch_size_on(self, device: torch.device) -> int:
        """Pictures a forward pass there. On a CPU small, so that stopping takes well under a second."""
        return self.batch_size or (16 if device.type == "cpu" else 128)

    def threads(self) -> int:
        """Threads that decode."""
        return self.workers or min(8, os.cpu_count() or 1)


DEFAULT_ENCODING = EncodingConfig()


@dataclass(frozen=True)
class FinetuneConfig(_Checked):
    """One fine-tune, from start model to file.

    Attributes:
        backbone: a timm name; its published head is the softmax branch unless `softmax_head` is set.
        start_from: a checkpoint whose softmax branch (and encoder) is taken instead.
        softmax_head: fit a new softmax head on the data's own classes first.
        half_precision: store the sigmoid head as float16.
        flat_shift: fit the flattest shift: a `shift` branch is that and nothing more, a `full` one is trained from it.
        damping: damp a trained `full` branch's change where a class is likely.
        encode_every_step: no features are kept; the encoder runs at every step on a fresh random crop of each picture,
            like the published code (`views` plays no part).
        encoding: how the pictures are fed to the encoder.
    """

    backbone: str = field(default=DEFAULT_BACKBONE, metadata=_about("Backbone", "timm name"))
    start_from: str | None = field(
        default=None,
        metadata=_about(
            "Start from", "Checkpoint whose softmax branch to take.", option="--from", empty="the backbone"
        ),
    )
    softmax_head: SoftmaxHeadConfig | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)
    views: Views = ONE_VIEW
    device: str = field(default="cpu", metadata=_about("Device", "auto, cpu, cuda or mps"))
    half_precision: bool = field(default=False, metadata=_about("Half precision", "Store the sigmoid head as float16."))
    flat_shift: FlatShiftConfig | None = None
    damping: DampingConfig | None = None
    encode_every_step: bool = field(
        default=False,
        metadata=_about(
            "Encode at every step",
            "Run the encoder at every step on fresh random crops; keeps no features.",
            option="--no-cache",
        ),
    )
    encoding: EncodingConfig = DEFAULT_ENCODING

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.damping and self.training.branch != "full":
            raise InputError(
                f"`damping` needs a full branch, not `branch` (={self.training.branch}): a shift has no row of its own "
                "for each class."
            )


# JSON.


def to_json(config: Any) -> dict[str, Any]:
    """Returns the configuration as entries of JSON."""
    return asdict(config)


def from_json(kind: type[Kind], entries: Any) -> Kind:
    """Returns the configuration (any dataclass) that `to_json` gave these entries of; entries left out are defaults.

    Raises:
        InputError: an entry is unknown, missing, of another type, or breaks its rule; the sentence names it.
    """
    try:
        # As JSON: in strict mode a dictionary in Python is no dataclass.
        return TypeAdapter(kind).validate_json(json.dumps(entries), strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            raise cause from None
        name = ".".join(str(part) for part in problem["loc"]) or kind.__name__
        raise InputError(f"`{name}` (={problem['input']!r:.80}): {problem['msg']}.") from None
