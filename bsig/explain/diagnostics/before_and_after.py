"""Two checkpoints on one picture: the same class explained before and after a fine-tune, or by any two models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bsig.explain.drawing.heatmaps import shared_limit
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.methods import methods_of


@dataclass(frozen=True)
class BeforeAndAfter:
    """One class, explained by two checkpoints.

    Attributes:
        method: the CAM variant of both, one that both heads allow.
        limit: where one scale for the sigmoid maps of both and the softmax map ends, in logits.
        map_change: the largest change of a cell of the sigmoid map; None where the grids differ.
        softmax_change: the largest change of a softmax probability; 0 says that the softmax branch is untouched. None
            where the two have other classes.
        classes: how many classes the first checkpoint has.
    """

    before: Explanation
    after: Explanation
    method: str
    limit: float
    map_change: float | None
    softmax_change: float | None
    classes: int


def before_and_after(before: EncodedImage, after: EncodedImage, class_name: str | None, method: str) -> BeforeAndAfter:
    """The picture explained by both checkpoints.

    Args:
        before: the picture, encoded by the first checkpoint.
        after: the same picture, encoded by the second one.
        class_name: None for the class that the first one predicts.
        method: a CAM variant; where one of the heads does not allow it, the first one that both allow.

    Raises:
        InputError: one of the two has no such class.
    """
    index = before.model.class_index(class_name) if class_name else before.predicted_index
    name = before.model.class_names[index]
    allowed = methods_of(before.model.softmax_head)
    common = [key for key in methods_of(after.model.softmax_head) if key in allowed]
    method = method if method in common else common[0]
    first, second = before.explain(index, method), after.explain(after.model.class_index(name), method)
    softmax_change = None
    if before.model.class_ids == after.model.class_ids:
        softmax_change = float((before.probabilities()[0] - after.probabilities()[0]).abs().max())
    has_one_grid = first.sigmoid.map.shape == second.sigmoid.map.shape
    return BeforeAndAfter(
        first,
        second,
        method,
        shared_limit(first.sigmoid.map, second.sigmoid.map, second.softmax.map),
        float(np.abs(first.sigmoid.map - second.sigmoid.map).max()) if has_one_grid else None,
        softmax_change,
        before.model.num_classes,
    )
