"""The comparison that the app opens with, as a piece of HTML: what stands on the page until the app can draw it.

    python -m bsig.ui.screens.compare.opening      draws it with the default checkpoint and writes assets/opening.html

It is made of the parts that the screen is made of. `tests/ui/screens/compare/test_opening.py` holds the file equal to
what the app draws; `bsig/ui/server/opening.py` shows it.
"""

from __future__ import annotations

import base64
import io

from PIL import Image

from bsig.explain.cams import TRAINED, Branch
from bsig.explain.drawing.colours import css_variables
from bsig.explain.drawing.comparison import alt_text
from bsig.inputs.files import write_whole
from bsig.inputs.paths import ASSETS
from bsig.model.checkpoints.names import DESCRIPTION
from bsig.model.weights import file_sha256
from bsig.ui.components.examples import Example, example_by_key
from bsig.ui.components.html import Html, bold, element, joined
from bsig.ui.components.theme import TEXT
from bsig.ui.links.check import possible_view
from bsig.ui.links.view import View
from bsig.ui.screens.compare.answers import contrast_of, encoded_of, explanation_of
from bsig.ui.screens.compare.inputs import CompareInputs
from bsig.ui.screens.compare.rows import ClassRow, class_rows
from bsig.ui.screens.compare.words import TITLES, example_reason, sigmoid_title
from bsig.ui.workbench import Workbench

FILE = ASSETS / "opening.html"
COMMAND = "python -m bsig.ui.screens.compare.opening"
PICTURE_SIZE = (320, 320)
QUALITY = 80
"""Of WebP: it moves the levels of a map by 1.5 of 255 in the mean, most at the edges of signs."""


def opening_html(bench: Workbench) -> Html:
    """What Compare opens with: the picture, and of each of two classes the verdict, both maps and their scale.

    Colours and sizes of letters are in it as variables of CSS; the rules that use them are the page's own. Its
    `data-checkpoint` is the hash of the description of the checkpoint that it was drawn with, which holds those of its
    tensors.
    """
    view, _ = possible_view(bench, View())
    example = example_by_key(view.example)
    inputs = CompareInputs.of_view(view, example.path)
    encoded = encoded_of(bench, inputs)
    explanation = explanation_of(encoded, inputs)
    contrast = contrast_of(encoded, explanation, inputs)
    explanations = [each for each in (explanation, contrast) if each is not None]
    first, *others = class_rows(encoded, explanations, inputs.drawing())
    rows = [_row(first, with_lines=True), *(_row(row, with_lines=False) for row in others)]
    question = _question(encoded.crop, example, explanation.class_name)
    answer = element("div", *rows, class_="answer")
    checkpoint = file_sha256(bench.checkpoint_path(bench.default_checkpoint) / DESCRIPTION)
    comparison = element("div", question, answer, class_="bsig-opening", data_checkpoint=checkpoint)
    return joined(Html(f"<!-- Made by `{COMMAND}`. -->\n"), _variables(), comparison, Html("\n"))


def _variables() -> Html:
    letters = " ".join(f"--text-{size}: {getattr(TEXT, size)};" for size in ("xxs", "xs", "sm", "md", "lg", "xl"))
    light, dark = css_variables(dark=False), css_variables(dark=True)
    return Html(f"<style>:root {{ {letters} {light} }} :root.dark {{ {dark} }}</style>\n")


def _question(crop: Image.Image, example: Example, class_name: str) -> Html:
    picture = _picture(crop.resize(PICTURE_SIZE, Image.Resampling.BICUBIC), f"The picture: {example.truth}")
    asked = element("p", "Is this in the picture? ", bold(class_name), class_="asked")
    return element("div", picture, asked, example_reason(example), class_="question")


def _row(row: ClassRow, *, with_lines: bool) -> Html:
    maps = (_map(row, branch, with_lines=with_lines) for branch in TRAINED)
    grid = element("div", *maps, class_="bsig-grid")
    return element("div", row.verdict, grid, row.scale, class_="bsig-class-row")


def _map(row: ClassRow, branch: Branch, *, with_lines: bool) -> Html:
    """A map below its name. No term is a button here: nothing could explain it yet."""
    title, text = TITLES[branch] if branch == "softmax" else sigmoid_title(row.explanation)
    head = element("div", element("span", title, class_=branch), element("small", text) if with_lines else "",
                   class_="bsig-head")  # fmt: skip
    picture = _picture(row.pictures[branch], alt_text(row.explanation, branch))
    return element("div", head, picture, class_="column bsig-map")


def _picture(picture: Image.Image, alt: str) -> Html:
    """The picture itself in the page: nothing else has to be loaded to see it."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "WEBP", quality=QUALITY, method=6)
    content = base64.b64encode(buffer.getvalue()).decode()
    width, height = picture.size
    source = f"data:image/webp;base64,{content}"
    return Html(element("img", alt=alt, width=width, height=height, src=source).removesuffix("</img>"))


if __name__ == "__main__":
    write_whole(FILE, opening_html(Workbench()).encode())
