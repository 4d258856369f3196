"""One pass over labelled pictures: each is read and encoded once, and leaves its maps and its ground truth behind.

Pictures are squashed to the input size, as the localization protocol has it, so that boxes scale with them. A part of
a few pictures leaves arrays: signed maps at grid resolution, which thresholds localize it, pixel counts against its
mask. Features and pixels are dropped. What cannot be used is left out with a note, never averaged in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor

from bsig.evaluation.columns import Probability
from bsig.evaluation.map_sources import MapSource, class_maps
from bsig.evaluation.metrics.regions import covered_by_boxes, covered_by_mask
from bsig.evaluation.passes.localization import localization_arrays
from bsig.explain.diagnostics.absent_classes import absent_classes
from bsig.inputs.datasets.samples import Box, Sample
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing, crop_image, input_batch, read_image
from bsig.model.dual_branch import DualBranch

Array = np.ndarray
Progress = Callable[[int, int], None]
MASK_SIZE = 224
SHAPE_TOLERANCE = 0.02


@dataclass
class Notes:
    """Sentences about pictures that were left out, and about boxes and masks that were cut off or left out."""

    unreadable: list[str] = field(default_factory=list)
    regions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Picture:
    """One readable picture and its ground truth.

    Attributes:
        position: of the sample in the data set; it seeds the choice of absent classes.
        size_wh: of the stored picture, the pixels that boxes count in.
        mask: squashed to `MASK_SIZE`: 1 object, 255 ignored, 0 the rest; or None.
        crop: what the model sees.
    """

    sample: Sample
    position: int
    label: int
    size_wh: tuple[int, int]
    boxes_xyxy: tuple[Box, ...]
    mask: UInt8[Array, "H W"] | None
    crop: Image.Image


def squashed(model: DualBranch) -> Preprocessing:
    """The model's preprocessing with the whole picture squashed to the input size."""
    return replace(model.preprocessing, crop_mode="squash")


@dataclass(frozen=True)
class PicturePass:
    """What every part of the pass over the pictures needs.

    Attributes:
        sources: the distinct maps that are kept.
        absent_pool: classes that absent ones are drawn from; the picture's own is never drawn.
        absent_count: how many a picture.
        seed: of the absent classes; a picture has the same ones whatever else is in the data set's other places.
    """

    model: DualBranch
    sources: dict[str, MapSource]
    absent_pool: Sequence[int]
    absent_count: int
    seed: int

    def part(self, samples: Sequence[tuple[int, Sample, int]]) -> dict[str, Array]:
        """All arrays of a few pictures (position, sample, label), each encoded once; unusable ones are only noted.

        Rows are pictures. `maps KEY` (n, 1 + a, h, w) is of the own class first; `gate softmax` and `gate sigmoid`
        (n, 1 + a) are the classes' probabilities; `places KEY` has a row a picture with boxes, `pixels KEY` one a
        picture with a mask.
        """
        notes, preprocessing = Notes(), squashed(self.model)
        read = (_picture(sample, at, label, preprocessing, notes) for at, sample, label in samples)
        pictures = [picture for picture in read if picture]
        crops = [picture.crop for picture in pictures]
        inputs = input_batch(crops, preprocessing) if pictures else None
        arrays = self._encoded(pictures, inputs, notes)
        return arrays | {"notes": _as_bytes(notes)}

    def _encoded(self, pictures: list[Picture], inputs: Tensor | None, notes: Notes) -> dict[str, Array]:
        if inputs is None:
            rows, columns = self.model.preprocessing.input_size_hw
            inputs = torch.zeros(1, 3, rows, columns)  # for the grid's size: an empty part has its arrays too
        features = self.model.features(inputs.to(self.model.device))[: len(pictures)]
        labels = np.array([picture.label for picture in pictures], dtype=np.int64)
        absent = np.array(
            [
                absent_classes(self.absent_pool, [one.label], self.absent_count, seed=self.seed, position=one.position)
                for one in pictures
            ],
            dtype=np.int64,
        ).reshape(len(pictures), self.absent_count)
        classes = np.concatenate([labels[:, None], absent], axis=1)
        maps, gates = maps_and_gates(self.model, features, classes, self.sources)
        is_finite = _are_finite(features, maps)
        for i in np.flatnonzero(~is_finite):
            notes.unreadable.append(f"'{pictures[i].sample.key}' gives maps that are not finite numbers; left out.")
        arrays = {"label": labels, "absent": absent, **gates, **{f"maps {key}": array for key, array in maps.items()}}
        arrays |= branch_answers(self.model, features, labels)
        arrays = {key: array[is_finite] for key, array in arrays.items()}
        pictures = [pictures[i] for i in np.flatnonzero(is_finite)]
        grid_hw = (features.shape[2], features.shape[3])
        arrays["position"] = np.array([picture.position for picture in pictures], np.int64)
        arrays["coverage"] = np.array([_coverage(picture, grid_hw) for picture in pictures]).reshape(-1, *grid_hw)
        arrays["boxed"] = np.array([bool(picture.boxes_xyxy) for picture in pictures], bool)
        arrays["masked"] = np.array([picture.mask is not None for picture in pictures], bool)
        own = {key: arrays[f"maps {key}"][:, 0] for key, source in self.sources.items() if source.is_localized}
        return arrays | localization_arrays(pictures, own, self.seed)


