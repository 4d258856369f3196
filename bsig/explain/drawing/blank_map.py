"""A diagnosis as pictures: the heatmap as it was asked for, what stretching makes of it, and every mend.

Each map is drawn on a scale of its own, because the question is whether it shows anything, not how two compare.
"""

from __future__ import annotations

from PIL import Image

from bsig.explain.diagnostics.blank_map import BlankMapDiagnosis, stretched_map
from bsig.explain.drawing.comparison import PICTURE_SIZE, Drawing, branch_picture
from bsig.explain.drawing.heatmaps import greyed, overlay, shared_limit, with_sign_marks


def asked_picture(diagnosis: BlankMapDiagnosis) -> Image.Image:
    """The heatmap from zero up; words where nothing is above zero."""
    return branch_picture(diagnosis.explanation, diagnosis.branch, Drawing(own_scale=True))


def stretched_picture(diagnosis: BlankMapDiagnosis) -> Image.Image:
    """The map rescaled to its own minimum and maximum, as many libraries draw it."""
    return overlay(_backdrop(diagnosis), stretched_map(diagnosis.evidence.map), 1.0, is_greyed=True)


def mend_pictures(diagnosis: BlankMapDiagnosis) -> list[tuple[Image.Image, str]]:
    """Every mend in the signed view, with its title and what it shows."""
    backdrop, pictures = _backdrop(diagnosis), []
    for mend in diagnosis.mends:
        limit = shared_limit(mend.map, view="signed")
        heatmap = overlay(backdrop, mend.map, limit, view="signed", is_greyed=True)
        pictures.append((with_sign_marks(heatmap, mend.map, limit), f"{mend.title}\n{mend.sentence}"))
    return pictures


def _backdrop(diagnosis: BlankMapDiagnosis) -> Image.Image:
    return greyed(diagnosis.explanation.crop.resize(PICTURE_SIZE, Image.Resampling.BICUBIC))
