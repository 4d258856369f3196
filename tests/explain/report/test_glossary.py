"""Every term of the field that a screen uses is explained in plain words."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from bsig.evaluation.metrics.catalogue import METRICS
from bsig.explain.diagnostics.catalogue import DIAGNOSTICS
from bsig.explain.diagnostics.sign_collapse import QUADRANTS
from bsig.explain.report.glossary import TERMS, terms_in
from bsig.ui.components.html import explained, glossary
from bsig.ui.plots.training import CHARTS
from bsig.ui.screens.evaluate.results_panel import PLOTS
from bsig.ui.screens.evaluate.tables import SHOWN_COLUMNS
from bsig.ui.screens.sign_collapse import QUADRANT_TITLES

# Words with a capital inside, or all in capitals: nobody knows them by themselves.
COINED = re.compile(r"\b(?:[A-Z]{2,}|[A-Za-z]*[a-z][A-Z]\w*|GT-known)\b")
JARGON = re.compile(r"\b(logits?|softmax|sigmoid|epochs?|learning rate|precision|recall|mosaic|threshold|shift|delta|"
                    r"correlation|channels?|cells?|positive area|absent class|energy|margin|shared|loss|accuracy|"
                    r"held out|class-centred|deletion|insertion)\b", re.IGNORECASE)  # fmt: skip
HEADINGS = [
    *(row.title for row in DIAGNOSTICS.values()),
    *(row.title for row in METRICS.values()),
    *SHOWN_COLUMNS.values(),
    *(title for title, _ in PLOTS.values()),
    *(chart.title for chart in CHARTS.values()),
    *QUADRANT_TITLES.values(),
]


class _Words(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.terms, self.ids = "", [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        attributes = dict(attrs)
        if attributes.get("class") == "bsig-term":
            self.terms.append(attributes["aria-describedby"])
        if "id" in attributes:
            self.ids.append(attributes["id"])

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_term_of_a_heading_is_in_the_dictionary(heading: str) -> None:
    covered = [heading[start:end] for start, end, _ in terms_in(heading)]
    repeated = [name for _, _, key in terms_in(heading) for name in TERMS[key].names]
    for word in [match.group() for pattern in (COINED, JARGON) for match in pattern.finditer(heading)]:
        names = [*covered, *repeated]
        assert any(word.casefold() in name.casefold() for name in names), f"'{word}' of '{heading}' is not explained"


def test_the_terms_that_everyone_asks_for_are_there() -> None:
    common = ["CAM", "logit", "softmax branch", "sigmoid branch", "treatment", "positive area", "class-centred",
             "logit shift", "sign collapse", "AUC", "IoU", "GT-known", "MaxBoxAccV2", "PxAP", "mosaic", "deletion",
             "insertion", "confidence interval", "epoch", "learning rate", *QUADRANT_TITLES.values()]  # fmt: skip
    assert [word for word in common if not terms_in(word)] == []
    assert set(QUADRANT_TITLES) < set(QUADRANTS)


def test_no_spelling_means_two_things_and_no_meaning_is_long() -> None:
    names = [name.casefold() for term in TERMS.values() for name in term.names]
    assert len(names) == len(set(names))
    for term in TERMS.values():
        assert term.meaning.endswith(".")
        assert 20 < len(term.meaning) < 260


def test_a_text_keeps_its_words_and_each_term_is_described_once() -> None:
    text = "Positive area of the softmax branch & the softmax branch's <b>logit</b>"
    page = _Words(explained(text))
    assert page.text == text
    assert page.terms == ["term-positive_area", "term-softmax", "term-logit"]
    assert set(page.terms) <= set(_Words(glossary()).ids)


def test_the_longest_spelling_counts_and_parts_of_words_do_not() -> None:
    assert [key for _, _, key in terms_in("class-centred map of the GT-known Loc")] == ["centred", "gt_known"]
    assert terms_in("camera, cellar, overshifts") == []
