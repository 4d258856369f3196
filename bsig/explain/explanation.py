"""What one picture says of one class: both branches' evidence, and its numbers ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32
from PIL import Image

from bsig.explain.cams import Branch
from bsig.explain.methods import cam_method


@dataclass(frozen=True)
class Evidence:
    """What one branch says of one class on one picture.

    Attributes:
        map: (h, w) float32, signed: positive speaks for the class, negative against; unit as the method says.
        logit: the branch's logit of the class (for the class-centred evidence: less the mean over all classes).
        probability: of the class: softmax over all classes, or the sigmoid of the logit. The sigmoid branch's is
            class-balanced: 50 % means even odds where a class is present as often as absent.
        channel_weights: (k,) float32, or None where the method or the reading has none.
        calibrated_probability: of the sigmoid branch: how likely the class is in the picture, corrected for the
            training's prior (`bsig.model.presence`); None for the other evidences and where it is not known.
        rank: place of the class in the branch's order, 1 for the likeliest.
        reading: a key of `READINGS`: what the branch's map was turned into.
        level: how far a reading that keeps the order of places has moved the map's mean; 0 for the others.
    """

    map: Float32[np.ndarray, "h w"]
    logit: float
    probability: float
    channel_weights: Float32[np.ndarray, " k"] | None
    calibrated_probability: float | None = None
    rank: int = 1
    reading: str = "plain"
    level: float = 0.0

    @property
    def positive_area(self) -> float:
        """Share of the grid's cells with positive evidence, 0 to 1."""
        return float((self.map > 0).mean())


@dataclass(frozen=True)
class Explanation:
    """Both branches' evidence for one class, and everything that made it.

    Attributes:
        method, weights: keys of `CAM_METHODS` and `TREATMENTS`.
        predicted_index, predicted_name: the softmax branch's likeliest class.
        crop: the RGB pixels that the model saw; the maps lie over exactly these.
        checkpoint: the model's name.
        with_bias: whether each map includes its branch's bias of the class.
        reading, reading_settings: a key of `READINGS` and the value of each of its settings.
        reading_note: what to know of how the reading came about; empty where there is nothing.
        num_classes: how many classes the model has.
        other_index, other_name: the second class of the reading `pairwise`; None for the others.
    """

    class_index: int
    class_name: str
    method: str
    weights: str
    softmax: Evidence
    sigmoid: Evidence
    centred: Evidence
    predicted_index: int
    predicted_name: str
    crop: Image.Image
    checkpoint: str
    with_bias: bool = False
    reading: str = "plain"
    reading_settings: dict[str, float] = field(default_factory=dict)
    reading_note: str = ""
    other_index: int | None = None
    other_name: str | None = None
    num_classes: int = 0

    @property
    def evidences(self) -> dict[Branch, Evidence]:
        """The evidence of each branch by its name."""
        return {"softmax": self.softmax, "sigmoid": self.sigmoid, "centred": self.centred}

    def evidence(self, branch: Branch) -> Evidence:
        """The evidence of one branch."""
        return self.evidences[branch]


def summary(explanation: Explanation) -> dict[str, Any]:
    """The numbers of an explanation, ready for JSON: no pictures, no arrays."""
    names = ("checkpoint", "class_index", "class_name", "predicted_index", "predicted_name", "method", "weights",
             "with_bias", "reading", "reading_settings", "reading_note", "other_index", "other_name")  # fmt: skip
    return {
        **{name: getattr(explanation, name) for name in names},
        "unit": cam_method(explanation.method).unit,
        "grid_hw": list(explanation.softmax.map.shape),
        **{branch: _numbers(evidence) for branch, evidence in explanation.evidences.items()},
    }


def _numbers(evidence: Evidence) -> dict[str, float | str | None]:
    return {
        "logit": evidence.logit,
        "probability": evidence.probability,
        "calibrated_probability": evidence.calibrated_probability,
        "rank": evidence.rank,
        "reading": evidence.reading,
        "level": evidence.level,
        "positive_area": evidence.positive_area,
        "map_min": float(evidence.map.min()),
        "map_max": float(evidence.map.max()),
        "map_mean": float(evidence.map.mean()),
    }
