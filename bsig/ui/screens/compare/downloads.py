"""What Compare hands out as files: a zip of everything, the report as one page, the slide."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from bsig.explain.drawing.comparison import Drawing, branch_pictures, comparison_picture
from bsig.explain.drawing.png import png_bytes
from bsig.explain.drawing.slide import slide_card
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation, summary
from bsig.explain.report.page import report_html
from bsig.explain.verdict import finding
from bsig.inputs.version import __version__
from bsig.model.versions import library_versions
from bsig.ui.components.downloads import new_download_folder

LONGEST_NAME = 60


def zip_file(encoded: EncodedImage, explanation: Explanation, drawing: Drawing) -> Path:
    """A zip of all overlays and raw maps, the comparison as one picture, and a JSON of everything that made them."""
    file = _file(explanation, "zip")
    record = {
        **summary(explanation),
        "finding": finding(explanation),
        "drawing": drawing.__dict__,
        "checkpoint_sha256": encoded.model.metadata.get("tensors_sha256"),
        "versions": {"bsig": __version__, **library_versions()},
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("explanation.json", json.dumps(record, indent=1, ensure_ascii=False))
        with archive.open("comparison.png", "w") as target:
            comparison_picture(explanation, drawing).save(target, "PNG")
        for branch, picture in branch_pictures(explanation, drawing).items():
            archive.writestr(f"{branch}.png", png_bytes(picture))
            with archive.open(f"{branch}.npy", "w") as target:
                np.save(target, explanation.evidence(branch).map)
        with archive.open("crop.png", "w") as target:
            encoded.crop.save(target, "PNG")
    return file


def report_file(encoded: EncodedImage, explanation: Explanation, drawing: Drawing, picture: str) -> Path:
    """The report, under a name that says what it is of.

    Args:
        encoded: the picture.
        explanation: of it.
        drawing: as on the screen.
        picture: the name of its file.
    """
    file = _file(explanation, "html")
    report = report_html(encoded, explanation, drawing, picture)
    file.write_text(report, encoding="utf-8")
    return file


def card_file(explanation: Explanation, drawing: Drawing) -> Path:
    """The slide as PNG."""
    file = _file(explanation, "png")
    slide_card(explanation, drawing).save(file)
    return file


def _file(explanation: Explanation, ending: str) -> Path:
    safe = "".join(letter if letter.isalnum() else "-" for letter in explanation.class_name)[:LONGEST_NAME]
    return new_download_folder() / f"bsig-{safe}-{explanation.method}.{ending}"
