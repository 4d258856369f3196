"""Classes that are not in a picture, and the share of it that a head's maps call positive for them.

Softmax leaves a map's zero open (`logit_shift.py`), so a map of a class that is not in the picture claims positive
evidence on about half of it. Labels fix the zero: a sigmoid branch, or a fitted shift, says "no" to an absent class.
This is the absent-class test of `bsig.evaluation.metrics.specificity` on the one picture at hand.

A head that pushes its zero up (any negative delta) has a smaller area for every class, the present one too. So the area
at zero never stands alone: beside it stands the area at equal area of the chosen class's own map.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bsig.explain.explainer import EncodedImage

SURELY_ABSENT = 1e-4
"""The calibrated probability below which a class may be picked as absent by its map. Stricter than what a verdict calls
absent: of a thousand classes that is the one whose map claims most, and a class that is there would be picked first."""
OWN_AREA = 0.7
"""Share of the picture that the own class's map covers where areas are compared at equal own area."""


def positive_area(maps: Float[Tensor, "*n h w"]) -> float:
    """Share of cells above zero, from 0 to 1, mean over all maps; a cell of exactly zero is not positive."""
    return float((maps > 0).double().mean())


def area_at_own_area(own_map: Float[Tensor, "h w"], maps: Float[Tensor, "n h w"]) -> float:
    """Mean share of cells of `maps` that reach the level which `own_map` reaches on `OWN_AREA` of its cells.

    The level is `own_map`'s `ceil(OWN_AREA * h * w)`-th largest value. No constant added to all maps changes it, so
    unlike the area at zero it cannot be bought with a threshold.
    """
    level = own_map.flatten().sort(descending=True).values[math.ceil(OWN_AREA * own_map.numel()) - 1]
    return float((maps >= level).double().mean())


def absent_classes(
    pool: Sequence[int], present: Collection[int], count: int = 100, *, seed: int = 0, position: int = 0
) -> list[int]:
    """Up to `count` classes of a pool that are not present, drawn without repetition, in the order of the draw.

    "Absent" is an assumption: nobody has looked for them in the picture. In a thousand classes a random hundred hardly
    ever contains one that is there.

    Args:
        pool: the classes to draw from: all of the model, or those of a data set.
        present: the classes that are left out, the picture's own first of all.
        count: how many at most.
        seed: the same seed and position give the same classes.
        position: the picture's place in its data set, so that each picture has a draw of its own.
    """
    others = np.array(sorted(set(pool).difference(present)), dtype=np.int64)
    random = np.random.default_rng((seed, position))
    return random.choice(others, min(count, len(others)), replace=False).tolist()


@dataclass(frozen=True)
class ClassAreas:
    """Positive areas of one head on one picture, each from 0 to 1.

    Attributes:
        own: of the explained class.
        present: mean over the other classes that are in the picture; None where there are none.
        absent: mean over the classes that are not there; None where there are none.
        absent_at_own_area: the same at the level where the explained class's map covers 70 % of the cells.
    """

    own: float
    present: float | None
    absent: float | None
    absent_at_own_area: float | None


def class_areas(
    features: Float[Tensor, "k h w"],
    weight: Float[Tensor, "c k"],
    class_index: int,
    present: Sequence[int] = (),
    absent: Sequence[int] = (),
) -> ClassAreas:
    """A head's positive areas for the explained class, others that are in the picture, and absent ones.

    Maps are without bias; the explained class is left out of the mean over those that are `present`.
    """
    others = [index for index in present if index != class_index]
    maps = torch.einsum("ck,khw->chw", weight[[class_index, *others, *absent]], features)
    own, present_maps, absent_maps = maps[0], maps[1 : 1 + len(others)], maps[1 + len(others) :]
    return ClassAreas(
        own=positive_area(own),
        present=positive_area(present_maps) if others else None,
        absent=positive_area(absent_maps) if absent else None,
        absent_at_own_area=area_at_own_area(own, absent_maps) if absent else None,
    )


def most_claimed_absent_class(encoded: EncodedImage) -> int | None:
    """The class that is not in the picture and whose softmax map covers most of it; None where none is known absent.

    Of classes with equally many cells above zero the one with the larger sum of positive evidence. A class is absent
    where its calibrated probability is below `SURELY_ABSENT`; where nothing is calibrated, where the sigmoid branch
    ranks it in the lower half. A head without class maps has the absent class of the highest softmax logit.
    """
    probabilities, logits = encoded.calibrated_probabilities(), encoded.sigmoid_logits
    is_absent = logits < logits.median() if probabilities is None else probabilities < SURELY_ABSENT
    is_absent[encoded.predicted_index] = False
    absent = is_absent.nonzero()[:, 0]
    if not len(absent):
        return None
    head = encoded.model.softmax_head
    if not head.cam_is_exact:
        return int(absent[encoded.softmax_logits[absent].argmax()])
    maps = encoded.cell_logits("softmax")[0][absent] - head.last_linear.bias.detach()[absent, None, None]
    claimed, evidence = (maps > 0).sum(dim=(1, 2)), maps.clamp(min=0).sum(dim=(1, 2))
    return int(absent[(evidence * (claimed == claimed.max())).argmax()])
