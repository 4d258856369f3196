"""What one picture says of one class: both branches' evidence, and its numbers ready for JSON.

    explanation.plot()                               both maps side by side, a PIL picture
    explanation.overlay("sigmoid", view="signed")    one branch's map over the crop, or over the whole picture
    explanation.save("out")                          all files that `python -m bsig explain` writes

A map is never rectified or stretched here; drawing does that, and says how.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32
from PIL import Image

from bsig.explain.cams import Branch
from bsig.explain.methods import cam_method
from bsig.inputs.errors import InputError

if TYPE_CHECKING:  # what draws, writes and encodes imports this file
    import bsig.explain.explainer


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        rows, columns = self.map.shape
        return (
            f"Evidence({rows} x {columns} cells from {self.map.min():.3g} to {self.map.max():.3g}, "
            f"logit {self.logit:.3g}, probability {self.probability:.3g}, positive area {self.positive_area:.3g})"
        )

    @property
    def positive_area(self) -> float:
        """Share of the grid's cells with positive evidence, 0 to 1."""
        return float((self.map > 0).mean())


@dataclass(frozen=True, repr=False)
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
        encoded: the picture that was explained; None where an explanation was put together by hand.
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
    encoded: bsig.explain.explainer.EncodedImage | None = None

    def __repr__(self) -> str:
        return (
            f"Explanation('{self.class_name}', {self.method}, {self.weights}: softmax on "
            f"{100 * self.softmax.positive_area:.0f} % of the picture, sigmoid on "
            f"{100 * self.sigmoid.positive_area:.0f} %)"
        )

    @property
    def evidences(self) -> dict[Branch, Evidence]:
        """The evidence of each branch by its name."""
        return {"softmax": self.softmax, "sigmoid": self.sigmoid, "centred": self.centred}

    def evidence(self, branch: Branch) -> Evidence:
        """The evidence of one branch."""
        return self.evidences[branch]

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Rows and columns of the maps."""
        rows, columns = self.softmax.map.shape
        return rows, columns

    @property
    def logits_grid_hw(self) -> tuple[int, int]:
        """Rows and columns of the grid that logits and probabilities come from: always the model's own."""
        coarse = None if self.encoded is None else self.encoded.coarse
        return self.grid_hw if coarse is None else coarse.grid_hw

    @property
    def disagreement(self) -> float:
        """Share of the grid's cells that are positive in one branch's map and not in the other's, 0 to 1."""
        return float(((self.softmax.map > 0) != (self.sigmoid.map > 0)).mean())

    def plot(self, **drawing: Any) -> Image.Image:
        """The crop, both branches and the class-centred map side by side, with their numbers.

        Args:
            drawing: fields of `bsig.explain.drawing.comparison.Drawing`, such as `view="signed"`.
        """
        from bsig.explain.drawing.comparison import Drawing, comparison_picture

        return comparison_picture(self, Drawing(**drawing))

    def overlay(self, branch: Branch = "sigmoid", *, whole_picture: bool = False, **drawing: Any) -> Image.Image:
        """One branch's map over what the model saw, on the scale that all branches share.

        Args:
            branch: `softmax`, `sigmoid` or `centred`.
            whole_picture: over the whole picture at its own resolution, with what the model did not see dark.
            drawing: as for `plot`.

        Raises:
            InputError: the whole picture is wanted and its source was not kept or has changed.
        """
        from bsig.explain.drawing.comparison import Drawing, branch_picture
        from bsig.explain.drawing.whole_picture import whole_picture_overlay

        draw = whole_picture_overlay if whole_picture else branch_picture
        return draw(self, branch, Drawing(**drawing))

    def save(self, folder: str | Path, *, whole_picture: bool = False) -> list[Path]:
        """Writes the files of `python -m bsig explain` into the folder and returns their paths.

        Raises:
            InputError: the folder cannot be written, or the picture is not known.
        """
        from bsig.explain.output.folder import write_explanation

        return write_explanation(self, Path(folder), whole_picture=whole_picture)

    def require_encoded(self) -> bsig.explain.explainer.EncodedImage:
        """The picture that was explained.

        Raises:
            InputError: the explanation was put together by hand.
        """
        if self.encoded is None:
            raise InputError("this explanation does not know its picture; make it with `Explainer.encode().explain()`.")
        return self.encoded


def summary(explanation: Explanation) -> dict[str, Any]:
    """The numbers of an explanation, ready for JSON: no pictures, no arrays."""
    names = ("checkpoint", "class_index", "class_name", "predicted_index", "predicted_name", "method", "weights",
             "with_bias", "reading", "reading_settings", "reading_note", "other_index", "other_name")  # fmt: skip
    return {
        **{name: getattr(explanation, name) for name in names},
        "unit": cam_method(explanation.method).unit,
        "grid_hw": list(explanation.softmax.map.shape),
        "logits_grid_hw": list(explanation.logits_grid_hw),
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
