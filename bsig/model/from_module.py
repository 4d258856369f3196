"""A classifier in memory, timm's or any other, as encoder and head.

classifier = classifier_from_module(module, ModelSettings(class_names=("cat", "dog"), input_size_hw=(224, 224)))
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from bsig.inputs.counts import counted, counted_classes
from bsig.inputs.errors import InputError
from bsig.inputs.images import IMAGENET_MEAN, IMAGENET_STD
from bsig.model.backbones import (
    ONE_OUTPUT,
    OWN_OPTIONS,
    BackboneOptions,
    Classifier,
    can_be_built,
    checked_kwargs,
    one_cell,
    take_apart,
    timm_network,
)
from bsig.model.cutting.cut_module import cut_module
from bsig.model.cutting.layout import CutError
from bsig.model.model_settings import ModelSettings, in_words, preprocessing_of
from bsig.model.weights import channels_last, frozen, state_sha256

# A backbone's name where no timm name builds the network again.
IN_MEMORY = "module/"
SOURCE = "a module in memory"
USUAL_CONFIG = {"input_size": (3, 224, 224), "mean": IMAGENET_MEAN, "std": IMAGENET_STD,
                "interpolation": "bicubic", "crop_pct": 0.875, "crop_mode": "center"}  # fmt: skip
TIMM_ATTRIBUTES = ("forward_features", "forward_head", "get_classifier", "pretrained_cfg", "num_classes")


def classifier_from_module(module: nn.Module, settings: ModelSettings) -> Classifier:
    """A copy of the module in two parts, in float32 on the CPU; the module itself is not changed.

    Raises:
        InputError: it cannot be cut in two exactly, it has one output, or another number of class names is given than
            it has outputs.
    """
    from timm.data import resolve_model_data_config

    try:
        model: Any = copy.deepcopy(module).cpu().float().eval()
    except (RuntimeError, TypeError) as error:
        raise InputError(f"the module cannot be copied ({error}); give one without hooks or open files.") from error
    is_timm = all(hasattr(model, name) for name in TIMM_ATTRIBUTES)
    config = resolve_model_data_config(model) if is_timm else USUAL_CONFIG
    assumed = [words for name, words in in_words(preprocessing_of(settings, config)).items()
               if not getattr(settings, name)]  # fmt: skip
    kind = "timm's own" if is_timm else "the usual ones"
    notes = (f"Not given, so {kind} are taken: {', '.join(assumed)}.",) if assumed else ()
    if is_timm:
        name, options = _rebuilt_as(model)
        return replace(take_apart(model, name, SOURCE, options, settings), notes=notes)
    return _cut(model, settings, notes)


def _cut(model: nn.Module, settings: ModelSettings, notes: tuple[str, ...]) -> Classifier:
    """The parts of a module that is not timm's."""
    preprocessing = preprocessing_of(settings, USUAL_CONFIG)
    rows, columns = preprocessing.input_size_hw
    example = torch.randn(1, 3, rows, columns, generator=torch.Generator().manual_seed(0))
    name = f"{IN_MEMORY}{type(model).__name__}"
    try:
        parts = cut_module(model, example)
    except CutError as error:
        raise InputError(f"the module '{type(model).__name__}' cannot be taken apart: {error}.") from error
    classes = parts.head.last_linear.out_features
    if classes == 1:
        raise InputError(ONE_OUTPUT)
    if parts.grid_hw == (1, 1):
        raise InputError(one_cell(name, preprocessing))
    names = settings.class_names or tuple(str(index) for index in range(classes))
    if len(names) != classes:
        raise InputError(
            f"`class_names` holds {counted(len(names), 'name')}, the network has {counted_classes(classes)}."
        )
    weights = {"source": SOURCE, "sha256": state_sha256(parts.encoder, parts.head)}
    return Classifier(
        name, channels_last(frozen(parts.encoder)), frozen(parts.head), preprocessing, names, names, weights,
        features_at=parts.features_at, grid_hw=parts.grid_hw, notes=notes,
    )  # fmt: skip


def _rebuilt_as(model: Any) -> tuple[str, BackboneOptions]:
    """Name and options under which timm builds this very network, so that a checkpoint of it can be loaded again.

    Where none does, a name that says so: such a model lives in memory only.
    """
    import timm

    name = str(model.pretrained_cfg.get("architecture") or "")
    if timm.is_model(name):
        pool = getattr(model, "global_pool", None)
        size = getattr(getattr(model, "patch_embed", None), "img_size", None)
        for options in (
            OWN_OPTIONS,
            BackboneOptions(global_pool=pool if isinstance(pool, str) else None),
            BackboneOptions(model_kwargs=checked_kwargs({"img_size": tuple(size)} if size else {})),
        ):
            settings = {**dict(options.model_kwargs), "num_classes": model.num_classes}
            if options.global_pool:
                settings["global_pool"] = options.global_pool
            if can_be_built(name, **settings) and _is_built(model, name, options):
                return name, options
    return f"{IN_MEMORY}{type(model).__name__}", OWN_OPTIONS


def _is_built(model: Any, name: str, options: BackboneOptions) -> bool:
    """Whether timm builds the same layers with tensors of the same shapes."""
    with torch.device("meta"):
        network = timm_network(name, pretrained=False, options=options, num_classes=model.num_classes)
    own, built = ({key: value.shape for key, value in net.state_dict().items()} for net in (model, network))
    return own == built and str(model) == str(network)
