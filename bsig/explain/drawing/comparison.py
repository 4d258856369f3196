"""An explanation as pictures: both branches under one scale and one treatment, with words for what differs.

The border between the numbers (`explanation.py`) and the drawing (`heatmaps.py`, `panels.py`): the command line, the
app and the README's picture all draw with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from bsig.explain.cams import Branch
from bsig.explain.drawing.colours import View
from bsig.explain.drawing.contours import with_contour_and_box
from bsig.explain.drawing.heatmaps import greyed, heatmap, overlay, shared_limit, with_sign_marks
from bsig.explain.drawing.panels import PanelColumn, comparison_panel, no_evidence_notice
from bsig.explain.explanation import Explanation
from bsig.explain.methods import cam_method
from bsig.explain.readings import READINGS
from bsig.explain.timing import part
from bsig.explain.verdict import finding
from bsig.explain.wording import area_text, grid_text, probability_text, signed

BRANCHES: dict[Branch, str] = {
    "softmax": "Softmax branch",
    "sigmoid": "Sigmoid branch",
    "centred": "Softmax, class-centred",
}
PICTURE_SIZE = (448, 448)


@dataclass(frozen=True)
class Drawing:
    """How maps are drawn. The same for every branch, so that two pictures can be compared.

    Attributes:
        view: `positive` (from zero up) or `signed` (for and against).
        overlay: over the photo, or the heatmap alone.
        colormap: a key of `COLORMAPS`; None for the view's default.
        heatmap_opacity: of an overlay, 0 to 1.
        smooth: bilinear between the grid's cells; False shows the cells as they are.
        threshold_share: draw contour and box at this share of each map's maximum; None draws none.
        own_scale: scale each map by itself; brightness can then not be compared between branches.
    """

    view: View = "positive"
    overlay: bool = True
    colormap: str | None = None
    heatmap_opacity: float = 0.8
    smooth: bool = True
    threshold_share: float | None = None
    own_scale: bool = False


def shared_limit_of(explanation: Explanation, drawing: Drawing) -> float:
    """The end of the colour scale that all maps of an explanation share, in the method's unit.

    It is that of the maps before a reading moves them: moved down by tens of logits, the map of a denied class would
    stretch the scale until softmax's evidence cannot be seen. What lies below the end has the end's colour.
    """
    maps = [evidence.map - np.float32(evidence.level) for evidence in explanation.evidences.values()]
    return shared_limit(*maps, view=drawing.view)


def branch_title(explanation: Explanation, branch: Branch) -> str:
    """A branch by its name, with the reading of its map where that is not the plain one."""
    reading = READINGS[explanation.evidence(branch).reading]
    return BRANCHES[branch] if reading.kind == "plain" else f"{BRANCHES[branch]} · {reading.title}"


@part("drawing")
def branch_pictures(
    explanation: Explanation, drawing: Drawing, limit: float | None = None
) -> dict[Branch, Image.Image]:
    """`branch_picture` of every branch; the crop under them is made ready once."""
    backdrop = _backdrop(explanation) if drawing.overlay else None
    return {branch: branch_picture(explanation, branch, drawing, backdrop, limit) for branch in BRANCHES}


def branch_picture(
    explanation: Explanation,
    branch: Branch,
    drawing: Drawing,
    backdrop: Image.Image | None = None,
    limit: float | None = None,
) -> Image.Image:
    """One branch's map as a picture; words instead of colour where it has nothing positive to show.

    Args:
        explanation: of one class.
        branch: whose map.
        drawing: how it is drawn.
        backdrop: the greyed crop at the size of the drawings, where the caller has it.
        limit: the end of a scale that maps of other classes share too; None for the explanation's own.
    """
    values = explanation.evidence(branch).map
    if drawing.view == "positive" and not (values > 0).any():
        words = f"No positive evidence for '{explanation.class_name}' anywhere in this picture"
        return no_evidence_notice(backdrop or _backdrop(explanation), words, is_greyed=True)
    if drawing.own_scale:
        limit = shared_limit(values, view=drawing.view)
    elif limit is None:
        limit = shared_limit_of(explanation, drawing)
    return map_picture(explanation, values, limit, drawing, backdrop)


def map_picture(
    explanation: Explanation, values: np.ndarray, limit: float, drawing: Drawing, backdrop: Image.Image | None = None
) -> Image.Image:
    """A map on the explanation's grid, drawn over its crop; with signs in the signed view, a contour on request."""
    if drawing.overlay:
        picture = overlay(
            backdrop or _backdrop(explanation), values, limit, view=drawing.view, colormap=drawing.colormap,
            heatmap_opacity=drawing.heatmap_opacity, smooth=drawing.smooth, is_greyed=True,
        )  # fmt: skip
    else:
        picture = heatmap(
            values, limit, view=drawing.view, colormap=drawing.colormap, size_wh=PICTURE_SIZE, smooth=drawing.smooth
        )
    if drawing.view == "signed":
        picture = with_sign_marks(picture, values, limit)
    if drawing.threshold_share is None:
        return picture
    return with_contour_and_box(picture, values, drawing.threshold_share, smooth=drawing.smooth)


