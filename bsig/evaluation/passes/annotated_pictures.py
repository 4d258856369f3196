"""A sample as the model and the metrics need it: its crop, and its boxes and mask as far as they can be used.

Pictures are squashed to the input size, as the localization protocol has it, so that boxes scale with them. What cannot
be used is left out with a note, never averaged in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from bsig.evaluation.metrics.regions import covered_by_boxes, covered_by_mask
from bsig.evaluation.passes.regions import Notes, regions_of
from bsig.inputs.datasets.samples import Box, Sample
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing, crop_image
from bsig.model.dual_branch import DualBranch

Array = np.ndarray


@dataclass(frozen=True)
class PresentClass:
    """One class that is in a picture, with its ground truth: what one row of the evaluation measures.

    Attributes:
        position: of the picture in the data set; it seeds the random map.
        label: the model's index of the class.
        size_wh: of the upright picture, the pixels that boxes count in.
        mask: squashed to `MASK_SIZE`: 1 object, 255 ignored, 0 the rest; or None.
    """

    position: int
    label: int
    size_wh: tuple[int, int]
    boxes_xyxy: tuple[Box, ...]
    mask: UInt8[Array, "H W"] | None

    def coverage(self, grid_hw: tuple[int, int]) -> Float[Array, "h w"]:
        """Share of each cell inside mask or boxes (the mask where there are both); NaN without either."""
        if self.mask is not None:
            return covered_by_mask(self.mask == 1, grid_hw)
        if self.boxes_xyxy:
            return covered_by_boxes(self.boxes_xyxy, self.size_wh, grid_hw)
        return np.full(grid_hw, np.nan)


@dataclass(frozen=True)
class Picture:
    """One readable picture.

    Attributes:
        position: of the sample in the data set; it seeds the choice of absent classes.
        crop: what the model sees.
        classes: all that are in the picture and that the model has.
    """

    key: str
    position: int
    crop: Image.Image
    classes: tuple[PresentClass, ...]

    @property
    def present(self) -> tuple[int, ...]:
        """The model's indices of the classes that are in the picture."""
        return tuple(present.label for present in self.classes)


def squashed(model: DualBranch) -> Preprocessing:
    """The model's preprocessing with the whole picture squashed to the input size."""
    return replace(model.preprocessing, crop_mode="squash")


def annotated_picture(
    sample: Sample, position: int, labels: Mapping[str, int], preprocessing: Preprocessing, notes: Notes
) -> Picture | None:
    """The picture with the ground truth of each of its classes; None, and a note, where it cannot be read.

    `labels` gives the model's index of each class that is in it.
    """
    try:
        whole = sample.open()
    except InputError as error:
        notes.unreadable.append(str(error))
        return None
    classes = []
    for name, label in labels.items():
        regions = regions_of(sample.of_class(name), whole.size, notes)
        classes.append(PresentClass(position, label, whole.size, regions.boxes(), regions.mask()))
    return Picture(sample.key, position, crop_image(whole, preprocessing), tuple(classes))
