"""What a model says of a few pictures: a wrong mean, size or order of classes shows here, and nowhere in its weights.

top_classes(model, "dog.jpg")             the five most probable classes
alternatives(model, samples, same)        top-1 on labelled pictures, as the model is and as it might have been meant
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import torch
from PIL import Image

from bsig.inputs.datasets.classes import match_classes
from bsig.inputs.datasets.read import available_splits, read_dataset
from bsig.inputs.datasets.samples import Sample
from bsig.inputs.errors import InputError
from bsig.inputs.images import IMAGENET_MEAN, IMAGENET_STD, CropMode, Preprocessing, crop_image, read_image
from bsig.inputs.tensors import input_batch
from bsig.model.dual_branch import DualBranch

TOP = 5
# Two of the example pictures, of things that most classifiers know.
PREVIEWED = ("cat.jpg", "coffee.jpg")
MAX_PICTURES = 200
AT_ONCE = 16
IMAGENET = (IMAGENET_MEAN, IMAGENET_STD)
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Trial:
    """A model tried on labelled pictures: what was changed, the options of `new-model` for it, and the outcome."""

    name: str
    arguments: str
    right: int
    pictures: int


def top_classes(model: DualBranch, picture: Image.Image | str | Path) -> list[tuple[str, float]]:
    """The most probable classes of the softmax branch with their probabilities, five at most.

    Raises:
        InputError: the picture cannot be read.
    """
    probabilities = _logits(model, [read_image(picture)], model.preprocessing)[0].softmax(0)
    values, indices = probabilities.topk(min(TOP, model.num_classes))
    return [(model.class_names[int(index)], float(value)) for value, index in zip(values, indices, strict=True)]


def labelled_pictures(model: DualBranch, folder: Path | str) -> tuple[list[tuple[Sample, int]], str]:
    """Labelled pictures of a data set with the index of each one's class, spread over all, and what to say of it.

    Where the model's classes have numbers for names, the sorted class folders are taken to be its classes in order.

    Raises:
        InputError: there is no such data set, or its classes are not the model's.
    """
    samples = [sample for split in available_splits(folder) for sample in read_dataset(folder, split).samples]
    names = sorted({sample.class_name for sample in samples})
    match, note = match_classes(names, model.class_names, model.class_ids), ""
    index_of = match.index_of
    if len(index_of) < len(names) == model.num_classes and all(name.isdecimal() for name in model.class_names):
        index_of = {name: index for index, name in enumerate(names)}
        note = "The model's classes have no names, so the sorted class folders are taken to be its classes in order."
    pairs = [(sample, index_of[sample.class_name]) for sample in samples if sample.class_name in index_of]
    if not pairs:
        raise InputError(f"`pictures` (='{folder}') holds no class of this model; its folders must have their names.")
    step = max(1, -(-len(pairs) // MAX_PICTURES))
    return pairs[::step], note


def alternatives(
    model: DualBranch, pictures: Sequence[tuple[Sample, int]], same_padded: DualBranch | None = None
) -> list[Trial]:
    """Top-1 as the model is (first) and under the mistakes that weights do not show, best first after it.

    These are the other usual mean and std (0.5, ImageNet's), a squash in place of a centre crop or the reverse, and
    TensorFlow's `same` padding, for which the model is given a second time (None where it has none).
    """
    own = model.preprocessing
    statistics = {"": (own.mean, own.std)}
    if (own.mean, own.std) != HALF:
        statistics["--mean 0.5 --std 0.5"] = HALF
    if (own.mean, own.std) != IMAGENET:
        statistics["--mean 0.485 0.456 0.406 --std 0.229 0.224 0.225"] = IMAGENET
    other: CropMode = "center" if own.crop_mode == "squash" else "squash"
    crops: tuple[CropMode | None, ...] = (None, other)
    models = {"": model} | ({"--model-kwargs pad_type=same": same_padded} if same_padded else {})
    trials = []
    for (padding, network), (mean, values), crop in product(models.items(), statistics.items(), crops):
        preprocessing = replace(own, mean=values[0], std=values[1], crop_mode=crop or own.crop_mode)
        arguments = " ".join(filter(None, (mean, crop and f"--crop-mode {crop}", padding)))
        right = _right(network, pictures, preprocessing)
        trials.append(Trial(arguments or "as it is", arguments, right, len(pictures)))
    return [trials[0], *sorted(trials[1:], key=lambda trial: -trial.right)]


def _right(model: DualBranch, pictures: Sequence[tuple[Sample, int]], preprocessing: Preprocessing) -> int:
    right = 0
    for start in range(0, len(pictures), AT_ONCE):
        batch = pictures[start : start + AT_ONCE]
        predicted = _logits(model, [sample.open() for sample, _ in batch], preprocessing).argmax(1).tolist()
        right += sum(index == truth for index, (_, truth) in zip(predicted, batch, strict=True))
    return right


def _logits(model: DualBranch, pictures: Sequence[Image.Image], preprocessing: Preprocessing) -> torch.Tensor:
    crops = [crop_image(picture, preprocessing) for picture in pictures]
    with torch.no_grad():
        return model.softmax_logits(model.features(input_batch(crops, preprocessing).to(model.device))).cpu()
