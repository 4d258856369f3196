"""A checkpoint folder -> a dual-branch model (`save.py` says what a folder holds).

Never pickle. Sizes and hashes are checked from the headers before a tensor is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bsig.inputs.counts import counted, counted_classes
from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.backbones import (
    BackboneOptions,
    Classifier,
    classifier_from_timm,
    load_classifier,
    timm_network,
    with_preprocessing,
)
from bsig.model.checkpoints.description import AGAIN, CheckpointDescription, named
from bsig.model.checkpoints.listing import checkpoint_path
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT, DESCRIPTION, TENSORS
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch, FittedShift
from bsig.model.engines import check_engine
from bsig.model.heads import ClassificationHead, with_classes
from bsig.model.weights import Module, file_sha256, shared_encoder, state_sha256

SMALLEST_NETWORK = 20_000_000  # below this nothing is worth refusing


def load_checkpoint(
    name: str | Path = DEFAULT_CHECKPOINT,
    device: str = "cpu",
    folder: Path | str = CHECKPOINTS_FOLDER,
    engine: str = "torch",
) -> DualBranch:
    """A dual-branch model, ready to explain.

    Args:
        name: of a folder in `folder`, a folder's path, or `hf:owner/repo` (with `@revision`) on the Hugging Face Hub.
        device: as of `chosen_device`.
        folder: where names are looked up.
        engine: how the encoder is run for explaining and evaluating (`bsig.model.engines`).

    Raises:
        InputError: no such checkpoint, device or engine; or the checkpoint is damaged, of a newer format, or does not
            fit its backbone.
    """
    device = chosen_device(device)
    check_engine(engine, device)
    path = checkpoint_path(name, Path(folder))
    description = CheckpointDescription.read(path)
    with named(path.name), _stored_tensors(path, description.tensors_sha256) as tensors:
        model = _model(path.name, description, tensors, device)
    model.engine = engine
    return model


def is_saved_as(model: DualBranch, path: Path) -> bool:
    """Whether the folder holds this very model: the same weights, classes and preprocessing."""
    try:
        copy = load_checkpoint(path, str(model.device))
    except InputError:
        return False
    own, other = (
        (each.class_names, each.preprocessing, state_sha256(each.encoder, each.softmax_head, each.sigmoid_head))
        for each in (model, copy)
    )
    return own == other


@dataclass(frozen=True)
class StoredTensors:
    """The tensors of a safetensors file, each checked against its header before it is read.

    Attributes:
        file: an open `safetensors.safe_open`.
        keys: the names of all tensors.
    """

    file: Any
    keys: frozenset[str]

    def has(self, prefix: str) -> bool:
        """Whether the name of any tensor starts so."""
        return any(key.startswith(prefix) for key in self.keys)

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of a tensor, from the header."""
        return tuple(self.file.get_slice(key).get_shape())

    def read(self, key: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor of finite float32 numbers; a batch count as it is.

        Raises:
            InputError: there is none of this name and shape, or its numbers are of another kind or not finite.
        """
        if key not in self.keys:
            raise InputError(f"{TENSORS} lacks the tensor '{key}'; {AGAIN}.")
        if self.shape(key) != shape:
            raise InputError(
                f"tensor '{key}' has the shape {self.shape(key)}, class names and backbone ask for {shape}; {AGAIN}."
            )
        tensor = self.file.get_tensor(key)
        if key.endswith(".num_batches_tracked"):
            return tensor
        if not tensor.is_floating_point():
            raise InputError(f"tensor '{key}' holds {tensor.dtype}, not floating-point numbers; {AGAIN}.")
        tensor = tensor.float()
        if not torch.isfinite(tensor).all():
            raise InputError(f"tensor '{key}' holds NaN or infinite numbers; the branch is damaged: train it again.")
        return tensor

    def filled(self, module: Module, prefix: str) -> Module:
        """The module, with all its tensors loaded from those whose names start with `prefix`.

        Raises:
            InputError: as `read`.
        """
        state = {key: self.read(prefix + key, tuple(value.shape)) for key, value in module.state_dict().items()}
        module.load_state_dict(state)
        return module


@contextmanager
def _stored_tensors(path: Path, sha256: str) -> Iterator[StoredTensors]:
    """The tensors of a checkpoint folder, whose file has this hash."""
    file = path / TENSORS
    if not file.is_file():
        raise InputError(f"has no {TENSORS}; copy the whole folder.")
    actual = file_sha256(file)
    if actual != sha256:
        raise InputError(
            f"{TENSORS} has the SHA-256 {actual[:12]}…, {DESCRIPTION} says {sha256[:12]}…: the file is "
            "cut short or changed; copy it again."
        )
    try:
        with safe_open(file, framework="pt") as handle:
            yield StoredTensors(handle, frozenset(handle.keys()))
    except SafetensorError as error:
        raise InputError(f"{TENSORS} is not a whole safetensors file ({str(error)[:200]}); copy it again.") from error


def _model(name: str, description: CheckpointDescription, tensors: StoredTensors, device: str) -> DualBranch:
    base = _base_classifier(description, tensors, device)
    classes = len(description.class_names)
    classifier = replace(
        with_preprocessing(base, description.preprocessing.preprocessing),
        head=_softmax_head(base.head, classes, tensors).to(device).requires_grad_(False),
        class_names=tuple(description.class_names),
        class_ids=tuple(description.class_ids),
    )
    presence = description.presence.calibration if description.presence else None
    if description.branch == "shift":
        width = base.head.last_linear.in_features
        vector = tensors.read("sigmoid_shift.vector", (width,)).to(device)
        shift = FittedShift(vector, tensors.read("sigmoid_shift.bias", ()).to(device))
        return DualBranch(classifier, shift=shift, presence=presence, name=name, metadata=description.entries)
    sigmoid_head = tensors.filled(with_classes(base.head, classes), "sigmoid_head.").to(device)
    return DualBranch(classifier, sigmoid_head, presence=presence, name=name, metadata=description.entries)


def _softmax_head(own_head: ClassificationHead, classes: int, tensors: StoredTensors) -> ClassificationHead:
    """The stored softmax head, or the backbone's own where none is stored."""
    if tensors.has("softmax_head."):
        return tensors.filled(with_classes(own_head, classes), "softmax_head.")
    rows = own_head.last_linear.out_features
    if classes != rows:
        raise InputError(
            f"`class_names` holds {counted(classes, 'name')} but the backbone's own head has {counted_classes(rows)}, "
            f"and the file stores no softmax head; {AGAIN}."
        )
    return own_head


def _base_classifier(description: CheckpointDescription, tensors: StoredTensors, device: str) -> Classifier:
    """Encoder and published head of the backbone, the encoder from the file where it is stored there."""
    from bsig.model.published.networks import empty_published_classifier, published_network

    backbone = description.backbone
    network = published_network(backbone.name)
    stores_encoder = tensors.has("encoder.")
    if stores_encoder:
        if network is not None:
            classifier = empty_published_classifier(network)
        else:
            _check_encoder_is_whole(backbone.name, backbone.options, tensors)
            classifier = classifier_from_timm(backbone.name, pretrained=False, options=backbone.options)
        tensors.filled(classifier.encoder, "encoder.")
        weights = {**classifier.weights, "source": "stored in the checkpoint"}
        classifier = replace(classifier, head=classifier.head.to(device), weights=weights)
    elif network is not None:
        raise InputError(f"{TENSORS} lacks the encoder of '{backbone.name}'; {AGAIN}.")
    else:
        classifier = load_classifier(backbone.name, device, backbone.options)
    actual = state_sha256(classifier.encoder)
    if actual != backbone.encoder_sha256:
        raise InputError(
            f"was trained on an encoder with SHA-256 {str(backbone.encoder_sha256)[:12]}…, but '{backbone.name}' here "
            f"has {actual[:12]}…: its weights differ, so the maps would not be those of the checkpoint; install the "
            f"versions that {DESCRIPTION} lists, or train it again."
        )
    if not stores_encoder:
        return classifier
    # Shared only now that its bytes are known to be the same.
    return replace(classifier, encoder=shared_encoder(classifier.encoder.to(device), actual, device))


def _check_encoder_is_whole(name: str, options: BackboneOptions, tensors: StoredTensors) -> None:
    """Refuses a file that names a network far larger than what it stores, before that network takes memory."""
    stem = name.split(".")[0]
    import timm

    if not timm.is_model(stem):
        return  # which timm is asked to say
    with torch.device("meta"):
        network = timm_network(stem, pretrained=False, options=replace(options, head_layers=()))
    network_size = sum(value.numel() for value in network.parameters())
    file_size = sum(math.prod(tensors.shape(key)) for key in tensors.keys)
    if network_size > 2 * file_size + SMALLEST_NETWORK:
        raise InputError(f"{TENSORS} holds {file_size} numbers, '{name}' alone has {network_size}; {AGAIN}.")
