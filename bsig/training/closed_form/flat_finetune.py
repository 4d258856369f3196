"""Pictures -> the flattest shift of a model's softmax head (`bsig.training.closed_form.flat_shift` has the formulas).

One pass of the encoder over the pictures, twice each: as the model crops it and squashed whole. Kept of it are two sums
of k x k numbers and a few cells a picture; nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bsig.inputs.datasets.datasets import LabelledImages, Sample
from bsig.inputs.errors import InputError, StoppedEarly
from bsig.inputs.images import crop_image, input_batch
from bsig.model.dual_branch import DualBranch, FittedShift
from bsig.training.closed_form.flat_shift import (
    CellMoments,
    flatness,
    flattest_vector,
    level_for_absent_area,
)
from bsig.training.config import FlatShiftConfig

Progress = Callable[[int, int], None]
CELLS_A_VIEW = 4
ABSENT_CLASSES = 10


@dataclass(frozen=True)
class FlatFit:
    """A fitted flat shift and what it rests on.

    Attributes:
        shift: `-level * u`, and a bias of zero: the whole zero sits in the maps.
        level: in logits.
        flatness: of a vector fitted on every second picture, on the others: within-picture deviation over mean.
        pictures: how many were used.
        unreadable: one sentence for each that was not.
    """

    shift: FittedShift
    level: float
    flatness: float
    pictures: int
    unreadable: tuple[str, ...]


def fit_flat_shift(
    model: DualBranch,
    images: LabelledImages,
    index_of: Mapping[str, int],
    config: FlatShiftConfig = FlatShiftConfig(),
    *,
    batch_size: int = 16,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FlatFit:
    """The flat shift of the model's softmax head, from pictures whose class `index_of` knows.

    Raises:
        StoppedEarly: `should_stop` said so.
        InputError: fewer than two classes or two readable pictures, or settings out of range.
    """
    if not model.softmax_head.cam_is_exact:
        raise InputError(
            f"`backbone` (='{model.backbone_name}') must end in an average pool and one linear layer for a flat shift, "
            "which is made of feature maps; leave it out."
        )
    if model.num_classes < 2:
        raise InputError(f"`class_names` holds {model.num_classes} class; an absent one needs at least 2.")
    samples = [sample for sample in images.samples if sample.class_name in index_of]
    halves = [CellMoments.empty(model.softmax_head.last_linear.in_features) for _ in range(2)]
    weight = model.softmax_head.last_linear.weight.detach()
    kept: list[Tensor] = []
    absent: list[Tensor] = []
    unreadable: list[str] = []
    for start in range(0, len(samples), batch_size):
        if should_stop():
            raise StoppedEarly(f"stopped on request after {start} of {len(samples)} pictures of the flat shift.")
        positions = list(range(start, min(start + batch_size, len(samples))))
        for at, features in encoded_twice(model, samples, positions, unreadable):
            halves[at % 2].add(features)
            cells = _some_cells(features, config.seed, at)
            classes = _absent(model.num_classes, index_of[samples[at].class_name], config.seed, at)
            absent.append((cells @ weight[classes.to(weight.device)].T).cpu())
            kept.append(cells.cpu())
        if progress:
            progress(positions[-1] + 1, len(samples))
    if any(half.cells == 0 for half in halves):
        raise InputError(f"'{images.name}' has fewer than 2 usable pictures of these classes; a flat shift needs more.")
    vector = flattest_vector(halves[0].joined(halves[1]), config.ridge)
    flat = torch.cat(kept).double() @ vector
    values = torch.cat(absent)
    level = level_for_absent_area(values.flatten(), flat[:, None].expand(values.shape).flatten(), config.absent_area)
    shift = FittedShift((-level * vector).to(weight), weight.new_zeros(()))
    held_out = flatness(flattest_vector(halves[0], config.ridge), halves[1])
    return FlatFit(shift, level, held_out, len(kept), tuple(unreadable))


def encoded_twice(
    model: DualBranch, samples: list[Sample], positions: list[int], unreadable: list[str]
) -> list[tuple[int, Float[Tensor, "v k h w"]]]:
    """Each readable picture's position with its features, cropped and whole; a sentence for each that is not."""
    whole = replace(model.preprocessing, crop_mode="squash")
    crops, read = [], []
    for at in positions:
        try:
            picture = samples[at].open()
        except InputError as error:
            unreadable.append(str(error))
            continue
        crops += [crop_image(picture, model.preprocessing), crop_image(picture, whole)]
        read.append(at)
    if not read:
        return []
    features = model.features(input_batch(crops, model.preprocessing).to(model.device))
    return list(zip(read, features.unflatten(0, (len(read), 2)), strict=True))


def _some_cells(features: Float[Tensor, "v k h w"], seed: int, position: int) -> Float[Tensor, "n k"]:
    cells = features.flatten(2).transpose(1, 2)
    random = np.random.default_rng((seed, position, 1))
    chosen = [random.choice(cells.shape[1], min(CELLS_A_VIEW, cells.shape[1]), replace=False) for _ in cells]
    return torch.cat([one[torch.from_numpy(places).to(one.device)] for one, places in zip(cells, chosen, strict=True)])


def _absent(classes: int, own: int, seed: int, position: int) -> Int[Tensor, " a"]:
    """As many classes for every picture; that they are absent is an assumption, as in `pictures.py`."""
    random = np.random.default_rng((seed, position))
    drawn = random.choice(classes - 1, min(ABSENT_CLASSES, classes - 1), replace=False)
    return torch.from_numpy(drawn + (drawn >= own))
