"""A sample as the model and the metrics need it: its crop, and its boxes and mask as far as they can be used.

Pictures are squashed to the input size, as the localization protocol has it, so that boxes scale with them. What cannot
be used is left out with a note, never averaged in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from bsig.evaluation.metrics.regions import covered_by_boxes, covered_by_mask
from bsig.inputs.datasets.samples import Box, Sample
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing, crop_image, read_image
from bsig.model.dual_branch import DualBranch

Array = np.ndarray
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
        position: of the sample in the data set; it seeds the choice of absent classes and the random map.
        size_wh: of the stored picture, the pixels that boxes count in.
        mask: squashed to `MASK_SIZE`: 1 object, 255 ignored, 0 the rest; or None.
        crop: what the model sees.
    """

    key: str
    position: int
    label: int
    size_wh: tuple[int, int]
    boxes_xyxy: tuple[Box, ...]
    mask: UInt8[Array, "H W"] | None
    crop: Image.Image

    def coverage(self, grid_hw: tuple[int, int]) -> Float[Array, "h w"]:
        """Share of each cell inside mask or boxes (the mask where there are both); NaN without either."""
        if self.mask is not None:
            return covered_by_mask(self.mask == 1, grid_hw)
        if self.boxes_xyxy:
            return covered_by_boxes(self.boxes_xyxy, self.size_wh, grid_hw)
        return np.full(grid_hw, np.nan)


def squashed(model: DualBranch) -> Preprocessing:
    """The model's preprocessing with the whole picture squashed to the input size."""
    return replace(model.preprocessing, crop_mode="squash")


def annotated_picture(
    sample: Sample, position: int, label: int, preprocessing: Preprocessing, notes: Notes
) -> Picture | None:
    """The picture with its ground truth; None, and a note, where it cannot be read."""
    try:
        whole = sample.open()
    except InputError as error:
        notes.unreadable.append(str(error))
        return None
    boxes = _boxes_inside(_in_pixels_of(whole.size, sample, notes), whole.size, notes)
    mask = _labelled_mask(sample, notes)
    return Picture(sample.key, position, label, whole.size, boxes, mask, crop_image(whole, preprocessing))


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
