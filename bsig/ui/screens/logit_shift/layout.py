"""The Logit shift screen: the same classifier, the same probabilities, another heatmap, by the visitor's own hand."""

from __future__ import annotations

import html
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import gradio as gr
import numpy as np
import torch
from torch import Tensor

from bsig.explain.cams import Branch
from bsig.explain.diagnostics.absent_classes import absent_classes, class_areas
from bsig.explain.diagnostics.logit_shift import (
    channel_shift,
    class_centred_head,
    common_shift,
    delta_curve,
    equivalent_delta,
    map_movement,
    shared_energy_share,
    shared_map_share,
    uniform_shift,
)
from bsig.explain.diagnostics.painted_shift import TARGETS, painted_shift, target_at_cell, target_map
from bsig.explain.diagnostics.shifted_model import doctored_model, shifted_image
from bsig.explain.drawing.comparison import BRANCHES, Drawing, map_picture
from bsig.explain.drawing.heatmaps import overlay, shared_limit
from bsig.explain.explainer import EncodedImage, find_class
from bsig.explain.explanation import Explanation
from bsig.explain.methods import CAM_METHODS, default_method, require_exact
from bsig.explain.wording import percent, small_percent
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.folder import save_checkpoint
from bsig.model.heads import ClassificationHead
from bsig.ui.components.downloads import new_download_folder
from bsig.ui.components.examples import bundled_examples
from bsig.ui.components.handlers import in_words
from bsig.ui.components.html import explained, heading, scale_bar
from bsig.ui.components.inputs import ANSWERED_JS, MapImage, page_question
from bsig.ui.links.view import LARGEST_CHANNEL_DELTA, LARGEST_DELTA, SHIFTS
from bsig.ui.plots.look import grouped_bars, lines_over_delta
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.workbench import Workbench

UNPAINTED_DELTA = -0.02
"""What is added to every weight where painting is asked of a head that does not allow it."""
DELTAS = torch.linspace(-LARGEST_DELTA, LARGEST_DELTA, 41)
SEEN_FROM = 0.05
CHANNELS_OFFERED = 12


@dataclass(frozen=True)
class Wanted:
    """What the visitor asks of the map."""

    kind: str = "paint"
    target: str = "top left"
    cell: tuple[int, int] | None = None
    delta: float = 0.0
    channel: int = 0
    channel_delta: float = 0.0


@dataclass(frozen=True)
class Shifted:
    """A picture before and after one shift, with what was measured."""

    before: Explanation
    after: Explanation
    vector: Tensor
    words: str
    softmax_change: float
    sigmoid_change: float
    softmax_before: Tensor
    softmax_after: Tensor
    sigmoid_before: Tensor
    sigmoid_after: Tensor


def shifted_by(encoded: EncodedImage, class_index: int, method: str, wanted: Wanted) -> Shifted:
    """Solves the shift that is asked for, forms both shifted heads, runs them, and measures what moved.

    Raises:
        InputError: no such target, cell or channel.
    """
    vector, words = _vector(encoded, class_index, wanted)
    moved = shifted_image(encoded, vector)
    softmax_before, sigmoid_before = encoded.probabilities()
    softmax_after, sigmoid_after = moved.probabilities()
    return Shifted(
        encoded.explain(class_index, method),
        moved.explain(class_index, method),
        vector,
        words,
        float((softmax_after - softmax_before).abs().max()),
        float((sigmoid_after - sigmoid_before).abs().max()),
        softmax_before,
        softmax_after,
        sigmoid_before,
        sigmoid_after,
    )


def shown_method(method: str, head: ClassificationHead) -> tuple[str, str]:
    """The CAM variant that this screen draws for the one chosen in Compare, and why if it is another."""
    if not head.cam_is_exact:
        default = default_method(head)
        title = CAM_METHODS[default].title
        return default, (
            "A map is painted by solving for the head's weights, which takes average pool and one linear layer; this "
            f"head is another, so it is shifted in its last layer and run, and {title} shows what moves."
        )
    if method == "eigen-cam":
        return "cam", "Eigen-CAM looks at no class, so no shift moves it; CAM is shown instead."
    if CAM_METHODS[method].is_slow:
        return "cam", "Score-CAM would run the network again for every shift; CAM is shown instead."
    if method in ("grad-cam++", "layer-cam", "ablation-cam"):
        title = CAM_METHODS[method].title
        return (
            method,
            f"The shift is solved for CAM; {title} weighs channels otherwise and lands near the target, not on it.",
        )
    return method, ""


