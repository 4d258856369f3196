"""A checkpoint file of the method's published code -> a dual-branch model of this project.

    model = import_published("model.pth.tar", PublishedNetwork("resnet50", "cam"))
    save_checkpoint(model, "checkpoints/cub-resnet50")

The files are `torch.save` dictionaries with `architecture`, `epoch`, `state_dict` and `optimizer`; the tensors' names
may carry a `module.` before them. They are read with `weights_only=True`: nothing in them is executed. Same logits
(`logits`: softmax, `logits2`: sigmoid) as that code's; its `cam` maps are the mean over the k channels of weight times
feature where this project has the sum, so they are 1/k of the maps here: the same picture in another unit.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bsig.inputs.errors import InputError
from bsig.model.backbones import Classifier
from bsig.model.dual_branch import DualBranch
from bsig.model.published.networks import PublishedNetwork, empty_published_classifier

# Left over by torchvision's Inception v3, for training alone.
IGNORED = ("AuxLogits.",)
MAX_LISTED = 8


def import_published(
    file: Path | str, network: PublishedNetwork, class_names: list[str] | None = None, name: str | None = None
) -> DualBranch:
    """The file's encoder and both heads.

    Args:
        file: a `.pth.tar` of the published code.
        network: which network it holds.
        class_names: one a class, in the order of the logits; None for their numbers.
        name: what the model is called.

    Raises:
        InputError: the file cannot be read without executing something, or does not hold that network's tensors; the
            sentence names those that are missing, unexpected or of another shape.
    """
    path = Path(file)
    content = _read(path)
    tensors = _tensors(content, path.name)
    last = f"{network.softmax_head[-1]}.weight"
    classes = int(tensors[last].shape[0]) if last in tensors and tensors[last].ndim else 1
    if class_names is not None and len(class_names) != classes:
        raise InputError(f"`class_names` holds {len(class_names)} names, '{path.name}' has {classes} classes.")
    classifier = empty_published_classifier(network, classes)
    sigmoid_head = network.head(classes)
    _require_the_same(_shapes(network, classifier, sigmoid_head), tensors, network, path.name)
    _fill(classifier.encoder, {key: key for key in classifier.encoder.state_dict()}, tensors)
    _fill(classifier.head, network.head_names(network.softmax_head), tensors)
    _fill(sigmoid_head, network.head_names(network.sigmoid_head), tensors)
    names = tuple(class_names) if class_names else classifier.class_names
    training = {
        key: content[key] for key in ("architecture", "epoch") if isinstance(content.get(key), int | float | str)
    }
    return DualBranch(
        replace(classifier, class_names=names, class_ids=names),
        sigmoid_head.eval(),
        name=name or path.name.split(".")[0],
        metadata={"training": {"imported_from": path.name, "published_network": network.name, **training}},
    )


def read_class_names(file: Path) -> list[str]:
    """One name a line; empty lines at the end do not count.

    Raises:
        InputError: the file cannot be read, or a name stands twice.
    """
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`--class-names` (='{file}') cannot be read ({error}); give a text file.") from error
    if len(set(names)) != len(names) or not all(names):
        raise InputError(f"`--class-names` (='{file}') must hold each name once, one a line, none empty.")
    return names


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"`file` (='{path}') is not there; give the published code's .pth.tar file.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0][:160]
        raise InputError(
            f"'{path.name}' cannot be read as tensors alone ({reason}); nothing else is loaded: save it again with "
            "torch.save of plain tensors."
        ) from error
    return content if isinstance(content, dict) else {}


def _tensors(content: dict[str, Any], name: str) -> dict[str, Tensor]:
    state = content.get("state_dict")
    if not isinstance(state, dict):
        entries = ", ".join(sorted(map(str, content))[:MAX_LISTED]) or "nothing with a name"
        raise InputError(f"'{name}' must be a dictionary with the entry `state_dict`; it holds {entries}.")
    return {
        str(key).removeprefix("module."): value
        for key, value in state.items()
        if isinstance(value, Tensor) and not str(key).removeprefix("module.").startswith(IGNORED)
    }


def _shapes(network: PublishedNetwork, classifier: Classifier, sigmoid_head: nn.Module) -> dict[str, tuple[int, ...]]:
    """Published name -> shape. A 1x1 convolution is a linear layer; both shapes are taken."""
    shapes = {key: tuple(value.shape) for key, value in classifier.encoder.state_dict().items()}
    for head, branch in ((classifier.head, network.softmax_head), (sigmoid_head, network.sigmoid_head)):
        own = {key: tuple(value.shape) for key, value in head.state_dict().items()}
        shapes |= {theirs: own[ours] for ours, theirs in network.head_names(branch).items()}
    return shapes


def _require_the_same(
    shapes: dict[str, tuple[int, ...]], tensors: dict[str, Tensor], network: PublishedNetwork, name: str
) -> None:
    # PyTorch of the published code's time did not count batches.
    missing = [key for key in shapes if key not in tensors and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in tensors if key not in shapes]
    other = [
        f"{key} {tuple(tensors[key].shape)} in place of {shape}"
        for key, shape in shapes.items()
        if key in tensors and _as_linear(tuple(tensors[key].shape), shape) != shape
    ]
    differences = [
        f"{kind}: {', '.join(keys[:MAX_LISTED])}{f' and {len(keys) - MAX_LISTED} more' * (len(keys) > MAX_LISTED)}"
        for kind, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", other))
        if keys
    ]
    if differences:
        raise InputError(
            f"'{name}' does not hold the tensors of {network.name.removeprefix('published/')}; "
            f"{'; '.join(differences)}; choose the architecture, method and grid that the file was trained with."
        )


def _as_linear(shape: tuple[int, ...], like: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a 1x1 convolution's weight as the linear layer that it is, where `like` is one."""
    return shape[:2] if len(like) == 2 and shape[2:] == (1, 1) else shape


def _fill(module: nn.Module, names: dict[str, str], tensors: dict[str, Tensor]) -> None:
    state = module.state_dict()
    for ours, theirs in names.items():
        if theirs in tensors:
            state[ours] = tensors[theirs].reshape(state[ours].shape).to(state[ours].dtype)
    module.load_state_dict(state)
