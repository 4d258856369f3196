"""One pass over labelled pictures: each is read and encoded once, and leaves its maps and its ground truth behind.

Pictures are squashed to the input size, as the localization protocol has it, so that boxes scale with them. Features
are dropped batch by batch; what stays is a few maps a picture at grid resolution. What cannot be used is left out and
said, never averaged in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor

from bsig.cams import CamMethod
from bsig.datasets import Box, ClassMatch, LabelledImages, Sample
from bsig.dual_branch import DualBranch
from bsig.errors import InputError
from bsig.evidence_columns import Column, Probability, column_maps
from bsig.images import Preprocessing, crop_image, input_batch, read_image
from bsig.regions import covered_by_boxes, covered_by_mask

Array = np.ndarray
Progress = Callable[[int, int], None]
MASK_SIZE = 224


@dataclass(frozen=True)
class Ask:
    """What is asked of each picture: one method and treatment, in all these columns."""

    method: CamMethod
    treatment: str
    columns: dict[str, Column]


@dataclass(frozen=True)
class ColumnMaps:
    """One column's signed maps: of the picture's own class and of `a` absent ones."""

    own: Float[Array, "n h w"]
    absent: Float[Array, "n a h w"]


@dataclass
class Notes:
    """What was left out or cut, a sentence each."""

    unreadable: list[str] = field(default_factory=list)
    regions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Picture:
    """One readable picture and its ground truth.

    Attributes:
        position: of the sample in the data set; it seeds the choice of absent classes.
        size_wh: of the stored picture, the pixels that boxes count in.
        mask: squashed to `MASK_SIZE`: 1 object, 255 ignored, 0 the rest; or None.
        crop: what the model sees; let go after the encoding.
    """

    sample: Sample
    position: int
    label: int
    size_wh: tuple[int, int]
    boxes_xyxy: tuple[Box, ...]
    mask: UInt8[Array, "H W"] | None
    crop: Image.Image | None


@dataclass(frozen=True)
class Gathered:
    """Everything that the scores of an evaluation are made of, a picture a row.

    Attributes:
        coverage: share of each cell inside boxes or mask (the mask where there are both); NaN without either.
        softmax_top1, sigmoid_top1: 1 where the branch's likeliest class is the picture's, else 0.
        confidence: softmax probability of the likeliest class.
        maps: by the position of its `Ask`, then by column.
    """

    pictures: tuple[Picture, ...]
    labels: Int[Array, " n"]
    absent: Int[Array, "n a"]
    coverage: Float[Array, "n h w"]
    softmax_top1: Float[Array, " n"]
    sigmoid_top1: Float[Array, " n"]
    confidence: Float[Array, " n"]
    maps: list[dict[str, ColumnMaps]]
    notes: Notes


def squashed(model: DualBranch) -> Preprocessing:
    """The model's preprocessing with the whole picture squashed to the input size."""
    return replace(model.preprocessing, crop_mode="squash")


def gather(
    model: DualBranch,
    images: LabelledImages,
    match: ClassMatch,
    asks: Sequence[Ask],
    absent_pool: Sequence[int],
    *,
    absent_per_image: int,
    batch_size: int,
    seed: int,
    progress: Progress,
) -> Gathered:
    """Runs the encoder once over all usable pictures.

    Args:
        images: samples; those whose class `match` does not hold are left out.
        asks: which maps are kept.
        absent_pool: classes that absent ones are drawn from; the picture's own is never drawn.
        absent_per_image: how many at most.
        batch_size: pictures a forward pass.
        seed: of the absent classes; a picture has the same ones whatever else is in the data set's other places.
        progress: called with (done, total) listed pictures.

    Raises:
        InputError: no picture is left, or there is no class to be absent.
    """
    count = min(absent_per_image, len(set(absent_pool)) - 1)
    if count < 1:
        raise InputError(
            f"`absent_from` gives {len(set(absent_pool))} class; at least 2 are needed to ask for one that is absent."
        )
    notes, batches = Notes(), []
    usable = [(at, sample) for at, sample in enumerate(images.samples) if sample.class_name in match.index_of]
    preprocessing = squashed(model)
    for start in range(0, len(usable), batch_size):
        part = usable[start : start + batch_size]
        pictures = [
            picture
            for at, sample in part
            if (picture := _picture(sample, at, match.index_of[sample.class_name], preprocessing, notes))
        ]
        if pictures:
            batches.append(_encoded(model, pictures, preprocessing, asks, absent_pool, count, seed, notes))
        progress(start + len(part), len(usable))
    batches = [batch for batch in batches if batch.pictures]
    if not batches:
        raise InputError(_nothing_left(images, match, notes))
    return _joined(batches, notes)


