"""The report is one file that asks for nothing, says every number, and lets no name become markup."""

from __future__ import annotations

import base64
import copy
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from bsig import CAM_METHODS, Explainer, load_checkpoint
from bsig.explain.cams import Branch
from bsig.explain.diagnostics.catalogue import DIAGNOSTICS
from bsig.explain.drawing.comparison import Drawing, alt_text, branch_picture, shared_limit_of
from bsig.explain.explainer import EncodedImage
from bsig.explain.methods import TREATMENTS
from bsig.explain.report.page import BIBTEX, LIMITS, report_html
from bsig.explain.verdict import finding
from bsig.explain.wording import number_text
from bsig.model.dual_branch import DualBranch
from bsig.ui.components.examples import example_by_key

EVIL = "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(1)>"
ADDRESSED = ("src", "href", "srcset", "data", "action", "poster", "background", "xlink:href")


@pytest.fixture(scope="module")
def encoded() -> EncodedImage:
    return Explainer(load_checkpoint("imagenet1k-efficientnet_lite0")).encode(example_by_key("cat").path)


class _Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _assert_asks_for_nothing(page: _Page) -> None:
    addresses = [value for _, attributes in page.tags for key, value in attributes.items() if key in ADDRESSED]
    assert addresses
    assert all(str(address).startswith("data:image/") for address in addresses)
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"} == set()
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    policies = [attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_the_report_holds_everything_and_asks_for_nothing(encoded: EncodedImage) -> None:
    explanation = encoded.explain("golf ball")
    text = report_html(encoded, explanation, Drawing(), "cat.jpg")
    page = _Page(text)
    _assert_asks_for_nothing(page)
    assert "url(" not in text
    assert "@import" not in text
    expected = [finding(explanation), BIBTEX, "Oh and Noh", "2511.05590", "cat.jpg", TREATMENTS["signed"],
                encoded.model.metadata["tensors_sha256"], f"torch {torch.__version__}",
                explanation.checkpoint, *LIMITS, *(row.title for row in DIAGNOSTICS.values())]  # fmt: skip
    assert [words for words in expected if words not in page.text] == []
    alts = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert len(alts) == 4 + 1 + 6
    assert all(alts)
    assert {alt_text(explanation, branch) for branch in ("softmax", "sigmoid", "centred")} <= set(alts)


def test_pictures_are_those_of_the_screen_and_on_its_scale(encoded: EncodedImage) -> None:
    explanation, drawing = encoded.explain("golf ball", "cam", "paper"), Drawing(view="signed", smooth=False)
    page = _Page(report_html(encoded, explanation, drawing, "cat.jpg"))
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    branches: tuple[Branch, ...] = ("softmax", "sigmoid", "centred")
    for source, branch in zip(sources[1:4], branches, strict=True):
        with Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1]))) as picture:
            expected = branch_picture(explanation, branch, drawing)
            np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected.convert("RGB")))
    limit = number_text(shared_limit_of(explanation, drawing), signed=False)
    assert f"All maps share one scale, from −{limit} to +{limit} logits." in page.text
    assert f"paper: {TREATMENTS['paper']}" in page.text


def test_headings_are_in_order_and_tables_have_heads(encoded: EncodedImage) -> None:
    page = _Page(report_html(encoded, encoded.explain(), Drawing(), "cat.jpg"))
    tags = [tag for tag, _ in page.tags]
    assert tags.count("h1") == 1
    assert {tag for tag in tags if re.fullmatch("h[1-6]", tag)} == {"h1", "h2"}
    assert [tag for tag in ("html", "title", "main", "footer") if tag not in tags] == []
    assert tags.count("th") >= 5 + 3 + 2 + 10
    assert dict(page.tags)["html"] == {"lang": "en"}


def test_a_class_with_no_evidence_has_a_report(encoded: EncodedImage) -> None:
    nothing = encoded.explain(int(encoded.sigmoid_logits.flatten().argmin()))
    assert nothing.sigmoid.map.max() <= 0
    page = _Page(report_html(encoded, nothing, Drawing(), "cat.jpg"))
    assert finding(nothing) in page.text
    assert "cannot collapse here" in page.text
    assert "There is no colour scale" in page.text
    assert "source" not in [tag for tag, _ in page.tags]


def test_its_plots_are_drawings_that_fetch_nothing_either(encoded: EncodedImage) -> None:
    page = _Page(report_html(encoded, encoded.explain(), Drawing(), "cat.jpg"))
    plots = [
        value for _, attributes in page.tags if (value := attributes.get("src") or "").startswith("data:image/svg")
    ]
    assert len(plots) == 6
    for plot in plots:
        svg = base64.b64decode(plot.split(",", 1)[1]).decode()
        for element in ElementTree.fromstring(svg).iter():
            links = [value for key, value in element.attrib.items() if key.endswith("href")]
            assert all(link.startswith(("#", "data:")) for link in links)
        assert not re.search(r"url\((?!#)|@import|<script", svg)


def test_no_name_becomes_markup(encoded: EncodedImage) -> None:
    explanation = replace(encoded.explain("golf ball"), class_name=EVIL, predicted_name=EVIL, checkpoint=EVIL)
    plain = _Page(report_html(encoded, encoded.explain("golf ball"), Drawing(), "cat.jpg"))
    page = _Page(report_html(encoded, explanation, Drawing(), EVIL))
    _assert_asks_for_nothing(page)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert page.text.count(EVIL) >= 6  # it is all there, as words


def test_names_of_the_models_own_classes_are_words_too(default_model: DualBranch) -> None:
    model = copy.copy(default_model)
    model.class_names = tuple(f"{EVIL} {number}" for number in range(default_model.num_classes))
    encoded = Explainer(model).encode(example_by_key("cat").path)
    page = _Page(report_html(encoded, encoded.explain(0), Drawing(), "cat.jpg"))
    _assert_asks_for_nothing(page)
    assert page.text.count(EVIL) >= 6


@pytest.mark.parametrize("method", [key for key, method in CAM_METHODS.items() if not method.is_slow])
@pytest.mark.nightly
def test_every_method_has_a_report(encoded: EncodedImage, method: str) -> None:
    explanation = encoded.explain("golf ball", method, "nonnegative")
    page = _Page(report_html(encoded, explanation, Drawing(view="signed", own_scale=True, smooth=False), "cat.jpg"))
    assert CAM_METHODS[method].note in page.text
    assert "brightness cannot be compared" in page.text
