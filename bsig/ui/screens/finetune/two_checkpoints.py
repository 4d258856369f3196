"""Two checkpoints on one picture: before and after a fine-tune, or any two; and a checkpoint brought from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np

from bsig.explain.drawing.comparison import PICTURE_SIZE, Drawing
from bsig.explain.drawing.heatmaps import overlay, shared_limit
from bsig.explain.explainer import EncodedImage, find_class
from bsig.explain.explanation import Evidence, Explanation
from bsig.explain.methods import methods_of
from bsig.explain.wording import area_text, percent
from bsig.inputs.errors import InputError
from bsig.training.runs.run import RunFolder
from bsig.ui.components.handlers import in_words
from bsig.ui.components.html import scale_bar, section
from bsig.ui.components.inputs import MapImage
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.screens.finetune.checkpoints import keep_checkpoint
from bsig.ui.workbench import Workbench

PANES = ("before", "after", "softmax")


def build_two_checkpoints(bench: Workbench, runs: Callable[[], RunFolder], compare: CompareScreen, tab: gr.Tab) -> None:
    """Lays out the section and connects it to the picture, class and method of Compare."""
    gr.HTML(
        section(
            "Two checkpoints on one picture",
            "The picture, class and CAM variant of Compare; one scale for all three maps. The softmax branch is "
            "frozen, so a fine-tune from the same start must leave it as it was: the largest difference is printed.",
        )
    )
    with gr.Row(equal_height=False):
        before = gr.Dropdown(
            bench.checkpoint_names(), value=bench.default_checkpoint, label="Before", elem_id="two-before"
        )
        after = gr.Dropdown(bench.checkpoint_names(), value=None, label="After", elem_id="two-after")
        ask = gr.Button("Compare the two", elem_id="two-ask")
    said = gr.HTML(elem_id="two-finding")
    pictures = {}
    titles = {"before": "Sigmoid branch, before", "after": "Sigmoid branch, after", "softmax": "Softmax branch, after"}
    with gr.Row(equal_height=False, elem_classes="bsig-three", visible=False) as row:
        for pane in PANES:
            pictures[pane] = MapImage(
                label=titles[pane], format="png", interactive=False, elem_id=f"two-{pane}-map",
                elem_classes="bsig-map", buttons=["download", "fullscreen"],
            )  # fmt: skip
    scale = gr.HTML()
    with gr.Accordion("Bring a checkpoint from elsewhere", open=False):
        if bench.is_public:
            gr.HTML(f'<p class="bsig-note">{html.escape(bench.limits.models_limits())}</p>')
        upload = gr.File(
            label="Zip of a checkpoint folder (safetensors and JSON only)", file_types=[".zip"], height=110,
            elem_id="checkpoint-zip",
        )  # fmt: skip
        taken = gr.HTML(elem_id="checkpoint-taken")
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}

    @in_words
    def on_ask(image: str | None, first: str, second: str | None, class_name: str | None, method: str) -> list[Any]:
        if not second:
            raise InputError("`after` (empty) must be a checkpoint; choose one.")
        one, other = bench.encode(image, first), bench.encode(image, second)
        return [gr.Row(visible=True), *two_answers(one, other, class_name, method)]

    @in_words
    def on_upload(file: str | None) -> list[Any]:
        name = keep_checkpoint(file, runs(), bench)
        names = bench.checkpoint_names()
        text = f'<p class="bsig-note" role="status">Taken in as <b>{html.escape(name)}</b>; it can be chosen now.</p>'
        return [text, gr.Dropdown(choices=names), gr.Dropdown(choices=names, value=name), gr.Dropdown(choices=names)]

    ask.click(
        on_ask, [compare.image, before, after, compare.class_name, compare.method],
        [row, said, *pictures.values(), scale], **quiet,
    )  # fmt: skip
    upload.upload(on_upload, upload, [taken, before, after, compare.checkpoint], **quiet)
    for opened in (tab.select, after.focus, before.focus):
        opened(lambda: [gr.Dropdown(choices=bench.checkpoint_names())] * 2, None, [before, after], **quiet)


def two_answers(one: EncodedImage, other: EncodedImage, class_name: str | None, method: str) -> list[Any]:
    """The sentence, the three maps and their scale.

    Raises:
        InputError: the two have no such class in common.
    """
    index = find_class(one.model, class_name) if class_name else one.predicted_index
    name = one.model.class_names[index]
    both = [key for key in methods_of(other.model.softmax_head) if key in methods_of(one.model.softmax_head)]
    method = method if method in both else both[0]
    first, second = one.explain(index, method), other.explain(find_class(other.model, name), method)
    shown = {"before": first.sigmoid, "after": second.sigmoid, "softmax": second.softmax}
    limit = shared_limit(*(evidence.map for evidence in shown.values()), positive_only=True)
    pictures = [
        gr.update(
            value=overlay(explanation.crop.resize(PICTURE_SIZE), evidence.map, limit),
            alt_text=f"{pane} map of '{name}': positive evidence on {area_text(evidence)}, probability "
            f"{percent(evidence.probability)}",
        )
        for (pane, evidence), explanation in zip(shown.items(), (first, second, second), strict=True)
    ]
    return [_two_words(name, first, second, one, other), *pictures, scale_bar(limit, Drawing(), method)]


def _two_words(name: str, first: Explanation, second: Explanation, one: EncodedImage, other: EncodedImage) -> str:
    moved = float(np.abs(first.sigmoid.map - second.sigmoid.map).max()) if _alike(first, second) else None
    apart = "" if moved is None else f" Largest change of a cell: {moved:.2f}."
    softmax = ""
    if one.model.class_ids == other.model.class_ids:
        change = float((one.probabilities()[0] - other.probabilities()[0]).abs().max())
        exact = f"softmax probabilities differ by up to {change:.0e}" if change else "no softmax probability differs"
        softmax = f"<small data-softmax-change='{change:.3e}'>Of {one.model.num_classes} classes {exact}.</small>"
    return (
        f"<div class='bsig-finding' role='status'>Sigmoid branch on '{html.escape(name)}': {_said(first.sigmoid)} with "
        f"{html.escape(one.model.name)}, {_said(second.sigmoid)} with {html.escape(other.model.name)}.{apart}{softmax}"
        "</div>"
    )


def _said(evidence: Evidence) -> str:
    return f"evidence on {area_text(evidence)} of the picture (probability {percent(evidence.probability)})"


def _alike(first: Explanation, second: Explanation) -> bool:
    return first.sigmoid.map.shape == second.sigmoid.map.shape