def _nothing_left(images: LabelledImages, match: ClassMatch, notes: Notes) -> str:
    text = f"none of the {len(images.samples)} pictures of '{images.name}' ({images.split}) can be evaluated: "
    if not match.index_of:
        return text + f"the checkpoint has no class '{match.unmatched[0]}'; give a class map or another checkpoint."
    return text + (notes.unreadable[0] if notes.unreadable else "none falls into a class of the checkpoint.")


def _picture(sample: Sample, at: int, label: int, preprocessing: Preprocessing, notes: Notes) -> Picture | None:
    try:
        whole = sample.open()
    except InputError as error:
        notes.unreadable.append(str(error))
        return None
    boxes, mask = _boxes_inside(sample, whole.size, notes), _labelled_mask(sample, notes)
    return Picture(sample, at, label, whole.size, boxes, mask, crop_image(whole, preprocessing))


def _boxes_inside(sample: Sample, size_wh: tuple[int, int], notes: Notes) -> tuple[Box, ...]:
    """The boxes cut off at the picture's edges; those that lie beyond them are left out."""
    width, height = size_wh
    kept = []
    for x0, y0, x1, y1 in sample.boxes_xyxy:
        said = f"'{sample.key}': box {x0:g} {y0:g} {x1:g} {y1:g}"
        if x0 >= width or y0 >= height or x1 <= x0 or y1 <= y0:
            notes.regions.append(f"{said} holds nothing of the picture; left out.")
            continue
        if x1 > width or y1 > height:
            notes.regions.append(f"{said} reaches beyond the picture; cut off.")
        kept.append((x0, y0, min(x1, float(width)), min(y1, float(height))))
    return tuple(kept)


def _labelled_mask(sample: Sample, notes: Notes) -> UInt8[Array, "H W"] | None:
    """The mask at `MASK_SIZE`: 1 object, 255 ignored, 0 the rest; None without one, or where it says nothing.

    Nearest neighbour, and any value above 0 is the object, as the public evaluation code has it (Choe et al. 2020).
    """
    objects = _mask(sample, sample.mask, notes)
    if objects is None:
        return None
    if not objects.any():
        notes.regions.append(f"'{sample.key}': its mask is empty; left out.")
        return None
    ignored = _mask(sample, sample.ignore_mask, notes)
    return objects.astype(np.uint8) if ignored is None else np.where(objects, 1, 255 * ignored).astype(np.uint8)


def _mask(sample: Sample, path: Path | None, notes: Notes) -> Bool[Array, "H W"] | None:
    if path is None:
        return None
    try:
        mask = np.asarray(read_image(path, name=f"the mask of '{sample.key}'")).max(axis=2)
    except InputError as error:
        notes.regions.append(str(error))
        return None
    return cv2.resize(mask, (MASK_SIZE, MASK_SIZE), interpolation=cv2.INTER_NEAREST) > 0


