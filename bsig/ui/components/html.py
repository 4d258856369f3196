"""Explanations of terms on the page: a dotted underline, a sentence on hover, focus and tap, and the glossary.

A term is a button, so that the keyboard reaches it; its sentence stands once on the page, in the glossary, and the
button is described by it. `bsig.ui.components.page_script` shows the sentence in a box beside the term.
"""

from __future__ import annotations

import html

from bsig.explain.report.glossary import TERMS, terms_in


def explained(text: str) -> str:
    """The text as HTML, escaped, each term in it explained where it comes first."""
    parts, at = [], 0
    for start, end, key in terms_in(text):
        word = html.escape(text[start:end])
        parts += [
            html.escape(text[at:start]),
            f'<button type="button" class="bsig-term" aria-describedby="term-{key}">{word}</button>',
        ]
        at = end
    return "".join([*parts, html.escape(text[at:])])


def head_html(title: str, text: str) -> str:
    """A picture's title with a line under it."""
    return f'<div class="bsig-head">{explained(title)}<small>{explained(text)}</small></div>'


def section_html(title: str, text: str) -> str:
    """A section's heading with a line under it."""
    return f'<div class="bsig-section">{explained(title)}<small>{explained(text)}</small></div>'


def glossary_html() -> str:
    """All terms in alphabetical order, folded away until they are asked for."""
    rows = "".join(
        f'<div><dt>{html.escape(term.title)}</dt><dd id="term-{key}">{html.escape(term.meaning)}</dd></div>'
        for key, term in sorted(TERMS.items(), key=lambda pair: pair[1].title.casefold())
    )
    return f'<details id="glossary"><summary>All terms, in plain words</summary><dl>{rows}</dl></details>'
