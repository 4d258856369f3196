"""A timm network into which the tensors of a file fit, with the options that they tell.

The tensors tell the number of classes, a classifier that was replaced, one input channel in place of three, a
transformer's square input size, and which pooling a transformer was built with. What they cannot tell (padding, the eps
of norms, a rectangle's sides) is an argument: `ModelSettings.model_kwargs`, `input_size_hw`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bsig.inputs.errors import InputError
from bsig.model.backbones import BackboneOptions, can_be_built, checked_kwargs, classifier_names, timm_network
from bsig.model.model_settings import ModelSettings
from bsig.model.replaced_heads import replaced_head
from bsig.model.weight_files import WeightsFile, differences
from bsig.model.weight_names import network_tensors

POOLINGS = ("avg", "token", "map")
# What Pillow's "L" takes of red, green and blue (ITU-R 601-2).
GREY = (0.299, 0.587, 0.114)
SEES_GREY = "The network has one input channel: it sees the grey of a picture."
# Parts of names whose shape follows from the input's size.
SIZED = ("pos_embed", "rel_pos", "relative_position", "token_mix", "mlp_tokens", "linear_tokens")


@dataclass(frozen=True)
class FittedNetwork:
    """A timm network that holds a file's weights.

    Attributes:
        options: with all that had to be set for the tensors to fit.
        settings: those that were given, with what the tensors tell.
        notes: what was found out, in sentences.
    """

    network: Any
    options: BackboneOptions
    settings: ModelSettings
    notes: tuple[str, ...]


def fitted_network(
    backbone: str, file: WeightsFile, options: BackboneOptions, settings: ModelSettings
) -> FittedNetwork:
    """The network with the file's tensors in it.

    Raises:
        InputError: the tensors are not this network's; the sentence names those that are missing or unexpected, and the
            setting that may be wrong.
    """
    pool = options.global_pool or (settings.global_pool if _has_pooling(backbone, settings) else None)
    options = replace(options, global_pool=pool, model_kwargs=checked_kwargs(dict(settings.model_kwargs)))
    options = _with_size(backbone, options, settings.input_size_hw)
    empty = _empty(backbone, options)
    classifiers = classifier_names(empty)
    file_tensors = network_tensors(empty.state_dict(), classifiers, file, settings.weights_key)
    tensors, notes = file_tensors.tensors, list(file_tensors.notes)
    options, classes = _with_classifier(empty, classifiers, options, settings, tensors, file_tensors.head, notes)
    options = _with_pooling(backbone, options, classes, tensors, file_tensors.unknown, notes)
    options = _with_square(backbone, options, classes, tensors, notes)
    first = empty.pretrained_cfg.get("first_conv")
    is_grey = grey_as_rgb([first] if isinstance(first, str) else list(first or ()), settings, tensors, file.name)
    if file_tensors.mean and file_tensors.std and not settings.mean:
        settings = replace(settings, mean=file_tensors.mean, std=file_tensors.std)
        notes.append("Mean and std are those of the normalisation in the file.")
    shapes = {key: tuple(value.shape) for key, value in _empty(backbone, options, classes).state_dict().items()}
    if difference := differences(shapes, {**tensors, **file_tensors.unknown}):
        raise InputError(f"'{file.name}' does not hold the weights of '{backbone}'; {difference}{_hint(difference)}.")
    check_numbers(tensors, file.name)
    network = timm_network(backbone, pretrained=False, options=options, num_classes=classes)
    network.load_state_dict({**network.state_dict(), **tensors})
    if is_grey:
        notes.append(SEES_GREY)
        network.pretrained_cfg = {**network.pretrained_cfg, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    settings = replace(settings, input_size_hw=settings.input_size_hw or options.built_for)
    return FittedNetwork(network, options, settings, tuple(notes))


def _empty(backbone: str, options: BackboneOptions, classes: int | None = None) -> Any:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return timm_network(backbone, pretrained=False, options=options, num_classes=classes)


def _has_pooling(backbone: str, settings: ModelSettings) -> bool:
    """Whether the pooling that a file states is one of this network."""
    return settings.global_pool is not None and can_be_built(backbone, global_pool=settings.global_pool)


def _with_size(backbone: str, options: BackboneOptions, size_hw: tuple[int, int] | None) -> BackboneOptions:
    """The options with the input size, where the network is built for one."""
    if size_hw is None or not can_be_built(backbone, img_size=size_hw):
        return options
    return replace(options, model_kwargs=checked_kwargs({"img_size": size_hw, **dict(options.model_kwargs)}))


# --- what the tensors tell --------------------------------------------------------------------------------------------


def _with_classifier(
    empty: Any, classifiers: tuple[str, ...], options: BackboneOptions, settings: ModelSettings,
    tensors: dict[str, Tensor], outer: dict[str, Tensor], notes: list[str],
) -> tuple[BackboneOptions, int | None]:  # fmt: skip
    """The options with a replaced classifier's layers, and the number of classes; names in `tensors` are put right."""
    rows = [tensors[key].shape[0] for name in classifiers for leaf in ("weight", "linear.weight", "l.weight")
            if (key := f"{name}.{leaf}") in tensors and tensors[key].ndim]  # fmt: skip
    if rows:
        for name in classifiers:
            _fill_bias(empty, name, tensors)
        classes = int(rows[0])
        if settings.sigmoid_output and classes == 1:
            classes = 2
            _as_two_classes(classifiers, tensors)
        return options, classes
    if len(classifiers) != 1:
        return options, None
    name = classifiers[0]
    chain = _chain_of(name, tensors, outer)
    if not chain or not any(tensor.ndim == 2 for tensor in chain.values()):
        return options, None
    for key in [key for key in tensors if key.startswith(f"{name}.")]:
        del tensors[key]
    if all("." not in key for key in chain):  # one layer by itself
        chain = {f"0.{key}": tensor for key, tensor in chain.items()}
    layers, assumed = replaced_head(chain, settings.head_activation)
    last = layers[-1].removeprefix("Linear(").removesuffix(")").split(", ")
    if sum(layer.startswith(("Linear", "BatchNorm", "LayerNorm", "PReLU")) for layer in layers) == 1:
        number = len(layers) - 1
        tensors |= {f"{name}.{key.removeprefix(f'{number}.')}": tensor for key, tensor in chain.items()}
        _fill_bias(empty, name, tensors)
        return options, int(last[1])
    tensors |= {f"{name}.{key}": tensor for key, tensor in chain.items()}
    for number, layer in enumerate(layers):
        if layer.startswith("Linear"):
            tensors.setdefault(f"{name}.{number}.bias", torch.zeros(int(layer[7:-1].split(", ")[1])))
    guess = "; the activation is not in the file, ReLU is taken: --head-activation takes another" if assumed else ""
    notes.append(f"The classifier was replaced by {', '.join(layers)}{guess}.")
    return replace(options, head_layers=layers), None


