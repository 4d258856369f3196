"""What the page's script gets of the cells, and the number table: the maps' own numbers."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from bsig import Explainer
from bsig.explain.cams import TRAINED
from bsig.explain.drawing.comparison import Drawing
from bsig.explain.explainer import EncodedImage
from bsig.explain.readings import comparison_readings
from bsig.inputs.paths import EXAMPLES
from bsig.model.dual_branch import DualBranch
from bsig.ui.screens.compare.words import cells_html, class_choices, number_table, reading_note


@pytest.fixture(scope="module")
def encoded(perturbed_model: DualBranch) -> EncodedImage:
    return Explainer(perturbed_model).encode(EXAMPLES / "cat.jpg")


class _Rows(HTMLParser):
    """The texts of a table's cells, row by row."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(content)

    def handle_starttag(self, tag: str, _: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.rows[-1][-1] += data


def sent(content: str) -> dict:
    return json.loads(re.fullmatch(r'<script type="application/json">(.*)</script>', content).group(1))


def test_the_script_gets_the_values_of_the_maps_and_of_each_cell_alone(encoded: EncodedImage) -> None:
    first, third = encoded.explain("golf ball"), encoded.explain("Egyptian cat")
    cells = sent(cells_html(encoded, [first, None, third]))
    assert cells["rows"][1] is None, "a hidden row keeps its place"
    for explanation, row in ((first, cells["rows"][0]), (third, cells["rows"][2])):
        assert row["name"] == explanation.class_name
        np.testing.assert_allclose(row["softmax"], explanation.softmax.map, atol=0.0051)
        np.testing.assert_allclose(row["sigmoid"], explanation.sigmoid.map, atol=0.0051)
        alone = encoded.cell_logits("softmax")[0].softmax(dim=0)[explanation.class_index]
        np.testing.assert_allclose(row["alone"], alone, atol=0.000051)
        for branch in TRAINED:
            own = encoded.cell_logits(branch)[0, explanation.class_index]
            np.testing.assert_allclose(row["logits"][branch], own, atol=0.0051)
            assert np.mean(row["logits"][branch]) == pytest.approx(explanation.evidence(branch).logit, abs=0.0051)
    loudest = encoded.cell_logits("sigmoid")[0].argmax(dim=0)
    assert [[cell[0] for cell in row] for row in cells["sigmoid"]] == loudest.tolist()
    assert cells["names"][str(int(loudest[0, 0]))] == encoded.model.class_names[int(loudest[0, 0])]


def test_a_class_name_cannot_end_the_script(encoded: EncodedImage) -> None:
    explanation = encoded.explain("golf ball")
    object.__setattr__(explanation, "class_name", "</script><b>")
    content = cells_html(encoded, [explanation])
    assert content.count("<") == 2
    assert sent(content)["rows"][0]["name"] == "</script><b>"


def test_the_number_table_has_a_block_a_class_with_the_numbers_of_both_maps(encoded: EncodedImage) -> None:
    explanations = [encoded.explain("golf ball"), encoded.explain("Egyptian cat")]
    head, *rows = _Rows(number_table(explanations)).rows
    assert head == ["", "Probability", "Logit", "Area above zero", "Lowest", "Highest"]
    assert [row for row in rows if len(row) == 1] == [["golf ball"], ["Egyptian cat"]]
    numbers = [row for row in rows if len(row) > 1]
    assert [row[0] for row in numbers] == ["Softmax among the classes", "Sigmoid in the picture"] * 2
    evidences = [evidence for each in explanations for evidence in (each.softmax, each.sigmoid)]
    for row, evidence in zip(numbers, evidences, strict=True):
        assert row[3] == f"{100 * evidence.positive_area:.0f} %"
        values = [float(cell.replace("−", "-")) for cell in (row[2], *row[4:])]
        assert values == pytest.approx([evidence.logit, evidence.map.min(), evidence.map.max()], abs=0.0051)
    assert numbers[1][1] == f"rank {explanations[0].sigmoid.rank:,}", "nothing is calibrated here"


def test_the_class_box_has_no_class_balanced_probability(encoded: EncodedImage) -> None:
    label, name = class_choices(encoded)[0]
    assert re.fullmatch(rf"{re.escape(name)} \(softmax [\d.]+ %\)", label)


def test_a_clone_is_said_above_the_fold_and_how_maps_are_made_below_it(default_model: DualBranch) -> None:
    clone = Explainer(default_model).encode(EXAMPLES / "cat.jpg")
    explanation = clone.explain(None, **comparison_readings(default_model, "cam", "signed"))
    content = reading_note(clone, explanation, Drawing(own_scale=True))
    special, folded = content.split("<details")
    assert "has not been fine-tuned" in special
    assert "brightness cannot be compared" in special
    assert "7 x 7 cells" in folded
