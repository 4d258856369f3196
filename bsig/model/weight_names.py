"""The tensors of a file -> those of one network, under the network's own names.

People's files wrap a network in many ways: a prefix before every name (`module.`, `_orig_mod.`, `model.`, `backbone.`),
several sets of weights (a moving average beside the last ones), a classifier outside of the backbone, a loss with
tensors of its own. None is named here but those that may be left out: the prefix is the one under which most of the
network's names are found, and what was done is said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bsig.inputs.errors import InputError
from bsig.inputs.images import Triple
from bsig.model.model_settings import triple
from bsig.model.weight_files import WeightsFile, listed

AVERAGE = re.compile(r"(^|[._])(ema|swa|averaged?)([._]|$)|average", re.IGNORECASE)
# Tensors of these roots take no part in the network's logits.
LEFT_OUT = re.compile(r"n_averaged|.*(criterion|loss|metric|accuracy|_acc$|^acc|aux|pos_weight|class_weight).*",
                      re.IGNORECASE)  # fmt: skip
# What BatchNorm measures; an average of parameters alone lacks it.
STATISTICS = (".running_mean", ".running_var")
NORMALIZER = re.compile(r"(^|[._])(mean|std)$")


@dataclass(frozen=True)
class NetworkTensors:
    """One network's tensors out of a file.

    Attributes:
        tensors: all tensors under the prefix, without it, and the classifier's, floating-point ones as float32.
        head: tensors of a classifier that lies outside of the prefix, named from their own root on.
        mean, std: of a normalisation that is part of the file's network; None where there is none.
        unknown: further tensors, without the prefix, that may change the network's logits.
        notes: what was done, in sentences.
    """

    tensors: dict[str, Tensor]
    head: dict[str, Tensor]
    mean: Triple | None
    std: Triple | None
    unknown: dict[str, Tensor]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Candidate:
    """A place in the file at which a network's names stand: a group of tensors, and a prefix within."""

    group: str
    prefix: str
    count: int

    @property
    def label(self) -> str:
        """The name of the place for `--weights-key`."""
        return ".".join(filter(None, (self.group, self.prefix.rstrip(".")))) or "(the file itself)"

    def matches(self, key: str) -> bool:
        """Whether it is meant by a `--weights-key`."""
        key = key.rstrip(".")
        return key in (self.group, self.prefix.rstrip("."), self.label) or self.label.startswith(f"{key}.")


def network_tensors(names: Collection[str], classifiers: Collection[str], file: WeightsFile,
                    key: str | None = None) -> NetworkTensors:  # fmt: skip
    """The tensors of the network with these names.

    Args:
        names: of all tensors of the network.
        classifiers: names of its classifier layers, which people replace.
        key: the set of weights to take, as `--weights-key` names it.

    Raises:
        InputError: no set of this key, or several sets and no key.
    """
    names = set(names)
    file, completed = _with_statistics(names, file)
    choices = _choices(names, file, key)
    candidate, notes = _unique_candidate(choices, file, key)
    if candidate.label in completed:
        notes.append(
            f"'{candidate.label}' is an average of parameters alone: the BatchNorm statistics are those of "
            f"'{completed[candidate.label]}'."
        )
    notes += [f"Not used: '{place}', which holds {count} tensors without names." for place, count in _nameless(file)]
    group = file.groups[candidate.group]
    if candidate.prefix:
        notes.append(f"The prefix '{candidate.prefix}' was taken off the names of its tensors.")
    inside = {name.removeprefix(candidate.prefix): tensor for name, tensor in group.items()
              if name.startswith(candidate.prefix)}  # fmt: skip
    roots = {name.split(".")[0] for name in names}
    tensors = {name: tensor for name, tensor in inside.items() if name.split(".")[0] in roots}
    everything = choices if key is None else _choices(names, file, None)
    others = [
        choice.prefix for choice in everything if choice.group == candidate.group and choice.prefix != candidate.prefix
    ]
    outside = {
        name: tensor
        for name, tensor in group.items()
        if name.removeprefix(candidate.prefix) not in tensors and not (others and name.startswith(tuple(others)))
    }
    mean, std = _normaliser(outside)
    if mean and std:
        outside = {name: tensor for name, tensor in outside.items() if not NORMALIZER.search(name)}
    has_classifier = any(name.startswith(tuple(f"{layer}." for layer in classifiers)) for name in tensors)
    head = {} if has_classifier else _outer_head(outside)
    if head:
        notes.append(f"'{next(iter(head)).split('.')[0]}' is taken as the classifier.")
    rest = [name for name in outside if name not in head]
    unknown = [name for name in rest if not any(LEFT_OUT.fullmatch(part) for part in name.split("."))]
    if len(rest) > len(unknown):
        harmless = [name for name in rest if name not in unknown]
        notes.append(f"Left out, because the logits do not depend on them: {listed(harmless)}.")
    return NetworkTensors(
        {name: _float32(tensor) for name, tensor in tensors.items()},
        {name: _float32(tensor) for name, tensor in head.items()},
        mean, std,
        {name.removeprefix(candidate.prefix): _float32(outside[name]) for name in unknown},
        tuple(notes),
    )  # fmt: skip


def _candidates(names: set[str], file: WeightsFile) -> list[_Candidate]:
    """All places at which some of the names stand."""
    return [
        _Candidate(path, prefix, count)
        for path, group in file.groups.items()
        for prefix, count in _prefixes(names, group).items()
    ]


