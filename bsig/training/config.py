"""Every setting of a fine-tune, declared once: its default, its rule, and the words that people read.

A setting is a field of a frozen dataclass, and its `Setting` lies in the field's metadata. From that one place come

    the check when a configuration is made      an `InputError` that names the setting
    JSON and back                               `dataclasses.asdict`, `from_json`: run.json, checkpoint.json
    the options of the command line             `settings_of(kind)` in `bsig.cli.arguments.finetune`
    the fields of the form                      `settings_of(kind)` in `bsig.ui.screens.finetune.fields`
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, replace
from functools import cache
from typing import Any, ClassVar, Literal, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bsig.inputs.decoding import decoding_threads
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.names import DEFAULT_BACKBONE, BranchKind

Kind = TypeVar("Kind")
SEEDS: dict[str, Any] = {"at_least": 0, "at_most": 2**31 - 1}
COMPARISONS = {"at_least": operator.ge, "above": operator.gt, "at_most": operator.le, "below": operator.lt}


# Declaring a setting.


@dataclass(frozen=True)
class Setting:
    """The words of a setting, and the rule that its values keep.

    Attributes:
        label: of its field in a form.
        help: a few words on what it does.
        kind: `int`, `float`, `bool` or `str`.
        bounds: of a number: `at_least`, `above`, `at_most`, `below`.
        choices: value -> its words in a form; empty where the value is free.
        name: in sentences, and of the command line's value; empty for the field's own name.
        option: of the command line; empty for the one made of `name`, None where the command line does not offer it.
        metavar: of the option's value in the help.
        empty: what no value means, in words; empty where there must be one.
    """

    label: str
    help: str
    kind: type
    bounds: Mapping[str, int]
    choices: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    option: str | None = ""
    metavar: str | None = None
    empty: str = ""

    def check(self, value: Any) -> None:
        """Refuses a value that breaks the rule.

        Raises:
            InputError: the sentence names the setting and its rule.
        """
        if value is None and self.empty:
            return
        if self.choices:
            is_allowed = value in self.choices
        elif self.kind in (int, float):
            is_number = isinstance(value, (int, self.kind)) and not isinstance(value, bool) and math.isfinite(value)
            is_allowed = is_number and all(COMPARISONS[side](value, bound) for side, bound in self.bounds.items())
        else:
            is_allowed = True
        if not is_allowed:
            raise InputError(f"`{self.name}` (={value}) must be {self._rule()}.")

    def _rule(self) -> str:
        """Returns the rule as the end of a sentence."""
        if self.choices:
            return " or ".join(map(repr, self.choices))
        if "at_least" in self.bounds and "at_most" in self.bounds:
            return f"from {self.bounds['at_least']} to {self.bounds['at_most']}"
        words = [f"{side.replace('_', ' ')} {bound}" for side, bound in self.bounds.items()]
        if self.kind is float and not {"at_most", "below"} & self.bounds.keys():
            words.append("finite")
        return " and ".join(words)

    def read(self, raw: Any) -> Any:
        """Returns the value of a form's field: a whole number where one is needed, None for an emptied field.

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


def _setting(default: Any, label: str, text: str, *, kind: type | None = None, **details: Any) -> Any:
    """Returns a field that is a setting; its kind is that of the default where no other is given."""
    bounds = {side: details.pop(side) for side in COMPARISONS if side in details}
    setting = Setting(label, text, kind or type(default), bounds, **details)
    return field(default=default, metadata={"setting": setting})


class _Checked:
    """Checks every setting of a configuration where it is made."""

    # An entry that this version does not know cannot be honoured: it is refused, never dropped.
    __pydantic_config__ = ConfigDict(extra="forbid")
    settings: ClassVar[dict[str, Setting]]

    def __init_subclass__(cls) -> None:
        cls.settings = {}
        for field_name, value in vars(cls).items():
            if setting := isinstance(value, Field) and value.metadata.get("setting"):
                name = setting.name or field_name
                option = f"--{name.replace('_', '-')}" if setting.option == "" else setting.option
                cls.settings[field_name] = replace(setting, name=name, option=option)

    def __post_init__(self) -> None:
        for name, setting in self.settings.items():
            setting.check(getattr(self, name))


def settings_of(kind: type[_Checked]) -> Mapping[str, Setting]:
    """Returns the settings of a configuration class by field name, in order, without the configurations in it."""
    return kind.settings


# The configurations.


