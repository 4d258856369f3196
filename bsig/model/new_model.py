"""A dual-branch model that nobody has fine-tuned yet: any timm classifier, from its own weights, a file or the hub.

    model = new_model("convnext_atto")                                  published weights, over the network once
    model = new_model("resnet50", weights="resnet50.safetensors")       a local file
    model = new_model("hf:timm/resnet18.a1_in1k")                       a timm repository on the Hugging Face Hub
    model.notes                                                         what was taken from the file, what was assumed

The sigmoid branch is the softmax branch's clone (`DualBranch.is_trained` is False): its maps are softmax's maps until a
fine-tune has moved them.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import torch

from bsig.inputs.counts import counted, counted_classes
from bsig.inputs.errors import InputError
from bsig.inputs.hub import hub_folder
from bsig.model.backbones import (
    ONE_OUTPUT,
    OWN_OPTIONS,
    BackboneOptions,
    Classifier,
    can_be_built,
    checked_kwargs,
    load_classifier,
    take_apart,
    with_preprocessing,
)
from bsig.model.class_embeddings import ClassEmbeddings
from bsig.model.cutting.cut import LAST
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead
from bsig.model.model_settings import NO_SETTINGS, ModelSettings, config_beside, in_words, stated_settings
from bsig.model.network_fit import fitted_network
from bsig.model.weight_files import WeightsFile, read_weights
from bsig.model.weights import shared_encoder, state_sha256
from bsig.model.zero_shot import tower_options, zero_shot_heads

NOT_TRAINED = (
    "This model's sigmoid branch has not been fine-tuned: it is still the clone of the softmax branch, so both "
    "maps are the same."
)
ZERO_SHOT = (
    "Both branches of this model are made of the same class embeddings, so both maps are the same; the sigmoid branch "
    "adds a bias, which decides whether a class is there."
)

HUB_FILES = ("config.json", "model.safetensors")
MAX_CONFIG_BYTES = 4 * 2**20
ABSENT_AND_PRESENT = ("absent", "present")
# Settings of the preprocessing and the option that changes each.
OPTIONS = {"input_size_hw": "--input-size", "mean": "--mean", "std": "--std", "interpolation": "--interpolation",
           "crop_mode": "--crop-mode"}  # fmt: skip


def not_trained(model: DualBranch) -> str:
    """Why both branches draw the same maps, where they do: a clone, or a bias as the only difference; else empty."""
    if model.is_trained:
        return ZERO_SHOT if model.is_zero_shot else ""
    return NOT_TRAINED


def new_model(
    backbone: str,
    weights: Path | str | None = None,
    options: BackboneOptions = OWN_OPTIONS,
    device: str = "cpu",
    settings: ModelSettings = NO_SETTINGS,
    class_embeddings: ClassEmbeddings | None = None,
) -> DualBranch:
    """Encoder, softmax branch and its clone; with class embeddings both branches of `bsig.model.zero_shot`.

    Args:
        backbone: a timm name, or `hf:owner/repo@revision` of a timm model.
        weights: a file of weights, wrapped as people wrap them (`weight_names.py`); None for the published ones.
        options: feature stage and pooling.
        device: as of `chosen_device`.
        settings: class names, preprocessing and what else the file may not tell; goes before what it does tell.
        class_embeddings: one text embedding a class; the network is then an image tower of timm.

    Raises:
        InputError: no such network, weights that cannot be had or do not fit, or a head that cannot be cut off.
    """
    device = chosen_device(device)
    if class_embeddings is not None:
        return _zero_shot_model(backbone, weights, options, device, settings, class_embeddings)
    classifier, sigmoid_head, name = _classifier_of(backbone, weights, options, device, settings)
    return DualBranch(classifier, sigmoid_head, name=name)


def _zero_shot_model(
    backbone: str, weights: Path | str | None, options: BackboneOptions, device: str, settings: ModelSettings,
    class_embeddings: ClassEmbeddings,
) -> DualBranch:  # fmt: skip
    """An image tower with a row a class in both branches."""
    if backbone.startswith("hf:"):
        raise InputError(f"`backbone` (='{backbone}') must be timm's name of an image tower for `class_embeddings`.")
    if options.global_pool or settings.sigmoid_output or settings.head_activation:
        raise InputError(
            "`global_pool`, `sigmoid_output` and `head_activation` must be left out with `class_embeddings`: the image "
            "embedding is made by the tower's own layers."
        )
    embeddings = class_embeddings.with_settings(settings.class_names, None, None)
    settings = replace(settings, class_names=None)
    built = replace(options, model_kwargs=checked_kwargs(dict(settings.model_kwargs)))
    options = replace(tower_options(backbone, built, is_published=weights is None), model_kwargs=options.model_kwargs)
    tower, _, name = _classifier_of(backbone, weights, options, device, settings)
    heads = zero_shot_heads(tower, embeddings)
    metadata = {"zero_shot": heads.description}
    return DualBranch(heads.classifier, heads.sigmoid_head, name=f"{name}-zero-shot"[:100], metadata=metadata)


def _classifier_of(
    backbone: str, weights: Path | str | None, options: BackboneOptions, device: str, settings: ModelSettings
) -> tuple[Classifier, ClassificationHead | None, str]:
    """The classifier on its device, a sigmoid head where the network ends in a sigmoid, and the model's name."""
    if backbone.startswith("hf:"):
        if weights is not None:
            raise InputError("`weights` must be left out for a hub address, which brings its own.")
        classifier, sigmoid_head = _from_hub(backbone, options, settings)
        name = model_name(backbone, options)
    elif weights is None:
        return _published_classifier(backbone, options, device, settings), None, model_name(backbone, options)
    else:
        path = Path(weights).expanduser()
        file = read_weights(path)
        stated, notes = stated_settings({**config_beside(path), **file.entries}, path.parent)
        classifier, sigmoid_head = _filled_classifier(backbone, file, options, settings, stated, notes)
        name = model_name(f"{backbone}-{path.name.split('.')[0]}", options)
    return _on_device(classifier, device), sigmoid_head and sigmoid_head.to(device), name


