"""The views of a visit, one after the other: what Undo and the list of earlier views lead back to.

    views = with_view(views, CompareView("cat", inputs, "golf ball · CAM"))

A view holds the controls' values and not the answer: going back asks again, from the stored features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bsig.explain.methods import CAM_METHODS
from bsig.ui.components.examples import example_by_key
from bsig.ui.screens.compare.inputs import CompareInputs

MOST_VIEWS = 12


@dataclass(frozen=True)
class CompareView:
    """One view of the Compare screen.

    Attributes:
        example: key of the bundled picture; empty for a visitor's own.
        inputs: the values of all controls.
        picture: a digest of the picture's file, which may lie at several addresses.
    """

    example: str
    inputs: CompareInputs
    picture: str

    @classmethod
    def of(cls, example: str, inputs: CompareInputs) -> CompareView | None:
        """The view of these inputs; None without a picture."""
        try:
            content = Path(inputs.image).read_bytes() if inputs.image else None
        except OSError:
            return None
        return None if content is None else cls(example, inputs, hashlib.sha256(content).hexdigest())

    @property
    def title(self) -> str:
        """The view in the list: its class, its picture, its method."""
        picture = example_by_key(self.example).title if self.example else Path(self.inputs.image or "").name
        return f"{self.inputs.class_name} · {picture} · {CAM_METHODS[self.inputs.method].title}"

    def is_same(self, other: CompareView) -> bool:
        """Whether both show the same: the same picture with the same values of all controls."""
        alike = replace(self.inputs, image=None) == replace(other.inputs, image=None)
        return alike and (self.picture, self.example) == (other.picture, other.example)


def with_view(views: Sequence[CompareView], view: CompareView | None) -> list[CompareView]:
    """The views with this one as the last, which is the one that is shown; unchanged where it is that already."""
    if view is None or (views and view.is_same(views[-1])):
        return list(views)
    return [*views, view][-MOST_VIEWS:]


def earlier_titles(views: Sequence[CompareView]) -> list[tuple[str, int]]:
    """(title, place) of the views before the last, the newest first."""
    return [(view.title, place) for place, view in reversed(list(enumerate(views[:-1])))]
