"""One picture for a slide, 1920 x 1080: what the model saw, both maps on one scale, and the finding.

`bsig.comparison.comparison_picture` is as high as its words need; a slide is not, so here the words shrink, and what
does not fit at the smallest size ends in an ellipsis.
"""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageOps

from bsig.cams import Branch, cam_method
from bsig.comparison import BRANCHES, Drawing, branch_picture, shared_limit_of
from bsig.explain import Explanation, area_text, finding, percent
from bsig.lettering import draw_lines, fitted_lines, font, line_height
from bsig.panels import BAR_PAD, INK, PAPER, QUIET, RULE, TINT, color_bar

SIZE_WH = (1920, 1080)
MARGIN = 64
SIDE = 512
GAP = (SIZE_WH[0] - 2 * MARGIN - 3 * SIDE) // 2
PLACES = tuple(MARGIN + number * (SIDE + GAP) for number in range(3))
PLAIN = Drawing()
TREATMENT_WORDS = {
    "signed": "signed weights",
    "nonnegative": "negative weights set to zero",
    "paper": "as in the paper's code: sigmoid weights clamped, softmax signed",
}


def slide_card(explanation: Explanation, drawing: Drawing = PLAIN, version: str = "") -> Image.Image:
    """The card, RGB, always 1920 x 1080, light; nothing on it is cut off."""
    card = Image.new("RGB", SIZE_WH, PAPER["light"])
    inner = SIZE_WH[0] - 2 * MARGIN
    method = cam_method(explanation.method)
    top = _fitted(card, f"Evidence for '{explanation.class_name}'", (MARGIN, 34), inner, 1, (56, 30), "ink", bold=True)
    treatment = TREATMENT_WORDS[explanation.weights] + (", with the bias" if explanation.with_bias else "")
    _fitted(card, f"{method.title} · {treatment}", (MARGIN, max(top, 100)), inner, 1, (28, 18), "quiet")
    _pictures(card, explanation, drawing, 156)
    limit = shared_limit_of(explanation, drawing)
    if drawing.own_scale:
        words = "Each map on its own scale: brightness cannot be compared."
        _fitted(card, words, (PLACES[1], 784), 2 * SIDE + GAP, 1, (24, 18), "quiet")
    else:
        bar = color_bar(limit, view=drawing.view, colormap=drawing.colormap, unit=f"{method.unit}, one scale for both",
                        width=2 * SIDE + GAP + 2 * BAR_PAD)  # fmt: skip
        card.paste(bar, (PLACES[1] - BAR_PAD, 768))
    _finding(card, finding(explanation), 886, 1016)
    rows, columns = explanation.softmax.map.shape
    footer = (
        f"bsig {version} · checkpoint {explanation.checkpoint} · grid {rows} x {columns} cells · a heatmap says where "
        "evidence for an output lies, not that the output is right · method: Oh and Noh, BMVC 2025, arXiv 2511.05590"
    )
    _fitted(card, footer.replace("  ", " "), (MARGIN, 1036), inner, 1, (19, 12), "quiet")
    return card


def _pictures(card: Image.Image, explanation: Explanation, drawing: Drawing, top: int) -> None:
    """Title, picture and one line of numbers in each of the three columns."""
    shown: list[tuple[str, Image.Image, str]] = [
        ("What the model saw", explanation.crop.resize((SIDE, SIDE), Image.Resampling.BICUBIC),
         f"predicted: {explanation.predicted_name}"),
    ]  # fmt: skip
    branches: tuple[Branch, ...] = ("softmax", "sigmoid")
    for branch in branches:
        evidence = getattr(explanation, branch)
        words = f"probability {percent(evidence.probability)} · speaks for it: {area_text(evidence)}"
        shown.append((BRANCHES[branch], branch_picture(explanation, branch, drawing), words))
    draw = ImageDraw.Draw(card)
    for left, (title, picture, words) in zip(PLACES, shown, strict=True):
        draw.text((left, top), title, font=font(30, bold=True), fill=INK["light"])
        fitted = ImageOps.contain(picture.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
        card.paste(fitted, (left, top + 46))
        draw.rectangle((left - 1, top + 45, left + SIDE, top + 46 + SIDE), outline=RULE["light"])
        _fitted(card, words, (left, top + 46 + SIDE + 12), SIDE, 1, (26, 15), "ink")


def _finding(card: Image.Image, text: str, top: int, bottom: int) -> None:
    """The sentence on a tinted box, in the middle of its height."""
    typeface, lines = fitted_lines(text, SIZE_WH[0] - 2 * MARGIN - 56, 3, (34, 20))
    draw = ImageDraw.Draw(card)
    draw.rounded_rectangle((MARGIN, top, SIZE_WH[0] - MARGIN, bottom), 12, fill=TINT["light"])
    y = (top + bottom - len(lines) * line_height(typeface)) // 2
    draw_lines(draw, (MARGIN + 28, y), lines, typeface, INK["light"])


def _fitted(
    card: Image.Image, text: str, position_xy: tuple[int, int], width: int, most: int, sizes: tuple[int, int],
    ink: str, *, bold: bool = False,
) -> int:  # fmt: skip
    typeface, lines = fitted_lines(text, width, most, sizes, bold=bold)
    colour = (INK if ink == "ink" else QUIET)["light"]
    return draw_lines(ImageDraw.Draw(card), position_xy, lines, typeface, colour)
