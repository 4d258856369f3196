"""A figure of a page: what it is and how to read it stand in the margin, the pictures and numbers beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from bsig.ui.components.html import section


@contextmanager
def figure(title: str, text: str = "") -> Iterator[None]:
    """Lays out what is made within it beside its title; below it in a narrow window.

    Args:
        title: what is seen.
        text: how to read it, in smaller letters.
    """
    with gr.Row(equal_height=False, elem_classes="bsig-figure"):
        gr.HTML(section(title, text))
        with gr.Column(min_width=0):
            yield
