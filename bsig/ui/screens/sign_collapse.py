"""The Sign collapse screen: which channels speak for a class, against it, and which of them only by convention.

It asks about the picture, checkpoint, class and method of Compare. Pure builders (numbers -> figures, pictures, HTML)
beside a thin layer of gradio.
"""

from __future__ import annotations

import html
from typing import Any

import gradio as gr
import torch
from PIL import Image

from bsig.explain.diagnostics.catalogue import diagnose, diagnostic_input
from bsig.explain.diagnostics.collapse_report import (
    TRAINED,
    CollapseReport,
    TrainedBranch,
    collapse_report,
    finding,
    fragility,
    report_json,
)
from bsig.explain.diagnostics.sign_collapse import FLIPPED, quadrant_of_channels
from bsig.explain.drawing.comparison import BRANCHES, PICTURE_SIZE, Drawing
from bsig.explain.drawing.heatmaps import overlay, shared_limit
from bsig.explain.explainer import EncodedImage, find_class
from bsig.explain.methods import CAM_METHODS
from bsig.explain.wording import number_text, percent, quantity, small_percent
from bsig.inputs.errors import InputError
from bsig.ui.components.handlers import in_words
from bsig.ui.components.html import explained, scale_bar, section
from bsig.ui.components.inputs import ANSWERED_JS, page_question
from bsig.ui.plots.collapse import budget_figure, collapse_figure, weights_scatter
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.workbench import Workbench

SIDES = {"for": "for the class", "against": "against the class"}
SIGNED = Drawing(view="signed")
THUMBNAIL_SIZE = (192, 192)
ZOOM_TITLES = {"all": "All channels", "zero": "Around zero, where signs change"}
QUADRANT_TITLES = {
    "kept positive": "for in both",
    "kept negative": "against in both",
    "excitatory to inhibitory": "for → against",
    "inhibitory to excitatory": "against → for",
}


def build_sign_collapse(bench: Workbench, compare: CompareScreen, tab: gr.Tab) -> gr.Radio:
    """Lays out the tab and connects it to the picture, checkpoint, class and method of Compare; returns the zoom."""
    said = gr.HTML(elem_id="collapse-finding")
    with gr.Row(equal_height=False, elem_classes="bsig-pair"):
        with gr.Column(scale=5, min_width=300):
            gr.HTML(section("Every channel's sign in both branches", "One dot a channel; its area is its share of "
                             "the evidence on this picture. Coloured corners: the branches disagree whether the "
                             "channel speaks for the class."))  # fmt: skip
            zoom = gr.Radio(
                [(title, key) for key, title in ZOOM_TITLES.items()],
                value="all",
                show_label=False,
                container=False,
                label="Part of the plot",
                elem_id="collapse-zoom",
            )
            scatter = gr.Plot(show_label=False, elem_id="collapse-scatter", elem_classes="bsig-plot")
        with gr.Column(scale=4, min_width=300):
            gr.HTML(section("Strongest channels that change sign", "Where each is active in this picture, every "
                             "thumbnail on its own scale. Below: softmax weight → sigmoid weight, and the "
                             "channel's share of the evidence."))  # fmt: skip
            gallery = gr.Gallery(
                label="Channels that change sign", show_label=False, columns=4, height="auto",
                object_fit="contain", format="jpeg", elem_id="collapse-channels", elem_classes="bsig-channels",
                buttons=["fullscreen"], interactive=False,
            )  # fmt: skip
            channels_note = gr.HTML(elem_id="collapse-channels-note")
    gr.HTML(section("How much it takes to lose the heatmap", "The same number is taken from every channel weight "
                     "of every class. Softmax cannot notice: its probability is a flat line while its heatmap "
                     "goes. The sigmoid branch notices."))  # fmt: skip
    curves: dict[TrainedBranch, gr.Plot] = {}
    with gr.Row(equal_height=False, elem_classes="bsig-pair"):
        for branch in TRAINED:
            with gr.Column(min_width=280):
                gr.HTML(f'<div class="bsig-section"><small><b>{explained(BRANCHES[branch])}</b></small></div>')
                curves[branch] = gr.Plot(show_label=False, elem_id=f"collapse-curve-{branch}", elem_classes="bsig-plot")
    curves_note = gr.HTML(elem_id="collapse-curves-note")
    gr.HTML(section("What speaks for the class, and what against it", "Channels with a positive weight and "
                     "channels with a negative one, apart: added up, the two are the branch's map."))  # fmt: skip
    # JPEG: a PNG takes the server 75 ms, a JPEG one; the maps themselves are in the API's answer.
    pictures: dict[tuple[TrainedBranch, str], gr.Image] = {}
    with gr.Row(equal_height=False, elem_classes="bsig-grid"):
        for branch in TRAINED:
            for side, words in SIDES.items():
                with gr.Column(min_width=0):
                    title = f"<b>{explained(BRANCHES[branch])}</b><br>{explained(words)}"
                    gr.HTML(f'<div class="bsig-section"><small>{title}</small></div>')
                    pictures[branch, side] = gr.Image(
                        show_label=False, format="jpeg", interactive=False, elem_id=f"collapse-{branch}-{side}",
                        buttons=["download", "fullscreen"], elem_classes="bsig-map",
                    )  # fmt: skip
    bar = gr.HTML(elem_id="collapse-scale")
    budget = gr.Plot(show_label=False, elem_id="collapse-budget", elem_classes="bsig-plot")
    gr.HTML(section("All numbers", "On this picture, for this class."))
    numbers = gr.HTML(elem_id="collapse-numbers", elem_classes="bsig-scroll")

    answered = gr.State(None)
    is_shown = page_question("is shown", "collapse-finding")
    question = [compare.image, compare.checkpoint, compare.class_name, compare.method, compare.weights]
    drawn_from = [zoom, *question]
    outputs = [
        answered, said, scatter, gallery, channels_note, *curves.values(), curves_note, *pictures.values(), bar, budget,
        numbers,
    ]  # fmt: skip

    @in_words
    def on_select(previous: Any, zoom: str, *asked: Any) -> Any:
        if list(asked) == previous:
            return gr.skip()
        return [list(asked), *_answers(bench, zoom, *asked)]

    @in_words
    def on_zoom(zoom: str, *asked: Any) -> Any:
        report = _report(bench, *asked[:4])
        return None if report is None else scatter_figure(report, near_zero=zoom == "zero")

    @in_words
    def on_ready(is_shown: str, *arguments: Any) -> Any:
        return on_select(*arguments) if is_shown == "yes" else gr.skip()

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", "concurrency_limit": 4}
    tab.select(on_select, [answered, *drawn_from], outputs, **quiet)
    zoom.input(on_zoom, drawn_from, scatter, **quiet)
    compare.ready.change(
        on_ready,
        [is_shown, answered, *drawn_from],
        outputs,
        js=ANSWERED_JS,
        trigger_mode="always_last",
        **quiet,
    )
    return zoom


