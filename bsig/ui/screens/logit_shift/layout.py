"""The components of the Logit shift screen and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bsig.explain.diagnostics.painted_shift import TARGETS
from bsig.explain.diagnostics.shift_request import LARGEST_CHANNEL_DELTA, LARGEST_DELTA, SHIFTS, ShiftRequest
from bsig.ui.components.fields import Fields
from bsig.ui.components.figure import figure
from bsig.ui.components.html import heading
from bsig.ui.components.inputs import MapImage, page_question
from bsig.ui.links.view import SUBJECTS
from bsig.ui.screens.logit_shift.inputs import ShiftInputs
from bsig.ui.screens.logit_shift.words import PANES

PLOTS = {
    "movement": ("How the map moves with delta", "correlation: 1 is the original map"),
    "overlap": ("Do the strongest places stay?", "overlap (IoU) of the top 20 % of cells"),
    "area": ("How much of the picture speaks for the class", "positive area over delta"),
    "shared": ("Shared component", "what all classes have in common, which softmax cannot see"),
}
DEFAULT = ShiftRequest()


@dataclass(frozen=True)
class ShiftLayout:
    """Every component of the screen.

    Attributes:
        pictures: by key of `PANES`.
        plots: by key of `PLOTS`.
        fields: the controls.
        drag: the heatmap that follows the pointer.
        painted_map: the map that it shows until it is dragged.
        dragged: pressed by the page when the heatmap has come to rest.
        dragged_to: where that is, answered by the browser.
        painted_for: picture, checkpoint and class that the cell and the channel were chosen for; None while nothing has
            been drawn, so that those of a link are kept then.
        is_shown: whether the screen is open, answered by the browser.
    """

    finding: gr.HTML
    drag: gr.HTML
    painted_map: gr.HTML
    dragged: gr.Button
    dragged_to: gr.Textbox
    pictures: dict[str, gr.Image]
    scale: gr.HTML
    softmax_table: gr.HTML
    sigmoid_table: gr.HTML
    fields: Fields[ShiftInputs]
    thumbnail: gr.Image
    actual: gr.HTML
    prove: gr.Button
    export: gr.Button
    exported: gr.File
    animate: gr.Button
    animation: gr.File
    proof: gr.HTML
    zero_table: gr.HTML
    plots: dict[str, gr.Plot]
    painted_for: gr.State
    is_shown: gr.Textbox

    @property
    def answer_parts(self) -> list[Any]:
        """The parts that a shift changes."""
        return [
            self.finding, self.painted_map, *self.pictures.values(), self.scale, self.softmax_table, self.sigmoid_table,
            self.thumbnail,
        ]  # fmt: skip

    @property
    def outputs(self) -> list[Any]:
        """The parts that another picture, class or checkpoint changes."""
        fields = self.fields
        return [
            *self.answer_parts, self.drag, fields.subject, fields.target, fields.channel, fields.cell, self.painted_for,
            self.actual, self.proof, self.exported, self.animation, self.zero_table, *self.plots.values(),
        ]  # fmt: skip


def lay_out_logit_shift() -> ShiftLayout:
    """The screen's components, laid out and not connected."""
    finding = gr.HTML(elem_id="shift-finding")
    with gr.Row(elem_classes="bsig-main"):
        with gr.Column(scale=4, min_width=320):
            drag, painted_map = gr.HTML(elem_id="shift-drag"), gr.HTML(elem_id="shift-painted")
            dragged = gr.Button("Heatmap at rest", elem_id="shift-dragged", elem_classes="bsig-offscreen")
            actual = gr.HTML(elem_id="shift-actual")
        with gr.Column(scale=1, min_width=260):
            painting = _painting()
            adding = _adding()
            thumbnail = MapImage(
                label="Where this channel is active", format="png", height=180, visible=False, interactive=False,
                buttons=[],
            )  # fmt: skip
    files = _files()
    proof = gr.HTML(elem_id="shift-proof")
    with figure(
        "The same shift in both heads",
        "The shifted heads are formed and run: every number here is measured, for all classes.",
    ):
        pictures = _pictures()
        scale = gr.HTML(elem_id="shift-scale")
        with gr.Row(elem_classes="bsig-plots"):
            softmax_table = gr.HTML(elem_id="shift-softmax-table", elem_classes="bsig-scroll")
            sigmoid_table = gr.HTML(elem_id="shift-sigmoid-table", elem_classes="bsig-scroll")
    with figure(
        "Where is zero?",
        "Share of this picture with positive evidence. A class that is not there should have none; softmax leaves "
        "open where zero lies, labels settle it.",
    ):
        zero_table = gr.HTML(elem_id="zero-table")
    return ShiftLayout(
        finding=finding,
        drag=drag,
        painted_map=painted_map,
        dragged=dragged,
        dragged_to=page_question("dragged to", "shift-drag"),
        pictures=pictures,
        scale=scale,
        softmax_table=softmax_table,
        sigmoid_table=sigmoid_table,
        fields=Fields(ShiftInputs, cell=gr.State(None), **painting, **adding),
        thumbnail=thumbnail,
        actual=actual,
        **files,
        proof=proof,
        zero_table=zero_table,
        plots=_plots(),
        painted_for=gr.State(None),
        is_shown=page_question("is shown", "shift-finding"),
    )