def maps_and_gates(
    model: DualBranch,
    features: Float[Tensor, "b k h w"],
    class_index: Int[Array, "b m"],
    sources: dict[str, MapSource],
) -> tuple[dict[str, Float[Array, "b m h w"]], dict[str, Float[Array, "b m"]]]:
    """Each source's maps of `m` classes of each picture, and both branches' probabilities of them."""
    classes = torch.from_numpy(class_index).to(features.device)
    maps = {
        key: np.ascontiguousarray(class_maps(source, features, classes).detach().float().cpu().numpy())
        for key, source in sources.items()
    }
    probabilities = branch_probabilities(model, features)
    gates = {
        f"gate {branch}": every_class.gather(1, classes).float().cpu().numpy()
        for branch, every_class in probabilities.items()
    }
    return maps, gates


def branch_answers(model: DualBranch, features: Float[Tensor, "b k h w"], labels: Int[Array, " b"]) -> dict[str, Array]:
    """Whether each branch's likeliest class is the picture's (1 or 0), and softmax's confidence in its own."""
    softmax, sigmoid = (every.cpu().numpy() for every in branch_probabilities(model, features).values())
    return {
        "softmax_top1": (softmax.argmax(axis=1) == labels).astype(np.float64),
        "sigmoid_top1": (sigmoid.argmax(axis=1) == labels).astype(np.float64),
        "confidence": softmax.max(axis=1).astype(np.float64),
    }


def _are_finite(features: Tensor, maps: dict[str, Array]) -> Bool[Array, " b"]:
    """Whether a picture's features and maps hold neither NaN nor infinity."""
    is_finite = torch.isfinite(features).flatten(1).all(dim=1).cpu().numpy()
    for array in maps.values():
        is_finite = is_finite & np.isfinite(array).all(axis=(1, 2, 3))
    return is_finite


def _as_bytes(notes: Notes) -> UInt8[Array, " bytes"]:
    """JSON as an array, since a part holds arrays alone; `notes_of` reads it."""
    text = json.dumps([notes.unreadable, notes.regions])
    return np.frombuffer(text.encode(), np.uint8)


def notes_of(stored: Sequence[UInt8[Array, " _"]]) -> Notes:
    """The notes of several parts, one after the other."""
    notes = Notes()
    for content in stored:
        unreadable, regions = json.loads(content.tobytes())
        notes.unreadable += unreadable
        notes.regions += regions
    return notes


def _picture(sample: Sample, position: int, label: int, preprocessing: Preprocessing, notes: Notes) -> Picture | None:
    """The picture with its ground truth; None, and a note, where it cannot be read."""
    try:
        whole = sample.open()
    except InputError as error:
        notes.unreadable.append(str(error))
        return None
    boxes = _boxes_inside(_in_pixels_of(whole.size, sample, notes), whole.size, notes)
    mask = _labelled_mask(sample, notes)
    return Picture(sample, position, label, whole.size, boxes, mask, crop_image(whole, preprocessing))


