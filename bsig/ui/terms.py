"""Terms of the field on the page: marked where a heading or a column uses them, and all of them in the glossary.

    heading("Sign collapse", "over delta")   # both words can be pointed at and focused; the meaning appears beside them
    glossary()                               # every entry of `TERMS`, at the end of the page

A marked term is a button that `aria-describedby` ties to its entry in the glossary; the page's script
(`bsig.ui.page_script`) shows that entry on hover, focus and tap, Escape hides it. Labels of Gradio's controls are plain
text and cannot be marked: they have a line below them, and the glossary.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from bsig.terms import TERMS, terms_in

ENTRY = "bsig-term-"


def marked(text: str, told: str = "") -> str:
    """The text as HTML, everything escaped, each term marked at its first place unless `told` has it already."""
    parts, at, known = [], 0, {key for _, _, key in terms_in(told)}
    for start, end, key in terms_in(text):
        if key in known:
            continue
        word = html.escape(text[start:end])
        parts += [
            html.escape(text[at:start]),
            f'<button type="button" class="bsig-term" aria-describedby="{ENTRY}{key}">{word}</button>',
        ]
        at = end
    return "".join([*parts, html.escape(text[at:])])


def marked_once(texts: Iterable[str]) -> list[str]:
    """Each text as `marked` would, but a term only in the first of them: a table does not explain a word every row."""
    found: list[str] = []
    told = ""
    for text in texts:
        found.append(marked(text, told))
        told = f"{told} | {text}"
    return found


def heading(title: str, text: str = "") -> str:
    """A heading above a picture or plot, with what it shows below."""
    return _titled("bsig-head", 3, title, text)


def section(title: str, text: str = "") -> str:
    """A larger heading, of a part of a screen."""
    return _titled("bsig-section", 2, title, text)


def column(text: str, *, number: bool = False) -> str:
    """The head of a table's column."""
    return f"<th{' class=number' if number else ''} scope=col>{marked(text)}</th>"


def columns(*texts: str, numbers: int = 0) -> str:
    """The heads of all columns; the last `numbers` of them stand above numbers."""
    first = len(texts) - numbers
    heads = enumerate(marked_once(texts))
    return "".join(f"<th{' class=number' if at >= first else ''} scope=col>{text}</th>" for at, text in heads)


def glossary() -> str:
    """Every term with its meaning, closed at first; a browser's own search finds and opens it."""
    entries = "".join(
        f'<div><dt>{html.escape(_capital(term.title))}</dt><dd id="{ENTRY}{key}">{html.escape(term.meaning)}</dd></div>'
        for key, term in sorted(TERMS.items(), key=lambda item: item[1].title.casefold())
    )
    return f'<details id="glossary"><summary>What the words mean</summary><dl>{entries}</dl></details>'


def _titled(look: str, level: int, title: str, text: str) -> str:
    below = f"<small>{marked(text, title)}</small>" if text else ""
    return f'<div class="{look}"><span role="heading" aria-level="{level}">{marked(title)}</span>{below}</div>'


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