def sign_collapse_answer(
    bench: Workbench, image: str, checkpoint: str | None, class_name: str | None, method: str | None
) -> dict[str, Any]:
    """What the `/sign_collapse` endpoint answers: quadrants, flipped channels, margins, curve, budget, diagnostics."""
    return report_json(collapse_report(bench.encode(image, checkpoint), class_name or None, method or None))


def _report(
    bench: Workbench, image: str | None, checkpoint: str | None, class_name: str | None, method: str
) -> CollapseReport | None:
    """What is asked in Compare, answered; None where no picture is chosen."""
    if not image:
        return None
    encoded = bench.encode(image, checkpoint)
    return collapse_report(encoded, _class_or_predicted(encoded, class_name), method)


def _answers(bench: Workbench, zoom: str, *asked: Any) -> list[Any]:
    """Every output of the screen after the first, in the order of `outputs`.

    `gr.update`, not components with a value: making one encodes its pictures, which are then encoded again.
    """
    report, treatment = _report(bench, *asked[:4]), asked[4]
    if report is None:
        return _nothing()
    thumbnails, unit = channel_thumbnails(report), CAM_METHODS[report.explanation.method].unit
    return [
        finding_html(report, treatment),
        scatter_figure(report, near_zero=zoom == "zero"),
        gr.update(value=thumbnails, visible=bool(thumbnails)),
        _note("" if thumbnails else "No channel that is active in this picture changes sign: there is none to show."),
        *(curve_figure(report, branch) for branch in TRAINED),
        _note(curves_text(report)),
        *(gr.update(value=picture, alt_text=text) for picture, text in split_pictures(report)),
        scale_bar(split_limit(report), SIGNED, report.explanation.method),
        budget_figure({branch: report.splits[branch].budget for branch in TRAINED}, unit),
        numbers_table(diagnose(diagnostic_input(report.encoded, report.explanation)), unit),
    ]


def _nothing() -> list[Any]:
    """`_answers` for no picture."""
    text = "Choose a picture in Compare: upload, paste, use the camera, or click an example."
    empty = [gr.update(value=None, alt_text="") for _ in range(len(TRAINED) * len(SIDES))]
    return [_finding(text), None, gr.update(value=[], visible=False), "", None, None, "", *empty, "", None, ""]


def _class_or_predicted(encoded: EncodedImage, wanted: str | None) -> int:
    """The class asked for where this checkpoint has it; Compare may not have answered yet for a new checkpoint."""
    try:
        return find_class(encoded.model, wanted) if wanted else encoded.predicted_index
    except InputError:
        return encoded.predicted_index


# --- words ------------------------------------------------------------------------------------------------------------


def finding_html(report: CollapseReport, treatment: str = "signed") -> str:
    """The finding, and below it how fragile the heatmap is and what is shown in place of what was asked for."""
    below = [fragility(report), report.note]
    if treatment != "signed":
        below.append("Signs are read before the treatment of negative weights that is chosen in Compare.")
    return _finding(finding(report), " ".join(text for text in below if text))


