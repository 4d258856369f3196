"""The Sign collapse screen: which channels speak for a class, against it, and which of them only by convention.

It asks about the picture, checkpoint, class and method of Compare. The numbers come from
`bsig.explain.diagnostics.collapse_report`; this file lays the screen out and puts them into words, plots and a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
import torch

from bsig.explain.cams import TRAINED, TrainedBranch
from bsig.explain.diagnostics.catalogue import diagnose
from bsig.explain.diagnostics.collapse_report import (
    CollapseReport,
    collapse_report,
    finding,
    fragility,
    report_json,
)
from bsig.explain.diagnostics.sign_collapse import FLIPPED, quadrant_of_channels
from bsig.explain.drawing.collapse import SIDES, channel_thumbnails, split_limit, split_pictures
from bsig.explain.drawing.comparison import BRANCHES, Drawing
from bsig.explain.methods import CAM_METHODS
from bsig.explain.wording import probability_text, quantity, share_percent
from bsig.ui.components import html
from bsig.ui.components.fields import Answers, Fields, InputValues
from bsig.ui.components.figure import figure
from bsig.ui.components.handlers import PRIVATE, in_words
from bsig.ui.components.inputs import ANSWERED_JS, page_question
from bsig.ui.plots.collapse import budget_figure, collapse_figure, weights_scatter
from bsig.ui.plots.look import go
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.workbench import Workbench

SIGNED = Drawing(view="signed")
NO_PICTURE = "Choose a picture in Compare: upload, paste, use the camera, or click an example."
ZOOM_TITLES = {"all": "All channels", "zero": "Around zero, where signs change"}
QUADRANT_TITLES = {
    "kept positive": "for in both",
    "kept negative": "against in both",
    "excitatory to inhibitory": "for → against",
    "inhibitory to excitatory": "against → for",
}


@dataclass(frozen=True)
class Question:
    """The picture, checkpoint, class, method and treatment that Compare asks about."""

    image: str | None
    checkpoint: str | None
    class_name: str | None
    method: str
    weights: str


@dataclass(frozen=True)
class SignCollapseScreen:
    """The parts of the screen that an answer fills, and the zoom of its scatter plot."""

    finding: gr.HTML
    zoom: gr.Radio
    scatter: gr.Plot
    channels: gr.Gallery
    channels_note: gr.HTML
    curves: dict[TrainedBranch, gr.Plot]
    curves_note: gr.HTML
    pictures: dict[tuple[TrainedBranch, str], gr.Image]
    scale: gr.HTML
    budget: gr.Plot
    numbers: gr.HTML

    def outputs(self) -> list[Any]:
        """Every part that an answer fills."""
        return [
            self.finding, self.scatter, self.channels, self.channels_note, *self.curves.values(), self.curves_note,
            *self.pictures.values(), self.scale, self.budget, self.numbers,
        ]  # fmt: skip


def build_sign_collapse(bench: Workbench, compare: CompareScreen, tab: gr.Tab) -> gr.Radio:
    """Lays out the tab and connects it to what Compare asks about; returns the zoom."""
    screen = _laid_out()
    _connect(screen, bench, compare, tab)
    return screen.zoom


def _laid_out() -> SignCollapseScreen:
    finding_part = gr.HTML(elem_id="collapse-finding")
    with gr.Row(equal_height=False, elem_classes="bsig-pair"):
        with gr.Column(scale=5, min_width=300):
            zoom, scatter = _scatter_part()
        with gr.Column(scale=4, min_width=300):
            channels, channels_note = _channels_part()
    curves, curves_note = _curves_part()
    pictures, scale, budget = _split_part()
    with figure("All numbers", "On this picture, for this class."):
        numbers = gr.HTML(elem_id="collapse-numbers", elem_classes="bsig-scroll")
    return SignCollapseScreen(
        finding_part, zoom, scatter, channels, channels_note, curves, curves_note, pictures, scale, budget, numbers
    )


def _scatter_part() -> tuple[gr.Radio, gr.Plot]:
    gr.HTML(html.section(
        "Every channel's sign in both branches",
        "One dot a channel; its area is its share of the evidence on this picture. Coloured corners: the branches "
        "disagree whether the channel speaks for the class.",
    ))  # fmt: skip
    zoom = gr.Radio(
        [(title, key) for key, title in ZOOM_TITLES.items()], value="all", show_label=False, container=False,
        label="Part of the plot", elem_id="collapse-zoom",
    )  # fmt: skip
    return zoom, gr.Plot(show_label=False, elem_id="collapse-scatter", elem_classes="bsig-plot")


def _channels_part() -> tuple[gr.Gallery, gr.HTML]:
    gr.HTML(html.section(
        "Strongest channels that change sign",
        "Where each is active in this picture, every thumbnail on its own scale. Below: softmax weight → sigmoid "
        "weight, and the channel's share of the evidence.",
    ))  # fmt: skip
    gallery = gr.Gallery(
        label="Channels that change sign", show_label=False, columns=4, height="auto",
        object_fit="contain", format="jpeg", elem_id="collapse-channels", elem_classes="bsig-channels",
        buttons=["fullscreen"], interactive=False,
    )  # fmt: skip
    return gallery, gr.HTML(elem_id="collapse-channels-note")


def _curves_part() -> tuple[dict[TrainedBranch, gr.Plot], gr.HTML]:
    curves: dict[TrainedBranch, gr.Plot] = {}
    with figure(
        "How much it takes to lose the heatmap",
        "The same number is taken from every channel weight of every class. Softmax cannot notice: its probability is "
        "a flat line while its heatmap goes. The sigmoid branch notices.",
    ):  # fmt: skip
        with gr.Row(equal_height=False, elem_classes="bsig-plots"):
            for branch in TRAINED:
                with gr.Column(min_width=0):
                    gr.HTML(html.heading(BRANCHES[branch]))
                    curves[branch] = gr.Plot(
                        show_label=False, elem_id=f"collapse-curve-{branch}", elem_classes="bsig-plot"
                    )
        return curves, gr.HTML(elem_id="collapse-curves-note")


def _split_part() -> tuple[dict[tuple[TrainedBranch, str], gr.Image], gr.HTML, gr.Plot]:
    # JPEG: a PNG takes the server 75 ms, a JPEG one; the maps themselves are in the API's answer.
    pictures: dict[tuple[TrainedBranch, str], gr.Image] = {}
    with figure(
        "What speaks for the class, and what against it",
        "Channels with a positive weight and channels with a negative one, apart: added up, the two are the branch's "
        "map. The bars are their means (blue against the class, red for it), the diamond what is left over.",
    ):  # fmt: skip
        with gr.Row(equal_height=False, elem_classes="bsig-four"):
            for branch in TRAINED:
                for side, words in SIDES.items():
                    with gr.Column(min_width=0):
                        gr.HTML(html.heading(BRANCHES[branch], words))
                        pictures[branch, side] = gr.Image(
                            show_label=False, format="jpeg", interactive=False, elem_id=f"collapse-{branch}-{side}",
                            buttons=["download", "fullscreen"], elem_classes="bsig-map",
                        )  # fmt: skip
        scale = gr.HTML(elem_id="collapse-scale")
        return pictures, scale, gr.Plot(show_label=False, elem_id="collapse-budget", elem_classes="bsig-plot")


def _connect(screen: SignCollapseScreen, bench: Workbench, compare: CompareScreen, tab: gr.Tab) -> None:
    last_question = gr.State(None)  # the question that the screen shows the answer to
    is_shown = page_question("is shown", "collapse-finding")
    fields = Fields(
        Question, image=compare.image, checkpoint=compare.checkpoint, class_name=compare.class_name,
        method=compare.method, weights=compare.weights,
    )  # fmt: skip

    @in_words
    def on_select(values: InputValues) -> Any:
        question = fields.read(values)
        if question == values[last_question]:
            return gr.skip()
        report = _report(bench, question)
        return {last_question: question, **_answers(screen, report, values[screen.zoom], question.weights)}

    @in_words
    def on_ready(values: InputValues) -> Any:
        return on_select(values) if values[is_shown] == "yes" else gr.skip()

    @in_words
    def on_zoom(values: InputValues) -> Any:
        report = _report(bench, fields.read(values))
        return None if report is None else scatter_figure(report, near_zero=values[screen.zoom] == "zero")

    inputs = fields.components | {last_question, screen.zoom}
    outputs = [last_question, *screen.outputs()]
    tab.select(on_select, inputs, outputs, **PRIVATE)
    screen.zoom.input(on_zoom, inputs, screen.scatter, **PRIVATE)
    compare.ready.change(
        on_ready, {is_shown, *inputs}, outputs, js=ANSWERED_JS, trigger_mode="always_last", **PRIVATE
    )  # fmt: skip


def sign_collapse_answer(
    bench: Workbench, image: str, checkpoint: str | None, class_name: str | None, method: str | None
) -> dict[str, Any]:
    """The answer of the `/sign_collapse` endpoint: quadrants, flipped channels, margins, curve, budget, diagnostics."""
    return report_json(collapse_report(bench.encode(image, checkpoint), class_name or None, method or None))


def _report(bench: Workbench, question: Question) -> CollapseReport | None:
    """The report on the picture of Compare; None where none is chosen."""
    if not question.image:
        return None
    encoded = bench.encode(question.image, question.checkpoint)
    return collapse_report(encoded, encoded.class_or_predicted(question.class_name), question.method)


def _answers(screen: SignCollapseScreen, report: CollapseReport | None, zoom: str, treatment: str) -> Answers:
    """The whole screen's answer by component.

    `gr.update`, not components with a value: making one encodes its pictures, which are then encoded again.
    """
    if report is None:
        return _empty_answers(screen)
    thumbnails, unit = channel_thumbnails(report), CAM_METHODS[report.explanation.method].unit
    pictures = split_pictures(report)
    return {
        screen.finding: finding_html(report, treatment),
        screen.scatter: scatter_figure(report, near_zero=zoom == "zero"),
        screen.channels: gr.update(value=thumbnails, visible=bool(thumbnails)),
        screen.channels_note: html.note(
            "" if thumbnails else "No channel that is active in this picture changes sign: there is none to show."
        ),
        **{plot: curve_figure(report, branch) for branch, plot in screen.curves.items()},
        screen.curves_note: html.note(curves_text(report)),
        **{part: gr.update(value=pictures[key][0], alt_text=pictures[key][1]) for key, part in screen.pictures.items()},
        screen.scale: html.scale_bar(split_limit(report), SIGNED, report.explanation.method),
        screen.budget: budget_figure({branch: report.splits[branch].budget for branch in TRAINED}, unit),
        screen.numbers: numbers_table(diagnose(report.encoded, report.explanation), unit),
    }


def _empty_answers(screen: SignCollapseScreen) -> Answers:
    """The answer where no picture is chosen: every part empty but the sentence."""
    return {
        **dict.fromkeys(screen.outputs()),
        **dict.fromkeys(screen.pictures.values(), gr.update(value=None, alt_text="")),
        screen.channels: gr.update(value=[], visible=False),
        screen.finding: html.finding(NO_PICTURE),
    }


# --- words ------------------------------------------------------------------------------------------------------------


def finding_html(report: CollapseReport, treatment: str = "signed") -> str:
    """The finding, and below it how fragile the heatmap is and what is shown in place of what was asked for."""
    below = [fragility(report), report.note]
    if treatment != "signed":
        below.append("Signs are read before the treatment of negative weights that is chosen in Compare.")
    return html.finding(finding(report), " ".join(text for text in below if text))


def curves_text(report: CollapseReport) -> str:
    """How to read the curves, and what they leave out."""
    explanation = report.explanation
    softmax, sigmoid = (probability_text(explanation, branch) for branch in TRAINED)
    reasons = {curve.reason for curve in report.curves.values() if curve.reason}
    ranges = (
        "Positive evidence is the sum of the map's cells above zero, as a share of what it was; positive area counts "
        f"those cells. Of '{explanation.class_name}': softmax, {softmax}; sigmoid branch, {sigmoid}."
    )
    note = "" if report.probabilities else "No probability is drawn: this method's weights are not the head's own."
    return " ".join([*sorted(reasons), ranges, note]).strip()


def quadrant_labels(report: CollapseReport) -> list[str]:
    """The text of each corner of the scatter: title, count, share of the evidence."""
    labels = []
    for key, title in QUADRANT_TITLES.items():
        quadrant = report.quadrants[key]
        share = quadrant.evidence_share
        count_text = f"{quadrant.count:,} {'channel' if quadrant.count == 1 else 'channels'}"
        share_text = "" if share is None else f"<br>{share_percent(share) if share else 'none'} of evidence"
        labels.append(f"<b>{title}</b><br>{count_text}{share_text}")
    return labels


def numbers_table(rows: dict[str, dict[str, Any]], map_unit: str) -> str:
    """`DIAGNOSTICS` as a table: title with its meaning, value with its unit, which direction is better if any."""
    lines: list[list[str | html.Cell]] = []
    for row in rows.values():
        title = html.joined(html.explained(row["title"]), html.element("small", row["reason"] or row["meaning"]))
        value = quantity(row["value"], row["unit"].replace("as the map", map_unit))
        lines.append([title, html.number(value), html.cell(row["better"], data_better=True) if row["better"] else ""])
    return html.table(["Number", html.number("Value"), "Better"], lines, kind="bsig-meaning")


# --- plots ------------------------------------------------------------------------------------------------------------


def scatter_figure(report: CollapseReport, *, near_zero: bool = False) -> go.Figure:
    """The channels' weights, softmax against sigmoid; `near_zero`: axes end where the last flipped channel lies."""
    softmax, sigmoid = (report.weights[branch] for branch in TRAINED)
    shares = None if report.shares is None else report.shares.cpu().numpy()
    quadrant = quadrant_of_channels(softmax, sigmoid).cpu().numpy()
    weights = torch.cat((softmax, sigmoid))[torch.as_tensor(quadrant).repeat(2) >= FLIPPED[0]]
    limit = float(weights.abs().max()) if near_zero and len(weights) else None
    labels = quadrant_labels(report)
    return weights_scatter(softmax.cpu().numpy(), sigmoid.cpu().numpy(), shares, quadrant, labels, limit)


def curve_figure(report: CollapseReport, branch: TrainedBranch) -> go.Figure:
    """The collapse curve of one branch."""
    curve = report.curves[branch]
    return collapse_figure(
        branch,
        curve.deltas,
        curve.cells_left,
        curve.positive_area,
        report.probability(branch),
        report.margins[branch]["cells"].delta,
    )
