"""Whatever comes from outside is escaped, once, by every helper; numbers and attributes stand where they belong."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from bsig.explain.drawing.comparison import Drawing
from bsig.ui.components.html import (
    Html,
    bullets,
    cell,
    element,
    escaped,
    explained,
    facts,
    finding,
    heading,
    joined,
    note,
    number,
    problem,
    progress_bar,
    row_title,
    scale_bar,
    section,
    table,
    waiting,
)
from bsig.ui.components.theme import page_script, style_sheet

HOSTILE = "<img src=x onerror=\"alert('1')\"> & Co"


class _Parts(HTMLParser):
    """Elements with their attributes, and the text, as a browser reads them."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    "content",
    [
        escaped(HOSTILE),
        explained(HOSTILE),
        finding(HOSTILE, HOSTILE, data_name=HOSTILE),
        note(HOSTILE, title=HOSTILE),
        bullets([HOSTILE]),
        heading(HOSTILE, HOSTILE),
        section(HOSTILE, HOSTILE),
        facts([(HOSTILE, HOSTILE)], explain=True),
        facts([(HOSTILE, HOSTILE)]),
        table([HOSTILE, number(HOSTILE)], [[row_title(HOSTILE), cell(HOSTILE, data_name=HOSTILE)], [HOSTILE]]),
        progress_bar(0.5, HOSTILE),
        scale_bar(1.0, Drawing(), "cam", (HOSTILE, HOSTILE)),
    ],
)
def test_a_hostile_text_stays_a_text(content: str) -> None:
    assert isinstance(content, Html)
    parts = _Parts(content)
    assert "img" not in [tag for tag, _ in parts.tags]
    in_attributes = any(HOSTILE in attributes.values() for _, attributes in parts.tags)
    assert HOSTILE in parts.text or in_attributes
    assert "onerror" not in [name for _, attributes in parts.tags for name in attributes]


def test_html_is_not_escaped_again_and_a_text_beside_it_is() -> None:
    inner = element("b", "a < b")
    assert inner == "<b>a &lt; b</b>"
    assert joined(inner, " & ", between=", ") == "<b>a &lt; b</b>,  &amp; "
    assert note(inner) == f'<p class="bsig-note">{inner}</p>'
    assert escaped(escaped("&")) == "&amp;"


def test_attributes_have_their_names_and_empty_ones_are_left_out() -> None:
    text = element("i", class_="a", data_x="1", hidden=True, title="", role=None, data_epochs=0)
    assert text == '<i class="a" data-x="1" hidden data-epochs="0"></i>'


def test_nothing_to_say_is_no_element() -> None:
    assert (note(""), bullets([])) == ("", "")
    assert "small" not in finding("x")


def test_a_long_list_says_how_many_more_there_are() -> None:
    assert _Parts(bullets(["a", "b", "c"], most=2)).text == "aband 1 more"
    assert _Parts(bullets(["a", "b"], most=2)).text == "ab"


def test_a_table_has_titles_that_explain_and_numbers_below_each_other() -> None:
    text = table(["Class", number("logit")], [["cat", number("2")]], kind="bsig-all", scrolls=True, id="t")
    tags = _Parts(text).tags
    assert [tag for tag, _ in tags] == [
        "div", "table", "thead", "tr", "th", "th", "button", "tbody", "tr", "td", "td",
    ]  # fmt: skip
    by_tag = dict(tags)
    assert tags[0][1] == {"class": "bsig-scroll"}
    assert by_tag["table"] == {"class": "bsig-table bsig-all", "id": "t"}
    assert (by_tag["th"], by_tag["td"]) == ({"class": "number"}, {"class": "number"})
    assert by_tag["button"]["aria-describedby"] == "term-logit"
    assert "thead" not in table([], [["a"]])


def test_a_bar_says_its_share_or_only_that_work_goes_on() -> None:
    (tag,) = _Parts(progress_bar(2 / 5, "2 of 5")).tags
    assert tag == ("progress", {"class": "bsig-progress", "max": "1", "value": "0.4000", "aria-label": "2 of 5"})
    (unknown,) = _Parts(progress_bar(None)).tags
    assert "value" not in unknown[1]
    (start,) = _Parts(progress_bar(0.0)).tags
    assert start[1]["value"] == "0.0000"


def test_a_signed_scale_runs_from_minus_to_plus_the_limit_with_zero_in_the_middle() -> None:
    signed, positive = _Parts(scale_bar(2.0, Drawing(view="signed"), "cam")), _Parts(scale_bar(2.0, Drawing(), "cam"))
    assert signed.text.startswith("−2")
    assert "0" in signed.text
    assert positive.text.startswith("0")
    assert (signed.tags[0][1]["aria-label"] or "").startswith("Colour scale from -2 to 2 logit")
    assert (positive.tags[0][1]["aria-label"] or "").startswith("Colour scale from 0 to 2 logit")


def test_style_and_script_are_files_that_name_no_other_host() -> None:
    for content in (style_sheet(), page_script()):
        assert len(content) > 2000
        assert "://" not in content
        assert "@import" not in content


def test_waiting_says_what_is_known_and_no_more() -> None:
    text = waiting("Measuring 32 pictures", 0.4, 50.0)
    assert "Measuring 32 pictures, 40 %, about 50 s left." in text
    assert 'value="0.4000"' in text
    unknown = waiting("Loading", None, None)
    assert "Loading." in unknown
    assert "value=" not in unknown  # a bar that only says that work goes on


def test_a_problem_is_announced_and_its_text_escaped() -> None:
    assert problem("<b> is no class.") == '<p class="bsig-problem" role="alert">&lt;b&gt; is no class.</p>'
    assert problem("") == ""
