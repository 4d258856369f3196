"""What the fields of the Models screen ask for, read as `new-model` reads its options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bsig.inputs.errors import InputError
from bsig.inputs.images import Triple
from bsig.inputs.names import composed
from bsig.model.backbones import BackboneOptions
from bsig.model.class_embeddings import ClassEmbeddings, read_class_embeddings
from bsig.model.class_names import read_class_names
from bsig.model.feature_stages import stage_of
from bsig.model.model_settings import ModelSettings, parsed_kwargs, parsed_size, triple
from bsig.ui.workbench import Workbench

LAST = "last"
# The label of the field that stands for each option of `new-model`: messages of the library name the options.
LABELS = {
    "--weights": "Weights file", "--weights-key": "Set of weights", "--class-embeddings": "Class embeddings",
    "--logit-scale": "Logit scale", "--logit-bias": "Logit bias", "--feature-stage": "Features taken at",
    "--global-pool": "Pooling", "--class-names": "Class names", "--input-size": "Input size", "--mean": "Mean",
    "--std": "Standard deviation", "--interpolation": "Interpolation", "--crop-mode": "Crop",
    "--crop-pct": "Share of a centre crop", "--model-kwargs": "Network options", "--in-chans": "Input channels",
    "--head-activation": "Activation of a replaced head", "--sigmoid-output": "The one output is a sigmoid",
    "--pictures": "Labelled pictures",
}  # fmt: skip


def in_labels(text: str) -> str:
    """The text with options of `new-model` under the labels of their fields, in quotes."""
    return re.sub(r"--[a-z]+(?:-[a-z]+)*", _label, text)


def settings_in_labels(arguments: str) -> str:
    """Options with their values, as `new-model` is given them, as labels with values and commas between."""
    settings = (part.split(" ", 1) for part in re.split(" (?=--)", arguments) if part)
    return ", ".join(f"{LABELS[option]} {value}" for option, value in settings)


def _label(option: re.Match[str]) -> str:
    label = LABELS.get(option[0])
    return f"'{label}'" if label else option[0]


@dataclass(frozen=True)
class ModelRequest:
    """The model that a visitor asks for, as the fields have it.

    Attributes:
        backbone: a timm name or `hf:owner/repo`.
        weights: path of a file of this machine; empty for the published weights.
        stage: where the features are taken, as the title of a `FeatureStage`.
        weights_key: the set of weights of the file.
        class_names: one name a line, or the path of what `read_class_names` reads.
        input_size, mean, std, model_kwargs: as typed, like the options of `new-model`.
        interpolation, crop_mode: of the preprocessing; empty for the file's or timm's own.
        class_embeddings: path of a file of text embeddings, which makes an image tower a zero-shot model.
        logit_scale, logit_bias: of a zero-shot model; empty for those of its file.
        crop_pct: share of the shorter side that a centre crop keeps, as typed.
        global_pool, in_chans, head_activation: as of `ModelSettings`, as texts; empty for what the file has.
        sigmoid_output: whether a network with one output is taken as one sigmoid.
        pictures: a data set of this machine on which top-1 is counted; empty for none.
    """

    backbone: str | None
    weights: str | None = None
    stage: str | None = LAST
    weights_key: str | None = None
    class_names: str | None = None
    input_size: str | None = None
    mean: str | None = None
    std: str | None = None
    interpolation: str | None = None
    crop_mode: str | None = None
    model_kwargs: str | None = None
    class_embeddings: str | None = None
    logit_scale: str | None = None
    logit_bias: str | None = None
    crop_pct: str | None = None
    global_pool: str | None = None
    in_chans: str | None = None
    head_activation: str | None = None
    sigmoid_output: bool = False
    pictures: str | None = None

    def settings(self, bench: Workbench) -> ModelSettings:
        """Class names, preprocessing and further options, as typed.

        Raises:
            InputError: a value breaks its rule, or a path is given in a public app.
        """
        pairs = parsed_kwargs((self.model_kwargs or "").split())
        if not bench.limits.takes_paths and (pairs or self.global_pool):
            name = "model_kwargs" if pairs else "global_pool"
            raise InputError(f"`{name}` must be left out here: a public app builds timm's networks as they are.")
        channels = _typed_number("in_chans", self.in_chans)
        return ModelSettings(
            class_names=_typed_names(self.class_names, bench),
            input_size_hw=parsed_size(self.input_size) if self.input_size else None,
            mean=_typed_numbers("mean", self.mean),
            std=_typed_numbers("std", self.std),
            interpolation=self.interpolation or None,
            crop_mode=self.crop_mode or None,
            crop_pct=_typed_number("crop_pct", self.crop_pct),
            model_kwargs=pairs,
            in_chans=None if channels is None else int(channels),
            head_activation=self.head_activation or None,
            sigmoid_output=bool(self.sigmoid_output),
            weights_key=(self.weights_key or "").strip() or None,
        )

    def embeddings(self, bench: Workbench) -> ClassEmbeddings | None:
        """The class embeddings of the file that is named; None where none is.

        Raises:
            InputError: the file cannot be used, or a path is given in a public app.
        """
        path = (self.class_embeddings or "").strip()
        scale, bias = _typed_number("logit_scale", self.logit_scale), _typed_number("logit_bias", self.logit_bias)
        if path and not bench.limits.takes_paths:
            raise InputError("`class_embeddings` must be left out here: a public app reads no files of its machine.")
        if not path and (scale is not None or bias is not None):
            raise InputError("`logit_scale` and `logit_bias` are for a zero-shot model: give class embeddings.")
        return read_class_embeddings(Path(path).expanduser()).with_settings(None, scale, bias) if path else None

    def labelled(self, bench: Workbench) -> str:
        """The data set on which top-1 is to be counted; empty for none.

        Raises:
            InputError: one is named in a public app.
        """
        text = (self.pictures or "").strip()
        if text and not bench.limits.takes_paths:
            raise InputError("`pictures` must be left out here: a public app reads no files of its machine.")
        return text

    def checked(self, bench: Workbench) -> tuple[str, Path | None, BackboneOptions]:
        """The backbone's name, the weights file and the options.

        Raises:
            InputError: nothing is typed, a file of this machine is asked for in a public app, or the backbone is not
                allowed there.
        """
        name, file = (self.backbone or "").strip(), (self.weights or "").strip()
        if not name:
            raise InputError("`backbone` (empty) must be a timm name or hf:owner/repo; type to search.")
        if file and not bench.limits.takes_paths:
            raise InputError("`weights` must be left out here: a public app reads no files of its machine.")
        bench.limits.check_backbone(name)
        return (
            name,
            Path(file) if file else None,
            BackboneOptions(stage_of(self.stage or LAST), self.global_pool or None),
        )


def _typed_names(text: str | None, bench: Workbench) -> tuple[str, ...] | None:
    """Class names of lines, or of a path where a single line is one."""
    lines = [composed(line.strip()) for line in (text or "").splitlines() if line.strip()]
    if not lines:
        return None
    if len(lines) == 1 and bench.limits.takes_paths:
        return tuple(read_class_names(Path(lines[0]).expanduser()))
    if len(set(lines)) != len(lines):
        raise InputError("`class_names` must hold each name once, one a line.")
    return tuple(lines)


def _typed_numbers(name: str, text: str | None) -> Triple | None:
    """Three numbers, or one for all."""
    parts = (text or "").replace(",", " ").split()
    try:
        return triple(name, [float(part) for part in parts]) if parts else None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"`{name}` (='{text}') must be one number or three (R G B).") from error


def _typed_number(name: str, text: str | None) -> float | None:
    """A number; None for an empty field."""
    words = (text or "").strip()
    try:
        return float(words) if words else None
    except ValueError as error:
        raise InputError(f"`{name}` (='{text}') must be a number, or empty.") from error