def same_padded(
    model: DualBranch, backbone: str, weights: Path | str | None, options: BackboneOptions, settings: ModelSettings,
    class_embeddings: ClassEmbeddings | None = None,
) -> DualBranch | None:  # fmt: skip
    """The model built once more with TensorFlow's `same` padding; None where its network has no such option.

    Weights of TensorFlow fit both, and are wrong by half a cell in each layer of stride 2 under the other.
    """
    kwargs = {**dict(settings.model_kwargs), "pad_type": "same"}
    stem = model.backbone_name.split(".")[0]
    if "pad_type" in dict(model.options.model_kwargs) or not can_be_built(stem, pad_type="same"):
        return None
    settings = replace(settings, model_kwargs=tuple(sorted(kwargs.items())))
    padded = new_model(backbone, weights, options, str(model.device), settings, class_embeddings)
    return None if str(padded.encoder) == str(model.encoder) else padded


def model_name(backbone: str, options: BackboneOptions) -> str:
    """The name of a new model, made of its backbone and options and fit for a folder."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", backbone.removeprefix("hf:")).strip("-._")
    stage = None if options.feature_stage == LAST else options.feature_stage
    return "-".join(filter(None, (stem, stage, options.global_pool)))[:100]


def _published_classifier(backbone: str, options: BackboneOptions, device: str, settings: ModelSettings) -> Classifier:
    """The network of a timm name with the weights that timm knows."""
    if settings.weights_key or settings.head_activation or settings.sigmoid_output or settings.in_chans:
        raise InputError("`weights_key`, `head_activation`, `sigmoid_output` and `in_chans` are for a file of weights.")
    kwargs = dict(settings.model_kwargs)
    if settings.input_size_hw and can_be_built(backbone.split(".")[0], img_size=settings.input_size_hw):
        kwargs["img_size"] = settings.input_size_hw
    options = replace(options, model_kwargs=checked_kwargs(kwargs))
    classifier = load_classifier(backbone, device, options)
    own = classifier.preprocessing
    share = settings.crop_pct or min(own.input_size_hw) / own.resize_to
    size_hw = settings.input_size_hw or own.input_size_hw
    changes = {name: value for name in ("mean", "std", "interpolation", "crop_mode")
               if (value := getattr(settings, name))}  # fmt: skip
    if changes or settings.input_size_hw or settings.crop_pct:
        resize_to = max(int(min(size_hw) / share + 1e-9), min(size_hw))
        preprocessing = replace(own, input_size_hw=size_hw, resize_to=resize_to, **changes)
        classifier = with_preprocessing(classifier, preprocessing)
    if settings.class_names is not None:
        if len(settings.class_names) != len(classifier.class_names):
            raise InputError(
                f"`class_names` holds {counted(len(settings.class_names), 'name')}, the network has "
                f"{counted_classes(len(classifier.class_names))}."
            )
        classifier = replace(classifier, class_names=settings.class_names, class_ids=settings.class_names)
    return classifier


def _filled_classifier(
    backbone: str,
    file: WeightsFile,
    options: BackboneOptions,
    request: ModelSettings,
    file_settings: ModelSettings,
    notes: tuple[str, ...] = (),
) -> tuple[Classifier, ClassificationHead | None]:
    """A timm network filled with a file's tensors, in two parts, and a sigmoid head if the network ends in a sigmoid.

    Raises:
        InputError: as `fitted_network` and `take_apart`.
    """
    fit = fitted_network(backbone, file, options, request.over(file_settings))
    settings, network = fit.settings, fit.network
    is_sigmoid = settings.sigmoid_output
    if is_sigmoid:
        settings = replace(settings, class_names=_two_names(settings.class_names, network.num_classes))
    elif network.num_classes == 1:
        raise InputError(f"'{file.name}': {ONE_OUTPUT}")
    is_tower = options.projection_rows is not None
    built = replace(fit.options, projection_rows=network.num_classes) if is_tower else fit.options
    names, note = (None, "") if is_tower else fitting_names(request, settings, network.num_classes)
    settings = replace(settings, class_names=names)
    classifier = take_apart(network, backbone, f"file {file.name}", built, settings)
    sources = setting_sources(classifier, request, settings)
    other = _other_network(backbone, file_settings)
    notes = (*notes, *fit.notes, *filter(None, (note, other)), *sources)
    classifier = replace(classifier, notes=notes)
    return classifier, _sigmoid_of(classifier.head) if is_sigmoid else None


def _two_names(names: tuple[str, ...] | None, outputs: int) -> tuple[str, ...]:
    """The names of a class and its absence."""
    if outputs != 2:
        raise InputError(f"`sigmoid_output` is for a network with one output; this one has {outputs}.")
    if names is not None and len(names) == 1:
        return (f"not {names[0]}", names[0])
    return names or ABSENT_AND_PRESENT


def _sigmoid_of(head: ClassificationHead) -> ClassificationHead:
    """The head with the logits -z and z, where the softmax head has -z/2 and z/2: the network's own sigmoid of z."""
    own = copy.deepcopy(head)
    with torch.no_grad():
        own.last_linear.weight.mul_(2)
        own.last_linear.bias.mul_(2)
    return own