def _pictures() -> dict[str, gr.Image]:
    pictures: dict[str, gr.Image] = {}
    with gr.Row(elem_classes="bsig-four"):
        for key, (title, text) in PANES.items():
            with gr.Column(min_width=0):
                gr.HTML(heading(title, text))
                pictures[key] = MapImage(
                    show_label=False, format="png", interactive=False, buttons=["fullscreen"], elem_id=f"shift-{key}",
                    elem_classes="bsig-map",
                )  # fmt: skip
    return pictures


def _painting() -> dict[str, Any]:
    """The controls of the heatmap, the kind of shift, and the place that the heatmap is painted at."""
    subject = gr.Radio(
        [(title, key) for key, title in SUBJECTS.items()], value=next(iter(SUBJECTS)), label="Whose heatmap",
        elem_id="shift-subject",
    )  # fmt: skip
    kind = gr.Radio(
        [(title, key) for key, title in SHIFTS.items()], value=DEFAULT.kind, label="Shift", elem_id="shift-kind"
    )
    target = gr.Radio(
        list(TARGETS), value=DEFAULT.target, label="Where the heatmap should be", elem_id="shift-target",
        info="Or drag the first picture. The smallest shift that does it is solved.",
    )  # fmt: skip
    return {"subject": subject, "kind": kind, "target": target}


def _adding() -> dict[str, Any]:
    """The controls of the number that all channels or one get; visible where that kind of shift is chosen."""
    return {
        "delta": gr.Slider(
            -LARGEST_DELTA, LARGEST_DELTA, DEFAULT.delta, step=0.001, label="delta, added to every channel weight",
            elem_id="shift-delta", visible=False, info="Below zero: evidence disappears (sign collapse).",
        ),
        "channel": gr.Dropdown(
            [], label="Channel", elem_id="shift-channel", visible=False, info="The strongest here.",
        ),
        "channel_delta": gr.Slider(
            -LARGEST_CHANNEL_DELTA, LARGEST_CHANNEL_DELTA, DEFAULT.channel_delta, step=0.05,
            label="added to this channel's weight", elem_id="shift-channel-delta", visible=False,
        ),
    }  # fmt: skip


def _files() -> dict[str, Any]:
    """The buttons of the proof, of the animation and of the doctored classifier."""
    with gr.Row():
        prove = gr.Button("Prove it on the other pictures", elem_id="shift-prove")
        animate = gr.Button("Animation for a slide (GIF)", elem_id="shift-animate")
        export = gr.Button("Export the doctored classifier", elem_id="shift-export")
    exported = gr.File(label="Checkpoint folder, marked as doctored", visible=False, elem_id="shift-file")
    animation = gr.File(label="The heatmap going round", visible=False, elem_id="shift-animation")
    return {"prove": prove, "export": export, "exported": exported, "animate": animate, "animation": animation}


def _plots() -> dict[str, gr.Plot]:
    """The plots, two in a row."""
    plots: dict[str, gr.Plot] = {}
    words = (
        "Over delta, one number that is added to every channel weight: no softmax probability changes along these "
        "axes. The bars say how much of a head all classes share."
    )
    with figure("Every shift of this kind", words), gr.Row(equal_height=False, elem_classes="bsig-plots"):
        for key, (title, text) in PLOTS.items():
            with gr.Column(min_width=0):
                gr.HTML(heading(title, text))
                plots[key] = gr.Plot(show_label=False, elem_id=f"plot-{key}", elem_classes="bsig-plot")
    return plots
