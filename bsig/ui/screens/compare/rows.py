"""One class a row, as Compare shows it: the verdict, both maps and their scale, without any component of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from bsig.explain.cams import TRAINED, Branch
from bsig.explain.drawing.comparison import Drawing, branch_pictures, shared_limit_of
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.verdict import finding as finding_of
from bsig.ui.components.html import Html, finding, scale_bar
from bsig.ui.screens.compare.words import prediction


@dataclass(frozen=True)
class ClassRow:
    """What is shown of one class.

    Attributes:
        explanation: the numbers.
        verdict: what the maps claim, in a sentence.
        pictures: the drawn maps of all branches.
        scale: their colour bar.
    """

    explanation: Explanation
    verdict: Html
    pictures: dict[Branch, Image.Image]
    scale: Html


def class_rows(
    encoded: EncodedImage, explanations: Sequence[Explanation], drawing: Drawing, *, is_shared: bool = False
) -> list[ClassRow]:
    """A row for each explanation; below the first verdict stands what softmax predicts.

    Args:
        encoded: the picture.
        explanations: of one class each.
        drawing: how the maps are drawn.
        is_shared: one scale for all rows; else each row has its own.
    """
    limits = [shared_limit_of(explanation, drawing) for explanation in explanations]
    rows = []
    for place, explanation in enumerate(explanations):
        limit = max(limits) if is_shared else limits[place]
        small = "" if place else prediction(encoded, explanation)
        rows.append(
            ClassRow(
                explanation,
                finding(finding_of(explanation), small),
                branch_pictures(explanation, drawing, limit),
                _scale_html(explanation, drawing, limit, "all maps" if is_shared else "both maps"),
            )
        )
    return rows


def _scale_html(explanation: Explanation, drawing: Drawing, limit: float, shared_by: str) -> Html:
    """A row's colour bar; it says so where a map goes on below its end.

    Args:
        explanation, drawing: the maps.
        limit: the end of the scale, in the method's unit.
        shared_by: which maps share it.
    """
    if drawing.own_scale:
        return Html()
    lowest = min(float(explanation.evidence(branch).map.min()) for branch in TRAINED)
    against = "against the class, and below" if lowest < -limit else "against the class"
    ends = (against, "for the class") if drawing.view == "signed" else None
    return scale_bar(limit, drawing, explanation.method, ends, shared_by)
