"""What a file of weights does not always tell: class names, preprocessing, options of the network.

    settings = asked.over(stated)             what was asked for goes before what the file states
    preprocessing_of(settings, config)        and timm's own value is taken for the rest

The names under which people's files state them (timm's `args`, `config.json`, `hyper_parameters`) are below.
"""

from __future__ import annotations

import ast
import contextlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, SupportsFloat, cast

from bsig.inputs.errors import InputError
from bsig.inputs.images import RESAMPLING, CropMode, Preprocessing, Triple
from bsig.inputs.numbers import plain, plain_float
from bsig.model.class_names import names_of_entries, read_class_names

MIN_SIDE, MAX_SIDE = 32, 1024
SIZE_NAMES = ("input_size", "img_size", "image_size", "imgsz", "resolution", "crop_size", "size")
NAME_NAMES = ("class_names", "classes", "CLASSES", "label_names", "class_to_idx", "idx_to_class", "id2label", "labels")
# Where files keep their settings, nearest first; the file itself is asked before them.
PLACES = ("args", "hyper_parameters", "hparams", "pretrained_cfg", "config", "cfg", "opt", "meta", "model_args")
ARCHITECTURES = ("arch", "architecture", "model", "model_name", "backbone")
NOT_OF_THE_NETWORK = ("num_classes", "global_pool", "in_chans", "pretrained")


@dataclass(frozen=True)
class ModelSettings:
    """Settings of a model from outside; None where nothing is said.

    Attributes:
        class_names: in the order of the logits.
        input_size_hw: rows and columns of the input, in pixels.
        mean, std: per RGB channel, for values in [0, 1].
        interpolation, crop_mode: as of `bsig.inputs.images.Preprocessing`.
        crop_pct: the input's share of the resized picture's shorter side, for a centre crop.
        model_kwargs: further arguments of timm's network, by name.
        global_pool: as of `BackboneOptions`.
        in_chans: input channels of the network, 1 or 3.
        weights_key: the set of weights to take from the file.
        head_activation: of a replaced classifier, a key of `replaced_heads.ACTIVATIONS`.
        sigmoid_output: whether a network with one output is taken as one sigmoid.
        architecture: the network's name in the file.
        unusable: names of settings that the file states in a form which cannot be used; a note says why.
    """

    class_names: tuple[str, ...] | None = None
    input_size_hw: tuple[int, int] | None = None
    mean: Triple | None = None
    std: Triple | None = None
    interpolation: str | None = None
    crop_mode: str | None = None
    crop_pct: float | None = None
    model_kwargs: tuple[tuple[str, Any], ...] = ()
    global_pool: str | None = None
    in_chans: int | None = None
    weights_key: str | None = None
    head_activation: str | None = None
    sigmoid_output: bool = False
    architecture: str | None = None
    unusable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.input_size_hw and not all(MIN_SIDE <= side <= MAX_SIDE for side in self.input_size_hw):
            raise InputError(f"`input_size` (={_by(self.input_size_hw)}) must be from {MIN_SIDE} to {MAX_SIDE} a side.")
        if self.mean and not all(map(math.isfinite, self.mean)):
            raise InputError(f"`mean` (={_words(self.mean)}) must be finite numbers.")
        if self.std and not all(math.isfinite(value) and value > 0 for value in self.std):
            raise InputError(f"`std` (={_words(self.std)}) must be above 0, one number or three.")
        if self.mean and max(self.mean) > 1.5:
            raise InputError(f"`mean` (={_words(self.mean)}) is for pixels from 0 to 1; divide mean and std by 255.")
        if self.std and max(self.std) > 1.5:
            raise InputError(f"`std` (={_words(self.std)}) is for pixels from 0 to 1; divide mean and std by 255.")
        if self.interpolation and self.interpolation not in RESAMPLING:
            raise InputError(f"`interpolation` (='{self.interpolation}') must be one of {', '.join(RESAMPLING)}.")
        if self.crop_mode and self.crop_mode not in ("center", "squash"):
            raise InputError(f"`crop_mode` (='{self.crop_mode}') must be center or squash.")
        if self.crop_pct is not None and not 0.25 <= self.crop_pct <= 1:
            raise InputError(f"`crop_pct` (={self.crop_pct:g}) must be from 0.25 to 1.")
        if self.in_chans not in (None, 1, 3):
            raise InputError(f"`in_chans` (={self.in_chans}) must be 1 or 3: pictures are grey or RGB.")

    def over(self, others: ModelSettings) -> ModelSettings:
        """These settings, with what they leave open taken from others; `model_kwargs` of both, these last."""
        merged = {
            field.name: getattr(self, field.name) or getattr(others, field.name) for field in fields(ModelSettings)
        }
        merged["model_kwargs"] = tuple(sorted({**dict(others.model_kwargs), **dict(self.model_kwargs)}.items()))
        return ModelSettings(**merged)


