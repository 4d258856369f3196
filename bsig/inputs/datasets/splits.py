"""Which pictures are trained on, which are held out, and which are measured: one rule for every door.

The page, the command line, the worker and the evaluation all ask here, so the same data gives the same checkpoint and
the same numbers by each of them. Every answer carries one sentence that says to people what it holds.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from bsig.inputs.datasets.read import available_splits, is_torchvision, read_dataset
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.datasets.split_names import NOTHING
from bsig.inputs.errors import InputError

HELD_OUT_SHARE = 0.1
FEWEST_TO_SHARE = 5
HELD_OUT = "held out"


@dataclass(frozen=True)
class TrainingSplits:
    """The pictures to train on, those that are only measured after each epoch (None: none), and a sentence why."""

    train: LabelledImages
    held_out: LabelledImages | None
    sentence: str


@dataclass(frozen=True)
class MeasuredSplit:
    """The pictures of an evaluation, and a sentence that says which split they are and why."""

    images: LabelledImages
    sentence: str


def train_and_held_out(
    address: str | Path,
    seed: int,
    images_root: Path | str | None = None,
    *,
    split: str = "train",
    held_out: str | None = None,
) -> TrainingSplits:
    """The pictures to train on and those that are only measured.

    Held out is the split `val` where the data has one. Otherwise a tenth of each class that has at least five pictures
    is set aside, drawn from the seed; where no class has five, nothing is. The split `test` is never touched unless it
    is named: measured after each epoch, it would soon guide the settings. Of torchvision's sets a tenth is held out as
    well: some have one split only, some have no other than the test split.

    `split` is trained on. `held_out` names another split to hold out, or `none`. The rest is as in `read_dataset`.

    Raises:
        InputError: as `read_dataset`, also of a `val` split that cannot be read; or `held_out` is `split`.
    """
    splits = _train_and_held_out(address, seed, images_root, split, held_out)
    parts = [splits.train, splits.held_out] if splits.held_out else [splits.train]
    notes = dict.fromkeys(note for part in parts for note in part.left_out)
    return replace(splits, sentence=" ".join([splits.sentence, *notes]))


def _train_and_held_out(
    address: str | Path, seed: int, images_root: Path | str | None, split: str, held_out: str | None
) -> TrainingSplits:
    if held_out == split:
        raise InputError(f"`held_out` (='{held_out}') must be another split than the one that is trained on.")
    train = read_dataset(address, split, images_root)
    if held_out == NOTHING:
        return TrainingSplits(train, None, "Nothing is held out, as asked.")
    if held_out:
        held_out_images = read_dataset(address, held_out, images_root)
        return TrainingSplits(train, held_out_images, f"The split '{held_out}' is held out, as asked.")
    if split != "val" and "val" in available_splits(address):
        return TrainingSplits(train, read_dataset(address, "val", images_root), "The split 'val' is held out.")
    reason = _why_not_val(address, split)
    train, tenth = held_out_part(train, seed)
    sentence = (
        f"A tenth of each class of at least {FEWEST_TO_SHARE} pictures is held out (seed {seed}), since {reason}."
    )
    if tenth is None:
        sentence = f"Nothing is held out: {reason}, and no class has {FEWEST_TO_SHARE} pictures."
    return TrainingSplits(train, tenth, sentence)


def held_out_part(images: LabelledImages, seed: int) -> tuple[LabelledImages, LabelledImages | None]:
    """The pictures without a tenth of each class of at least five, and that tenth; None where no class has as many.

    Each class draws from the seed and its own name, so that a class more or less leaves the others' draw as it is.
    """
    positions_of = defaultdict(list)
    for position, sample in enumerate(images.samples):
        positions_of[sample.class_name].append(position)
    held_out: set[int] = set()
    for name, positions in positions_of.items():
        if len(positions) >= FEWEST_TO_SHARE:
            count = max(1, round(HELD_OUT_SHARE * len(positions)))
            held_out |= set(random.Random(f"{seed} {name}").sample(positions, count))
    if not held_out:
        return images, None
    tenth = tuple(images.samples[position] for position in sorted(held_out))
    rest = tuple(sample for position, sample in enumerate(images.samples) if position not in held_out)
    return replace(images, samples=rest), replace(images, split=HELD_OUT, samples=tenth)


def images_to_measure(
    address: str | Path, split: str | None = None, images_root: Path | str | None = None
) -> MeasuredSplit:
    """The pictures of an evaluation: the named split, else `val` if there is one, else `test`, else all there are.

    Raises:
        InputError: as `read_dataset`, also of a `val` split that is there and cannot be read.
    """
    if split:
        sentence = f"The split '{split}' is measured, as asked."
    elif is_torchvision(address):
        split, sentence = "val", "The split 'val' of torchvision's set is measured, or what the set has in its place."
    else:
        splits = available_splits(address)
        split = next((name for name in ("val", "test") if name in splits), "train")
        sentence = {
            "val": "The split 'val' is measured.",
            "test": "The split 'test' is measured, since the data has no split 'val'.",
            "train": "All pictures are measured, since the data has no split 'val' or 'test'.",
        }[split]
    images = read_dataset(address, split, images_root)
    return MeasuredSplit(images, " ".join([sentence, *images.left_out]))


def _why_not_val(address: str | Path, split: str) -> str:
    if split == "val":
        return "the split 'val' is trained on"
    if is_torchvision(address):
        return "torchvision's sets name their splits each in their own way"
    return "the data has no split 'val'"