@dataclass(frozen=True)
class TrainingConfig(_Checked):
    """Settings of one training of a sigmoid branch; the defaults are the published code's where it has one.

    Attributes:
        learning_rate: of SGD with Nesterov momentum, at the start.
        weight_decay: L2 on the trained weights (for `shift`: on the shift alone).
        positive_weight: of the one positive class; None for class-balanced, C - 1.
        stay_near_softmax: weight of `sum (W - W0 - 1 v^T)^2`, v the mean row of `W - W0`: the shared shift is free,
            the rest is held to the softmax head. 0 is the paper.
        initialisation: `clone` of the softmax head or `fresh` zeros (full branch only).
        seed: of the order of the pictures.
    """

    branch: BranchKind = _setting(  # noqa: RUF009  an immutable field
        "full", "Branch", "The shift learns one vector and one number for all classes; the clone every weight.",
        choices={"full": "Full clone of the head", "shift": "Fitted shift"},
    )  # fmt: skip
    epochs: int = _setting(3, "Epochs", "Passes over the data.", at_least=1, at_most=10_000)
    learning_rate: float = _setting(
        0.03, "Learning rate", "0.03 as published; more moves zero further.", above=0, below=100
    )
    schedule: Literal["cosine", "constant"] = _setting(
        "cosine", "Schedule", "Of the learning rate; cosine falls to 0.",
        choices={"cosine": "cosine", "constant": "constant"},
    )  # fmt: skip
    batch_size: int = _setting(32, "Batch size", "Pictures a step.", at_least=1, at_most=65_536)
    momentum: float = _setting(0.9, "Momentum", "Of each step before.", at_least=0, below=1, option=None)
    weight_decay: float = _setting(5e-4, "Weight decay", "Pull towards 0.", at_least=0, below=1)
    positive_weight: float | None = _setting(
        None, "Positive weight", "Of the right class; empty: balanced.",
        kind=float, above=0, below=10**9, empty="classes - 1",
    )  # fmt: skip
    stay_near_softmax: float = _setting(
        0.0, "Stay near softmax", "Penalty on what is not a shift shared by all classes.", at_least=0, below=10**6
    )
    initialisation: Literal["clone", "fresh"] = _setting(
        "clone", "Initialisation", "The softmax head's copy, or zeros.", choices={"clone": "clone", "fresh": "fresh"}
    )
    seed: int = _setting(0, "Seed", "The same gives the same.", **SEEDS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.initialisation == "fresh" and self.branch != "full":
            raise InputError("`initialisation` (=fresh) must be 'clone', or 'fresh' for a full branch.")


@dataclass(frozen=True)
class SoftmaxHeadConfig(_Checked):
    """Settings of the "vanilla" softmax head that a new label set needs first."""

    epochs: int = _setting(
        100, "Epochs of the softmax head", "Passes over the data.", at_least=1, at_most=10_000, name="softmax_epochs"
    )
    learning_rate: float = _setting(
        0.03, "Learning rate of the softmax head", "At the start.", above=0, below=100, name="softmax_learning_rate"
    )
    weight_decay: float = _setting(
        5e-4, "Weight decay of the softmax head", "Pull towards 0.",
        at_least=0, below=1, name="softmax_weight_decay", option=None,
    )  # fmt: skip


@dataclass(frozen=True)
class Views(_Checked):
    """How many versions of each picture are encoded, and how they differ.

    The first view is the evaluation crop. Every further one is a random part of the picture (`smallest_area` to all of
    its area, sides 3:4 to 4:3) resized to the input, flipped every second time; drawn from `seed`, sample and view.
    """

    count: int = _setting(1, "Views", "Cuts of each picture; one an epoch.", at_least=1, name="views")
    smallest_area: float = _setting(
        0.35, "Smallest area", "Share of the picture that a random cut keeps.", above=0, at_most=1, option=None
    )
    seed: int = _setting(0, "Seed of the views", "Draws the cuts.", **SEEDS, name="views_seed", option=None)


ONE_VIEW = Views()


@dataclass(frozen=True)
class FlatShiftConfig(_Checked):
    """Settings of a flat shift (`bsig.training.closed_form.flat_shift`); the variance is that within pictures."""

    ridge: float = _setting(
        0.3, "Ridge", "Share of the variance that is added to every channel's.", above=0, option=None
    )
    absent_area: float = _setting(
        0.1, "Absent area",
        "Fit the flattest shift that leaves absent classes positive on this share of the cells, e.g. 0.1: all of a "
        "shift branch, the start of a full one.",
        at_least=0, below=1, option="--flat-shift", metavar="AREA",
    )  # fmt: skip
    seed: int = _setting(
        0, "Seed of the flat shift", "Draws cells and classes.", **SEEDS, name="flat_shift_seed", option=None
    )


@dataclass(frozen=True)
class SimilarClassesConfig(_Checked):
    """Settings of a start that is mixed with similar classes (`bsig.training.closed_form.similar_classes`)."""

    share: float = _setting(
        0.6, "Share of similar classes",
        "Start a full branch from rows that are mixed with those of similar classes, e.g. 0.6: maps cover more of "
        "their own object and less of others.",
        at_least=0, at_most=1, option="--similar-classes", metavar="SHARE",
    )  # fmt: skip
    count: int = _setting(
        20, "Similar classes", "Of each class.", at_least=1, name="similar_classes_count", option=None
    )


@dataclass(frozen=True)
class DampingConfig(_Checked):
    """Settings of a damping (`bsig.training.closed_form.damping`).

    Attributes:
        strength: of the wish for flatness within likely pictures; 0 changes nothing.
        temper: the weight of a picture is the class's probability to this power.
    """

    strength: float = _setting(
        20.0, "Damping",
        "Damp what a full branch learned where its class is likely, e.g. 20: more of the order of places stays.",
        at_least=0, option="--damp", metavar="STRENGTH",
    )  # fmt: skip
    pictures: int = _setting(
        16, "Pictures a class", "On which a class is damped.", at_least=1, name="damping_pictures", option=None
    )
    temper: float = _setting(0.25, "Temper", "Power of the class's probability.", at_least=0, option=None)
    most_pictures: int = _setting(4000, "Most pictures", "Of a larger set so many are read.", at_least=1, option=None)


@dataclass(frozen=True)
class EncodingConfig(_Checked):
    """How pictures are fed to the encoder; no setting changes features by more than rounding."""

    batch_size: int | None = _setting(
        None, "Pictures a forward pass", "Of the encoder.", kind=int, at_least=1, at_most=65_536,
        name="encoding_batch_size", option=None, empty="16 on a CPU, 128 elsewhere",
    )  # fmt: skip
    workers: int | None = _setting(
        None, "Workers", "Threads that decode.", kind=int, at_least=1, at_most=256, empty="one a core, at most 8"
    )

    def batch_size_on(self, device_type: str) -> int:
        """Returns pictures a forward pass. On a CPU few, so that stopping takes well under a second."""
        return self.batch_size or (16 if device_type == "cpu" else 128)

    def threads(self) -> int:
        """Returns how many threads decode."""
        return self.workers or decoding_threads()


DEFAULT_ENCODING = EncodingConfig()


@dataclass(frozen=True)
class FinetuneConfig(_Checked):
    """One fine-tune, from start model to file.

    Attributes:
        backbone: a timm name; its published head is the softmax branch unless `softmax_head` is set.
        start_from: a checkpoint that gives its softmax branch (and encoder) instead.
        softmax_head: fit a new softmax head on the data's own classes first.
        class_map: the start model's class (or the new head's) of classes that the data calls otherwise.
        similar_classes: start a `full` branch from rows that are mixed with those of similar classes.
        flat_shift: fit the flattest shift: a `shift` branch is that and nothing more, a `full` one is trained from it.
        damping: damp a trained `full` branch's change where a class is likely.
        encode_every_step: no features are kept; the encoder runs at every step on a fresh random crop of each picture,
            like the published code (`views` plays no part).
        calibrate: fit the branch's calibrated probability (`bsig.model.presence`) when it is trained.
    """

    backbone: str = _setting(DEFAULT_BACKBONE, "Backbone", "timm name")
    start_from: str | None = _setting(
        None, "Start from", "Checkpoint whose softmax branch to take.", kind=str, option="--from", empty="the backbone"
    )
    softmax_head: SoftmaxHeadConfig | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)
    views: Views = ONE_VIEW
    device: str = _setting("cpu", "Device", "auto, cpu, cuda or mps")
    half_precision: bool = _setting(False, "Half precision", "Store the sigmoid head as float16.")
    similar_classes: SimilarClassesConfig | None = None
    flat_shift: FlatShiftConfig | None = None
    damping: DampingConfig | None = None
    encode_every_step: bool = _setting(
        False, "Encode at every step", "Run the encoder at every step on fresh random crops; keeps no features.",
        option="--no-cache",
    )  # fmt: skip
    encoding: EncodingConfig = DEFAULT_ENCODING
    calibrate: bool = _setting(
        True, "Calibrate", "Fit how likely each class is in a picture, on pictures left out of five further trainings.",
        option="--no-calibrate",
    )  # fmt: skip
    class_map: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.similar_classes and (self.training.branch, self.training.initialisation) != ("full", "clone"):
            raise InputError(
                "`similar_classes` needs a full branch that starts as a clone, not `branch` "
                f"(={self.training.branch}) with `initialisation` (={self.training.initialisation})."
            )
        if self.damping and self.training.branch != "full":
            raise InputError(
                f"`damping` needs a full branch, not `branch` (={self.training.branch}): a shift has no row of its own "
                "for each class."
            )
        if self.encode_every_step and self.views.count > 1:
            raise InputError(
                f"`views` (={self.views.count}) have no effect with `encode_every_step`, which draws a crop of its own "
                "at every step; leave one of them out."
            )


# Kept, since a page that is redrawn twice a second reads every run.
_reader_of = cache(TypeAdapter)


def from_json(kind: type[Kind], entries: Any) -> Kind:
    """Returns the dataclass that `dataclasses.asdict` gave these entries of; entries left out are defaults.

    Raises:
        InputError: an entry is unknown, missing, of another type, or breaks its rule; the sentence names it.
    """
    try:
        # JSON is validated here: in strict mode a dictionary in Python is no dataclass.
        return cast(Kind, _reader_of(cast(Any, kind)).validate_json(json.dumps(entries), strict=True))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            raise cause from None
        name = ".".join(str(part) for part in problem["loc"]) or kind.__name__
        raise InputError(f"`{name}` (={problem['input']!r:.80}): {problem['msg']}.") from None