NO_SETTINGS = ModelSettings()


def preprocessing_of(settings: ModelSettings, config: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing of a network whose timm configuration (`resolve_model_data_config`) is given."""
    rows, columns = settings.input_size_hw or config["input_size"][-2:]
    interpolation = settings.interpolation or config["interpolation"]
    return Preprocessing(
        input_size_hw=(rows, columns),
        resize_to=int(min(rows, columns) / (settings.crop_pct or config["crop_pct"])),
        mean=settings.mean or cast(Triple, tuple(map(float, config["mean"]))),
        std=settings.std or cast(Triple, tuple(map(float, config["std"]))),
        interpolation=interpolation if interpolation in RESAMPLING else "bicubic",
        crop_mode=cast(CropMode, settings.crop_mode or ("squash" if config["crop_mode"] == "squash" else "center")),
    )


def in_words(preprocessing: Preprocessing) -> dict[str, str]:
    """Each setting of the preprocessing as words, by the name of its `ModelSettings` field."""
    crop = "the whole picture squashed"
    if preprocessing.crop_mode == "center":
        share = min(preprocessing.input_size_hw) / preprocessing.resize_to
        crop = f"a centre crop of {share:.3g} of the shorter side"
    return {
        "input_size_hw": f"input {_by(preprocessing.input_size_hw)}",
        "mean": f"mean {_words(preprocessing.mean)}",
        "std": f"std {_words(preprocessing.std)}",
        "interpolation": preprocessing.interpolation,
        "crop_mode": crop,
    }


def parsed_size(text: str) -> tuple[int, int]:
    """Rows and columns of '160' or '160x224'.

    Raises:
        InputError: it is neither.
    """
    match = re.fullmatch(r"([0-9]{1,5})(?:[x,]([0-9]{1,5}))?", text.strip())
    if not match:
        raise InputError(f"`input_size` (='{text}') must be pixels as 160 or ROWSxCOLUMNS as 160x224.")
    return int(match[1]), int(match[2] or match[1])


def triple(name: str, values: SupportsFloat | Sequence[SupportsFloat]) -> Triple:
    """Three numbers; one stands for all three.

    Raises:
        InputError: neither one nor three, or no numbers.
    """
    given = plain(values)
    given = [given] if isinstance(given, int | float | str) else list(given)
    if len(given) not in (1, 3):
        raise InputError(f"`{name}` (={' '.join(map(str, given))}) must be one number or three (R G B).")
    red, green, blue = (plain_float(name, value) for value in (given if len(given) == 3 else given * 3))
    return red, green, blue


def parsed_kwargs(pairs: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    """Arguments of timm's network from 'key=value' texts; a value is a number, True, False, a list, or a word.

    Raises:
        InputError: a text without '='.
    """
    kwargs = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            raise InputError(f"`model_kwargs` (='{pair}') must be KEY=VALUE, as pad_type=same.")
        value: Any = {"true": True, "false": False}.get(text.lower(), text)
        if isinstance(value, str):
            with contextlib.suppress(ValueError, SyntaxError):
                value = ast.literal_eval(text)
        kwargs[key.strip().replace("-", "_")] = value
    return tuple(sorted(kwargs.items()))


def stated_settings(entries: Mapping[str, Any], folder: Path | None) -> tuple[ModelSettings, tuple[str, ...]]:
    """The settings that a file states about its model, and a sentence for each that cannot be used.

    `folder` is where the weights lie: a `class_map` may lie beside them; None where no file may be read.
    """
    flat = _flat(entries)
    notes: list[str] = []
    values: dict[str, Any] = {
        "class_names": _names(flat, folder, notes),
        "input_size_hw": next((size for name in SIZE_NAMES if (size := _size(flat.get(name)))), None),
        "mean": _numbers(flat.get("mean", flat.get("image_mean"))),
        "std": _numbers(flat.get("std", flat.get("image_std"))),
        "interpolation": flat.get("interpolation"),
        "crop_mode": flat.get("crop_mode"),
        "crop_pct": flat.get("crop_pct"),
        "global_pool": flat.get("gp") or flat.get("global_pool"),
        "architecture": next((flat[name] for name in ARCHITECTURES if isinstance(flat.get(name), str)), None),
    }
    unusable = ["class_names"] if notes else []
    if _is_of_bytes(values["mean"], values["std"]):
        values["mean"], values["std"] = (tuple(v / 255 for v in values[key] or ()) or None for key in ("mean", "std"))
        notes.append("The file's mean and std are for pixels up to 255; here they are divided by 255.")
    kwargs = {**_mapping(flat.get("model_args")), **_mapping(flat.get("model_kwargs"))}
    if isinstance(flat.get("bn_eps"), float):
        kwargs["bn_eps"] = flat["bn_eps"]
    # timm's own flag for "same" padding and the eps of TensorFlow's batch norms, in files of older versions.
    if flat.get("bn_tf") is True:
        kwargs.setdefault("bn_eps", 1e-3)
    values["model_kwargs"] = tuple(
        sorted((str(key), value) for key, value in kwargs.items() if key not in NOT_OF_THE_NETWORK)
    )
    settings = NO_SETTINGS
    for name, value in values.items():
        try:
            settings = replace(settings, **{name: value or getattr(settings, name)})
        except (InputError, TypeError) as error:
            notes.append(f"The file's own setting is not used: {error}")
            unusable.append(name)
    return replace(settings, unusable=tuple(unusable)), tuple(notes)


def config_beside(weights: Path) -> dict[str, Any]:
    """The entries of the `config.json` in the weights' folder, if it is one of timm's; else none.

    A folder may hold the configuration of anything; only one that names an architecture is about these weights.
    """
    file = weights.parent / "config.json"
    try:
        if not file.is_file() or file.stat().st_size > 4 * 2**20:
            return {}
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) and isinstance(entries.get("architecture"), str) else {}


def _flat(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The entries and those of its known places in one dictionary; None and empty values count as not said."""
    flat: dict[str, Any] = {}
    for place in (entries, *(_mapping(entries.get(name)) for name in PLACES)):
        for key, value in place.items():
            if value is not None and value != "" and key not in flat:
                flat[str(key)] = value
    return flat


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _names(entries: Mapping[str, Any], folder: Path | None, notes: list[str]) -> tuple[str, ...] | None:
    problems = []
    for name in NAME_NAMES:
        names = names_of_entries(entries.get(name))
        if names and len(set(names)) == len(names):
            return tuple(names)
        if problem := _names_problem(entries.get(name), names):
            problems.append(f"The file's `{name}` {problem}, so it is not used; give the names with --class-names.")
    notes += problems
    class_map = entries.get("class_map")
    if not isinstance(class_map, str) or folder is None:
        return None
    places = (Path(class_map), folder / class_map, folder / Path(class_map).name)
    file = next((place for place in places if place.suffix in (".txt", ".json") and place.is_file()), None)
    if file is None:
        notes.append(f"The file's `class_map` ('{class_map}') is not there; give it with --class-names.")
        return None
    return tuple(read_class_names(file))


def _names_problem(entries: Any, names: Sequence[str] | None) -> str:
    """Why entries that look like class names are none; empty where they do not look so."""
    if names:
        twice = next(name for name in names if names.count(name) > 1)
        return f"holds '{twice}' more than once"
    if not isinstance(entries, Mapping) or not entries:
        return ""
    keys = [int(key) for key in entries if str(key).strip().isdecimal()]
    numbers = sorted(keys or [value for value in entries.values() if isinstance(value, int)])
    if len(numbers) < len(entries):
        return ""
    if len(set(numbers)) < len(numbers):
        return f"gives several classes the number {next(n for n in numbers if numbers.count(n) > 1)}"
    return f"has the numbers {numbers[0]} to {numbers[-1]} for {len(numbers)} classes, not 0 to {len(numbers) - 1}"


def _is_of_bytes(mean: Triple | None, std: Triple | None) -> bool:
    """Whether mean and std are for pixels from 0 to 255: a mean above 1, or none beside a large std."""
    return bool(mean) and (max(mean or (0,)) > 1.5 or (max(mean or (0,)) == 0 and max(std or (0,)) > 1.5))


def _size(value: Any) -> tuple[int, int] | None:
    """Rows and columns of 160, [160, 224], [3, 160, 224], '160x224' or {height, width}."""
    if isinstance(value, Mapping):
        value = [value.get("height"), value.get("width")]
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}([x,][0-9]{1,5})?", value):
        value = list(parsed_size(value))
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value, value]
    if isinstance(value, Sequence) and len(value) in (1, 2, 3) and all(isinstance(side, int) for side in value):
        rows, columns = (value[-2], value[-1]) if len(value) > 1 else (value[0], value[0])
        return (rows, columns)
    return None


def _numbers(value: Any) -> Triple | None:
    values = [value] if isinstance(value, int | float) else value
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) not in (1, 3):
        return None
    return triple("mean", list(values)) if all(isinstance(number, int | float) for number in values) else None


def _by(size_hw: Sequence[int]) -> str:
    return " x ".join(map(str, size_hw))


def _words(values: Sequence[float]) -> str:
    return (
        " ".join(f"{value:g}" for value in dict.fromkeys(values))
        if len(set(values)) == 1
        else " ".join(f"{value:g}" for value in values)
    )