@part("drawing")
def difference_picture(explanation: Explanation, drawing: Drawing) -> tuple[Image.Image, float]:
    """Sigmoid minus softmax, always signed, and where its scale ends: positive where the sigmoid branch claims more."""
    values = explanation.sigmoid.map - explanation.softmax.map
    limit = shared_limit(values, view="signed")
    look = replace(drawing, view="signed", threshold_share=None)
    return map_picture(explanation, values, limit, look), limit


def alt_text(explanation: Explanation, branch: Branch) -> str:
    """A description of a branch's picture for those who cannot see it: class, method, numbers, place of the maximum."""
    evidence = explanation.evidence(branch)
    rows, columns = evidence.map.shape
    row, column = divmod(int(evidence.map.argmax()), columns)
    return (
        f"{branch_title(explanation, branch)}, {cam_method(explanation.method).title} for {explanation.class_name}: "
        f"positive evidence on {area_text(evidence)} of the picture, strongest ({evidence.map.max():.2f}) in the "
        f"{_place(row, rows, column, columns)}, {probability_text(explanation, branch)}."
    )


def comparison_picture(explanation: Explanation, drawing: Drawing = Drawing()) -> Image.Image:
    """A slide: the crop, both branches and the class-centred map, numbers under each, one scale, one sentence."""
    method = cam_method(explanation.method)
    words = (f"predicted: {explanation.predicted_name}", "{} x {} pixels".format(*explanation.crop.size))
    crop = PanelColumn("What the model saw", words, _shown_crop(explanation), is_map=False)
    weights = f"{explanation.weights} weights" + (", with the bias" if explanation.with_bias else "")
    columns = [crop, *(_column(explanation, branch, drawing) for branch in BRANCHES)]
    return comparison_panel(
        columns,
        title=f"Evidence for '{explanation.class_name}'",
        subtitle=" · ".join([method.title, weights, f"checkpoint {explanation.checkpoint}"]),
        finding=finding(explanation),
        footer=(
            f"bsig · grid {grid_text(explanation)}, "
            f"{'bilinear' if drawing.smooth else 'not interpolated'}, "
            f"{'each map on its own scale' if drawing.own_scale else 'one shared scale from zero'} · "
            "positive area counts cells above zero · softmax decides the class, the sigmoid branch explains it "
            "(arXiv 2511.05590)"
        ),
        limit=shared_limit_of(explanation, drawing),
        view=drawing.view,
        colormap=drawing.colormap,
        unit=method.unit,
    )


def _column(explanation: Explanation, branch: Branch, drawing: Drawing) -> PanelColumn:
    evidence = explanation.evidence(branch)
    name = "logit less the mean of all classes" if branch == "centred" else "logit"
    logit = f"{name} {signed(evidence.logit, 2)}"
    words = (probability_text(explanation, branch), logit, f"positive area {area_text(evidence)}")
    return PanelColumn(branch_title(explanation, branch), words, branch_picture(explanation, branch, drawing))


def _backdrop(explanation: Explanation) -> Image.Image:
    """The greyed crop at the size of the drawings; greyed first, while it has a quarter of the pixels."""
    return greyed(explanation.crop).resize(PICTURE_SIZE, Image.Resampling.BICUBIC)


def _shown_crop(explanation: Explanation) -> Image.Image:
    """The crop at the size of the drawings."""
    return explanation.crop.resize(PICTURE_SIZE, Image.Resampling.BICUBIC)


def _place(row: int, rows: int, column: int, columns: int) -> str:
    vertical = "top" if row < rows / 3 else "bottom" if row >= 2 * rows / 3 else "middle"
    horizontal = "left" if column < columns / 3 else "right" if column >= 2 * columns / 3 else "centre"
    return "centre" if (vertical, horizontal) == ("middle", "centre") else f"{vertical} {horizontal}"