def _chain_of(name: str, tensors: dict[str, Tensor], outer: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a classifier, named from its own root on."""
    if outer:
        return {key.split(".", 1)[1]: tensor for key, tensor in outer.items() if "." in key}
    return {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}


def _fill_bias(empty: Any, name: str, tensors: dict[str, Tensor]) -> None:
    """A last layer that was trained without a bias has one of zeros."""
    weight = tensors.get(f"{name}.weight")
    if weight is not None and f"{name}.bias" in empty.state_dict():
        tensors.setdefault(f"{name}.bias", torch.zeros(weight.shape[0]))


def _as_two_classes(classifiers: tuple[str, ...], tensors: dict[str, Tensor]) -> None:
    """One logit z as two, -z/2 and z/2: softmax over them is 1 - sigmoid(z) and sigmoid(z)."""
    for name in classifiers:
        for key in [key for key in tensors if key.startswith(f"{name}.")]:
            tensors[key] = torch.cat((-tensors[key] / 2, tensors[key] / 2))


def _with_pooling(
    backbone: str, options: BackboneOptions, classes: int | None,
    tensors: dict[str, Tensor], unknown: dict[str, Tensor], notes: list[str],
) -> BackboneOptions:  # fmt: skip
    """The options with the pooling under which the network has the names of all tensors."""
    names = {key for key in (*tensors, *unknown) if not key.endswith("num_batches_tracked")}

    def fits(candidate: BackboneOptions) -> bool:
        own = _empty(backbone, candidate, classes).state_dict()
        return {key for key in own if not key.endswith("num_batches_tracked")} == names

    if fits(options):
        tensors |= unknown
        unknown.clear()
    if options.global_pool is not None or not unknown:
        return options
    for pool in POOLINGS:
        if can_be_built(backbone, global_pool=pool, **dict(options.model_kwargs)):
            candidate = replace(options, global_pool=pool)
            if fits(candidate):
                tensors |= unknown
                unknown.clear()
                notes.append(f"By the names of its tensors the network has the pooling '{pool}'.")
                return candidate
    return options


def _with_square(
    backbone: str, options: BackboneOptions, classes: int | None, tensors: dict[str, Tensor], notes: list[str]
) -> BackboneOptions:
    """The options with the square input size that a transformer's positions tell."""
    if any(key == "img_size" for key, _ in options.model_kwargs):
        return options
    network = _empty(backbone, options, classes)
    own, embedding = network.state_dict(), getattr(network, "patch_embed", None)
    positions, patch = tensors.get("pos_embed"), getattr(embedding, "patch_size", None)
    if positions is None or patch is None or "pos_embed" not in own or own["pos_embed"].shape == positions.shape:
        return options
    for side in _sides(positions, own["pos_embed"], embedding):
        candidate = replace(
            options, model_kwargs=checked_kwargs({**dict(options.model_kwargs), "img_size": (side, side)})
        )
        if can_be_built(backbone, img_size=(side, side)):
            built = _empty(backbone, candidate, classes).state_dict()
            if built["pos_embed"].shape == positions.shape:
                notes.append(f"By its {positions.shape[1]} positions the network was trained at {side} x {side}.")
                return candidate
    return options


def _sides(positions: Tensor, own: Tensor, embedding: Any) -> Iterator[int]:
    """The side in pixels of a square grid with as many positions, with those that stand for no place taken off."""
    if positions.ndim != 3 or own.ndim != 3:
        return
    rows, columns = embedding.grid_size
    cells = positions.shape[1] - (own.shape[1] - rows * columns)
    side = math.isqrt(max(cells, 0))
    if side * side == cells and 0 < side * embedding.patch_size[0] <= 1024:
        yield side * embedding.patch_size[0]


def grey_as_rgb(first_layers: list[str], settings: ModelSettings, tensors: dict[str, Tensor], file: str) -> bool:
    """Whether the network is for grey pictures; then its first layers are made ones for RGB that compute their grey.

    That layer is linear and its weights for red, green and blue are those for grey times grey's shares of them, so the
    outputs are the same where mean and std are the same for all three.

    Raises:
        InputError: other numbers of channels than 1 and 3, or than `in_chans`; three means for one channel.
    """
    weights = {f"{name}.weight": tensors[f"{name}.weight"] for name in first_layers if f"{name}.weight" in tensors}
    channels = {int(weight.shape[1]) for weight in weights.values() if weight.ndim == 4}
    if settings.in_chans is not None and channels and channels != {settings.in_chans}:
        raise InputError(f"`in_chans` (={settings.in_chans}) does not fit '{file}', which has {min(channels)}.")
    if channels <= {3}:
        return False
    if channels != {1}:
        raise InputError(
            f"'{file}' is of a network with {min(channels)} input channels (timm's in_chans={min(channels)}); pictures "
            "have 3, or 1 where they are grey: no map can be drawn for others."
        )
    if any(values and len(set(values)) > 1 for values in (settings.mean, settings.std)):
        raise InputError("`mean` and `std` must be one number each for a network with one input channel.")
    for key, weight in weights.items():
        tensors[key] = weight * torch.tensor(GREY).view(1, 3, 1, 1)
    return True


# --- what does not fit ------------------------------------------------------------------------------------------------


def _hint(difference: str) -> str:
    """The setting that a difference speaks of; empty where none does."""
    if "of another shape" in difference and any(part in difference for part in SIZED):
        return "; give the size that it was trained at: --input-size, as 384 or 224x320 (rows x columns)"
    if "fc_norm" in difference or "attn_pool" in difference:
        return "; it may have another pooling: --global-pool avg, token or map"
    return ""


def check_numbers(tensors: dict[str, Tensor], file: str) -> None:
    """Refuses tensors that are quantized, NaN or infinite; messages call the file by its name."""
    whole = [key for key, value in tensors.items()
             if not value.is_floating_point() and not key.endswith(("num_batches_tracked", "_index"))]  # fmt: skip
    if whole and tensors[whole[0]].ndim > 1:
        raise InputError(
            f"'{file}' holds {str(tensors[whole[0]].dtype).removeprefix('torch.')} in '{whole[0]}', as quantized "
            "weights are; save the network from before it was quantized."
        )
    broken = [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise InputError(
            f"'{file}' holds NaN or infinite numbers in '{broken[0]}'; the training diverged or the file is damaged: "
            "take an earlier one."
        )