def fitting_names(request: ModelSettings, settings: ModelSettings, classes: int) -> tuple[tuple[str, ...] | None, str]:
    """The class names; those of a file are not used where they are not as many as its classes, which is said."""
    names = settings.class_names
    if names is None or len(names) == classes or request.class_names is not None:
        return names, ""
    unused = counted(len(names), "class name is", "class names are")
    return None, f"The file's {unused} not used: the network has {counted_classes(classes)}."


def _other_network(backbone: str, stated: ModelSettings) -> str:
    """A warning where the file says that it is of another network; the names of the tensors may fit all the same."""
    stem, own = backbone.split(".")[0], (stated.architecture or "").split(".")[0]
    if not own or own == stem:
        return ""
    return f"The file says that its network is '{own}', not '{stem}': they may differ in padding, eps or preprocessing."


def setting_sources(classifier: Classifier, request: ModelSettings, settings: ModelSettings) -> tuple[str, ...]:
    """Two sentences: what the file tells of preprocessing and classes, and which usual values stand for the rest."""
    words, options = in_words(classifier.preprocessing), dict(OPTIONS)
    names = listed_classes(classifier.class_names)
    if classifier.options.projection_rows is None:
        words["class_names"], options["class_names"] = f"classes {names}", "--class-names"
    from_file = [words[name] for name in words if getattr(settings, name) and not getattr(request, name)]
    if settings.crop_pct and not request.crop_pct and not settings.crop_mode:
        from_file.append(words["crop_mode"])
    assumed = [name for name in words if not getattr(settings, name) and words[name] not in from_file]
    sentences = [f"From the file: {', '.join(from_file)}."] if from_file else []
    for start, names_of in (
        ("Not in the file, so", [name for name in assumed if name not in settings.unusable]),
        ("What the file states cannot be used, so", [name for name in assumed if name in settings.unusable]),
    ):
        if names_of:
            values = ", ".join(words[name] for name in names_of)
            change = ", ".join(options[name] for name in names_of)
            sentences.append(f"{start} the usual values are taken: {values}; change them with {change}.")
    return tuple(sentences)


def listed_classes(names: tuple[str, ...]) -> str:
    """The first names and their number, for a line."""
    if len(names) <= 4:
        return ", ".join(f"'{name}'" for name in names)
    return f"{', '.join(repr(name) for name in names[:3])}, ... ({len(names)})"


def _from_hub(
    address: str, options: BackboneOptions, settings: ModelSettings
) -> tuple[Classifier, ClassificationHead | None]:
    folder = hub_folder(address, HUB_FILES)
    config = folder / "config.json"
    if not config.is_file() or not (folder / "model.safetensors").is_file():
        raise InputError(f"`backbone` (='{address}') must hold {' and '.join(HUB_FILES)}, as timm writes them.")
    try:
        if config.stat().st_size > MAX_CONFIG_BYTES:
            raise ValueError("too large")
        entries = json.loads(config.read_text(encoding="utf-8"))
        architecture = str(entries["architecture"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"'config.json' of '{address}' is not that of a timm model ({error}); choose another."
        ) from error
    file = replace(read_weights(folder / "model.safetensors"), name=address)
    stated, notes = stated_settings(entries, None)
    return _filled_classifier(architecture, file, options, settings, stated, notes)


def _on_device(classifier: Classifier, device: str) -> Classifier:
    encoder = shared_encoder(classifier.encoder.to(device), state_sha256(classifier.encoder), device)
    return replace(classifier, encoder=encoder, head=classifier.head.to(device))
