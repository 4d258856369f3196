"""Many explanations in one table and on one sheet: the largest disagreement first."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from drawing_inputs import recorded_texts

from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.output import table as tables
from bsig.explain.output.table import COLUMNS, ExplanationTable


def with_disagreement(encoded: EncodedImage, cells: int) -> Explanation:
    """An explanation whose branches differ in sign on so many of its 49 cells."""
    explanation = encoded.explain(285)
    softmax = np.ones((7, 7), np.float32)
    sigmoid = softmax.copy().ravel()
    sigmoid[:cells] = -1
    return replace(
        explanation,
        softmax=replace(explanation.softmax, map=softmax),
        sigmoid=replace(explanation.sigmoid, map=sigmoid.reshape(7, 7)),
    )


def test_rows_come_by_disagreement_and_keep_their_order_where_it_is_equal(encoded: EncodedImage) -> None:
    table = ExplanationTable()
    for folder, cells in (("a", 3), ("b", 49), ("c", 3), ("d", 0)):
        table.add(with_disagreement(encoded, cells), folder)
    assert [row["folder"] for row in table.rows()] == ["b", "a", "c", "d"]
    assert [row["disagreement"] for row in table.rows()] == [1.0, 3 / 49, 3 / 49, 0.0]


def test_the_csv_gives_back_every_number(encoded: EncodedImage) -> None:
    table = ExplanationTable()
    explanation = encoded.explain("golf ball")
    table.add(explanation, "a, b")
    (row,) = csv.DictReader(io.StringIO(table.csv_text()))
    assert tuple(row) == COLUMNS
    assert row["folder"] == "a, b"
    assert float(row["sigmoid_logit"]) == explanation.sigmoid.logit
    assert float(row["disagreement"]) == explanation.disagreement


def test_the_sheet_shows_the_largest_and_says_how_many_there_are(
    encoded: EncodedImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "SHEET_ROWS", 2)
    table = ExplanationTable()
    for folder, cells in (("first", 3), ("second", 0), ("third", 20)):
        table.add(with_disagreement(encoded, cells), folder)
    texts = recorded_texts(monkeypatch)
    sheet = table.contact_sheet()
    words = [text for text, _ in texts]
    assert any("(2 of 3)" in text for text in words)
    assert [text.split(":")[0] for text in words if ": Egyptian cat" in text] == ["third", "first"]
    assert all(box[0] >= 0 and box[2] <= sheet.width and box[3] <= sheet.height for _, box in texts)
