"""Boxes and masks of a sample -> the pixels of its upright picture, as far as they can be used.

A camera stores a picture lying down and says in EXIF how to turn it. Boxes and masks of such a picture may have been
drawn on either. `width` and `height` of the index decide for boxes, the mask's own size decides for a mask. Where both
fit, they are left out with a note: a wrong guess moves every number without a word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from bsig.inputs.datasets.samples import Box, Sample
from bsig.inputs.errors import InputError
from bsig.inputs.images import QUARTER_TURNS, stored_turn, turned_point
from bsig.inputs.masks import read_mask

Array = np.ndarray
SizeWH = tuple[int, int]
MASK_SIZE = 224
SHAPE_TOLERANCE = 0.02
REMEDY = "save the picture without the EXIF orientation"


@dataclass
class Notes:
    """Sentences about pictures that were left out, and about boxes and masks that were cut off or left out."""

    unreadable: list[str] = field(default_factory=list)
    regions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Regions:
    """Where the ground truth of one picture lies: `size_wh` is the upright picture's, `turn` makes it upright."""

    sample: Sample
    size_wh: SizeWH
    turn: Image.Transpose | None
    notes: Notes

    @property
    def stored_wh(self) -> SizeWH:
        """The size of the picture as it is stored."""
        return self.size_wh[::-1] if self.turn in QUARTER_TURNS else self.size_wh

    def boxes(self) -> tuple[Box, ...]:
        """The boxes in upright pixels, cut off at the edges; those that hold nothing of the picture are left out."""
        if not self.sample.boxes_xyxy:
            return ()
        turn, frame_wh = None, self.size_wh
        if self.turn is not None:
            is_stored = self._is_stored(self.sample.listed_size_wh)
            if is_stored is None:
                self._note(
                    "its EXIF orientation turns it, and `width` and `height` do not say which way its boxes count, so "
                    f"they are left out; {REMEDY}."
                )
                return ()
            if is_stored:
                turn, frame_wh = self.turn, self.stored_wh
        boxes = self._scaled(frame_wh)
        if turn is not None:
            boxes = tuple(_turned(box, frame_wh, turn) for box in boxes)
        return self._inside(boxes)

    def mask(self) -> UInt8[Array, "H W"] | None:
        """The mask at `MASK_SIZE`: 1 object, 255 ignored, 0 the rest; None without one, or where it says nothing.

        Nearest neighbour, as in the public evaluation code (Choe et al. 2020).
        """
        masks = [mask for path in self.sample.masks if (mask := self._mask(path)) is not None]
        if not masks:
            return None
        if len(masks) < len(self.sample.masks):
            self._note("not all of its masks can be read; all are left out.")
            return None
        objects = np.logical_or.reduce(masks)
        if not objects.any():
            self._note("its mask is empty; left out.")
            return None
        ignored = self._mask(self.sample.ignore_mask)
        if ignored is None:
            return objects.astype(np.uint8)
        return np.where(objects, 1, 255 * ignored.astype(np.uint8)).astype(np.uint8)

    def _mask(self, path: Path | None) -> Bool[Array, "H W"] | None:
        """One mask file, upright, at `MASK_SIZE`; None without one, or, with a note, where it cannot be used."""
        if path is None:
            return None
        try:
            mask = read_mask(path, f"the mask of '{self.sample.key}'")
            has_own_turn = self.turn is not None and stored_turn(path, "the mask") is not None
        except InputError as error:
            self.notes.regions.append(str(error))
            return None
        if self.turn is not None and not has_own_turn:
            is_stored = self._is_stored((mask.shape[1], mask.shape[0]))
            if is_stored is None:
                self._note(f"its EXIF orientation turns it, and its mask fits both ways, so it is left out; {REMEDY}.")
                return None
            if is_stored:
                mask = np.asarray(Image.fromarray(mask).transpose(self.turn))
        return cv2.resize(mask.astype(np.uint8), (MASK_SIZE, MASK_SIZE), interpolation=cv2.INTER_NEAREST) > 0

    def _is_stored(self, size_wh: SizeWH | None) -> bool | None:
        """Whether a size is that of the stored picture and not of the upright one; None where it may be either."""
        if size_wh is None or self.stored_wh == self.size_wh:
            return None
        if size_wh in (self.size_wh, self.stored_wh):
            return size_wh == self.stored_wh
        fits_upright, fits_stored = (_same_shape(size_wh, other) for other in (self.size_wh, self.stored_wh))
        if fits_upright and fits_stored:
            return None
        return fits_stored

    def _scaled(self, frame_wh: SizeWH) -> tuple[Box, ...]:
        """The boxes scaled to the frame, where the index lists another size than the file has."""
        listed_wh, boxes = self.sample.listed_size_wh, self.sample.boxes_xyxy
        if listed_wh is None or listed_wh == frame_wh:
            return boxes
        sizes = f"listed as {listed_wh[0]} x {listed_wh[1]}, the file has {frame_wh[0]} x {frame_wh[1]} pixels;"
        if not _same_shape(listed_wh, frame_wh):
            self._note(f"{sizes} another shape, so its boxes are left out.")
            return ()
        self._note(f"{sizes} its boxes are scaled.")
        across, down = frame_wh[0] / listed_wh[0], frame_wh[1] / listed_wh[1]
        return tuple((x0 * across, y0 * down, x1 * across, y1 * down) for x0, y0, x1, y1 in boxes)

    def _inside(self, boxes: tuple[Box, ...]) -> tuple[Box, ...]:
        width, height = self.size_wh
        inside = []
        for x0, y0, x1, y1 in boxes:
            box = f"box {x0:g} {y0:g} {x1:g} {y1:g}"
            if x0 >= width or y0 >= height or x1 <= x0 or y1 <= y0:
                self._note(f"{box} holds nothing of the picture; left out.")
                continue
            if x1 > width or y1 > height:
                self._note(f"{box} reaches beyond the picture; cut off.")
            inside.append((max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))))
        return tuple(inside)

    def _note(self, sentence: str) -> None:
        of_class = f", class '{self.sample.class_name}'" if self.sample.further_classes else ""
        self.notes.regions.append(f"'{self.sample.key}'{of_class}: {sentence}")


def regions_of(sample: Sample, size_wh: SizeWH, notes: Notes) -> Regions:
    """The regions of a sample whose upright picture has that size."""
    turn = None
    if sample.path is not None and (sample.boxes_xyxy or sample.masks):
        turn = stored_turn(sample.path, f"'{sample.key}'")
    return Regions(sample, size_wh, turn, notes)


def _same_shape(first_wh: SizeWH, second_wh: SizeWH) -> bool:
    return abs(first_wh[0] * second_wh[1] / (first_wh[1] * second_wh[0]) - 1) <= SHAPE_TOLERANCE


def _turned(box: Box, size_wh: SizeWH, turn: Image.Transpose) -> Box:
    corners = [turned_point(x, y, size_wh, turn) for x, y in (box[:2], box[2:])]
    (x0, x1), (y0, y1) = (sorted(values) for values in zip(*corners, strict=True))
    return x0, y0, x1, y1