def _encoded(
    model: DualBranch,
    pictures: list[Picture],
    preprocessing: Preprocessing,
    asks: Sequence[Ask],
    pool: Sequence[int],
    absent_count: int,
    seed: int,
    notes: Notes,
) -> Gathered:
    features = model.features(input_batch([one.crop for one in pictures if one.crop], preprocessing).to(model.device))
    finite = torch.isfinite(features).flatten(1).all(dim=1)
    for picture, is_finite in zip(pictures, finite.tolist(), strict=True):
        if not is_finite:
            notes.unreadable.append(f"'{picture.sample.key}' gives features that are not finite numbers; left out.")
    pictures = [one for one, is_finite in zip(pictures, finite.tolist(), strict=True) if is_finite]
    features = features[finite]
    labels = np.array([one.label for one in pictures], dtype=np.int64)
    absent = np.stack(
        [absent_classes(pool, one.label, absent_count, seed, one.position) for one in pictures]
        or [np.zeros(absent_count, np.int64)]
    )[: len(pictures)]
    probabilities = branch_probabilities(model, features)
    asked = torch.from_numpy(np.concatenate([labels[:, None], absent], axis=1)).to(features.device)
    grid_hw = (features.shape[2], features.shape[3])
    softmax = probabilities["softmax"].cpu().numpy()
    return Gathered(
        tuple(replace(one, crop=None) for one in pictures),
        labels,
        absent,
        np.array([_coverage(one, grid_hw) for one in pictures]).reshape(-1, *grid_hw),
        (softmax.argmax(axis=1) == labels).astype(np.float64),
        (probabilities["sigmoid"].cpu().numpy().argmax(axis=1) == labels).astype(np.float64),
        softmax.max(axis=1),
        [_split(column_maps(ask.columns, features, asked, probabilities, ask.method, ask.treatment)) for ask in asks],
        notes,
    )


def branch_probabilities(
    model: DualBranch, features: Float[Tensor, "b k h w"]
) -> dict[Probability, Float[Tensor, "b c"]]:
    """Softmax over the classes, and the sigmoid of each class, of both branches."""
    with torch.no_grad():
        return {
            "softmax": model.softmax_logits(features).softmax(dim=1),
            "sigmoid": model.sigmoid_logits(features).sigmoid(),
        }


def absent_classes(pool: Sequence[int], own: int, count: int, seed: int, position: int) -> Int[Array, " a"]:
    """`count` classes of the pool without the picture's own, drawn without repetition.

    That they are absent is an assumption: nobody has looked for them. In a thousand classes it rarely fails.
    """
    others = np.array(sorted(set(pool) - {own}), dtype=np.int64)
    return np.random.default_rng((seed, position)).choice(others, size=count, replace=False)


def _coverage(picture: Picture, grid_hw: tuple[int, int]) -> Float[Array, "h w"]:
    if picture.mask is not None:
        return covered_by_mask(picture.mask == 1, grid_hw)
    if picture.boxes_xyxy:
        return covered_by_boxes(picture.boxes_xyxy, picture.size_wh, grid_hw)
    return np.full(grid_hw, np.nan)


def _split(maps: dict[str, Tensor]) -> dict[str, ColumnMaps]:
    arrays = {key: value.detach().float().cpu().numpy() for key, value in maps.items()}
    return {key: ColumnMaps(value[:, 0], value[:, 1:]) for key, value in arrays.items()}


def _joined(batches: list[Gathered], notes: Notes) -> Gathered:
    def rows(name: str) -> Array:
        return np.concatenate([getattr(batch, name) for batch in batches])

    def maps(ask: int, key: str) -> ColumnMaps:
        parts = [batch.maps[ask][key] for batch in batches]
        return ColumnMaps(np.concatenate([p.own for p in parts]), np.concatenate([p.absent for p in parts]))

    return Gathered(
        tuple(picture for batch in batches for picture in batch.pictures),
        rows("labels"),
        rows("absent"),
        rows("coverage"),
        rows("softmax_top1"),
        rows("sigmoid_top1"),
        rows("confidence"),
        [{key: maps(ask, key) for key in found} for ask, found in enumerate(batches[0].maps)],
        notes,
    )