def _vector(encoded: EncodedImage, class_index: int, wanted: Wanted) -> tuple[Tensor, str]:
    features = encoded.features[0]
    row = encoded.model.softmax_head.last_linear.weight[class_index].detach()
    if wanted.kind == "paint":
        require_exact(encoded.model.softmax_head, "Painting a map")
    if wanted.kind == "uniform":
        return uniform_shift(len(row), wanted.delta).to(
            row
        ), f"{wanted.delta:+.3f} added to every weight of every class"
    if wanted.kind == "channel":
        words = f"{wanted.channel_delta:+.2f} added to channel {wanted.channel} of every class"
        return channel_shift(len(row), wanted.channel, wanted.channel_delta).to(row), words
    current = torch.einsum("k,khw->hw", row, features)
    target = target_at_cell(current, *wanted.cell) if wanted.cell else target_map(current, wanted.target)
    painted = painted_shift(features, row, target)
    place = f"row {wanted.cell[0] + 1}, column {wanted.cell[1] + 1}" if wanted.cell else wanted.target
    size = float(painted.vector.norm() / encoded.model.softmax_head.last_linear.weight.norm(dim=1).mean())
    words = f"painted: {place}; the shift is {percent(size)} as long as an average class's weights"
    return painted.vector.to(row), f"{words}. {painted.reason}" if painted.reason else words


# --- words and tables -------------------------------------------------------------------------------------------------


def finding(shifted: Shifted) -> str:
    """What the shift did, in one sentence from the numbers."""
    movement = map_movement(torch.from_numpy(shifted.before.softmax.map), torch.from_numpy(shifted.after.softmax.map))
    name = shifted.before.class_name
    if float(shifted.vector.abs().max()) == 0:
        return f"No shift yet: the softmax heatmap of '{name}' is as the model has it."
    if movement.correlation is None:
        moved = "is flat now"
    else:
        moved = (
            f"moved (correlation with the original {movement.correlation:.2f}, its maximum by "
            f"{movement.peak_move:.1f} cells)"
        )
    before, after = shifted.before.sigmoid.probability, shifted.after.sigmoid.probability
    return (
        f"Same classifier, another heatmap: the softmax map of '{name}' {moved}, and no softmax probability changed by "
        f"more than {shifted.softmax_change:.0e}. The sigmoid branch gives the same shift away: "
        f"'{name}' goes from {percent(before)} to {percent(after)}."
    )


def possible_and_actual(encoded: EncodedImage, class_index: int) -> str:
    """Whether this head's own shared component distorts its published map; and that nothing would have told."""
    weight, features = encoded.model.softmax_head.last_linear.weight.detach(), encoded.features[0]
    head_share = shared_energy_share(weight)
    if not encoded.model.softmax_head.cam_is_exact:
        return (
            f"This softmax head's last layer has a shared component of {small_percent(head_share)} of its energy; how "
            "much of this map that is cannot be read from its weights, because other layers lie between them and the "
            "map."
        )
    try:
        here = shared_map_share(features, weight, class_index)
    except InputError:
        here = 0.0
    sigmoid_share = shared_energy_share(encoded.model.sigmoid_head.last_linear.weight.detach())
    is_or_not = "is distorted by it" if here > 0.05 else "is not visibly distorted by it"
    return (
        "Possible: any heatmap. Actual: this softmax head's own shared component is "
        f"{small_percent(head_share)} of its energy and {small_percent(here)} of this map, so the published map "
        f"{is_or_not}. But nothing in its training or accuracy would have told you. The sigmoid branch's shared "
        f"component is {small_percent(sigmoid_share)} of its energy: there it is fitted to labels, and it sets the "
        "zero of the maps."
    )


