"""A data set looked over before a fine-tune: what is there, what matches, what cannot be read, how long it takes.

Only headers of pictures are read here; one that is damaged further inside is found, and named, while it is encoded.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from dataclasses import dataclass

import torch

from bsig.inputs.datasets.classes import ClassMatch, match_classes
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.errors import InputError
from bsig.inputs.images import header_problem
from bsig.model.dual_branch import DualBranch

HELD_OUT_SHARE = 0.1
FEWEST_TO_SHARE = 5
HEADERS_READ = 2000
RATE_BATCH = 8
STEP_SECONDS_PER_WEIGHT = 4e-9
DECODING_S = 0.008  # a JPEG of some hundred thousand pixels
_RATES: dict[tuple[object, ...], float] = {}


@dataclass(frozen=True)
class DataCheck:
    """What was found.

    Attributes:
        counts: pictures a class.
        match: of the data's classes to the model's; every class where a new head is fitted.
        unreadable: one sentence a file, of the headers that were read.
        headers_read: of how many pictures the header was read.
        held_out: pictures that are only measured, and where they come from.
        seconds: estimated, encoding and training; None for what has to be measured first.
    """

    name: str
    counts: dict[str, int]
    match: ClassMatch
    unreadable: tuple[str, ...]
    headers_read: int
    held_out: int
    held_out_from: str
    seconds_encoding: float
    seconds_training: float

    @property
    def usable(self) -> int:
        """Pictures of classes that matched."""
        return sum(count for name, count in self.counts.items() if name in self.match.index_of)


def train_and_held_out(
    address: str, seed: int, images_root: str | None = None
) -> tuple[LabelledImages, LabelledImages | None]:
    """The pictures to train on and those that are only measured: the `val` split, else a tenth of each larger class.

    Of torchvision's sets always a tenth: some have one split only, some have no other than the test split.

    Raises:
        InputError: as `bsig.inputs.datasets.read.read_dataset`.
    """
    images = read_dataset(address, "train", images_root)
    if address.startswith("torchvision:"):
        return held_out_part(images, seed)
    try:
        return images, read_dataset(address, "val", images_root)
    except InputError:
        return held_out_part(images, seed)


def held_out_part(images: LabelledImages, seed: int) -> tuple[LabelledImages, LabelledImages | None]:
    """A tenth of each class of at least five pictures set aside, drawn from `seed`; None where no class has as many."""
    of_class = defaultdict(list)
    for position, sample in enumerate(images.samples):
        of_class[sample.class_name].append(position)
    chosen: set[int] = set()
    for name in sorted(of_class):
        if len(of_class[name]) >= FEWEST_TO_SHARE:
            count = max(1, round(HELD_OUT_SHARE * len(of_class[name])))
            chosen |= set(random.Random(f"{seed} {name}").sample(of_class[name], count))
    if not chosen:
        return images, None
    kept = tuple(sample for i, sample in enumerate(images.samples) if i not in chosen)
    held = tuple(sample for i, sample in enumerate(images.samples) if i in chosen)
    return LabelledImages(images.name, images.split, kept), LabelledImages(images.name, "held out", held)


def check_data(
    address: str, model: DualBranch, *, new_head: bool, views: int, epochs: int, batch_size: int, seed: int = 0
) -> DataCheck:
    """Looks the data set over for a fine-tune of this model.

    Raises:
        InputError: no data set there, fewer than two classes that match, or nothing that can be read.
    """
    images, held_out = train_and_held_out(address, seed)
    names = images.class_names
    match = matched(images, model, new_head=new_head)
    check_match(images, match, model)
    listed = images.samples[:: max(1, len(images.samples) // HEADERS_READ)]
    unreadable = tuple(
        problem for sample in listed if sample.path and (problem := header_problem(sample.path, f"'{sample.key}'"))
    )
    if len(unreadable) == len(listed):
        raise InputError(f"none of the pictures of '{images.name}' can be read: {unreadable[0]}")
    classes = len(names) if new_head else model.num_classes
    count = sum(sample.class_name in match.index_of for sample in images.samples)
    kept = [sample for sample in held_out.samples if sample.class_name in match.index_of] if held_out else []
    seconds = estimated_seconds(
        model, count * views + len(kept), count, classes=classes, epochs=epochs, batch_size=batch_size
    )
    return DataCheck(
        images.name,
        images.counts(),
        match,
        unreadable,
        len(listed),
        len(kept),
        "" if held_out is None else ("its val split" if held_out.split == "val" else "a tenth of each class"),
        *seconds,
    )


def estimated_seconds(
    model: DualBranch, encoded: int, trained: int, *, classes: int, epochs: int, batch_size: int
) -> tuple[float, float]:
    """How long it takes to encode so many pictures, and to train on so many."""
    width = model.softmax_head.last_linear.in_features
    steps = epochs * (trained // batch_size + 1)
    encoding = encoded / encoding_rate(model) if encoded else 0.0
    return encoding, steps * (0.001 + STEP_SECONDS_PER_WEIGHT * classes * width)


def matched(images: LabelledImages, model: DualBranch, *, new_head: bool) -> ClassMatch:
    """The model's class of each class of the data; every class its own where a new head is fitted."""
    if new_head:
        return ClassMatch({name: index for index, name in enumerate(images.class_names)}, ())
    return match_classes(images.class_names, model.class_names, model.class_ids)


def check_match(images: LabelledImages, match: ClassMatch, model: DualBranch) -> None:
    """Refuses data that cannot teach a branch to tell classes apart.

    Raises:
        InputError: fewer than two classes, or fewer than two that the model has.
    """
    names = images.class_names
    if len(names) < 2:
        raise InputError(
            f"'{images.name}' holds one class ('{names[0]}'); a sigmoid branch needs at least 2 to tell apart."
        )
    if len(match.index_of) < 2:
        raise InputError(
            f"{len(match.index_of)} of the {len(names)} classes of '{images.name}' (e.g. '{names[0]}') are classes of "
            f"'{model.name}', at least 2 are needed; name folders by its class names, WordNet ids or indices, or "
            "choose 'a new label set'."
        )


def encoding_rate(model: DualBranch) -> float:
    """Pictures a second that this machine encodes with this model, decoding included; measured once a model."""
    key = (model.backbone_name, model.features_at, str(model.device), model.preprocessing.input_size_hw)
    if key not in _RATES:
        _RATES[key] = _measured_rate(model)
    return _RATES[key]


def _measured_rate(model: DualBranch) -> float:
    inputs = torch.zeros(RATE_BATCH, 3, *model.preprocessing.input_size_hw, device=model.device)
    model.features(inputs)
    started = time.perf_counter()
    model.features(inputs)
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return RATE_BATCH / (time.perf_counter() - started + RATE_BATCH * DECODING_S)
