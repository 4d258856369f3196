"""`checkpoint.json`: its schema, and how it is read.

    description = CheckpointDescription.read(folder)        description.class_names, description.backbone.name, ...
    entries = read_description(folder)                      the same as a dictionary, also what no field names

A field's `description` is its rule, as the end of a sentence; a value that breaks it is refused in that sentence.
Entries that no field names are kept: versions to come, and people, may write more.
"""

from __future__ import annotations

import contextlib
import json
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from bsig.inputs.errors import InputError
from bsig.inputs.images import CropMode, Preprocessing
from bsig.model.checkpoints.names import DESCRIPTION, LAST, TENSORS, BranchKind

if TYPE_CHECKING:  # it imports torch, and a damaged description is refused before that
    import bsig.model.backbones
    import bsig.model.presence

FORMAT_VERSION = 1
MAX_DESCRIPTION_BYTES = 16 * 2**20
MAX_CLASSES = 100_000
RELIABILITY_BINS = 10
LONGEST_NAME = 1000
DEEPEST = 40
MAX_WIDTH = 4_096
AGAIN = "copy the checkpoint again or train it again"

# A list of a million wrong names is refused at the first.
Names = Annotated[list[Annotated[str, Field(max_length=LONGEST_NAME)]], FailFast()]
GridSide = Annotated[int, Field(ge=1, lt=10_000)]
# A picture's memory follows from these two.
InputSide = Annotated[int, Field(ge=32, le=1024)]
ResizedSide = Annotated[int, Field(ge=1, le=4096)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Entries(BaseModel):
    """JSON's types are taken as they are: "1" is no number, true is no whole number. A tuple's field takes a list."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class BackboneDescription(_Entries):
    """The network that the encoder is of, and the hash by which it is known again."""

    name: str = Field(description="timm's name of the network")
    encoder_sha256: str | None = Field(None, description="the SHA-256 of the encoder")
    feature_stage: str = Field(LAST, description="text")
    global_pool: str | None = Field(None, description="text")
    grid_hw: tuple[GridSide, GridSide] | None = Field(None, strict=False, description="two whole numbers")
    model_kwargs: dict[str, Any] = Field({}, description="settings of timm's network, each a number, text or list")
    head_layers: list[str] = Field([], description="layers such as 'Linear(512, 64)'")
    projection_rows: Annotated[int, Field(ge=0, le=MAX_WIDTH)] | None = Field(
        None, description=f"a whole number up to {MAX_WIDTH}, or null for a classifier"
    )

    @field_validator("model_kwargs")
    @classmethod
    def _are_kwargs(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        if kwargs:
            from bsig.model.backbones import checked_kwargs

            checked_kwargs(kwargs)  # raises an InputError, which is a ValueError
        return kwargs

    @field_validator("head_layers")
    @classmethod
    def _are_layers(cls, layers: list[str]) -> list[str]:
        if layers:
            from bsig.model.replaced_heads import check_head_layers

            check_head_layers(layers)
        return layers

    @property
    def options(self) -> bsig.model.backbones.BackboneOptions:
        """Feature stage, pooling and further settings of the network."""
        from bsig.model.backbones import BackboneOptions, checked_kwargs

        kwargs = checked_kwargs(self.model_kwargs)
        return BackboneOptions(
            self.feature_stage, self.global_pool, kwargs, tuple(self.head_layers), self.projection_rows
        )


class PreprocessingDescription(_Entries):
    """`bsig.inputs.images.Preprocessing` within the sizes that a picture can be resized to."""

    input_size_hw: tuple[InputSide, InputSide] = Field(strict=False, description="two whole numbers from 32 to 1024")
    mean: tuple[Finite, Finite, Finite] = Field(strict=False, description="three finite numbers")
    std: tuple[AboveZero, AboveZero, AboveZero] = Field(strict=False, description="three finite numbers above 0")
    interpolation: Literal["bicubic", "bilinear", "nearest"] = Field(description="bicubic, bilinear or nearest")
    crop_mode: CropMode = Field(description="center or squash")
    resize_to: ResizedSide = Field(
        description="a whole number up to 4096, for a centre crop at least the shorter side of `input_size_hw`"
    )

    # `info` is pydantic's `ValidationInfo`, a protocol that nothing can be checked against while the tests run.
    @field_validator("resize_to")
    @classmethod
    def _covers_the_crop(cls, resize_to: int, info: Any) -> int:
        if info.data.get("crop_mode") == "center" and resize_to < min(info.data.get("input_size_hw", [0])):
            raise ValueError
        return resize_to

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes the model's input."""
        return Preprocessing(**{name: getattr(self, name) for name in type(self).model_fields})


class ReliabilityDescription(_Entries):
    """`bsig.model.presence.ReliabilityBin`."""

    probability: Share
    share: Share
    count: int = Field(ge=1)


class PresenceDescription(_Entries):
    """`bsig.model.presence.PresenceCalibration`; a number as text, or one that is not finite, is refused."""

    temperature: AboveZero = Field(description="a finite number above 0")
    offset: Finite = Field(description="a finite number")
    pictures: int = Field(ge=1, description="a whole number from 1")
    source: str = Field("", description="text")
    expected_calibration_error: Share | None = Field(None, description="a number from 0 to 1")
    present_above_half: Share | None = Field(None, description="a number from 0 to 1")
    absent_above_half: Share | None = Field(None, description="a number from 0 to 1")
    reliability: list[ReliabilityDescription] = Field(
        [],
        max_length=RELIABILITY_BINS,
        description=f"at most {RELIABILITY_BINS} objects with `probability`, `share` and `count`",
    )

    @property
    def calibration(self) -> bsig.model.presence.PresenceCalibration:
        """How the sigmoid branch's logits become calibrated probabilities."""
        from bsig.model.presence import PresenceCalibration, ReliabilityBin

        names = set(type(self).model_fields) - {"reliability"}
        bins = tuple(ReliabilityBin(each.probability, each.share, each.count) for each in self.reliability)
        return PresenceCalibration(**{name: getattr(self, name) for name in names}, reliability=bins)


NESTED: dict[str, type[BaseModel]] = {
    "backbone": BackboneDescription,
    "preprocessing": PreprocessingDescription,
    "presence": PresenceDescription,
}


class CheckpointDescription(_Entries):
    """The entries that every reader of a checkpoint relies on."""

    class_names: Names = Field(
        min_length=1, max_length=MAX_CLASSES, description=f"a list of names of at most {LONGEST_NAME} letters"
    )
    class_ids: Names = Field(description="a list of ids, one for each of `class_names`")
    branch: BranchKind = Field(description="'full' or 'shift'")
    backbone: BackboneDescription = Field(description="an object that names the timm model")
    preprocessing: PreprocessingDescription = Field(description="an object with all settings of the preprocessing")
    trained: bool = Field(True, description="true or false")
    presence: PresenceDescription | None = Field(None, description="an object, or null where nothing is calibrated")
    training: dict[str, Any] = Field({}, description="an object")
    data: dict[str, Any] = Field({}, description="an object")
    zero_shot: dict[str, Any] = Field({}, description="an object with the scale and bias of a zero-shot model")
    results: dict[str, Any] = Field({}, description="an object")
    readings: dict[str, dict[str, Finite]] = Field({}, description="an object that gives readings their settings")
    tensors_sha256: str = Field(description=f"the SHA-256 of {TENSORS}")
    _entries: dict[str, Any] = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _ids_are_names_where_there_are_none(cls, entries: dict[str, Any]) -> dict[str, Any]:
        return {"class_ids": entries.get("class_names"), **entries}

    @field_validator("class_ids")
    @classmethod
    def _one_id_a_class(cls, class_ids: list[str], info: Any) -> list[str]:
        if len(class_ids) != len(info.data.get("class_names", class_ids)):
            raise ValueError
        return class_ids

    @classmethod
    def read(cls, path: Path) -> CheckpointDescription:
        """The description of the checkpoint folder `path`.

        Raises:
            InputError: missing, too large, not JSON, of a newer format, or an entry breaks its rule.
        """
        with named(path.name):
            entries = _json(path / DESCRIPTION)
            try:
                description = cls.model_validate(entries)
            except ValidationError as error:
                problem = error.errors(include_url=False, include_input=False)[0]
                raise _refusal(problem["loc"], problem["type"], entries) from error
        description._entries = {**entries, "class_ids": description.class_ids}
        return description

    @property
    def entries(self) -> dict[str, Any]:
        """All entries as JSON has them, also those that no field names."""
        return self._entries


def read_description(path: Path) -> dict[str, Any]:
    """The entries of `checkpoint.json`, checked.

    Raises:
        InputError: as `CheckpointDescription.read`.
    """
    return CheckpointDescription.read(path).entries


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Puts the checkpoint's name before what is wrong with it, once."""
    try:
        yield
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith("checkpoint '") else f"checkpoint '{name}': {text}") from error


