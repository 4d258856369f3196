"""A sample as the model and the metrics need it: its crop, and its boxes and mask as far as they can be used.

Pictures are squashed to the input size, as the localization protocol has it, so that boxes scale with them. What cannot
be used is left out with a note, never averaged in.
"""

from __future__ import annotations

from collections.abc import Sequence
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
class Picture:
    """One readable picture and its ground truth.

    Attributes:
        position: of the sample in the data set; it seeds the choice of absent classes and the random map.
        size_wh: of the upright picture, the pixels that boxes count in.
        mask: squashed to `MASK_SIZE`: 1 object, 255 ignored, 0 the rest; or None.
        crop: what the model sees.
        present: all classes that are in the picture, `label` among them.
    """

    key: str
    position: int
    label: int
    size_wh: tuple[int, int]
    boxes_xyxy: tuple[Box, ...]
    mask: UInt8[Array, "H W"] | None
    crop: Image.Image
    present: tuple[int, ...]

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
    sample: Sample, position: int, labels: Sequence[int], preprocessing: Preprocessing, notes: Notes
) -> Picture | None:
    """The picture with its ground truth; None, and a note, where it cannot be read.

    `labels` are the model's indices of the classes that are in it, its own first.
    """
    label, present = labels[0], tuple(labels)
    try:
        whole = sample.open()
    except InputError as error:
        notes.unreadable.append(str(error))
        return None
    regions = regions_of(sample, whole.size, notes)
    crop = crop_image(whole, preprocessing)
    return Picture(sample.key, position, label, whole.size, regions.boxes(), regions.mask(), crop, present)