def _in_pixels_of(size_wh: tuple[int, int], sample: Sample, notes: Notes) -> Sample:
    """The sample with its boxes scaled to the picture, where the index lists another size than the file has."""
    listed = sample.listed_size_wh
    if listed is None or listed == size_wh or not sample.boxes_xyxy:
        return sample
    across, down = size_wh[0] / listed[0], size_wh[1] / listed[1]
    sizes = f"'{sample.key}': listed as {listed[0]} x {listed[1]}, the file has {size_wh[0]} x {size_wh[1]} pixels;"
    if abs(across / down - 1) > SHAPE_TOLERANCE:
        notes.regions.append(f"{sizes} another shape, so its boxes are left out.")
        return replace(sample, boxes_xyxy=())
    notes.regions.append(f"{sizes} its boxes are scaled.")
    boxes = tuple((x0 * across, y0 * down, x1 * across, y1 * down) for x0, y0, x1, y1 in sample.boxes_xyxy)
    return replace(sample, boxes_xyxy=boxes)


def _boxes_inside(sample: Sample, size_wh: tuple[int, int], notes: Notes) -> tuple[Box, ...]:
    """The boxes cut off at the picture's edges; those that lie beyond them are left out."""
    width, height = size_wh
    boxes = []
    for x0, y0, x1, y1 in sample.boxes_xyxy:
        box = f"'{sample.key}': box {x0:g} {y0:g} {x1:g} {y1:g}"
        if x0 >= width or y0 >= height or x1 <= x0 or y1 <= y0:
            notes.regions.append(f"{box} holds nothing of the picture; left out.")
            continue
        if x1 > width or y1 > height:
            notes.regions.append(f"{box} reaches beyond the picture; cut off.")
        boxes.append((x0, y0, min(x1, float(width)), min(y1, float(height))))
    return tuple(boxes)


def _labelled_mask(sample: Sample, notes: Notes) -> UInt8[Array, "H W"] | None:
    """The mask at `MASK_SIZE`: 1 object, 255 ignored, 0 the rest; None without one, or where it says nothing.

    Nearest neighbour, and any value above 0 is the object, as the public evaluation code has it (Choe et al. 2020).
    """
    masks = [mask for path in sample.masks if (mask := _mask(sample, path, notes)) is not None]
    if not masks:
        return None
    if len(masks) < len(sample.masks):
        notes.regions.append(f"'{sample.key}': not all of its masks can be read; all are left out.")
        return None
    objects = np.logical_or.reduce(masks)
    if not objects.any():
        notes.regions.append(f"'{sample.key}': its mask is empty; left out.")
        return None
    ignored = _mask(sample, sample.ignore_mask, notes)
    if ignored is None:
        return objects.astype(np.uint8)
    return np.where(objects, 1, 255 * ignored.astype(np.uint8)).astype(np.uint8)


def _mask(sample: Sample, path: Path | None, notes: Notes) -> Bool[Array, "H W"] | None:
    """One mask file at `MASK_SIZE`; None without one, or, with a note, where it cannot be read."""
    if path is None:
        return None
    try:
        mask = np.asarray(read_image(path, name=f"the mask of '{sample.key}'")).max(axis=2)
    except InputError as error:
        notes.regions.append(str(error))
        return None
    return cv2.resize(mask, (MASK_SIZE, MASK_SIZE), interpolation=cv2.INTER_NEAREST) > 0


def branch_probabilities(
    model: DualBranch, features: Float[Tensor, "b k h w"]
) -> dict[Probability, Float[Tensor, "b c"]]:
    """The softmax branch's probabilities over all classes, and the sigmoid branch's of each class."""
    with torch.no_grad():
        return {
            "softmax": model.softmax_logits(features).softmax(dim=1),
            "sigmoid": model.sigmoid_logits(features).sigmoid(),
        }


def _coverage(picture: Picture, grid_hw: tuple[int, int]) -> Float[Array, "h w"]:
    """Share of each cell inside mask or boxes (the mask where there are both); NaN without either."""
    if picture.mask is not None:
        return covered_by_mask(picture.mask == 1, grid_hw)
    if picture.boxes_xyxy:
        return covered_by_boxes(picture.boxes_xyxy, picture.size_wh, grid_hw)
    return np.full(grid_hw, np.nan)
