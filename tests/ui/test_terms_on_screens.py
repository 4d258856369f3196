"""Every term on a screen is explained where it stands, and every explanation is in the glossary."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from in_process import built_demo

from bsig.evaluation.output.shipped import read_results
from bsig.explain.diagnostics.catalogue import diagnose
from bsig.explain.diagnostics.collapse_report import collapse_report
from bsig.explain.diagnostics.shift_request import ShiftRequest, shifted_picture
from bsig.explain.drawing.colours import VIEWS
from bsig.explain.drawing.comparison import Drawing
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.explain.report.glossary import TERMS, terms_in
from bsig.ui.components.examples import bundled_examples
from bsig.ui.components.html import glossary
from bsig.ui.screens import sign_collapse as sign_collapse_tab
from bsig.ui.screens.compare.words import number_table, reading_note
from bsig.ui.screens.evaluate.tables import all_rows_html, differing_html, first_table_html
from bsig.ui.screens.finetune.fields import BUNDLED_WORDS
from bsig.ui.screens.finetune.run import runs_html
from bsig.ui.screens.logit_shift.answers import fitted_shift_of
from bsig.ui.screens.logit_shift.tables import probability_table, proof_table, zero_table
from bsig.ui.screens.logit_shift.words import possible_and_actual
from bsig.ui.screens.models.facts import facts_html, models_html
from bsig.ui.workbench import Workbench

ENTRY = "term-"
# Words that someone who has never trained a network does not know. On a screen they need an entry.
JARGON = (
    "logit", "softmax", "sigmoid", "class activation map", "class-centred", "backbone", "encoder", "checkpoint",
    "epoch", "learning rate", "weight decay", "batch size", "loss", "seed", "schedule", "bias", "delta", "channel",
    "feature map", "features", "threshold", "precision", "recall", "bootstrap", "mosaic", "correlation", "energy",
    "insertion", "deletion", "held out", "heatmap", "timm", "safetensors", "ImageNet", "contour", "clone", "shift",
    "sign collapse", "collapse margin", "head", "weights", "probe", "relu", "tensor", "gradient", "cross-entropy",
    "hyperparameter", "regularization", "logits2", "pos_weight", "einsum", "argmax", "embedding", "Pearson",
    "levelled", "presence", "reading", "log-odds", "rank", "fine-tuned", "pretrained", "interpolated", "calibrated",
    "least squares", "norm", "BatchNorm", "convolution", "stride", "Nesterov", "momentum",
)  # fmt: skip
# Letters that are known outside the field, or names.
KNOWN = {"API", "BMVC", "CSV", "JSON", "PNG", "JPEG", "ID", "PDF", "MB", "OK", "CPU", "GPU", "RGB", "HTML"}
CAM_NAMES = {method.title for method in CAM_METHODS.values()}


class _Page(HTMLParser):
    """Text, headings, heads of columns, and the terms that are marked, of a piece of HTML."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.heads: list[str] = []
        self.marks: list[tuple[str, str]] = []
        self._open: str | None = None
        self._in_row = 0
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        titles_a_row = tag == "td" and self._in_row == 0
        self._in_row = 0 if tag == "tr" else self._in_row + (tag in ("td", "th"))
        if tag in ("th", "dt") or attributes.get("role") == "heading" or titles_a_row:
            self._open = tag
            self.heads.append("")
        if tag == "small":  # what stands below a title explains it
            self._open = None
        if "bsig-term" in (attributes.get("class") or ""):
            self.marks.append(((attributes.get("aria-describedby") or "").removeprefix(ENTRY), tag))
        self.text.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._open:
            self._open = None

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._open:
            self.heads[-1] += data


