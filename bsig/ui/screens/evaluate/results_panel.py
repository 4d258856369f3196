"""The results that are shown: their parts on the page, and what each shows for one method and treatment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from bsig.evaluation.frontier import frontier_of
from bsig.evaluation.output.words import claim_and_rest, left_out, result_title
from bsig.explain.methods import TREATMENTS
from bsig.inputs.images import read_image
from bsig.model.presence import PresenceCalibration, ReliabilityBin
from bsig.ui.components import html
from bsig.ui.components.fields import Answers, Fields
from bsig.ui.components.figure import figure
from bsig.ui.plots.evaluation import classes_figure, delta_figure, localization_figure
from bsig.ui.plots.frontier import frontier_figure, frontier_key
from bsig.ui.plots.look import go
from bsig.ui.plots.presence import reliability_figure
from bsig.ui.screens.evaluate.kept import KeptEvaluation
from bsig.ui.screens.evaluate.published_panel import published_html
from bsig.ui.screens.evaluate.tables import (
    all_rows_html,
    difference_words,
    differing_html,
    first_table_html,
    gallery_rows,
    table_of,
)

THUMBNAIL = (320, 320)
PROBABILITIES = {"calibrated": "calibrated probability", "class_balanced": "class-balanced probability"}
PLOTS = {
    "localization": (
        "Objects found, against the threshold",
        "Largest blob above the threshold, IoU 0.5 with the box. The best threshold is chosen afterwards, for every "
        "head its own.",
    ),
    "delta": (
        "What training is worth",
        "The grey line needs no training: one number taken from every softmax weight. Training is worth it where the "
        "branch lies to the upper left.",
    ),
    "frontier": (
        "One object against several",
        "Every column by two scores that no zero changes; better is to the upper right. The grey line needs no "
        "training.",
    ),
    "reliability": (
        "Does the probability mean what it says?",
        "Of all pairs of a picture and a class that the sigmoid branch gives about so much probability, how many are "
        "there? On the dotted line a probability means what it says; below it the branch is too sure.",
    ),
    "classes": (
        "Each class",
        "Sigmoid branch less softmax; a class has few pictures, so there are no intervals.",
    ),
}


@dataclass(frozen=True)
class Results:
    """The parts of the screen on one method and treatment.

    Attributes:
        finding: the sentence, as HTML.
        table: the rows that answer the question, as HTML.
        all_rows: every metric and column, as HTML.
        localization, delta, frontier, reliability, classes: the plots; None where there is nothing to draw.
        frontier_names: what the marks of the frontier are, as HTML.
        pictures: those that differ most, with words, where they may be shown.
        files: the same by name, or what the numbers of the pictures mean, as HTML.
        published: the paper's tables beside the results, as HTML.
    """

    finding: str
    table: str = ""
    all_rows: str = ""
    localization: go.Figure | None = None
    delta: go.Figure | None = None
    frontier: go.Figure | None = None
    frontier_names: str = ""
    reliability: go.Figure | None = None
    classes: go.Figure | None = None
    pictures: Sequence[tuple[Image.Image, str]] = ()
    files: str = ""
    published: str = ""


def shown_results(
    results: Mapping[str, Any] | None,
    method: str,
    weights: str,
    evaluation: KeptEvaluation | None,
    calibration: PresenceCalibration | None = None,
) -> Results:
    """The parts for one method and treatment of the results; a sentence alone where there are none.

    Args:
        results: of a checkpoint on a data set; None where nothing was measured.
        method: a key of `CAM_METHODS`.
        weights: a key of `TREATMENTS`.
        evaluation: the results' evaluation where they are of own pictures.
        calibration: of the checkpoint; None where it is not calibrated.
    """
    if results is None:
        words = "No results ship with this checkpoint: measure your own pictures above, or run evaluate-shipped."
        return Results(html.finding(words))
    table = table_of(results, method, weights)
    if table is None:
        others = ", ".join(f"{other['method']} {other['weights']}" for other in results["tables"])
        return Results(html.finding(f"{method}, {weights} was not measured here; there is: {others}."))
    pictures = [(_thumbnail(file), f"{row['class']}\n{words}") for row, file, words in gallery_rows(table, evaluation)]
    accuracy, (claim, rest) = results["accuracy"], claim_and_rest(table)
    small = (
        f"{rest} {result_title(results)}. Right class first: softmax "
        f"{100 * accuracy['softmax_top1']['value']:.1f} %, sigmoid branch "
        f"{100 * accuracy['sigmoid_top1']['value']:.1f} %. {TREATMENTS[weights]} " + " ".join(left_out(results))
    )
    frontier = frontier_of(table)
    numbers = html.note(f"Numbers: {difference_words(table)}, softmax → sigmoid.")
    return Results(
        finding=html.finding(claim, small.strip()),
        table=first_table_html(table),
        all_rows=all_rows_html(table),
        localization=localization_figure(table),
        delta=delta_figure(table),
        frontier=frontier_figure(frontier),
        frontier_names=frontier_key(frontier),
        reliability=calibration_figure(results, calibration),
        classes=classes_figure(table["by_class"]),
        pictures=pictures,
        files=numbers if pictures else differing_html(table, evaluation is not None),
        published=published_html(results),
    )


def calibration_figure(results: Mapping[str, Any], calibration: PresenceCalibration | None) -> go.Figure | None:
    """The reliability diagram of the branch's probabilities: calibrated where they are, else class-balanced.

    Results that were measured before there were calibration rows have the diagram of the pictures on which the
    checkpoint was calibrated; None without either. The axis says which pictures they are.
    """
    rows = results.get("calibration") or {}
    kind = next((kind for kind in PROBABILITIES if kind in rows), None)
    if kind:
        bins = [ReliabilityBin(row["probability"], row["share"], row["count"]) for row in rows[kind]["reliability"]]
        return reliability_figure(bins, PROBABILITIES[kind])
    if calibration is None:
        return None
    title = f"{PROBABILITIES['calibrated']}<br>({calibration.pictures:,} calibration pictures)"
    return reliability_figure(calibration.reliability, title)


def _thumbnail(file: Path) -> Image.Image:
    picture = read_image(file)
    picture.thumbnail(THUMBNAIL)
    return picture


def build_results_panel() -> Fields[Results]:
    """Lays out the parts."""
    finding_part = gr.HTML(elem_id="evaluate-finding")
    table = gr.HTML(elem_id="evaluate-table", elem_classes="bsig-scroll")
    with gr.Accordion("All rows and columns", open=False):
        all_rows = gr.HTML(elem_id="evaluate-all", elem_classes="bsig-scroll")
    frontier, frontier_names = _frontier()
    delta, localization = _plot("delta"), _plot("localization")
    with gr.Accordion(PLOTS["reliability"][0], open=False, elem_id="evaluate-reliability-part"):
        reliability = _plot("reliability", is_titled=False)
    with figure(
        "Where the branches differ most",
        "Pictures whose places one branch ranks much better than the other. Your own are shown, and open in Compare "
        "with a click.",
    ):  # fmt: skip
        gallery = gr.Gallery(
            label="Pictures that differ most", show_label=False, columns=6, height="auto", allow_preview=False,
            object_fit="cover", elem_id="evaluate-gallery", elem_classes="bsig-channels", buttons=[],
            interactive=False, visible=False,
        )  # fmt: skip
        files = gr.HTML(elem_id="evaluate-listed", elem_classes="bsig-scroll")
    with gr.Accordion("Class by class", open=False):
        classes = _plot("classes", is_titled=False)
    with gr.Accordion("Beside the paper's tables", open=False, elem_id="evaluate-published-part"):
        published = gr.HTML(elem_id="evaluate-published", elem_classes="bsig-scroll")
    return Fields(
        Results, finding=finding_part, table=table, all_rows=all_rows, localization=localization, delta=delta,
        frontier=frontier, frontier_names=frontier_names, reliability=reliability, classes=classes, pictures=gallery,
        files=files, published=published,
    )  # fmt: skip


def _plot(key: str, *, is_titled: bool = True) -> gr.Plot:
    """A plot beside its title and its caption; a folded part has the title already."""
    title, text = PLOTS[key]
    with figure(title if is_titled else "", text):
        return gr.Plot(show_label=False, elem_id=f"evaluate-plot-{key}", elem_classes="bsig-plot")


def _frontier() -> tuple[gr.Plot, gr.HTML]:
    """The plot, and the names of its marks below it."""
    with figure(*PLOTS["frontier"]):
        return (
            gr.Plot(show_label=False, elem_id="evaluate-plot-frontier", elem_classes="bsig-plot"),
            gr.HTML(elem_id="evaluate-frontier-names"),
        )


def results_answers(panel: Fields[Results], results: Results) -> Answers:
    """The parts' answers by component."""
    gallery = gr.Gallery(value=list(results.pictures), visible=bool(results.pictures))
    return panel.answers(**{**vars(results), "pictures": gallery})
