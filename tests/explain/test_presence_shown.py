"""Nowhere is the class-balanced probability said as how likely a class is in the picture.

The opening example is the case: the branch gives the dog that is not there 53 % where classes are balanced, and under
0.1 % once its prior is corrected.
"""

from __future__ import annotations

import pytest
from drawing_inputs import DrawnText, recorded_texts

from bsig import Explainer
from bsig.explain.diagnostics.collapse_report import collapse_report, fragility
from bsig.explain.drawing.comparison import alt_text, comparison_picture
from bsig.explain.drawing.slide import slide_card
from bsig.explain.explanation import Explanation
from bsig.explain.output.contact_page import ContactPage
from bsig.explain.output.table import ExplanationTable
from bsig.explain.readings import comparison_readings
from bsig.explain.wording import map_reading, percent, probability_text
from bsig.model.dual_branch import DualBranch
from bsig.ui.components.examples import bundled_examples


@pytest.fixture(scope="module")
def explanation(shipped_model: DualBranch) -> Explanation:
    example = bundled_examples()[0]
    encoded = Explainer(shipped_model).encode(example.path)
    return encoded.explain(example.class_name, **comparison_readings(shipped_model, None, "signed"))


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[DrawnText]:
    return recorded_texts(monkeypatch)


def test_the_two_probabilities_of_the_absent_dog_lie_far_apart(explanation: Explanation) -> None:
    sigmoid = explanation.sigmoid
    assert sigmoid.probability > 0.5
    assert sigmoid.calibrated_probability is not None
    assert sigmoid.calibrated_probability < 0.001
    assert probability_text(explanation, "sigmoid") == "in the picture: under 0.1 %"
    assert probability_text(explanation, "softmax") == f"probability {percent(explanation.softmax.probability)}"


def test_where_nothing_is_calibrated_the_rank_is_said(perturbed_model: DualBranch) -> None:
    explanation = Explainer(perturbed_model).encode(bundled_examples()[0].path).explain(None)
    assert probability_text(explanation, "sigmoid") == f"rank {explanation.sigmoid.rank:,} of 1,000"
    assert map_reading(explanation, "sigmoid") == ""


def test_neither_alternative_text_nor_slide_nor_comparison_says_the_class_balanced_one(
    explanation: Explanation, words: list[DrawnText]
) -> None:
    slide_card(explanation)
    comparison_picture(explanation)
    text = " ".join([alt_text(explanation, "sigmoid"), *(line for line, _ in words)])
    assert text.count("in the picture: under 0.1 %") == 3
    assert percent(explanation.sigmoid.probability) not in text


def test_a_contact_sheet_has_it_neither(explanation: Explanation, words: list[DrawnText]) -> None:
    table = ExplanationTable()
    table.add(explanation, "photographer")
    table.contact_sheet()
    page = ContactPage()
    page.add(explanation, "photographer")
    text = " ".join([line for line, _ in words] + [page.html()])
    assert "in the picture: under 0.1 %" in text
    assert percent(explanation.sigmoid.probability) not in text


def test_the_collapse_margin_is_told_by_how_likely_the_class_is(explanation: Explanation) -> None:
    assert explanation.encoded is not None
    report = collapse_report(explanation.encoded, explanation.predicted_index)
    sentence = fragility(report)
    assert "probability that the class is there" in sentence
    assert report.presence is not None
    assert report.probability("sigmoid") == report.presence
    assert report.presence[0] == pytest.approx(report.explanation.sigmoid.calibrated_probability, abs=1e-6)
    assert report.presence == sorted(report.presence, reverse=True), "it falls with every step"
