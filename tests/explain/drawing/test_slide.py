"""The slide: always of one size, nothing beyond its margins, the maps as everywhere else and on one scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawing_inputs import DrawnText, recorded_texts
from PIL import Image

from bsig import CAM_METHODS, Explainer, __version__, load_checkpoint
from bsig.explain.cams import TRAINED
from bsig.explain.drawing.comparison import Drawing, branch_picture, shared_limit_of
from bsig.explain.drawing.panels import BAR_PAD, color_bar
from bsig.explain.drawing.slide import GAP, PICTURE_TOP, PLACES, SHOWN, SIDE, TREATMENT_WORDS, slide_card
from bsig.explain.drawing.text import fitted_lines
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.methods import TREATMENTS
from bsig.explain.verdict import finding
from bsig.explain.wording import area_text, probability_text
from bsig.ui.components.examples import example_by_key

LONG = ("a very long class name " * 6)[:120]
NAMES = ["golf ball", LONG, "x" * 120, "x" * 400, "球" * 200, "", "two\nlines"]
SCALE_XY = (PLACES[1] - BAR_PAD, 768)


@pytest.fixture(scope="module")
def encoded() -> EncodedImage:
    return Explainer(load_checkpoint("imagenet1k-efficientnet_lite0")).encode(example_by_key("cat").path)


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[DrawnText]:
    return recorded_texts(monkeypatch)


def named(explanation: Explanation, name: str) -> Explanation:
    return replace(explanation, class_name=name, predicted_name=name, checkpoint=name)


def shown_at(card: Image.Image, column: int) -> np.ndarray:
    left, top = PLACES[column], 156 + PICTURE_TOP
    return np.asarray(card.crop((left, top, left + SIDE, top + SIDE)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("drawing", [Drawing(), Drawing(view="signed", own_scale=True)])
def test_the_size_is_always_that_of_a_slide_and_the_margins_are_white(
    encoded: EncodedImage, name: str, drawing: Drawing
) -> None:
    card = slide_card(named(encoded.explain("golf ball"), name), drawing)
    assert (card.size, card.mode) == ((1920, 1080), "RGB")
    paper = np.asarray(card)
    for edge in (paper[:, :60], paper[:, -60:], paper[:24], paper[-10:]):
        assert (edge == 255).all()


@pytest.mark.parametrize("name", NAMES)
def test_no_line_of_words_lies_on_another_or_outside_its_column(
    encoded: EncodedImage, name: str, words: list[DrawnText]
) -> None:
    explanation = named(encoded.explain("golf ball"), name)
    slide_card(explanation)
    on_card = [(line, box) for line, box in words if line.strip() and box[1] > 20 and not _on_the_bar(line)]
    assert len(on_card) >= 10
    for number, (line, (left, top, right, bottom)) in enumerate(on_card):
        assert left >= PLACES[0] - 2, line
        assert right <= 1920 - 62, line
        for other, (left_2, top_2, right_2, bottom_2) in on_card[number + 1 :]:
            apart = right <= left_2 or right_2 <= left or bottom <= top_2 or bottom_2 <= top
            assert apart, (line, other)
    (predicted_right,) = {box[2] for line, box in words if line.startswith("predicted:")}
    assert predicted_right <= PLACES[0] + SIDE
    lines = [box for _, box in words if 840 < box[1] < 1020]  # of the finding, which has a tinted box
    assert min(box[1] for box in lines) >= 886 + 6
    assert max(box[3] for box in lines) <= 1012 - 6


def _on_the_bar(line: str) -> bool:
    """The colour bar is a picture of its own; its words have places in that picture."""
    return line[:1] in "+-−0" or "for the class →" in line or "one scale for both" in line or line == "zero or below"


def test_the_words_are_on_it(encoded: EncodedImage, words: list[DrawnText]) -> None:
    explanation = encoded.explain("golf ball", "cam", "nonnegative")
    slide_card(explanation)
    text = " ".join(line for line, _ in words)
    for line in (
        "Evidence for 'golf ball'", "CAM", "negative weights set to zero", "Softmax branch", "Sigmoid branch",
        "What the model saw", f"predicted: {explanation.predicted_name}", finding(explanation), f"bsig {__version__}",
        f"checkpoint {explanation.checkpoint}", "grid 7 x 7 cells", "one scale for both", "arXiv 2511.05590",
        *(f"{probability_text(explanation, branch)} · speaks for it: {area_text(explanation.evidence(branch))}"
          for branch in TRAINED),
    ):  # fmt: skip
        assert line in text, line


@pytest.mark.parametrize("name", [LONG, "x" * 120])
def test_a_name_of_120_letters_is_on_it_in_full(encoded: EncodedImage, name: str, words: list[DrawnText]) -> None:
    slide_card(replace(encoded.explain("golf ball"), class_name=name, predicted_name=name))
    text = "".join(line for line, _ in words).replace(" ", "")
    assert text.count(name.replace(" ", "")) == 3  # title, prediction, finding


def test_what_cannot_fit_ends_in_an_ellipsis_and_keeps_its_beginning() -> None:
    _, (line,) = fitted_lines("Evidence for '" + "x" * 400, 600, 1, (30, 20))
    assert line.startswith("Evidence for 'xxxxxxxxxx")
    assert line.endswith("x…")


@pytest.mark.parametrize("weights", TREATMENTS)
@pytest.mark.parametrize(
    "drawing",
    [Drawing(), Drawing(view="signed"), Drawing(own_scale=True), Drawing(overlay=False, smooth=False),
     Drawing(threshold_share=0.5, colormap="viridis", heatmap_opacity=0.5)],
)  # fmt: skip
def test_the_maps_are_those_of_the_screen(encoded: EncodedImage, weights: str, drawing: Drawing) -> None:
    explanation = encoded.explain("golf ball", "cam", weights)
    card = slide_card(explanation, drawing)
    for column, branch in enumerate(SHOWN, start=1):
        picture = branch_picture(explanation, branch, drawing).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(shown_at(card, column), np.asarray(picture))
    assert weights in TREATMENT_WORDS


@pytest.mark.parametrize("drawing", [Drawing(), Drawing(view="signed", colormap="RdBu_r")])
def test_one_scale_stands_below_both_maps(encoded: EncodedImage, drawing: Drawing) -> None:
    explanation = encoded.explain("golf ball")
    bar = color_bar(
        shared_limit_of(explanation, drawing), view=drawing.view, colormap=drawing.colormap,
        unit="logits, one scale for both", width=2 * SIDE + GAP + 2 * BAR_PAD,
    )  # fmt: skip
    x, y = SCALE_XY
    below = slide_card(explanation, drawing).crop((x, y, x + bar.width, y + bar.height))
    np.testing.assert_array_equal(np.asarray(below), np.asarray(bar))


def test_without_a_scale_it_says_why(encoded: EncodedImage, words: list[DrawnText]) -> None:
    slide_card(encoded.explain(), Drawing(own_scale=True))
    assert any("brightness cannot be compared" in line for line, _ in words)
    words.clear()
    nothing = encoded.explain(int(encoded.sigmoid_logits.flatten().argmin()))
    assert max(nothing.softmax.map.max(), nothing.sigmoid.map.max()) <= 0
    slide_card(nothing, Drawing())
    text = " ".join(line for line, _ in words)
    assert "neither map has anything above zero" in text
    assert "one scale for both" not in text
    assert text.count("No positive evidence for") == 2


@pytest.mark.parametrize("method", [key for key, method in CAM_METHODS.items() if not method.is_slow])
def test_every_method_has_a_card(encoded: EncodedImage, method: str, words: list[DrawnText]) -> None:
    slide_card(encoded.explain("golf ball", method))
    assert any(line.startswith(f"{CAM_METHODS[method].title} · ") for line, _ in words)
