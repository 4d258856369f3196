"""A check of a data set before a fine-tune: its classes and pictures, damaged files, and the time that it takes.

Only headers of pictures are read here; one that is damaged further inside is named while it is encoded.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from bsig.inputs.datasets.classes import ClassMatch, match_classes
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.datasets.splits import TrainingSplits
from bsig.inputs.errors import InputError
from bsig.inputs.images import header_problem
from bsig.model.dual_branch import DualBranch

HEADERS_READ = 2000
RATE_BATCH = 8
STEP_SECONDS_PER_WEIGHT = 4e-9
DECODING_S = 0.008  # a JPEG of some hundred thousand pixels
_RATES: dict[tuple[object, ...], float] = {}


class UnmatchedClassesError(InputError):
    """Too few of the data's classes are the model's; a new label set takes the data as it is."""


@dataclass(frozen=True)
class DataCheck:
    """The content of a data set for a fine-tune.

    Attributes:
        counts: pictures a class.
        usable: pictures of classes that matched.
        match: of the data's classes to the model's; every class where a new head is fitted.
        unreadable: one sentence a file, of the `headers_read` headers.
        held_out: how many pictures are only measured.
        seconds_encoding, seconds_training: estimates.
    """

    name: str
    counts: dict[str, int]
    usable: int
    match: ClassMatch
    unreadable: tuple[str, ...]
    headers_read: int
    held_out: int
    held_out_sentence: str
    seconds_encoding: float
    seconds_training: float


def check_splits(
    splits: TrainingSplits, model: DualBranch, *, new_head: bool, views: int, epochs: int, batch_size: int
) -> DataCheck:
    """Returns the check of pictures for a fine-tune of this model.

    Raises:
        InputError: fewer than two classes that match, or nothing that can be read.
    """
    images, held_out = splits.train, splits.held_out
    match = class_match(images, model, new_head=new_head)
    check_match(images, match, model)
    samples = images.samples[:: max(1, len(images.samples) // HEADERS_READ)]
    unreadable = tuple(
        problem for sample in samples if sample.path and (problem := header_problem(sample.path, f"'{sample.key}'"))
    )
    if len(unreadable) == len(samples):
        raise InputError(f"none of the pictures of '{images.name}' can be read: {unreadable[0]}")
    classes = len(images.class_names) if new_head else model.num_classes
    count = known_count(images, match)
    held_out_count = known_count(held_out, held_out_match(held_out, match, model, new_head=new_head)) if held_out else 0
    seconds = estimated_seconds(
        model, count * views + held_out_count, count, classes=classes, epochs=epochs, batch_size=batch_size
    )
    return DataCheck(
        images.name, images.counts(), count, match, unreadable, len(samples), held_out_count, splits.sentence, *seconds
    )


def known_count(images: LabelledImages, match: ClassMatch) -> int:
    """Returns the number of pictures with a class that matched."""
    return sum(any(name in match.index_of for name in sample.class_names) for sample in images.samples)


def estimated_seconds(
    model: DualBranch, encoded: int, trained: int, *, classes: int, epochs: int, batch_size: int
) -> tuple[float, float]:
    """Returns how long it takes to encode and to train on so many pictures."""
    width = model.softmax_head.last_linear.in_features
    steps = epochs * (trained // batch_size + 1)
    encoding = encoded / encoding_rate(model) if encoded else 0.0
    return encoding, steps * (0.001 + STEP_SECONDS_PER_WEIGHT * classes * width)


def class_match(
    images: LabelledImages, model: DualBranch, *, new_head: bool, class_map: Mapping[str, str] = MappingProxyType({})
) -> ClassMatch:
    """Returns the model's class of each class of the data; with a new head every class is its own."""
    if new_head:
        return ClassMatch({name: index for index, name in enumerate(images.class_names)}, ())
    return match_classes(images.class_names, model.class_names, model.class_ids, class_map)


def held_out_match(
    held_out: LabelledImages,
    match: ClassMatch,
    model: DualBranch,
    *,
    new_head: bool,
    class_map: Mapping[str, str] = MappingProxyType({}),
) -> ClassMatch:
    """Returns the same of held-out pictures: a new head knows the classes alone that it is trained on (`match`)."""
    if not new_head:
        return class_match(held_out, model, new_head=False, class_map=class_map)
    unmatched = tuple(name for name in held_out.class_names if name not in match.index_of)
    return ClassMatch(match.index_of, unmatched)


def check_match(images: LabelledImages, match: ClassMatch, model: DualBranch) -> None:
    """Refuses data that cannot teach a branch to tell classes apart.

    Raises:
        UnmatchedClassesError: fewer than two that the model has.
        InputError: fewer than two classes.
    """
    names = images.class_names
    if len(names) < 2:
        raise InputError(
            f"'{images.name}' holds one class ('{names[0]}'); a sigmoid branch needs at least 2 to tell apart."
        )
    if len(match.index_of) < 2:
        raise UnmatchedClassesError(
            f"{len(match.index_of) or 'none'} of the {len(names)} classes of '{images.name}' (e.g. '{names[0]}') is a "
            f"class of '{model.name}', at least 2 are needed; name folders by its class names, WordNet ids or indices, "
            "or choose 'a new label set'."
        )


def encoding_rate(model: DualBranch) -> float:
    """Returns pictures a second that this machine decodes and encodes with this model; measured once a model."""
    network = (model.backbone_name, model.options, model.features_at)
    key = (*network, str(model.device), model.preprocessing.input_size_hw)
    if key in _RATES:
        return _RATES[key]
    inputs = torch.zeros(RATE_BATCH, 3, *model.preprocessing.input_size_hw, device=model.device)
    model.features(inputs)
    start = time.perf_counter()
    model.features(inputs)
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    _RATES[key] = RATE_BATCH / (time.perf_counter() - start + RATE_BATCH * DECODING_S)
    return _RATES[key]
