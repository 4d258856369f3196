"""The views of a visit, one after the other: what Undo, the list of earlier views and the browser's Back lead to.

    views = with_view(views, CompareView.of("cat", inputs))
    views[-1].key, views[-1].query      by which the browser's entry of that view names it, and its link

A view holds the controls' values and not the answer: going back asks again, from the stored features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bsig.explain.methods import CAM_METHODS
from bsig.ui.components.examples import example_by_key, example_of
from bsig.ui.links.view import SETTINGS, View, query_of
from bsig.ui.screens.compare.inputs import CompareInputs

MOST_VIEWS = 12
SLIDERS = (*SETTINGS, "budget", "threshold", "opacity")
"""Values that pass through many on their way: a view that differs in these alone takes the place of the one before."""


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

    @property
    def key(self) -> str:
        """A name of this view: the same for the same picture and values."""
        return self._digest()

    @property
    def key_without_sliders(self) -> str:
        """The same name for all views that differ in their sliders alone."""
        return self._digest(**dict.fromkeys(SLIDERS, 0))

    def _digest(self, **changes: int) -> str:
        values = replace(self.inputs, image=None, **changes)  # type: ignore[arg-type]
        return hashlib.sha256(repr((self.example, self.picture, values)).encode()).hexdigest()

    @property
    def query(self) -> str:
        """The query string of its link; empty for a visitor's own picture, which is in no link."""
        example = example_of(self.inputs.image, self.example)
        return query_of(View(example=example.key, **self.inputs.view_parts())) if example else ""


def with_view(views: Sequence[CompareView], view: CompareView | None) -> list[CompareView]:
    """The views with this one as the last, which is the one that is shown; unchanged where it is that already.

    A moved slider changes the last view and adds none.
    """
    if view is None or (views and view.key == views[-1].key):
        return list(views)
    if views and view.key_without_sliders == views[-1].key_without_sliders:
        return [*views[:-1], view]
    return [*views, view][-MOST_VIEWS:]


def earlier_titles(views: Sequence[CompareView]) -> list[tuple[str, int]]:
    """(title, place) of the views before the last, the newest first."""
    return [(view.title, place) for place, view in reversed(list(enumerate(views[:-1])))]