def probability_table(shifted: Shifted, names: tuple[str, ...], branch: str) -> str:
    """The five likeliest classes before and after, as an HTML table with the change."""
    before, after = (
        (shifted.softmax_before, shifted.softmax_after)
        if branch == "softmax"
        else (shifted.sigmoid_before, shifted.sigmoid_after)
    )
    top = before.topk(min(5, len(before))).indices.tolist()
    chosen = shifted.before.class_index
    rows = "".join(
        f"<tr><td>{html.escape(names[index])}</td><td class='number'>{100 * float(before[index]):.3f} %</td>"
        f"<td class='number'>{100 * float(after[index]):.3f} %</td></tr>"
        for index in dict.fromkeys([*top, chosen])
    )
    change = shifted.softmax_change if branch == "softmax" else shifted.sigmoid_change
    return (
        f"<table class='bsig-table'><thead><tr><th>{explained(f'{branch.title()} probability')}</th>"
        f"<th class='number'>before</th><th class='number'>after</th></tr></thead>"
        f"<tbody>{rows}</tbody></table><p class='bsig-note'>Largest change of any of {len(before)} classes: "
        f"<b id='largest-change-{branch}' data-value='{change:.3e}'>{change:.1e}</b></p>"
    )


def proof_table(bench: Workbench, checkpoint: str | None, vector: Tensor, method: str) -> str:
    """The same shift on all bundled pictures: what changed of the probabilities, and how far each map moved."""
    rows, largest, kept = [], 0.0, 0
    seen = set()
    for example in bundled_examples():
        if example.path in seen:
            continue
        seen.add(example.path)
        encoded = bench.encode(example.path, checkpoint)
        moved = shifted_image(encoded, vector)
        change = float((moved.probabilities()[0] - encoded.probabilities()[0]).abs().max())
        index = encoded.predicted_index
        maps = [torch.from_numpy(one.explain(index, method).softmax.map) for one in (encoded, moved)]
        movement = map_movement(maps[0], maps[1])
        largest = max(largest, change)
        same = moved.predicted_index == index
        kept += same
        rows.append(
            f"<tr><td>{html.escape(example.path.stem)}</td><td>{html.escape(encoded.model.class_names[index])}</td>"
            f"<td>{'same' if same else 'changed'}</td><td class='number'>{change:.1e}</td>"
            f"<td class='number'>{_number(movement.correlation)}</td>"
            f"<td class='number'>{_number(movement.peak_move, 1)}</td></tr>"
        )
    return (
        f"<div class='bsig-finding'>{_proved(len(rows), kept, largest)}</div><div class='bsig-scroll'>"
        "<table class='bsig-table'><thead><tr><th>Picture</th><th>Prediction</th><th>after</th>"
        f"<th class='number'>{explained('largest probability change')}</th>"
        f"<th class='number'>{explained('map correlation')}</th>"
        f"<th class='number'>{explained('maximum moved (cells)')}</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _proved(pictures: int, kept: int, largest: float) -> str:
    """What the table shows, in one sentence; a prediction can only change where two classes are tied to rounding."""
    predictions = "every prediction is the same" if kept == pictures else f"{kept} predictions are the same"
    return f"On {pictures} pictures {predictions}: the largest change of any probability is {largest:.0e}."


def _number(value: float | None, digits: int = 2) -> str:
    return "flat" if value is None else f"{value:.{digits}f}"


# --- figures ----------------------------------------------------------------------------------------------------------


def fitted_shift_of(bench: Workbench, encoded: EncodedImage) -> tuple[Tensor, str]:
    """The shift that labels chose: the checkpoint's own, its '-shift' sister's, or the shared part of its branch."""
    model = encoded.model
    if model.shift is not None:
        return model.shift.vector, "fitted shift of this checkpoint"
    sister = f"{model.name}-shift"
    if sister in bench.checkpoint_names():
        other = bench.model(sister)
        if other.shift is not None and other.class_ids == model.class_ids:
            return other.shift.vector, f"fitted shift ({sister})"
    heads = (model.softmax_head.last_linear.weight.detach(), model.sigmoid_head.last_linear.weight.detach())
    return common_shift(*heads)[0], "shift that all rows of the sigmoid branch share"


def figures(bench: Workbench, encoded: EncodedImage, class_index: int) -> tuple[Any, Any, Any]:
    """Over delta: correlation with the original map, overlap of the strongest cells, positive area."""
    if not encoded.model.softmax_head.cam_is_exact:
        return None, None, None
    model, features = encoded.model, encoded.features[0]
    softmax, sigmoid = model.softmax_head.last_linear, model.sigmoid_head.last_linear
    weights = {"softmax": softmax.weight.detach(), "sigmoid": sigmoid.weight.detach()}
    ones = torch.ones_like(weights["softmax"][0])
    curves = {
        "softmax": delta_curve(features, weights["softmax"], softmax.bias.detach(), class_index, ones, DELTAS),
        "sigmoid": delta_curve(features, weights["sigmoid"], sigmoid.bias.detach(), class_index, ones, DELTAS),
        "centred": delta_curve(
            features, weights["softmax"], softmax.bias.detach(), class_index, ones, DELTAS, centred=True
        ),
    }
    fitted, _ = fitted_shift_of(bench, encoded)
    marks = {}
    try:
        at = equivalent_delta(features, fitted)
        if abs(at) <= LARGEST_DELTA:
            marks["zero chosen by labels"] = at
    except InputError:
        pass  # features that sum to zero have no place on the delta axis
    xs = DELTAS.tolist()
    movement = lines_over_delta(
        xs,
        {key: [move.correlation for move in curve.movement] for key, curve in curves.items()},
        y_title="correlation with the original map",
        marks=marks,
    )
    areas_figure = lines_over_delta(
        xs,
        {key: curve.positive_area for key, curve in curves.items()},
        y_title="positive area (share of the picture)",
        marks=marks,
    )
    overlap = lines_over_delta(
        xs,
        {key: [move.top_iou for move in curve.movement] for key, curve in curves.items()},
        y_title="IoU of the top 20 % of cells",
        marks=marks,
    )
    return movement, overlap, areas_figure


def where_is_zero(bench: Workbench, encoded: EncodedImage, class_index: int) -> str:
    """The absent-class test on this picture, as an HTML table: positive area by head and kind of class."""
    if not encoded.model.softmax_head.cam_is_exact:
        return (
            "<p class='bsig-note'>This table and the curves below follow from the head's weights alone, which takes a "
            "head of average pool and one linear layer. For this model the same question is answered, by running its "
            "head, in the table of numbers on the Sign collapse screen.</p>"
        )
    softmax = encoded.model.softmax_head.last_linear.weight.detach()
    fitted, fitted_words = fitted_shift_of(bench, encoded)
    heads = {
        "Softmax": softmax,
        "Softmax, class-centred": class_centred_head(softmax),
        "Sigmoid": encoded.model.sigmoid_head.last_linear.weight.detach(),
        f"Softmax + {fitted_words}": softmax + fitted,
    }
    probabilities = encoded.probabilities()[0]
    seen = [index for index in encoded.top_classes(count=10) if probabilities[index] >= SEEN_FROM]
    absent = absent_classes(encoded.model.num_classes, [class_index, *encoded.top_classes(count=50)])
    areas = class_areas(encoded.features[0], heads, class_index, seen, absent)
    name = encoded.model.class_names[class_index]
    others = [encoded.model.class_names[index] for index in seen if index != class_index]
    columns = {
        f"'{name}'": "chosen",
        f"other classes seen ({', '.join(others) or 'none'})": "seen",
        f"{len(absent)} classes not in the picture (mean)": "absent",
        f"the same, where each head's '{name}' covers 70 %": "absent_at_own_area",
    }
    header = "".join(f"<th>{explained(title)}</th>" for title in columns)
    rows = "".join(
        f"<tr><th>{explained(head)}</th>"
        + "".join(_share_cell(getattr(area, key)) for key in columns.values())
        + "</tr>"
        for head, area in areas.items()
    )
    return (
        f"<div class='bsig-scroll'><table class='bsig-table'><thead><tr><th>{explained('Head')}</th>{header}</tr>"
        f"</thead><tbody>{rows}"
        "</tbody></table></div><p class='bsig-note'>The last column cannot be bought with a threshold: each head is "
        "given the level at which its own class covers the same area. Lower is better in the last two columns.</p>"
    )


def _share_cell(value: float | None) -> str:
    if value is None:
        return "<td>none</td>"
    return f"<td class='bsig-share'>{100 * value:.0f} %<i style='width: {100 * value:.0f}%'></i></td>"


def shared_figure(encoded: EncodedImage, class_index: int) -> Any:
    """The shared component's share of each head's energy, and of this class's map."""
    shares: dict[str, list[float | None]] = {}
    for key, head in (("softmax", encoded.model.softmax_head), ("sigmoid", encoded.model.sigmoid_head)):
        weight = head.last_linear.weight.detach()
        try:
            require_exact(head, "the shared map")
            here: float | None = shared_map_share(encoded.features[0], weight, class_index)
        except InputError:
            here = None
        shares[key] = [shared_energy_share(weight), here]
    return grouped_bars(["of the head's energy", "of this class's map"], shares, y_title="shared component")


# --- the screen -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShiftScreen:
    """What a link says of this screen; `painted_for` is None while nothing has been drawn, so that it is kept then."""

    kind: gr.Radio
    target: gr.Radio
    cell: gr.State
    delta: gr.Slider
    channel: gr.Dropdown
    channel_delta: gr.Slider
    row: gr.Slider
    column: gr.Slider


def build_logit_shift(bench: Workbench, compare: CompareScreen, tab: gr.Tab) -> ShiftScreen:
    """Lays out the tab and connects it to the picture, checkpoint and class of Compare."""
    finding_html = gr.HTML(elem_id="shift-finding")
    with gr.Row(elem_classes="bsig-main"):
        with gr.Column(scale=7, min_width=320):
            pictures: dict[str, gr.Image] = {}
            titles = {
                "before": ("Softmax, as published", "click here: the heatmap goes where you click"),
                "after": ("Softmax, shifted", "the same classifier: every probability as before"),
                "sigmoid": ("Sigmoid, same shift", "its probabilities move: the shift is visible"),
                "centred": ("Class-centred, same shift", "does not move under any shift"),
            }
            with gr.Row(elem_classes="bsig-grid"):
                for key, (title, text) in titles.items():
                    with gr.Column(min_width=0):
                        gr.HTML(heading(title, text))
                        pictures[key] = MapImage(
                            show_label=False, format="png", interactive=False, buttons=["fullscreen"],
                            elem_id=f"shift-{key}", elem_classes="bsig-map",
                        )  # fmt: skip
            bar = gr.HTML(elem_id="shift-scale")
            with gr.Row(elem_classes="bsig-pair"):
                softmax_table = gr.HTML(elem_id="shift-softmax-table", elem_classes="bsig-scroll")
                sigmoid_table = gr.HTML(elem_id="shift-sigmoid-table", elem_classes="bsig-scroll")
        with gr.Column(scale=3, min_width=300):
            kind = gr.Radio(
                [(title, key) for key, title in SHIFTS.items()], value="paint", label="Shift", elem_id="shift-kind"
            )
            target = gr.Radio(
                list(TARGETS), value="top left", label="Where the heatmap should be", elem_id="shift-target",
                info="Or click on the first picture. The smallest shift that does it is solved.",
            )  # fmt: skip
            with gr.Column(elem_id="shift-cell") as cell_row:
                row = gr.Slider(1, 7, 1, step=1, label="… or in this row", elem_id="shift-row",
                                info="Arrow keys move the heatmap.")  # fmt: skip
                column = gr.Slider(1, 7, 1, step=1, label="… and column", elem_id="shift-column",
                                   info="Counted from the top left.")  # fmt: skip
            delta = gr.Slider(
                -LARGEST_DELTA, LARGEST_DELTA, 0.0, step=0.001, label="delta, added to every channel weight",
                elem_id="shift-delta", visible=False, info="Below zero: evidence disappears (sign collapse).",
            )  # fmt: skip
            channel = gr.Dropdown(
                [], label="Channel", elem_id="shift-channel", visible=False, info="The strongest here."
            )
            channel_delta = gr.Slider(
                -LARGEST_CHANNEL_DELTA,
                LARGEST_CHANNEL_DELTA,
                0.3,
                step=0.05,
                label="added to this channel's weight",
                elem_id="shift-channel-delta",
                visible=False,
            )
            thumbnail = MapImage(
                label="Where this channel is active",
                format="png",
                height=180,
                visible=False,
                interactive=False,
                buttons=[],
            )
            actual = gr.HTML(elem_id="shift-actual")
            prove = gr.Button("Prove it on the other pictures", elem_id="shift-prove")
            export = gr.Button("Export the doctored classifier", elem_id="shift-export")
            exported = gr.File(label="Checkpoint folder, marked as doctored", visible=False, elem_id="shift-file")
    proof = gr.HTML(elem_id="shift-proof")
    gr.HTML(heading("Where is zero?", "Share of this picture with positive evidence. A class that is not there "
                      "should have none; softmax leaves open where zero lies, labels settle it."))  # fmt: skip
    zero_table = gr.HTML(elem_id="zero-table")
    with gr.Row(elem_classes="bsig-pair"):
        with gr.Column(min_width=280):
            gr.HTML(heading("How the map moves with delta", "correlation: 1 is the original map"))
            movement_plot = gr.Plot(show_label=False, elem_id="plot-movement", elem_classes="bsig-plot")
        with gr.Column(min_width=280):
            gr.HTML(heading("Do the strongest places stay?", "overlap (IoU) of the top 20 % of cells"))
            overlap_plot = gr.Plot(show_label=False, elem_id="plot-overlap", elem_classes="bsig-plot")
    with gr.Row(elem_classes="bsig-pair"):
        with gr.Column(min_width=280):
            gr.HTML(heading("How much of the picture speaks for the class", "positive area over delta"))
            area_plot = gr.Plot(show_label=False, elem_id="plot-area", elem_classes="bsig-plot")
        with gr.Column(min_width=280):
            gr.HTML(heading("Shared component", "what all classes have in common, which softmax cannot see"))
            shared_plot = gr.Plot(show_label=False, elem_id="plot-shared", elem_classes="bsig-plot")

    cell = gr.State(None)
    painted_for = gr.State(None)  # picture, checkpoint and class that the cell and the channel were chosen for
    is_shown = page_question("is shown", "shift-finding")
    source = [compare.image, compare.checkpoint, compare.class_name, compare.method]
    wishes = [kind, target, cell, delta, channel, channel_delta]
    drawn = [finding_html, *pictures.values(), bar, softmax_table, sigmoid_table, thumbnail]
    plots = [zero_table, movement_plot, overlap_plot, area_plot, shared_plot]

    def current(image: str | None, checkpoint: str | None, class_name: str | None) -> tuple[EncodedImage, int]:
        encoded = bench.encode(image, checkpoint)
        return encoded, find_class(encoded.model, class_name) if class_name else encoded.predicted_index

    def answer(image: str, checkpoint: str, class_name: str, method: str, *wished: Any) -> list[Any]:
        encoded, index = current(image, checkpoint, class_name)
        wanted = _wanted(encoded, index, *wished)
        drawn_method, why = shown_method(method, encoded.model.softmax_head)
        shifted = shifted_by(encoded, index, drawn_method, wanted)
        return _answers(encoded, shifted, wanted, why)

    @in_words
    def on_wish(*arguments: Any) -> list[Any]:
        return answer(*arguments)

    @in_words
    def on_click(event: gr.SelectData, *arguments: Any) -> list[Any]:
        encoded, _ = current(*arguments[:3])
        rows, columns = encoded.features.shape[2:]
        x, y = cast("tuple[float, float]", event.index)
        chosen = (min(int(y / 448 * rows), rows - 1), min(int(x / 448 * columns), columns - 1))
        wished = ("paint", arguments[5], chosen, *arguments[7:])
        return [chosen, "paint", chosen[0] + 1, chosen[1] + 1, *answer(*arguments[:4], *wished)]

    @in_words
    def on_cell(row: int, column: int, *arguments: Any) -> Any:
        chosen = (int(row) - 1, int(column) - 1)
        if arguments[6] and tuple(arguments[6]) == chosen:  # a click has set the two
            return gr.skip()
        return [chosen, *answer(*arguments[:4], "paint", arguments[5], chosen, *arguments[7:])]

    @in_words
    def on_kind(chosen: str) -> list[Any]:
        return [
            *(gr.Radio(visible=chosen == "paint"), gr.Column(visible=chosen == "paint")),
            gr.Slider(visible=chosen == "uniform"),
            *(gr.Dropdown(visible=chosen == "channel"), gr.Slider(visible=chosen == "channel")),
            gr.update(visible=chosen == "channel"),
        ]

    @in_words
    def on_source(ready: int, drawn_for: Any, *arguments: Any) -> Any:
        if not ready:  # Compare has not answered yet; it will say so when it has
            return gr.skip()
        if not arguments[0]:
            raise InputError("no picture is chosen; go to Compare and upload one or click an example.")
        encoded, index = current(*arguments[:3])
        is_same = drawn_for in (None, list(arguments[:3]))
        channels = strongest_channels_for(encoded, index)
        channel = arguments[8] if is_same and arguments[8] is not None else channels[0]
        dropdown = gr.Dropdown([(f"channel {k}", k) for k in dict.fromkeys([*channels, channel])], value=channel)
        chosen = arguments[6] if is_same else None
        wished = (*arguments[4:6], chosen, arguments[7], channel, arguments[9])
        rows, columns = encoded.features.shape[2:]
        return [
            list(arguments[:3]), gr.Slider(maximum=rows), gr.Slider(maximum=columns), dropdown, chosen,
            possible_html(encoded, index), "", gr.File(visible=False), *answer(*arguments[:4], *wished),
            where_is_zero(bench, encoded, index), *figures(bench, encoded, index), shared_figure(encoded, index),
        ]  # fmt: skip

    @in_words
    def on_ready(is_shown: str, *arguments: Any) -> Any:
        return on_source(*arguments) if is_shown == "yes" else gr.skip()

    @in_words
    def on_prove(*arguments: Any) -> str:
        encoded, index = current(*arguments[:3])
        vector, _ = _vector(encoded, index, _wanted(encoded, index, *arguments[4:]))
        return proof_table(bench, arguments[1], vector, shown_method(arguments[3], encoded.model.softmax_head)[0])

    @in_words
    def on_export(*arguments: Any) -> Any:
        encoded, index = current(*arguments[:3])
        vector, words = _vector(encoded, index, _wanted(encoded, index, *arguments[4:]))
        return gr.File(str(doctored_zip(encoded, vector, words)), visible=True)

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", "concurrency_limit": 4}
    everything = [painted_for, row, column, channel, cell, actual, proof, exported, *drawn, *plots]
    tab.select(on_source, [compare.ready, painted_for, *source, *wishes], everything, **quiet)
    compare.ready.change(
        on_ready, [is_shown, compare.ready, painted_for, *source, *wishes], everything,
        js=ANSWERED_JS, trigger_mode="always_last", **quiet,
    )  # fmt: skip
    pictures["before"].select(on_click, [*source, *wishes], [cell, kind, row, column, *drawn], **quiet)
    # `input`: a visitor's own hand, keys included. `change` would also answer what a link or a click on the picture
    # sets, one of the two at a time, and paint the cell in between.
    for slider in (row, column):
        happened = getattr(slider, "input")  # noqa: B009 - events are added at run time, unseen by mypy
        happened(on_cell, [row, column, *source, *wishes], [cell, *drawn], trigger_mode="always_last", **quiet)
    kind.change(on_kind, kind, [target, cell_row, delta, channel, channel_delta, thumbnail], **quiet)
    kind.input(on_wish, [*source, *wishes], drawn, **quiet)
    target.input(lambda: None, None, cell, api_visibility="private").then(on_wish, [*source, *wishes], drawn, **quiet)
    channel.input(on_wish, [*source, *wishes], drawn, **quiet)
    for slider in (delta, channel_delta):
        slider.change(on_wish, [*source, *wishes], drawn, trigger_mode="always_last", **quiet)
    prove.click(on_prove, [*source, *wishes], proof, **quiet)
    export.click(on_export, [*source, *wishes], exported, **quiet)
    return ShiftScreen(kind, target, cell, delta, channel, channel_delta, row, column)


def strongest_channels_for(encoded: EncodedImage, class_index: int) -> list[int]:
    """The channels with most evidence `|w[k]| * mean F[k]` for the class on this picture, strongest first."""
    head = encoded.model.softmax_head
    row = head.last_linear.weight[class_index].detach()
    if head.cam_is_exact:
        active = encoded.features[0].abs().mean(dim=(1, 2))
    else:  # what the last layer sees in place of channels
        with torch.no_grad():
            active = head.last_inputs(head.pooled(encoded.head_features))[0].abs()
    mass = row.abs() * active
    return mass.topk(min(CHANNELS_OFFERED, len(mass))).indices.tolist()


def doctored_zip(encoded: EncodedImage, vector: Tensor, words: str) -> Path:
    """The shifted head as a checkpoint folder in a zip; its JSON says that it is doctored."""
    model, said = doctored_model(encoded.model, vector, words)
    name = f"{encoded.model.name}-doctored"
    with tempfile.TemporaryDirectory(prefix="bsig-") as folder:
        save_checkpoint(model, Path(folder) / name, doctored=said)
        return Path(shutil.make_archive(str(new_download_folder() / name), "zip", folder, name))


def possible_html(encoded: EncodedImage, class_index: int) -> str:
    """`possible_and_actual` for the page."""
    return f'<p class="bsig-note">{html.escape(possible_and_actual(encoded, class_index))}</p>'


def shift_answer(
    bench: Workbench, image: str, checkpoint: str | None, class_name: str | None, delta: float, target: str | None
) -> dict[str, Any]:
    """What the `/logit_shift` endpoint answers: maps and probabilities before and after, as JSON."""
    encoded = bench.encode(image, checkpoint)
    index = find_class(encoded.model, class_name) if class_name else encoded.predicted_index
    wanted = Wanted("paint", target) if target else Wanted("uniform", delta=float(delta))
    shifted = shifted_by(encoded, index, default_method(encoded.model.softmax_head), wanted)
    before, after = shifted.before, shifted.after
    return {
        "class_index": index,
        "class_name": before.class_name,
        "shift": shifted.words,
        "finding": finding(shifted),
        "largest_softmax_probability_change": shifted.softmax_change,
        "largest_sigmoid_probability_change": shifted.sigmoid_change,
        "softmax_movement": asdict(map_movement(*(torch.from_numpy(one.softmax.map) for one in (before, after)))),
        "centred_movement": asdict(map_movement(*(torch.from_numpy(one.centred.map) for one in (before, after)))),
        "sigmoid_probability": {"before": before.sigmoid.probability, "after": after.sigmoid.probability},
        "softmax_map": {"before": before.softmax.map.tolist(), "after": after.softmax.map.tolist()},
        "sigmoid_map": {"before": before.sigmoid.map.tolist(), "after": after.sigmoid.map.tolist()},
        "centred_map": {"before": before.centred.map.tolist(), "after": after.centred.map.tolist()},
    }


def _wanted(
    encoded: EncodedImage,
    index: int,
    kind: str,
    target: str,
    cell: Any,
    delta: float,
    channel: Any,
    channel_delta: float,
) -> Wanted:
    if kind == "paint" and not encoded.model.softmax_head.cam_is_exact:
        kind, delta = "uniform", delta or UNPAINTED_DELTA
    if channel is None:
        channel = strongest_channels_for(encoded, index)[0]
    return Wanted(kind, target, tuple(cell) if cell else None, float(delta), int(channel), float(channel_delta))


def _answers(encoded: EncodedImage, shifted: Shifted, wanted: Wanted, why: str) -> list[Any]:
    """Every output that a shift changes, in the order of `drawn`."""
    before, after = shifted.before, shifted.after
    maps = {
        "before": before.softmax.map,
        "after": after.softmax.map,
        "sigmoid": after.sigmoid.map,
        "centred": after.centred.map,
    }
    drawing = Drawing()
    limit = shared_limit(*maps.values(), positive_only=True)
    names = encoded.model.class_names
    small = f"{shifted.words[0].upper()}{shifted.words[1:]}. {why}".strip()
    words = f"{html.escape(finding(shifted))}<small>{html.escape(small)}</small>"
    return [
        f'<div class="bsig-finding" role="status">{words}</div>',
        *(
            gr.update(value=map_picture(before, values, limit, drawing), alt_text=_alt(key, values, before.class_name))
            for key, values in maps.items()
        ),
        scale_bar(limit, drawing, before.method),
        probability_table(shifted, names, "softmax"),
        probability_table(shifted, names, "sigmoid"),
        _thumbnail(encoded, wanted.channel)
        if wanted.kind == "channel" and encoded.model.softmax_head.cam_is_exact
        else gr.update(visible=False),
    ]


def _thumbnail(encoded: EncodedImage, channel: int) -> Any:
    values = encoded.features[0, channel].cpu().numpy().astype(np.float32)
    crop = encoded.crop.resize((224, 224))
    text = f"Where channel {channel} is active, strongest {values.max():.2f}"
    return gr.update(value=overlay(crop, values, shared_limit(values)), visible=True, alt_text=text, label=text)


def _alt(key: str, values: np.ndarray, class_name: str) -> str:
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    names: dict[str, str] = {"before": "Softmax map before the shift", "after": "Softmax map after the shift"}
    branch: Branch = "sigmoid" if key == "sigmoid" else "centred"
    title = names.get(key, f"{BRANCHES[branch]} map under the same shift")
    return (
        f"{title} for {class_name}: maximum {values.max():.2f} in row {row + 1}, column {column + 1} of {len(values)}."
    )
