"""The HTML of every screen is made here, so that a text is escaped in one place.

    finding("Same classifier, another heatmap.", small="…")        the sentence above a screen
    note("…")                                                      a remark in small letters
    heading(title, text), section(title, text)
    facts([("Logit", "+2.10")])                                    names and values
    table(["Class", number("before")], [["cat", number("97 %")]])  columns, rows
    problem("…")                                                   why an input cannot be used, beside it
    waiting("32 pictures", 0.4, 50.0)                              what goes on, how far it is, how long it still takes
    progress_bar(0.4, "2 of 5 epochs"), bullets(lines), scale_bar(limit, drawing, method)

Plain text is escaped wherever it is put into HTML; `Html` passes as it is. `explained` marks the terms of the field in
a text: a dotted underline, a sentence on hover, focus and tap. A term is a button, so that the keyboard reaches it; its
sentence stands once on the page, in the glossary, and `static/page.js` shows it in a box beside the term.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bsig.explain.drawing.comparison import Drawing
from bsig.explain.drawing.heatmaps import heatmap
from bsig.explain.methods import CAM_METHODS
from bsig.explain.report.glossary import TERMS, terms_in
from bsig.explain.wording import duration, number_text

RAMP_STEPS = 33


class Html(str):
    """Text that is HTML already and is not escaped again."""


def escaped(text: str) -> Html:
    """The text as HTML; `Html` stays as it is."""
    return text if isinstance(text, Html) else Html(html.escape(text))


def joined(*parts: str, between: str = "") -> Html:
    """All parts as one piece of HTML, plain ones escaped."""
    return Html(escaped(between).join(escaped(part) for part in parts))


def element(tag: str, *content: str, **attributes: Any) -> Html:
    """An HTML element.

    Args:
        tag: its name.
        content: what it holds; plain text is escaped.
        attributes: by name, with `_` for `-` and one at the end where Python owns the word (`class_`). An attribute
            without a value is left out, `True` stands without a value.
    """
    attribute_text = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{html.escape(str(value))}"')
        for name, value in attributes.items()
        if value is not None and value is not False and value != ""
    )
    return Html(f"<{tag}{attribute_text}>{joined(*content)}</{tag}>")


def bold(text: str) -> Html:
    """The text in bold letters."""
    return element("b", text)


# --- terms ------------------------------------------------------------------------------------------------------------


def explained(text: str) -> Html:
    """The text as HTML, with each term of the field explained where it comes first."""
    if isinstance(text, Html):
        return text
    parts, at = [], 0
    for start, end, key in terms_in(text):
        parts.append(escaped(text[at:start]))
        parts.append(
            element("button", text[start:end], type="button", class_="bsig-term", aria_describedby=f"term-{key}")
        )
        at = end
    return joined(*parts, text[at:])


def glossary() -> Html:
    """All terms in alphabetical order, folded away until they are asked for."""
    rows = [
        element("div", element("dt", term.title), element("dd", term.meaning, id=f"term-{key}"))
        for key, term in sorted(TERMS.items(), key=lambda pair: pair[1].title.casefold())
    ]
    return element("details", element("summary", "All terms, in plain words"), element("dl", *rows), id="glossary")


# --- sentences and titles ---------------------------------------------------------------------------------------------


def finding(text: str, small: str = "", **attributes: Any) -> Html:
    """The sentence that stands above everything, and what it rests on in smaller letters."""
    below = element("small", small) if small else ""
    return element("div", text, below, class_="bsig-finding", role="status", **attributes)


def note(text: str, **attributes: Any) -> Html:
    """A remark in small letters; nothing for no text."""
    return element("p", text, class_="bsig-note", **attributes) if text else Html()


def folded(summary: str, content: str, **attributes: Any) -> Html:
    """Content that is folded away below a line until it is asked for; nothing for no content."""
    return element("details", element("summary", summary), content, **attributes) if content else Html()


def problem(text: str, **attributes: Any) -> Html:
    """Why an input cannot be used, beside that input; nothing for no text. `static/page.js` makes the same element."""
    text = text if isinstance(text, Html) else text[:1].upper() + text[1:]
    return element("p", text, class_="bsig-problem", role="alert", **attributes) if text else Html()


def bullets(lines: Sequence[str], most: int | None = None, kind: str = "bsig-notes") -> Html:
    """A list of remarks, at most so many and then how many more there are; nothing for no line."""
    items = list(lines[:most])
    if len(lines) > len(items):
        items.append(f"and {len(lines) - len(items)} more")
    return element("ul", *(element("li", line) for line in items), class_=kind) if items else Html()


def heading(title: str, text: str = "") -> Html:
    """The title of a picture, or of a plot within a section, with a line under it."""
    below = element("small", explained(text)) if text else ""
    return element("div", explained(title), below, class_="bsig-head")


def section(title: str, text: str = "") -> Html:
    """A section's title with a line under it."""
    below = element("small", explained(text)) if text else ""
    return element("div", explained(title), below, class_="bsig-section")


# --- tables -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """A cell of a table that is more than a text: its attributes, or the title of its row."""

    content: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    is_title: bool = False


def cell(content: str, **attributes: Any) -> Cell:
    """A cell with attributes, as of `element`."""
    return Cell(content, attributes)