def curves_text(report: CollapseReport) -> str:
    """How the curves are to be read, and what they leave out."""
    explanation = report.explanation
    reasons = {curve.reason for curve in report.curves.values() if curve.reason}
    ranges = (
        "Positive evidence is the sum of the map's cells above zero, as a share of what it was; positive area counts "
        f"those cells. Softmax gives '{explanation.class_name}' {percent(explanation.softmax.probability)}, the "
        f"sigmoid branch {percent(explanation.sigmoid.probability)}."
    )
    missing = "" if report.probabilities else "No probability is drawn: this method's weights are not the head's own."
    return " ".join([*sorted(reasons), ranges, missing]).strip()


def quadrant_labels(report: CollapseReport) -> list[str]:
    """What stands in each corner of the scatter: title, count, share of the evidence."""
    labels = []
    for key, title in QUADRANT_TITLES.items():
        quadrant = report.quadrants[key]
        share = quadrant.evidence_share
        counted = f"{quadrant.count:,} {'channel' if quadrant.count == 1 else 'channels'}"
        held = "" if share is None else f"<br>{percent(share) if share else 'none'} of evidence"
        labels.append(f"<b>{title}</b><br>{counted}{held}")
    return labels


def numbers_table(rows: dict[str, dict[str, Any]], map_unit: str) -> str:
    """`DIAGNOSTICS` as a table: title with its meaning, value with its unit, which direction is better if any."""
    body = "".join(
        f"<tr><td>{explained(row['title'])}<small>{html.escape(row['reason'] or row['meaning'])}</small></td>"
        f"<td class='number'>{html.escape(quantity(row['value'], row['unit'].replace('as the map', map_unit)))}</td>"
        + (f"<td data-better>{row['better']}</td></tr>" if row["better"] else "<td></td></tr>")
        for row in rows.values()
    )
    return (
        "<table class='bsig-table bsig-meaning'><thead><tr><th>Number</th><th class='number'>Value</th><th>Better</th>"
        f"</tr></thead><tbody>{body}</tbody></table>"
    )


def _finding(text: str, small: str = "") -> str:
    below = f"<small>{html.escape(small)}</small>" if small else ""
    return f'<div class="bsig-finding" role="status">{html.escape(text)}{below}</div>'


def _note(text: str) -> str:
    return f'<p class="bsig-note">{html.escape(text)}</p>' if text else ""


# --- pictures ---------------------------------------------------------------------------------------------------------


def scatter_figure(report: CollapseReport, *, near_zero: bool = False) -> Any:
    """The channels' weights, softmax against sigmoid; `near_zero`: axes end where the last flipped channel lies."""
    softmax, sigmoid = (report.weights[branch] for branch in TRAINED)
    shares = None if report.shares is None else report.shares.cpu().numpy()
    quadrant = quadrant_of_channels(softmax, sigmoid).cpu().numpy()
    turned = torch.cat((softmax, sigmoid))[torch.as_tensor(quadrant).repeat(2) >= FLIPPED[0]]
    limit = float(turned.abs().max()) if near_zero and len(turned) else None
    labels = quadrant_labels(report)
    return weights_scatter(softmax.cpu().numpy(), sigmoid.cpu().numpy(), shares, quadrant, labels, limit)


def curve_figure(report: CollapseReport, branch: TrainedBranch) -> Any:
    """One branch's collapse curve."""
    curve, probabilities = report.curves[branch], report.probabilities
    return collapse_figure(
        branch,
        curve.deltas,
        curve.cells_left,
        curve.positive_area,
        probabilities[branch] if probabilities else None,
        report.margins[branch]["cells"].delta,
    )


def channel_thumbnails(report: CollapseReport) -> list[tuple[Image.Image, str]]:
    """The strongest flipped channels' feature maps over the picture, with both weights and their share in words."""
    crop = report.explanation.crop.resize(THUMBNAIL_SIZE, Image.Resampling.BICUBIC)
    shown = []
    for flipped in report.flipped:
        feature_map = report.features[flipped.channel].float().cpu().numpy()
        limit = shared_limit(feature_map, positive_only=True)
        before, after = (number_text(weight, digits=2) for weight in (flipped.softmax_weight, flipped.sigmoid_weight))
        text = f"Channel {flipped.channel}\n{before}\n→ {after}\n{small_percent(flipped.evidence_share)}"
        shown.append((overlay(crop, feature_map, limit) if limit else crop, text))
    return shown


def split_limit(report: CollapseReport) -> float:
    """Where the one scale of the four pictures ends."""
    maps = [each.cpu().numpy() for split in report.splits.values() for each in (split.positive, split.negative)]
    return shared_limit(*maps)


def split_pictures(report: CollapseReport) -> list[tuple[Image.Image, str]]:
    """Softmax for, softmax against, sigmoid for, sigmoid against; each with its alt text."""
    limit, name = split_limit(report), report.explanation.class_name
    crop = report.explanation.crop.resize(PICTURE_SIZE, Image.Resampling.BICUBIC)
    shown = []
    for branch in TRAINED:
        split = report.splits[branch]
        for side, values, mean in zip(SIDES, (split.positive, split.negative), split.budget, strict=True):
            picture = overlay(crop, values.float().cpu().numpy(), limit, view="signed")
            shown.append((picture, f"{BRANCHES[branch]}: what speaks {side} {name}, mean {number_text(mean)}."))
    return shown
