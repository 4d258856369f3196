"""A checkpoint file of the method's published code -> a dual-branch model of this project.

    model = import_published("model.pth.tar", PublishedNetwork("resnet50", "cam"))
    save_checkpoint(model, "checkpoints/cub-resnet50")

The files are `torch.save` dictionaries with `architecture`, `epoch`, `state_dict` and `optimizer`; other wrappings are
taken off as of any file of weights (`bsig.model.weight_names`). The model gives the same logits (`logits`: softmax,
`logits2`: sigmoid) as that code. Its `cam` maps are the mean over the k channels of weight times feature where this
project has the sum, so they are 1/k of the maps here: the same picture in another unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from bsig.inputs.counts import counted, counted_classes
from bsig.inputs.errors import InputError
from bsig.model.backbones import Classifier, with_preprocessing
from bsig.model.dual_branch import DualBranch
from bsig.model.model_settings import NO_SETTINGS, ModelSettings, config_beside, preprocessing_of, stated_settings
from bsig.model.network_fit import SEES_GREY, check_numbers, grey_as_rgb
from bsig.model.new_model import fitting_names, setting_sources
from bsig.model.published.networks import PREPROCESSING, PublishedNetwork, empty_published_classifier
from bsig.model.weight_files import differences, read_weights
from bsig.model.weight_names import network_tensors

PUBLISHED_CONFIG = {**asdict(PREPROCESSING), "input_size": (3, *PREPROCESSING.input_size_hw), "crop_pct": 1.0}
GREY_CONFIG = {**PUBLISHED_CONFIG, "mean": (0.5,) * 3, "std": (0.5,) * 3}
# The layer that sees the picture.
FIRST_LAYERS = {"resnet50": "conv1", "vgg16": "features.0", "inception_v3": "Conv2d_1a_3x3.conv"}


def import_published(
    file: Path | str,
    network: PublishedNetwork,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    settings: ModelSettings = NO_SETTINGS,
) -> DualBranch:
    """The file's encoder and both heads; `model.notes` say what was taken from the file and what was assumed.

    `class_names` are in the order of the logits, None for those of `settings`, of the file, or numbers; the
    preprocessing is the published code's but for what `settings` and the file say.

    Raises:
        InputError: the file holds more than tensors, NaN, or other tensors than that network's; the sentence names
            those that are missing, unexpected or of another shape.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(f"`file` (='{path}') is not there; give the published code's .pth.tar file.")
    content = read_weights(path)
    request = settings if class_names is None else replace(settings, class_names=tuple(class_names))
    stated, notes = stated_settings({**config_beside(path), **content.entries}, path.parent)
    settings = request.over(stated)
    with torch.device("meta"):
        parts = _parts(empty_published_classifier(network), network.head(1), network)
    names_in_file = {published for _, names in parts for published in names.values()}
    layers = (*network.softmax_head, *network.sigmoid_head)
    tensors = network_tensors(names_in_file, layers, content, settings.weights_key)
    own = {**tensors.tensors, **tensors.unknown}
    last = f"{network.softmax_head[-1]}.weight"
    classes = int(own[last].shape[0]) if last in own and own[last].ndim else 1
    if request.class_names is not None and len(request.class_names) != classes:
        raise InputError(
            f"`class_names` holds {counted(len(request.class_names), 'name')}, '{path.name}' has "
            f"{counted_classes(classes)}."
        )
    if classes == 1:
        raise InputError(f"'{path.name}' has one class: softmax over it is 1 on every picture; give one with more.")
    is_grey = grey_as_rgb([FIRST_LAYERS[network.architecture]], settings, own, path.name)
    classifier = empty_published_classifier(network, classes)
    sigmoid_head = network.head(classes).eval()
    _fill(_parts(classifier, sigmoid_head, network), own, network, path.name)
    if tensors.mean and tensors.std and not settings.mean:
        settings = replace(settings, mean=tensors.mean, std=tensors.std)
    names, note = fitting_names(request, settings, classes)
    settings = replace(settings, class_names=names)
    names = names or classifier.class_names
    preprocessing = preprocessing_of(settings, GREY_CONFIG if is_grey else PUBLISHED_CONFIG)
    classifier = replace(with_preprocessing(classifier, preprocessing), class_names=names, class_ids=names)
    sentences = (*notes, *tensors.notes, note, SEES_GREY * is_grey, *setting_sources(classifier, request, settings))
    entries = {key: content.entries.get(key) for key in ("architecture", "epoch")}
    training = {key: value for key, value in entries.items() if isinstance(value, int | float | str)}
    return DualBranch(
        replace(classifier, notes=tuple(filter(None, sentences))),
        sigmoid_head,
        name=name or path.name.split(".")[0],
        metadata={"training": {"imported_from": path.name, "published_network": network.name, **training}},
    )


def _parts(
    classifier: Classifier, sigmoid_head: nn.Module, network: PublishedNetwork
) -> list[tuple[nn.Module, dict[str, str]]]:
    """Encoder and both heads, each with the published name of every tensor by its own."""
    return [
        (classifier.encoder, {key: key for key in classifier.encoder.state_dict()}),
        (classifier.head, network.head_names(network.softmax_head)),
        (sigmoid_head, network.head_names(network.sigmoid_head)),
    ]


def _fill(
    parts: list[tuple[nn.Module, dict[str, str]]], tensors: dict[str, Tensor], network: PublishedNetwork, name: str
) -> None:
    """Loads the tensors into the parts."""
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
    check_numbers(tensors, name)
    for part, names in parts:
        state = part.state_dict()
        part.load_state_dict({own: tensors.get(published, state[own]) for own, published in names.items()})