def number(content: str, **attributes: Any) -> Cell:
    """A cell, or the head of a column, whose digits stand below each other."""
    return Cell(content, {"class_": "number", **attributes})


def row_title(content: str) -> Cell:
    """The first cell of a row that names the row; its terms are explained."""
    return Cell(content, is_title=True)


def table(
    columns: Sequence[str | Cell],
    rows: Iterable[Sequence[str | Cell]],
    *,
    kind: str = "",
    scrolls: bool = False,
    **attributes: Any,
) -> Html:
    """A table; the terms in its titles are explained.

    Args:
        columns: the titles, none for a table without a head.
        rows: their cells.
        kind: one more class of the style sheet.
        scrolls: whether a table that is wider than the window scrolls by itself, so that the page does not.
        attributes: of the table, as of `element`.
    """
    heads = [_table_cell(Cell(title.content, title.attributes, is_title=True) if isinstance(title, Cell) else
                         row_title(title)) for title in columns]  # fmt: skip
    head = element("thead", element("tr", *heads)) if heads else ""
    lines = (element("tr", *(_table_cell(content) for content in row)) for row in rows)
    body = element("tbody", *lines)
    table_ = element("table", head, body, class_=f"bsig-table {kind}".strip(), **attributes)
    return element("div", table_, class_="bsig-scroll") if scrolls else table_


def _table_cell(content: str | Cell) -> Html:
    if not isinstance(content, Cell):
        return element("td", content)
    if content.is_title:
        return element("th", explained(content.content), **content.attributes)
    return element("td", content.content, **content.attributes)


def facts(rows: Iterable[tuple[str, str]], *, explain: bool = False) -> Html:
    """Names and values in two columns.

    Args:
        rows: name, value.
        explain: mark the terms in the names; once on a screen is enough.
    """
    pairs = (joined(element("dt", explained(name) if explain else name), element("dd", value)) for name, value in rows)
    return element("dl", *pairs, class_="bsig-facts")


# --- bars -------------------------------------------------------------------------------------------------------------


def progress_bar(share: float | None, label: str = "") -> Html:
    """How much is done, from 0 to 1; without a share a bar that only says that work goes on."""
    value = None if share is None else f"{share:.4f}"
    return element("progress", class_="bsig-progress", max="1", value=value, aria_label=label)


def waiting(words: str, share: float | None, seconds_left: float | None) -> Html:
    """A job in words, with its share and the time left, over a bar.

    Args:
        words: what is done, such as "Measuring 32 pictures".
        share: how much of it is done, 0 to 1; None where nothing is known.
        seconds_left: an estimate from the pace so far; None while there is none.
    """
    parts = [words]
    if share is not None:
        parts.append(f"{100 * share:.0f} %")
    if seconds_left is not None:
        parts.append(f"about {duration(seconds_left)} left")
    return joined(note(f"{', '.join(parts)}."), progress_bar(share, words))


def followed(content: str, job: str, standing: str = "", press: str = "") -> Html:
    """What shows a long job that goes on: the page's script asks `/progress` for it anew each second.

    Args:
        content: as it stands now.
        job: which job, as `/progress` knows it.
        standing: the standing of the job in which everything else of it has been drawn.
        press: id of the button that draws that anew, when the standing is another.
    """
    return element("div", content, data_follows=job, data_drawn=standing, data_press=press)


def sent_picture(file: Path, text: str) -> Html:
    """A picture of gradio's cache within HTML; the page's script knows the address that the cache is sent from.

    Args:
        file: the picture there.
        text: what it shows, for who does not see it.
    """
    return element("img", data_file=str(file), alt=text)


def scale_bar(
    limit: float, drawing: Drawing, method: str, ends: tuple[str, str] | None = None, shared_by: str = "both maps"
) -> Html:
    """The numbered colour bar of a scale, in the page's own letters so that it reads in light and dark.

    Args:
        limit: where the scale ends, in the unit of the maps.
        drawing: colours and view, as the maps are drawn.
        method: key of the CAM variant, which has the unit.
        ends: what the two ends mean, instead of "against the class" and "for the class".
        shared_by: which maps are drawn on it.
    """
    is_signed = drawing.view == "signed"
    ramp = np.linspace(-1 if is_signed else 0, 1, RAMP_STEPS, dtype=np.float32)[None]
    colours = np.asarray(heatmap(ramp, 1.0, view=drawing.view, colormap=drawing.colormap, size_wh=(RAMP_STEPS, 1)))[0]
    stops = ", ".join("#" + "".join(f"{value:02x}" for value in colour) for colour in colours)
    shares = (-1, -0.5, 0, 0.5, 1) if is_signed else (0, 0.25, 0.5, 0.75, 1)
    ticks = [element("span", number_text(share * limit) if share else "0") for share in shares]
    left, right = ends or (("against the class", "for the class") if is_signed else ("zero or below", "for the class"))
    unit = CAM_METHODS[method].unit
    words = [element("span", text) for text in (left, f"{unit}, one scale for {shared_by}", right)]
    return element(
        "div",
        element("div", class_="ramp", style=f"background: linear-gradient(to right, {stops})"),
        element("div", *ticks, class_="ticks"),
        element("div", *words, class_="words"),
        class_="bsig-bar", role="img", aria_label=f"Colour scale from {ramp[0, 0] * limit:.3g} to {limit:.3g} {unit}",
    )  # fmt: skip
