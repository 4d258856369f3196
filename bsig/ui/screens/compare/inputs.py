"""What is asked on the Compare screen, by name; the same names as in a link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from bsig.explain.drawing.colours import View as MapView
from bsig.explain.drawing.comparison import Drawing
from bsig.explain.readings import READINGS
from bsig.ui.links.view import BETWEEN_CLASSES, OWN_SETTING, SETTINGS, View

MOST_MORE = 2
"""Rows of maps below the two that are always there."""
BUDGET = 64
"""Score-CAM's channels at the start and in the web API."""


@dataclass(frozen=True)
class CompareInputs:
    """The values of the screen's controls.

    Attributes:
        image: path of the picture; None where there is none.
        class_name: None for the predicted class.
        reading: of the sigmoid branch's maps, a key of `READINGS`; empty for the checkpoint's own.
        strength, second_setting, third_setting: the settings of the reading in their order; below every range for the
            checkpoint's own.
        other_class: the class B of "why A and not B"; None for the runner-up.
        more_classes: further classes with a row of maps each; at most `MOST_MORE` count.
        finer_grid: maps of twice as many rows and columns, where the model has them.
        budget: Score-CAM's channels.
        threshold, opacity: in per cent.
    """

    image: str | None
    checkpoint: str | None
    class_name: str | None
    method: str
    weights: str
    reading: str
    strength: int | float
    second_setting: int | float
    third_setting: int | float
    other_class: str | None
    more_classes: Sequence[str]
    finer_grid: bool
    budget: int
    bias: bool
    show: str
    view: MapView
    grid: bool
    contour: bool
    threshold: int | float
    opacity: int | float
    colormap: str
    own_scale: bool

    @classmethod
    def of_view(cls, view: View, image: Path) -> CompareInputs:
        """The inputs that a link asks for, on its picture."""
        shared = {field.name: getattr(view, field.name) for field in fields(cls) if field.name != "image"}
        return cls(**{**shared, "image": str(image), "class_name": view.class_name or None,
                      "other_class": view.other_class or None,
                      "more_classes": view.more_class_names()})  # fmt: skip

    def view_parts(self) -> dict[str, Any]:
        """The parts of a link that say what is asked here, by the name of the `View`'s field."""
        parts = asdict(self)
        del parts["image"]
        whole = {name: int(parts[name]) for name in ("budget", "threshold", "opacity")}
        return {**parts, **whole, "class_name": self.class_name or "", "checkpoint": self.checkpoint or "",
                "other_class": self.other_class or "",
                "more_classes": BETWEEN_CLASSES.join(self.more_classes)}  # fmt: skip

    def reading_settings(self, reading: str) -> dict[str, float]:
        """The settings that the sliders stand for, where the reading is the one that they were moved for."""
        if reading != self.reading:
            return {}
        values = (getattr(self, name) for name in SETTINGS)
        settings = zip(READINGS[reading].settings, values, strict=False)  # what is left over is hidden
        return {setting.key: value for setting, value in settings if value != OWN_SETTING}

    def with_own_settings(self) -> CompareInputs:
        """The same with the checkpoint's own settings of the reading."""
        return replace(self, strength=OWN_SETTING, second_setting=OWN_SETTING, third_setting=OWN_SETTING)

    def drawing(self) -> Drawing:
        """How the maps are drawn."""
        return Drawing(
            view=self.view,
            overlay=self.show != "heatmap",
            colormap=self.colormap,
            heatmap_opacity=self.opacity / 100,
            smooth=not self.grid,
            threshold_share=self.threshold / 100 if self.contour else None,
            own_scale=self.own_scale,
        )
