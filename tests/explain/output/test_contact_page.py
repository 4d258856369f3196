"""Many explanations on one HTML page: the largest disagreement first, escaped, and nothing fetched."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.output.contact_page import ContactPage
from bsig.explain.output.table import THUMBNAIL
from bsig.inputs.errors import InputError


def with_disagreement(encoded: EncodedImage, cells: int) -> Explanation:
    """An explanation whose branches differ in sign on so many of its 49 cells."""
    explanation = encoded.explain(285)
    sigmoid = np.ones(49, np.float32)
    sigmoid[:cells] = -1
    return replace(
        explanation,
        softmax=replace(explanation.softmax, map=np.ones((7, 7), np.float32)),
        sigmoid=replace(explanation.sigmoid, map=sigmoid.reshape(7, 7)),
    )


@pytest.fixture
def page(encoded: EncodedImage) -> ContactPage:
    page = ContactPage()
    for name, cells in (("a", 3), ("b", 49), ("c", 3)):
        page.add(with_disagreement(encoded, cells), name)
    return page


def test_entries_come_by_disagreement_and_know_their_number(page: ContactPage) -> None:
    entries = page.entries()
    assert [entry.number for entry in entries] == [1, 0, 2]
    assert [entry.row["folder"] for entry in entries] == ["b", "a", "c"] == [r["folder"] for r in page.table.rows()]
    assert entries[0].picture().size == (3 * THUMBNAIL, THUMBNAIL)
    assert entries[0].caption.endswith("disagreement 100 % of places")


def test_the_page_holds_every_finding_and_fetches_nothing(page: ContactPage) -> None:
    html = page.html(["b.jpg: the file is no picture."])
    assert html.count("<article>") == 3
    assert "b.jpg: the file is no picture." in html
    assert html.index("Disagreement 100 %") < html.index("Disagreement 6 %")
    assert set(re.findall(r'(?:src|href)="(\w+:)', html)) == {"data:"}
    assert "<script" not in html


def test_names_are_escaped(encoded: EncodedImage) -> None:
    page = ContactPage()
    page.add(replace(with_disagreement(encoded, 1), class_name="<b>cat</b>"), "a")
    html = page.html(["<i>x</i>"])
    assert "<b>cat" not in html
    assert "&lt;i&gt;x" in html


def test_an_empty_page_is_refused() -> None:
    with pytest.raises(InputError, match="needs at least one explanation"):
        ContactPage().html()