@pytest.fixture(scope="module")
def screens() -> dict[str, str]:
    """Everything that is written on the page as HTML: as it opens, and what the screens answer for an example."""
    bench = Workbench()
    example = bundled_examples()[0]
    encoded = bench.encode(example.path, None)
    explanation = encoded.explain("golf ball")
    report = collapse_report(encoded, explanation.class_index, "cam")
    picture = shifted_picture(encoded, explanation.class_index, "cam", ShiftRequest())
    run = read_results(bench.checkpoint_path(bench.default_checkpoint))[0]
    pages = {
        "both branches": number_table([explanation]),
        "note": reading_note(encoded, explanation, Drawing()),
        "shift softmax": probability_table(picture, encoded.model.class_names, "softmax"),
        "shift sigmoid": probability_table(picture, encoded.model.class_names, "sigmoid"),
        "where is zero": zero_table(encoded, explanation.class_index, *fitted_shift_of(bench, encoded)),
        "possible": f"<p>{possible_and_actual(encoded, explanation.class_index)}</p>",
        "proof": proof_table(bench, None, picture.vector, "cam"),
        "numbers": sign_collapse_tab.numbers_table(diagnose(encoded, report.explanation), "logits"),
        "collapse": sign_collapse_tab.finding_html(report),
        "models": models_html(bench),
        "model": facts_html(encoded.model),
        "runs": runs_html([]),
        "bundled": BUNDLED_WORDS,
        **{f"measured {at}": first_table_html(table) for at, table in enumerate(run["tables"])},
        **{f"all {at}": all_rows_html(table) for at, table in enumerate(run["tables"])},
        "files": differing_html(run["tables"][0], is_own=False),
    }
    with built_demo(bench) as demo:
        for block in demo.blocks.values():
            if isinstance(value := getattr(block, "value", None), str) and value.lstrip().startswith("<"):
                pages[f"html {block._id}"] = value
        pages["controls"] = "".join(f"<p>{html.escape(text)}</p>" for text in _words_of_controls(demo))
    return pages


def _words_of_controls(demo: Any) -> Iterator[str]:
    """Labels, the lines below them, choices that are seen, buttons; not the hidden components of the web API."""
    for block in demo.blocks.values():
        hidden = [block, block.parent, getattr(block.parent, "parent", None)]
        if any(getattr(each, "visible", True) is False for each in hidden if each is not None and each is not demo):
            continue
        for name in ("label", "info", "placeholder"):
            if isinstance(text := getattr(block, name, None), str):
                yield text
    yield from TREATMENTS.values()
    yield from VIEWS.values()
    yield from (method.note for method in CAM_METHODS.values())


def test_every_term_of_a_heading_or_a_column_is_explained_there(screens: dict[str, str]) -> None:
    terms = set()
    for name, content in screens.items():
        if 'id="glossary"' in content:
            continue
        page = _Page(content)
        explained = {key for key, _ in page.marks}
        own_terms = {key for text in page.heads for _, _, key in terms_in(text)}
        assert own_terms <= explained, (name, own_terms - explained)
        terms |= own_terms
    assert {"softmax", "sigmoid", "auc", "gt_known", "max_box", "mosaic", "at_own", "shift", "margin"} <= terms


def test_what_is_marked_can_be_focused_and_has_its_entry(screens: dict[str, str]) -> None:
    entries = re.findall(rf'id="{ENTRY}([a-z0-9_]+)"', glossary())
    assert sorted(entries) == sorted(TERMS)
    for content in screens.values():
        for key, tag in _Page(content).marks:
            assert (key in entries, tag) == (True, "button")


def test_every_entry_is_in_the_glossary_and_the_glossary_is_on_the_page(screens: dict[str, str]) -> None:
    (page,) = [content for content in screens.values() if 'id="glossary"' in content]
    text = "".join(_Page(page).text)
    for term in TERMS.values():
        assert term.meaning in text
        assert term.title.casefold() in text.casefold()


def test_no_screen_has_a_word_of_the_field_without_an_entry(screens: dict[str, str]) -> None:
    spelt = {name.casefold() for term in TERMS.values() for name in term.names}
    words = set()
    for name, content in screens.items():
        text = " ".join("".join(_Page(content).text).split())
        for word in JARGON:
            is_there = re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text, re.IGNORECASE)
            if is_there and word.casefold() not in spelt:
                words.add((name, word))
        for letters in re.findall(r"(?<![\w.-])[A-Z]{2,}[A-Za-z0-9]*(?![\w.-])", text):
            is_known = letters in KNOWN or letters.casefold() in spelt or any(letters in name_ for name_ in CAM_NAMES)
            if not is_known:
                words.add((name, letters))
    assert not {word for _, word in words}