def _json(file: Path) -> dict[str, Any]:
    """The entries of the file, which is of a format that this version knows."""
    if not file.is_file():
        raise InputError(f"has no {DESCRIPTION}; copy the whole folder.")
    if file.stat().st_size > MAX_DESCRIPTION_BYTES:
        raise InputError(f"{DESCRIPTION} is over {MAX_DESCRIPTION_BYTES >> 20} MB; that is no description.")
    try:
        # NaN and infinities are no JSON, but Python writes them, e.g. for a measure of nothing: they become null.
        entries = json.loads(file.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{DESCRIPTION} is not JSON ({error}); copy it again.") from error
    if _depth(entries) > DEEPEST:  # what reads it later would run out of its stack
        raise InputError(f"{DESCRIPTION} is nested more than {DEEPEST} deep; that is no description.")
    # Before all fields, because a newer format may have others.
    version = entries.get("format_version") if isinstance(entries, dict) else None
    if not isinstance(version, int) or version < 1:
        raise InputError(f"{DESCRIPTION} names no `format_version`, so it is no bsig checkpoint; choose another.")
    if version > FORMAT_VERSION:
        raise InputError(f"`format_version` (={version}) is newer than {FORMAT_VERSION}; update bsig to read it.")
    return entries


def _depth(entries: Any) -> int:
    """How deep lists and objects are nested, level by level."""
    depth, level = 0, [entries]
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def _refusal(place: tuple[int | str, ...], kind: str, entries: dict[str, Any]) -> InputError:
    """The sentence about the field at the place of an error: name, value, rule, remedy."""
    schema: type[BaseModel] = CheckpointDescription
    name, owner = str(place[0]), ""
    if name in NESTED and len(place) > 1:
        schema, entries, owner, name = NESTED[name], entries[name], f" of `{name}`", str(place[1])
    value = entries.get(name)
    if kind in ("too_long", "too_short") and name == "class_names":
        return InputError(
            f"`class_names` holds {len(entries[name])} names, from 1 to {MAX_CLASSES} are allowed; {AGAIN}."
        )
    rule = schema.model_fields[name].description
    return InputError(f"`{name}` (={_short(value)}){owner} in {DESCRIPTION} must be {rule}; {AGAIN}.")


def _short(value: Any) -> str:
    """A value in at most a line."""
    text = reprlib.repr(value)
    return text if len(text) <= 120 else f"{text[:119]}…"
