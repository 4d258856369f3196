"""One explanation as a folder of files: pictures, signed maps as arrays, all numbers as JSON, a report, a slide.

    write_explanation(explanation, Path("out"))

    comparison.png                            both branches and the class-centred map over what the model saw
    softmax.npy, sigmoid.npy, centred.npy     the maps, float32 (h, w), signed, in the unit that explanation.json names
    explanation.json                          settings, numbers, diagnostics, where the crop lies in the picture
    report.html, card.png                     one page that opens offline; a slide of 1920 x 1080
    picture-BRANCH.npy, picture-BRANCH.png    on request: the same maps over the whole picture at its own resolution

Every file is written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bsig.explain.diagnostics.catalogue import diagnose
from bsig.explain.drawing.comparison import BRANCHES, Drawing, comparison_picture
from bsig.explain.drawing.slide import slide_card
from bsig.explain.drawing.whole_picture import whole_picture_map, whole_picture_overlay
from bsig.explain.explanation import Explanation, summary
from bsig.explain.methods import TREATMENTS
from bsig.explain.verdict import finding
from bsig.explain.wording import reading_text, whole_percent
from bsig.inputs.errors import InputError
from bsig.inputs.files import whole_file, write_json, write_whole
from bsig.inputs.names import CARD, COMPARISON, NUMBERS
from bsig.inputs.version import __version__
from bsig.model.versions import library_versions

WHOLE_PICTURE = "picture"


def explanation_numbers(explanation: Explanation, **more: Any) -> dict[str, Any]:
    """Everything of an explanation that is a number or a word, ready for JSON; with `more` before the versions.

    Raises:
        InputError: the explanation does not know its picture.
    """
    encoded = explanation.require_encoded()
    return {
        **summary(explanation),
        "finding": finding(explanation),
        "disagreement": explanation.disagreement,
        "diagnostics": diagnose(encoded, explanation),
        "treatment": TREATMENTS[explanation.weights],
        "reading_text": reading_text(explanation),
        "image": encoded.picture_name,
        "picture_size_wh": encoded.picture_size_wh,
        "crop_mode": encoded.preprocessing.crop_mode,
        "crop_box_xyxy": encoded.crop_box_xyxy,
        "crop": crop_words(explanation),
        "checkpoint_sha256": encoded.model.metadata.get("tensors_sha256"),
        "engine": encoded.model.engine,
        **more,
        "versions": {"bsig": __version__, **library_versions()},
    }


def crop_words(explanation: Explanation) -> str:
    """One sentence: what the model saw of the picture."""
    encoded = explanation.require_encoded()
    width, height = encoded.picture_size_wh or encoded.crop.size
    left, top, right, bottom = encoded.crop_box_xyxy
    share = (right - left) * (bottom - top) / (width * height)
    if encoded.preprocessing.crop_mode == "squash":
        return f"The model saw the whole picture, squashed to {encoded.crop.width} x {encoded.crop.height} pixels."
    return (
        f"The model saw the middle of the picture: {whole_percent(share)} of it, from ({left:.0f}, {top:.0f}) to "
        f"({right:.0f}, {bottom:.0f}) of {width} x {height} pixels."
    )


def write_explanation(
    explanation: Explanation,
    folder: Path,
    numbers: dict[str, Any] | None = None,
    *,
    report: bool = True,
    whole_picture: bool = False,
) -> list[Path]:
    """Writes an explanation's files and returns their paths; files of the same names are replaced.

    Args:
        numbers: `explanation_numbers`, where the caller has them.
        report: also the report and the slide, which take longest.
        whole_picture: also the maps over the whole picture: NaN in the array, dark in the drawing, where the model saw
            nothing.

    Raises:
        InputError: the folder cannot be written; the picture is not known or has changed.
    """
    numbers = explanation_numbers(explanation) if numbers is None else numbers
    with _written_into(folder):  # before anything is drawn
        folder.mkdir(parents=True, exist_ok=True)
    writers: dict[str, Callable[[Path], None]] = {COMPARISON: _picture(comparison_picture(explanation))}
    for branch in BRANCHES:
        writers[f"{branch}.npy"] = _array(explanation.evidence(branch).map)
    if whole_picture:
        writers.update(_whole_picture(explanation))
    if report:
        from bsig.explain.report.page import report_html  # only here: it draws with matplotlib

        page = report_html(explanation.require_encoded(), explanation, Drawing(), numbers["image"])
        writers[CARD] = _picture(slide_card(explanation))
        writers["report.html"] = lambda path: write_whole(path, page)
    writers[NUMBERS] = lambda path: write_json(path, numbers, indent=1)
    with _written_into(folder):
        for name, write in writers.items():
            write(folder / name)
    return [folder / name for name in writers]


@contextmanager
def _written_into(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"`out` (='{folder}') cannot be written ({error}); choose another folder.") from error


def _whole_picture(explanation: Explanation) -> Iterator[tuple[str, Callable[[Path], None]]]:
    for branch in BRANCHES:
        yield f"{WHOLE_PICTURE}-{branch}.npy", _array(whole_picture_map(explanation, branch))
        yield f"{WHOLE_PICTURE}-{branch}.png", _picture(whole_picture_overlay(explanation, branch, Drawing()))


def _picture(picture: Image.Image) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with whole_file(path) as temporary:
            picture.save(temporary, "PNG")

    return write


def _array(values: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, values)

    return write
