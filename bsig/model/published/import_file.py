"""A checkpoint file of the method's published code -> a dual-branch model of this project.

    model = import_published("model.pth.tar", PublishedNetwork("resnet50", "cam"))
    save_checkpoint(model, "checkpoints/cub-resnet50")

The files are `torch.save` dictionaries with `architecture`, `epoch`, `state_dict` and `optimizer`. The model gives the
same logits (`logits`: softmax, `logits2`: sigmoid) as that code. Its `cam` maps are the mean over the k channels of
weight times feature where this project has the sum, so they are 1/k of the maps here: the same picture in another unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bsig.inputs.counts import counted, counted_classes
from bsig.inputs.errors import InputError
from bsig.model.backbones import with_preprocessing
from bsig.model.dual_branch import DualBranch
from bsig.model.model_settings import NO_SETTINGS, ModelSettings, preprocessing_of
from bsig.model.published.networks import PREPROCESSING, PublishedNetwork, empty_published_classifier
from bsig.model.weight_files import MAX_LISTED, differences, read_content, tensors_by_name

# torchvision's Inception v3 leaves these over, for training alone.
IGNORED = "AuxLogits."
PUBLISHED_CONFIG = {**asdict(PREPROCESSING), "input_size": (3, *PREPROCESSING.input_size_hw), "crop_pct": 1.0}


def import_published(
    file: Path | str,
    network: PublishedNetwork,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    settings: ModelSettings = NO_SETTINGS,
) -> DualBranch:
    """The file's encoder and both heads.

    `class_names` are in the order of the logits, None for those of `settings` or numbers; the preprocessing is the
    published code's but for what `settings` say.

    Raises:
        InputError: the file holds more than tensors, or other tensors than that network's; the sentence names those
            that are missing, unexpected or of another shape.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(f"`file` (='{path}') is not there; give the published code's .pth.tar file.")
    content = read_content(path, "nothing else is loaded: save it again with torch.save of plain tensors")
    tensors = _tensors(content if isinstance(content, dict) else {}, path.name)
    last = f"{network.softmax_head[-1]}.weight"
    classes = int(tensors[last].shape[0]) if last in tensors and tensors[last].ndim else 1
    class_names = class_names or settings.class_names
    if class_names is not None and len(class_names) != classes:
        raise InputError(
            f"`class_names` holds {counted(len(class_names), 'name')}, '{path.name}' has {counted_classes(classes)}."
        )
    if classes == 1:
        raise InputError(f"'{path.name}' has one class: softmax over it is 1 on every picture; give one with more.")
    classifier = empty_published_classifier(network, classes)
    sigmoid_head = network.head(classes).eval()
    _fill(
        [
            (classifier.encoder, {key: key for key in classifier.encoder.state_dict()}),
            (classifier.head, network.head_names(network.softmax_head)),
            (sigmoid_head, network.head_names(network.sigmoid_head)),
        ],
        tensors, network, path.name,
    )  # fmt: skip
    names = tuple(class_names) if class_names else classifier.class_names
    preprocessing = preprocessing_of(settings, PUBLISHED_CONFIG)
    classifier = with_preprocessing(classifier, preprocessing)
    training = {
        key: content[key] for key in ("architecture", "epoch") if isinstance(content.get(key), int | float | str)
    }
    return DualBranch(
        replace(classifier, class_names=names, class_ids=names),
        sigmoid_head,
        name=name or path.name.split(".")[0],
        metadata={"training": {"imported_from": path.name, "published_network": network.name, **training}},
    )


def _tensors(content: dict[str, Any], name: str) -> dict[str, Tensor]:
    state = content.get("state_dict")
    if not isinstance(state, dict):
        entries = ", ".join(sorted(map(str, content))[:MAX_LISTED]) or "nothing with a name"
        raise InputError(f"'{name}' must be a dictionary with the entry `state_dict`; it holds {entries}.")
    return {key: value for key, value in tensors_by_name(state).items() if not key.startswith(IGNORED)}


def _fill(
    parts: list[tuple[nn.Module, dict[str, str]]], tensors: dict[str, Tensor], network: PublishedNetwork, name: str
) -> None:
    """Loads the tensors into modules, each with the published name of every tensor by its own."""
    shapes = {
        published: tuple(part.state_dict()[own].shape) for part, names in parts for own, published in names.items()
    }
    # A 1x1 convolution is a linear layer; both shapes are taken.
    linear = {key for key, shape in shapes.items() if len(shape) == 2}
    tensors = {
        key: tensor.flatten(1) if key in linear and tensor.shape[2:] == (1, 1) else tensor
        for key, tensor in tensors.items()
    }
    if difference := differences(shapes, tensors):
        raise InputError(
            f"'{name}' does not hold the tensors of {network.name.removeprefix('published/')}; {difference}; "
            "choose the architecture, method and grid that the file was trained with."
        )
    for part, names in parts:
        state = part.state_dict()
        part.load_state_dict({own: tensors.get(published, state[own]) for own, published in names.items()})
