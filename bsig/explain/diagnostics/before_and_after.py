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
        limit: where one scale for the sigmoid maps of both and the second softmax map ends, in logits.
        map_change: the largest change of a cell of the sigmoid map; None where the grids differ.
        softmax_change: the largest change of a softmax probability, 0 where the softmax branch is untouched; None where
            the two have other classes.
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
    """The same picture explained by both checkpoints.

    Without a class it is the one that the first checkpoint predicts; where one of the heads does not allow the CAM
    variant, it is the first one that both allow.

    Raises:
        InputError: one of the two has no such class.
    """
    index = before.model.class_index(class_name) if class_name else before.predicted_index
    name = before.model.class_names[index]
    methods = methods_of(before.model.softmax_head)
    common = [key for key in methods_of(after.model.softmax_head) if key in methods]
    method = method if method in common else common[0]
    first, second = before.explain(index, method), after.explain(after.model.class_index(name), method)
    maps = first.sigmoid.map, second.sigmoid.map
    map_change = softmax_change = None
    if maps[0].shape == maps[1].shape:
        map_change = float(np.abs(maps[0] - maps[1]).max())
    if before.model.class_ids == after.model.class_ids:
        softmax_change = float((before.probabilities()[0] - after.probabilities()[0]).abs().max())
    limit = shared_limit(*maps, second.softmax.map)
    return BeforeAndAfter(first, second, method, limit, map_change, softmax_change, before.model.num_classes)
