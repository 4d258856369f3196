"""One picture for a slide, 1920 x 1080: what the model saw, both maps on one scale, and the finding.

A comparison panel is as high as its words need (`panels.py`); a slide is not, so here the words shrink, and what does
not fit at the smallest size ends in an ellipsis.
"""

from __future__ import annotations

from PIL import Image, ImageDraw

from bsig.explain.cams import Branch
from bsig.explain.drawing.colours import INK, PAPER, QUIET, RULE, TINT
from bsig.explain.drawing.comparison import Drawing, branch_picture, branch_title, shared_limit_of
from bsig.explain.drawing.panels import BAR_PAD, color_bar
from bsig.explain.drawing.text import draw_lines, fitted_lines, line_height
from bsig.explain.explanation import Explanation
from bsig.explain.methods import cam_method
from bsig.explain.verdict import finding
from bsig.explain.wording import area_text, grid_text, probability_text
from bsig.inputs.version import __version__

SIZE_WH = (1920, 1080)
MARGIN = 64
SIDE = 512
PICTURE_TOP = 46
"""From the top of a column's title to that of its picture."""
SHOWN: tuple[Branch, ...] = ("softmax", "sigmoid")
GAP = (SIZE_WH[0] - 2 * MARGIN - 3 * SIDE) // 2
PLACES = tuple(MARGIN + number * (SIDE + GAP) for number in range(3))
PLAIN = Drawing()
TREATMENT_WORDS = {
    "signed": "signed weights",
    "nonnegative": "negative weights set to zero",
    "paper": "as in the paper's code: sigmoid weights clamped, softmax signed",
}


def slide_card(explanation: Explanation, drawing: Drawing = PLAIN) -> Image.Image:
    """An explanation as one slide: RGB, always 1920 x 1080, light; nothing on it is cut off."""
    card = Image.new("RGB", SIZE_WH, PAPER)
    inner = SIZE_WH[0] - 2 * MARGIN
    method = cam_method(explanation.method)
    top = _title(card, f"Evidence for '{explanation.class_name}'", inner)
    treatment = TREATMENT_WORDS[explanation.weights] + (", with the bias" if explanation.with_bias else "")
    _draw_fitted(card, f"{method.title} · {treatment}", (MARGIN, max(top, 100)), inner, 1, (28, 18), QUIET)
    _pictures(card, explanation, drawing, 156)
    _scale(card, explanation, drawing)
    _finding(card, finding(explanation), 886, 1012)
    footer = (
        f"bsig {__version__} · checkpoint {explanation.checkpoint} · grid {grid_text(explanation)} · a heatmap "
        "says where evidence for an output lies, not that the output is right · method: Oh and Noh, BMVC 2025, "
        "arXiv 2511.05590"
    )
    _draw_fitted(card, footer, (MARGIN, 1028), inner, 2, (16, 11), QUIET)
    return card


def _title(card: Image.Image, text: str, width: int) -> int:
    """Draws the title, in one line of large letters where it fits, else in two small ones; returns the y below."""
    _, lines = fitted_lines(text, width, 1, (56, 36), bold=True)
    if lines[0].endswith("…"):
        return _draw_fitted(card, text, (MARGIN, 26), width, 2, (28, 20), INK, bold=True)
    return _draw_fitted(card, text, (MARGIN, 34), width, 1, (56, 36), INK, bold=True)


def _scale(card: Image.Image, explanation: Explanation, drawing: Drawing) -> None:
    """Draws the colour bar below both maps, or words that say why there is none."""
    width, unit = 2 * SIDE + GAP, cam_method(explanation.method).unit
    coloured = any((explanation.evidence(branch).map > 0).any() for branch in SHOWN)
    if drawing.own_scale:
        words = "Each map on its own scale: brightness cannot be compared."
    elif drawing.view == "positive" and not coloured:
        words = "No colour scale: neither map has anything above zero."
    else:
        bar = color_bar(
            shared_limit_of(explanation, drawing), view=drawing.view, colormap=drawing.colormap,
            unit=f"{unit}, one scale for both", width=width + 2 * BAR_PAD,
        )  # fmt: skip
        card.paste(bar, (PLACES[1] - BAR_PAD, 768))
        return
    _draw_fitted(card, words, (PLACES[1], 784), width, 1, (24, 18), QUIET)


def _pictures(card: Image.Image, explanation: Explanation, drawing: Drawing, top: int) -> None:
    """Draws title, picture and caption of each of the three columns."""
    crop = explanation.crop.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    _picture(card, "What the model saw", crop, PLACES[0], top)
    captions = {branch: _words(explanation, branch) for branch in SHOWN}
    # One size for both columns: a smaller number would look less important.
    size = min(round(fitted_lines(words, SIDE, 1, (26, 15))[0].size) for words in captions.values())
    below = top + PICTURE_TOP + SIDE + 12
    # Nothing stands below the crop, so a long name may take more lines there.
    _draw_fitted(card, f"predicted: {explanation.predicted_name}", (PLACES[0], below), SIDE, 4, (size, 15), INK)
    for left, branch in zip(PLACES[1:], SHOWN, strict=True):
        _picture(card, branch_title(explanation, branch), branch_picture(explanation, branch, drawing), left, top)
        _draw_fitted(card, captions[branch], (left, below), SIDE, 1, (size, 15), INK)


def _words(explanation: Explanation, branch: Branch) -> str:
    area = area_text(explanation.evidence(branch))
    return f"{probability_text(explanation, branch)} · speaks for it: {area}"


def _picture(card: Image.Image, title: str, picture: Image.Image, left: int, top: int) -> None:
    draw, y = ImageDraw.Draw(card), top + PICTURE_TOP
    _draw_fitted(card, title, (left, top), SIDE, 1, (30, 18), INK, bold=True)
    card.paste(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, y))
    draw.rectangle((left - 1, y - 1, left + SIDE, y + SIDE), outline=RULE)


def _finding(card: Image.Image, text: str, top: int, bottom: int) -> None:
    """Draws the sentence on a tinted box, in the middle of its height."""
    width = SIZE_WH[0] - 2 * MARGIN - 56
    typeface, lines = fitted_lines(text, width, 2, (34, 30))
    if lines[-1].endswith("…"):
        typeface, lines = fitted_lines(text, width, 3, (27, 18))  # three of the large ones are higher than the box
    draw = ImageDraw.Draw(card)
    draw.rounded_rectangle((MARGIN, top, SIZE_WH[0] - MARGIN, bottom), 12, fill=TINT)
    y = (top + bottom - len(lines) * line_height(typeface)) // 2
    draw_lines(draw, (MARGIN + 28, y), lines, typeface, INK)


def _draw_fitted(
    card: Image.Image, text: str, position_xy: tuple[int, int], width: int, most: int, sizes: tuple[int, int],
    colour: str, *, bold: bool = False,
) -> int:  # fmt: skip
    typeface, lines = fitted_lines(text, width, most, sizes, bold=bold)
    return draw_lines(ImageDraw.Draw(card), position_xy, lines, typeface, colour)
