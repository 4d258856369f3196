"""One picture under every shift: curves over delta, where each head's zero lies, how much all classes share.

In: an encoded picture and a class. Out: numbers, for the plots and tables of the Logit shift screen. All of it follows
from weights and features alone, which takes a head of average pool and one linear layer.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bsig.explain.diagnostics.absent_classes import ClassAreas, absent_classes, class_areas
from bsig.explain.diagnostics.logit_shift import (
    DeltaCurve,
    class_centred_head,
    delta_curve,
    equivalent_delta,
    shared_energy_share,
    shared_map_share,
)
from bsig.explain.diagnostics.shift_request import LARGEST_DELTA
from bsig.explain.explainer import EncodedImage
from bsig.explain.methods import require_exact
from bsig.inputs.errors import InputError
from bsig.model.heads import ClassificationHead

DELTAS = torch.linspace(-LARGEST_DELTA, LARGEST_DELTA, 41)
PRESENT_FROM = 0.05
"""Softmax probability from which a class counts as present in the picture."""


def delta_curves(encoded: EncodedImage, class_index: int) -> dict[str, DeltaCurve]:
    """What moves as delta goes over `DELTAS`, for the softmax, the sigmoid and the class-centred map.

    Raises:
        InputError: the head's CAM is not exact.
    """
    softmax = encoded.model.softmax_head
    require_exact(softmax.cam_is_exact, "a curve over delta")
    heads = {"softmax": softmax, "sigmoid": encoded.model.sigmoid_head, "centred": softmax}
    return {
        branch: delta_curve(
            encoded.features[0], head.last_linear.weight.detach(), class_index, DELTAS, centred=branch == "centred"
        )
        for branch, head in heads.items()
    }


def delta_of_shift(encoded: EncodedImage, vector: Float[Tensor, " k"]) -> float | None:
    """The delta that moves this picture's logits as the vector does; None where no delta within `DELTAS` does."""
    delta = equivalent_delta(encoded.features[0], vector)
    return delta if delta is not None and abs(delta) <= LARGEST_DELTA else None


@dataclass(frozen=True)
class ZeroSurvey:
    """Positive areas by the head's title, other classes in the picture, and how many classes stand for absent ones."""

    areas: dict[str, ClassAreas]
    other_names: list[str]
    absent_count: int


def zero_survey(encoded: EncodedImage, class_index: int, vector: Float[Tensor, " k"], title: str) -> ZeroSurvey:
    """The absent-class test on this picture for four heads.

    `vector` is the shift that labels chose for the softmax head, and `title` says which one that is.

    Raises:
        InputError: the head's CAM is not exact.
    """
    require_exact(encoded.model.softmax_head.cam_is_exact, "the table of zeros")
    softmax = encoded.model.softmax_head.last_linear.weight.detach()
    heads = {
        "Softmax": softmax,
        "Softmax, class-centred": class_centred_head(softmax),
        "Sigmoid": encoded.model.sigmoid_head.last_linear.weight.detach(),
        f"Softmax + {title}": softmax + vector,
    }
    probabilities = encoded.probabilities()[0]
    present = [index for index in encoded.top_classes(count=10) if probabilities[index] >= PRESENT_FROM]
    absent = absent_classes(range(encoded.model.num_classes), [class_index, *encoded.top_classes(count=50)])
    areas = {
        head: class_areas(encoded.features[0], weight, class_index, present, absent) for head, weight in heads.items()
    }
    others = [encoded.model.class_names[index] for index in present if index != class_index]
    return ZeroSurvey(areas, others, len(absent))


@dataclass(frozen=True)
class SharedShare:
    """The shared component's share of a head's energy and of one map; None where the map's cannot be read."""

    energy: float
    map: float | None


def shared_share(encoded: EncodedImage, class_index: int, head: ClassificationHead) -> SharedShare:
    """How much of a head, and of its map of the class, is what all classes have in common."""
    weight = head.last_linear.weight.detach()
    share = None
    if head.cam_is_exact:
        with suppress(InputError):  # a map of zeros has no shares
            share = shared_map_share(encoded.features[0], weight, class_index)
    return SharedShare(shared_energy_share(weight), share)