def _with_statistics(names: set[str], file: WeightsFile) -> tuple[WeightsFile, dict[str, str]]:
    """The file with its moving averages of parameters completed by the statistics of the weights beside them.

    The dictionary says of each such average's label whose statistics it was given.
    """
    statistics = {name for name in names if name.endswith(STATISTICS)}
    parameters = {name for name in names if not name.endswith((*STATISTICS, ".num_batches_tracked"))}
    if not statistics:
        return file, {}
    with_statistics = {(place.group, place.prefix) for place in _candidates(statistics, file)}
    whole = [place for place in _candidates(names, file) if place.count >= len(statistics | parameters)]
    source = next((place for place in whole if not AVERAGE.search(place.label)), None)
    completed: dict[str, str] = {}
    groups = dict(file.groups)
    for place in _candidates(parameters, file) if source else []:
        is_average = AVERAGE.search(place.label) and place.count == len(parameters)
        if source and is_average and (place.group, place.prefix) not in with_statistics:
            beside = file.groups[source.group]
            own = {
                place.prefix + name: beside[at] for name in names - parameters if (at := source.prefix + name) in beside
            }
            groups[place.group] = {**groups[place.group], **own}
            completed[place.label] = source.label
    return replace(file, groups=groups), completed


def _nameless(file: WeightsFile) -> list[tuple[str, int]]:
    """Lists of tensors in the file, as `torch_ema` keeps its average, and their lengths."""
    places = [(key, value) for key, value in file.entries.items()]
    lists = []
    while places:
        path, value = places.pop(0)
        if isinstance(value, dict):
            places += [(f"{path}.{key}", inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(part, Tensor) for part in value):
            lists.append((path, len(value)))
    return lists


def _choices(names: set[str], file: WeightsFile, key: str | None) -> list[_Candidate]:
    """The places at which most of the names stand, all with the same number of them."""
    candidates = _candidates(names, file)
    if key is not None:
        matches = [choice for choice in candidates if choice.matches(key)]
        if not matches:
            best = [choice.label for choice in candidates if choice.count == max(other.count for other in candidates)]
            raise InputError(
                f"`weights_key` (='{key}') holds no weights of this network in '{file.name}'; "
                f"{f'it has {listed(best)}' if best else f'it has {listed(list(file.groups))}'}."
            )
        candidates = matches
    most = max((choice.count for choice in candidates), default=0)
    if most < len(names) / 2:  # of another network; what is missing and unexpected is said once it is compared
        return [_Candidate(max(file.groups, key=lambda path: len(file.groups[path])), "", 0)]
    return [choice for choice in candidates if choice.count >= 0.9 * most]


def _prefixes(names: set[str], group: dict[str, Tensor]) -> Counter[str]:
    """How many of the network's names stand under each prefix."""
    counts: Counter[str] = Counter()
    for key in group:
        parts = key.split(".")
        for depth in range(len(parts)):
            if ".".join(parts[depth:]) in names:
                counts["".join(f"{part}." for part in parts[:depth])] += 1
    return counts


def _unique_candidate(choices: list[_Candidate], file: WeightsFile, key: str | None) -> tuple[_Candidate, list[str]]:
    """The place that is meant, and what to say where there were several: the moving average before the last weights."""
    different = [choices[0]]
    for choice in choices[1:]:
        if not any(_equal(file, choice, other) for other in different):
            different.append(choice)
    if len(different) == 1:
        average = AVERAGE.search(choices[0].label)
        note = f"The moving average '{choices[0].label}' is all that the file holds." if average and not key else ""
        return choices[0], [note] if note else []
    averages = [choice for choice in different if AVERAGE.search(choice.label)]
    labels = [choice.label for choice in different]
    if len(averages) != 1:
        raise InputError(f"'{file.name}' holds several sets of weights ({listed(labels)}); choose with --weights-key.")
    others = [label for label in labels if label != averages[0].label]
    return averages[0], [
        f"The file holds {len(different)} sets of weights; the moving average '{averages[0].label}' is used: "
        f"--weights-key {others[0]} takes the other."
    ]


def _equal(file: WeightsFile, first_place: _Candidate, second_place: _Candidate) -> bool:
    """Whether two places hold the same tensors, as an attack's copy of a network does."""
    first, second = (
        {name.removeprefix(place.prefix): tensor for name, tensor in file.groups[place.group].items()
         if name.startswith(place.prefix)}
        for place in (first_place, second_place)
    )  # fmt: skip
    common = first.keys() & second.keys()
    return bool(common) and all(first[name].shape == second[name].shape and torch.equal(first[name], second[name])
                                for name in common)  # fmt: skip


def _normaliser(outside: dict[str, Tensor]) -> tuple[Triple | None, Triple | None]:
    """Mean and std of a normalisation layer, for pixels from 0 to 1; None for both where one is missing."""
    values: dict[str, list[float]] = {}
    for name, tensor in outside.items():
        if (place := NORMALIZER.search(name)) and tensor.numel() in (1, 3):
            values.setdefault(place[2], tensor.flatten().tolist())
    if len(values) < 2:
        return None, None
    scale = 255.0 if max(values["mean"] + values["std"]) > 1.5 else 1.0
    mean, std = (triple(kind, [round(value / scale, 7) for value in values[kind]]) for kind in ("mean", "std"))
    return mean, std


def _outer_head(outside: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the one root outside of the backbone that ends in a matrix: a wrapper's own classifier."""
    roots = Counter(name.split(".")[0] for name in outside if not LEFT_OUT.fullmatch(name.split(".")[0]))
    if len(roots) != 1:
        return {}
    root = next(iter(roots))
    head = {name: tensor for name, tensor in outside.items() if name.split(".")[0] == root}
    return head if any(tensor.ndim == 2 for tensor in head.values()) else {}


def _float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
