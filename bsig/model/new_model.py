"""A dual-branch model that nobody has fine-tuned yet: any timm classifier, from its own weights, a file or the hub.

    model = new_model("convnext_atto")                                  published weights, over the network once
    model = new_model("resnet50", weights="resnet50.safetensors")       a local file
    model = new_model("hf:timm/resnet18.a1_in1k")                       a timm repository on the Hugging Face Hub

The sigmoid branch is the softmax branch's clone (`DualBranch.is_trained` is False): its maps are softmax's maps until a
fine-tune has moved them.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from bsig.inputs.errors import InputError
from bsig.inputs.hub import hub_folder
from bsig.model.backbones import OWN_OPTIONS, BackboneOptions, Classifier, load_classifier, take_apart, timm_network
from bsig.model.cutting.cut import LAST
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch
from bsig.model.weight_files import differences, read_weights
from bsig.model.weights import shared_encoder, state_sha256

NOT_TRAINED = (
    "This model's sigmoid branch has not been fine-tuned: it is still the clone of the softmax branch, so both "
    "maps are the same."
)

HUB_FILES = ("config.json", "model.safetensors")
MAX_CONFIG_BYTES = 4 * 2**20


def not_trained(model: DualBranch) -> str:
    """`NOT_TRAINED` for a model whose sigmoid branch is still the clone; else empty."""
    return "" if model.is_trained else NOT_TRAINED


def new_model(
    backbone: str,
    weights: Path | str | None = None,
    options: BackboneOptions = OWN_OPTIONS,
    device: str = "cpu",
) -> DualBranch:
    """Encoder, softmax branch and its clone.

    Args:
        backbone: a timm name, or `hf:owner/repo@revision` of a timm model.
        weights: a `.safetensors` file, or a `.pth` of tensors alone; None for the published ones.
        options: feature stage and pooling.
        device: as of `chosen_device`.

    Raises:
        InputError: no such network, weights that cannot be had or do not fit, or a head that cannot be cut off.
    """
    device = chosen_device(device)
    if backbone.startswith("hf:"):
        if weights is not None:
            raise InputError("`weights` must be left out for a hub address, which brings its own.")
        return DualBranch(_moved(_from_hub(backbone, options), device), name=model_name(backbone, options))
    if weights is None:
        return DualBranch(load_classifier(backbone, device, options), name=model_name(backbone, options))
    path = Path(weights).expanduser()
    classifier = _filled_classifier(backbone, read_weights(path), path.name, options)
    return DualBranch(_moved(classifier, device), name=model_name(f"{backbone}-{path.stem}", options))


def model_name(backbone: str, options: BackboneOptions) -> str:
    """The name of a new model, made of its backbone and options and fit for a folder."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", backbone.removeprefix("hf:")).strip("-._")
    stage = None if options.feature_stage == LAST else options.feature_stage
    return "-".join(filter(None, (stem, stage, options.global_pool)))[:100]


def _filled_classifier(
    backbone: str, tensors: dict[str, Tensor], source: str, options: BackboneOptions, num_classes: int | None = None
) -> Classifier:
    """A timm network filled with tensors under its own names, in two parts.

    Raises:
        InputError: the tensors are not this network's; the sentence names those that are missing or unexpected.
    """
    num_classes = num_classes or _class_count(timm_network(backbone, pretrained=False, options=options), tensors)
    network = timm_network(backbone, pretrained=False, options=options, num_classes=num_classes)
    if difference := differences({key: tuple(value.shape) for key, value in network.state_dict().items()}, tensors):
        raise InputError(f"'{source}' does not hold the weights of '{backbone}'; {difference}.")
    broken = [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise InputError(f"'{source}' holds NaN or infinite numbers in '{broken[0]}'; the file is damaged.")
    network.load_state_dict({**network.state_dict(), **tensors})
    return take_apart(network, backbone, f"file {source}", options)


def _from_hub(address: str, options: BackboneOptions) -> Classifier:
    folder = hub_folder(address, HUB_FILES)
    config = folder / "config.json"
    if not config.is_file() or not (folder / "model.safetensors").is_file():
        raise InputError(f"`backbone` (='{address}') must hold {' and '.join(HUB_FILES)}, as timm writes them.")
    try:
        if config.stat().st_size > MAX_CONFIG_BYTES:
            raise ValueError("too large")
        entries = json.loads(config.read_text(encoding="utf-8"))
        architecture, classes = str(entries["architecture"]), entries.get("num_classes")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'config.json' of '{address}' is not that of a timm model ({error}); choose another."
        ) from error
    count = classes if isinstance(classes, int) else None
    classifier = _filled_classifier(architecture, read_weights(folder / "model.safetensors"), address, options, count)
    labels = entries.get("label_names")
    if isinstance(labels, list) and len(labels) == len(set(map(str, labels))) == len(classifier.class_names):
        names = tuple(str(label) for label in labels)
        classifier = replace(classifier, class_names=names, class_ids=names)
    return classifier


def _moved(classifier: Classifier, device: str) -> Classifier:
    encoder = shared_encoder(classifier.encoder.to(device), state_sha256(classifier.encoder), device)
    return replace(classifier, encoder=encoder, head=classifier.head.to(device))


def _class_count(network: Any, tensors: dict[str, Tensor]) -> int:
    """The rows of the file's last layer; the network's own number where the file does not tell."""
    names = network.pretrained_cfg.get("classifier") or ()
    keys = [
        f"{name}.{leaf}"
        for name in ((names,) if isinstance(names, str) else names)
        for leaf in ("weight", "linear.weight", "l.weight")
    ]
    rows = [tensors[key].shape[0] for key in keys if key in tensors and tensors[key].ndim]
    return int(rows[0] if rows else network.num_classes)
