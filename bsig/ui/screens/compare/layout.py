"""The Compare screen: one picture, one class, both branches side by side on one scale."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from bsig.explain.cams import Branch
from bsig.explain.drawing.comparison import (
    BRANCHES,
    Drawing,
    alt_text,
    branch_pictures,
    difference_picture,
    shared_limit_of,
)
from bsig.explain.drawing.heatmaps import COLORMAPS, VIEWS
from bsig.explain.explainer import EncodedImage, can_add_bias, find_class
from bsig.explain.explanation import Explanation, summary
from bsig.explain.methods import CAM_METHODS, TREATMENTS, default_method, methods_of, why_not_cam
from bsig.explain.wording import area_text, finding, number_text, percent, signed
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch
from bsig.model.new_model import not_trained
from bsig.ui.components.examples import bundled_examples, chosen_example, example_by_key
from bsig.ui.components.handlers import in_words
from bsig.ui.components.html import explained, heading, scale_bar
from bsig.ui.components.inputs import Choice, MapImage, PictureInput, press_js
from bsig.ui.links.check import choices_of, possible_view
from bsig.ui.links.view import SHOWS, View
from bsig.ui.screens.compare.downloads import card_file, report_file, zip_file
from bsig.ui.server.log import leave_off_if_left
from bsig.ui.workbench import Workbench

EXPLAINED: dict[Branch, str] = {
    "softmax": "the pretrained head: it decides the class",
    "sigmoid": "the fine-tuned clone: one yes or no a class",
    "centred": "softmax less the mean of all classes: no shift moves it",
}
SHORT: dict[Branch, str] = {"softmax": "Softmax branch", "sigmoid": "Sigmoid branch", "centred": "Class-centred"}
BUDGET = 64
DOWNLOADS = {
    "download": "Download pictures, maps and numbers",
    "report": "Report (HTML)",
    "card": "Slide (PNG)",
}
BIAS_WORDS = {
    True: "Drawn with each branch's bias of the class: the logit that every cell would have alone; their mean is the "
    "branch's logit.",
    False: "Drawn without the bias, as everywhere in the literature.",
}


@dataclass(frozen=True)
class CompareScreen:
    """The components that other tabs read: the current picture, checkpoint and class.

    `redraw(event)` draws everything anew after an event that has set some of them. `restore(view)` answers what a link
    asks for: a value for each of `restored`, and a sentence for each part of it that cannot be had; `done` is what
    follows, so that the other tabs draw theirs.
    """

    image: gr.Image
    checkpoint: gr.Dropdown
    class_name: gr.Dropdown
    method: gr.Dropdown
    weights: gr.Radio
    ready: gr.State
    redraw: Callable[[Any], None]
    choices: list[Any]
    example: gr.State
    restored: list[Any]
    restore: Callable[[View], tuple[list[Any], list[str]]]
    done: dict[str, Any]


def build_compare(bench: Workbench) -> CompareScreen:
    """Lays out the tab and connects it."""
    first = bundled_examples()[0]
    with gr.Row(equal_height=False, elem_classes="bsig-main"):
        with gr.Column(scale=7, min_width=320):
            finding_html = gr.HTML(elem_id="finding")
            single = MapImage(
                label="Sigmoid less softmax", format="png", visible=False, elem_classes="bsig-map",
                buttons=["download", "fullscreen"], height=520, interactive=False,
            )  # fmt: skip
            wipe = gr.ImageSlider(
                label="Left: softmax branch. Right: sigmoid branch.", format="png", visible=False, elem_id="wipe",
                buttons=["fullscreen"], interactive=False, max_height=520,
            )  # fmt: skip
            wipe_at = gr.Slider(0, 100, 50, step=1, label="Where the line is (%)", visible=False, elem_id="wipe-at",
                                info="Arrow keys move it.")  # fmt: skip
            with gr.Row(equal_height=False, elem_classes="bsig-grid") as maps_row:
                with gr.Column(min_width=0):
                    gr.HTML(heading("The picture", "as the model saw it"))
                    crop = MapImage(
                        show_label=False, format="png", interactive=False, buttons=["fullscreen"], elem_id="crop",
                        elem_classes="bsig-map",
                    )  # fmt: skip
                    crop_facts = gr.HTML(elem_id="facts-crop")
                pictures, facts = {}, {}
                for branch in BRANCHES:
                    with gr.Column(min_width=0):
                        gr.HTML(heading(SHORT[branch], EXPLAINED[branch]))
                        pictures[branch] = MapImage(
                            show_label=False, format="png", interactive=False, elem_id=f"map-{branch}",
                            buttons=["download", "fullscreen"], elem_classes="bsig-map",
                        )  # fmt: skip
                        facts[branch] = gr.HTML(elem_id=f"facts-{branch}")
            bar = gr.HTML(elem_id="scale")
            note = gr.HTML(elem_id="note")
            with gr.Row():
                prepare = {
                    key: gr.Button(title, size="sm", min_width=160, elem_id=f"prepare-{key}")
                    for key, title in DOWNLOADS.items()
                }
                downloads = {
                    key: gr.DownloadButton(key, elem_id=key, elem_classes="bsig-offscreen") for key in DOWNLOADS
                }
            gallery = gr.Gallery(
                [(str(example.path), example.title) for example in bundled_examples()],
                label="Examples: one click", columns=7, height="auto", allow_preview=False, object_fit="cover",
                elem_id="examples", elem_classes="bsig-channels", buttons=[], interactive=False,
            )  # fmt: skip
        with gr.Column(scale=3, min_width=300):
            image = PictureInput(
                value=str(first.path), type="filepath", image_mode=None, label="Picture",
                sources=["upload", "clipboard", "webcam"], height=230, elem_id="picture",
            )  # fmt: skip
            reason = gr.HTML(_reason(first), elem_id="reason")
            class_name = Choice(
                [], label="Class to explain", filterable=True, elem_id="class",
                info="Likeliest of both branches first; type to find any other.",
            )  # fmt: skip
            checkpoint = Choice(
                bench.checkpoint_names(),
                value=bench.default_checkpoint,
                label="Checkpoint",
                elem_id="checkpoint",
                info="The trained model that is asked.",
            )
            method = Choice(
                [(_method_label(key), key) for key in CAM_METHODS],
                value="cam",
                label="CAM variant",
                elem_id="method",
                info="How the heatmap weighs what the network saw.",
            )
            budget = gr.Slider(
                8, 1280, BUDGET, step=8, label="Score-CAM: strongest channels", visible=False, elem_id="budget",
                info="One run of the network each; 64 take some seconds.",
            )  # fmt: skip
            weights = gr.Radio(
                [("Signed", "signed"), ("Non-negative", "nonnegative"), ("As in the paper's code", "paper")],
                value="signed", label="Treatment of negative weights", info=TREATMENTS["signed"], elem_id="weights",
            )  # fmt: skip
            with gr.Accordion("View", open=True):
                show = gr.Radio(
                    [(title, key) for key, title in SHOWS.items()], value="overlay", label="Show", elem_id="show"
                )
                view = gr.Radio(
                    [("For the class", "positive"), ("For and against", "signed")], value="positive", label="Evidence",
                    info=VIEWS["positive"] + ".", elem_id="view",
                )  # fmt: skip
                bias = gr.Checkbox(
                    False, label="With the bias: each cell's own logit", elem_id="bias",
                    info="Moves where zero lies and no place. For CAM with signed weights.",
                )  # fmt: skip
                grid = gr.Checkbox(False, label="Grid cells as they are, not interpolated", elem_id="grid")
                contour = gr.Checkbox(False, label="Contour and box", elem_id="contour")
                threshold = gr.Slider(5, 95, 50, step=5, label="… at this % of each map's maximum", elem_id="threshold",
                                      info="The box holds the largest part above this level.")  # fmt: skip
                opacity = gr.Slider(10, 100, 80, step=5, label="Heatmap opacity (%)", elem_id="opacity",
                                    info="How far the colours cover the photo.")  # fmt: skip
                colormap = gr.Dropdown(
                    [(title, key) for key, title in COLORMAPS.items()], value="inferno", label="Colour map",
                    info="Diverging maps are used for evidence for and against.", elem_id="colormap",
                )  # fmt: skip
                own_scale = gr.Checkbox(
                    False, label="Scale each map on its own (brightness is then not comparable)", elem_id="own-scale"
                )

    ready = gr.State(0)
    example_key = gr.State("")  # which of the bundled pictures it is; the same file may be two of them
    choices = [
        class_name,
        method,
        weights,
        budget,
        bias,
        show,
        view,
        grid,
        contour,
        threshold,
        opacity,
        colormap,
        own_scale,
    ]
    outputs = [
        finding_html, crop, crop_facts, *pictures.values(), *facts.values(), bar, note, maps_row, wipe, wipe_at, single,
        weights, view, budget, method,
    ]  # fmt: skip

    def drawn(image_file: str | None, checkpoint_name: str | None, *chosen: Any, progress: Any = None) -> list[Any]:
        encoded = bench.encode(image_file, checkpoint_name)
        explanation = _explained(encoded, *chosen[:5], progress=progress)
        return _answers(encoded, explanation, _drawing(*chosen[5:]), chosen[5])

    @in_words
    def on_choice(image_file: str | None, checkpoint_name: str | None, *chosen: Any) -> list[Any]:
        progress = gr.Progress() if chosen[1] == "score-cam" else None
        # The method is left as it is: a visitor may have chosen another one while this was being answered.
        return [*drawn(image_file, checkpoint_name, *chosen, progress=progress)[:-1], gr.skip()]

    @in_words
    def on_picture(image_file: str | None, checkpoint_name: str | None, *chosen: Any) -> list[Any]:
        if not image_file:
            empty = gr.Dropdown(choices=[], value=None)
            return [
                empty,
                _finding("Choose a picture: upload, paste, use the camera, or click an example."),
                *_nothing(),
            ]
        encoded = bench.encode(image_file, checkpoint_name)
        index = _class_or_predicted(encoded, chosen[0])
        name = encoded.model.class_names[index]
        dropdown = gr.Dropdown(choices=_class_choices(encoded), value=name)
        return [dropdown, *drawn(image_file, checkpoint_name, name, *chosen[1:])]

    def on_new_picture(image_file: str | None, checkpoint_name: str | None, *chosen: Any) -> list[Any]:
        return on_picture(image_file, checkpoint_name, None, *chosen[1:])

    @in_words
    def on_example(event: gr.SelectData, checkpoint_name: str | None, *chosen: Any) -> list[Any]:
        example = chosen_example(event.index)
        answers = on_picture(str(example.path), checkpoint_name, example.class_name, *chosen[1:])
        return [example.key, str(example.path), _reason(example), *answers]

    def restore(view: View) -> tuple[list[Any], list[str]]:
        asked, notes = possible_view(bench, view)
        example, chosen = example_by_key(asked.example), choices_of(asked)
        answers = on_picture(str(example.path), asked.checkpoint, *chosen)
        return [asked.checkpoint, *chosen[1:], example.key, str(example.path), _reason(example), *answers], notes

    @in_words
    def on_download(image_file: str | None, checkpoint_name: str | None, *chosen: Any) -> str:
        encoded = bench.encode(image_file, checkpoint_name)
        return str(zip_file(encoded, _explained(encoded, *chosen[:5]), _drawing(*chosen[5:])))

    @in_words
    def on_report(image_file: str | None, checkpoint_name: str | None, *chosen: Any) -> str:
        encoded = bench.encode(image_file, checkpoint_name)
        explanation = _explained(encoded, *chosen[:5])
        return str(report_file(encoded, explanation, _drawing(*chosen[5:]), Path(image_file or "").name))

    @in_words
    def on_card(image_file: str | None, checkpoint_name: str | None, *chosen: Any) -> str:
        explanation = _explained(bench.encode(image_file, checkpoint_name), *chosen[:5])
        return str(card_file(explanation, _drawing(*chosen[5:])))

    seen = [image, checkpoint, *choices]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", "concurrency_limit": 4}
    loaded = [example_key, image, reason, class_name, *outputs]
    done = {"fn": lambda count: count + 1, "inputs": ready, "outputs": ready, "api_visibility": "private"}
    gallery.select(on_example, [checkpoint, *choices], loaded, **quiet).then(**done)
    for event in (image.upload, image.clear):
        event(on_new_picture, seen, [class_name, *outputs], **quiet).then(
            lambda: ("", ""), None, [reason, example_key], api_visibility="private"
        ).then(**done)
    checkpoint.input(on_picture, seen, [class_name, *outputs], **quiet).then(**done)
    for component in choices:
        # A slider's `release` and `input` each miss something (the keyboard, the reset button); `change` does not.
        # Score-CAM's budget alone waits for the release: every value in between would run the network.
        happened = getattr(component, "input")  # noqa: B009 - events are added at run time, unseen by mypy
        if isinstance(component, gr.Slider):
            happened = component.release if component is budget else component.change
        happened(on_choice, seen, outputs, trigger_mode="always_last", **quiet).then(**done)
    wipe_at.change(lambda place: gr.update(slider_position=place), wipe_at, wipe, trigger_mode="always_last", **quiet)
    for (key, button), handler in zip(prepare.items(), (on_download, on_report, on_card), strict=True):
        # On success alone: a refusal must not hand out the file of the time before.
        button.click(handler, seen, downloads[key], **quiet).success(None, js=press_js(key), api_visibility="private")

    def redraw(event: Any) -> None:
        event.then(on_picture, seen, [class_name, *outputs], **quiet).then(**done)

    restored = [checkpoint, *choices[1:], *loaded]
    return CompareScreen(
        image, checkpoint, class_name, method, weights, ready, redraw, choices, example_key, restored, restore, done
    )


def compare(
    bench: Workbench, image: str, checkpoint: str | None, class_name: str | None, method: str, weights: str
) -> tuple[Any, Any, Any, dict[str, Any]]:
    """What the `/compare` endpoint answers: the three overlays and all numbers, maps included."""
    encoded = bench.encode(image, checkpoint)
    explanation = encoded.explain(
        class_name or None, method or None, weights or "signed", score_cam_channels=BUDGET, progress=leave_off_if_left
    )
    pictures = branch_pictures(explanation, Drawing())
    said = {**summary(explanation), "finding": finding(explanation)}
    for branch in BRANCHES:
        said[branch]["map"] = getattr(explanation, branch).map.tolist()
    return pictures["softmax"], pictures["sigmoid"], pictures["centred"], said


def _explained(
    encoded: EncodedImage, class_name: str | None, method: str, weights: str, budget: int, with_bias: bool,
    *, progress: Any = None,
) -> Explanation:  # fmt: skip
    """The explanation; the bias is added where it and the map make the logit, and `_note` says which is drawn."""

    def show(done: int, total: int) -> None:
        leave_off_if_left(done, total)
        if progress is not None:
            progress((done, total), desc="Score-CAM", unit="channels")

    # Another checkpoint may have a head that does not allow the method that was chosen for the one before.
    head = encoded.model.softmax_head
    method = method if method in methods_of(head) else default_method(head)
    with_bias = with_bias and can_add_bias(encoded.model, method, weights)
    return encoded.explain(
        _class_or_predicted(encoded, class_name),
        method,
        weights,
        with_bias=with_bias,
        score_cam_channels=int(budget),
        progress=show,
    )


def _drawing(
    show: str, view: Any, grid: bool, contour: bool, threshold: float, opacity: float, colormap: str, own_scale: bool
) -> Drawing:
    return Drawing(
        view=view,
        overlay=show != "heatmap",
        colormap=colormap,
        heatmap_opacity=opacity / 100,
        smooth=not grid,
        threshold_share=threshold / 100 if contour else None,
        own_scale=own_scale,
    )


def _answers(encoded: EncodedImage, explanation: Explanation, drawing: Drawing, show: str) -> list[Any]:
    """Every output of the screen, in the order of `outputs`."""
    side_by_side = show in ("overlay", "heatmap")
    pictures = branch_pictures(explanation, drawing)
    single, bar = (
        gr.update(visible=False),
        scale_bar(shared_limit_of(explanation, drawing), drawing, explanation.method),
    )
    if drawing.own_scale:
        bar = ""
    if show == "difference":
        picture, limit = difference_picture(explanation, drawing)
        bar = scale_bar(
            limit, replace(drawing, view="signed"), explanation.method, ("softmax claims more", "sigmoid claims more")
        )
        text = "Sigmoid less softmax: red where the sigmoid branch claims more, blue where softmax does"
        single = gr.update(value=picture, visible=True, alt_text=text, label=text)
    wiped = (pictures["softmax"], pictures["sigmoid"]) if show == "wipe" else None
    softmax, sigmoid = area_text(explanation.softmax), area_text(explanation.sigmoid)
    words = f"Left: softmax branch, evidence on {softmax} of the picture. Right: sigmoid branch, on {sigmoid}."
    wipe = gr.update(value=wiped, visible=show == "wipe", label=words)
    return [
        _finding(finding(explanation), _prediction(encoded, explanation)),
        gr.update(
            value=encoded.crop.resize((448, 448)),
            alt_text=f"The picture as the model saw it; it predicts {explanation.predicted_name}",
        ),
        _crop_facts(encoded),
        *(gr.update(value=pictures[branch], alt_text=alt_text(explanation, branch)) for branch in BRANCHES),
        *(_facts(explanation, branch) for branch in BRANCHES),
        bar,
        _note(explanation, drawing, encoded.model),
        gr.Row(visible=side_by_side),
        wipe,
        gr.Slider(visible=show == "wipe"),
        single,
        gr.Radio(info=TREATMENTS[explanation.weights]),
        gr.Radio(info=VIEWS[drawing.view] + "."),
        gr.Slider(visible=explanation.method == "score-cam"),
        gr.Dropdown(choices=_method_choices(encoded.model), value=explanation.method),
    ]


def _nothing() -> list[Any]:
    """`_answers` without its first entry, for no picture."""
    empty = gr.update(value=None, alt_text="")
    words = ["", "", ""]
    rest = [
        gr.Row(),
        gr.update(value=None),
        gr.Slider(),
        gr.update(value=None),
        gr.Radio(),
        gr.Radio(),
        gr.Slider(),
        gr.skip(),
    ]
    return [empty, "", empty, empty, empty, *words, "", "", *rest]


def _class_or_predicted(encoded: EncodedImage, wanted: str | None) -> int:
    """The class asked for where this checkpoint has it, else its prediction: another checkpoint, other classes."""
    try:
        return find_class(encoded.model, wanted) if wanted else encoded.predicted_index
    except InputError:
        return encoded.predicted_index


def _class_choices(encoded: EncodedImage) -> list[tuple[str, str]]:
    """(label, name) of all classes: the top five of either branch first, with both probabilities."""
    names = encoded.model.class_names
    softmax, sigmoid = encoded.probabilities()
    top = list(dict.fromkeys([*encoded.top_classes("softmax"), *encoded.top_classes("sigmoid")]))
    rest = sorted(set(range(len(names))) - set(top), key=lambda index: names[index].casefold())
    first = [
        (
            f"{names[index]} (softmax {percent(float(softmax[index]))}, sigmoid {percent(float(sigmoid[index]))})",
            names[index],
        )
        for index in top
    ]
    return first + [(names[index], names[index]) for index in rest]


def _method_choices(model: DualBranch) -> list[tuple[str, str]]:
    """(label, key) of the methods that this model's head allows, in the order of `CAM_METHODS`."""
    allowed = methods_of(model.softmax_head)
    return [(_method_label(key), key) for key in CAM_METHODS if key in allowed]


def _method_label(key: str) -> str:
    method = CAM_METHODS[key]
    marks = [
        mark for mark, holds in (("slow", method.is_slow), ("no evidence against", not method.shows_negative)) if holds
    ]
    return f"{method.title} ({', '.join(marks)})" if marks else method.title


def _finding(text: str, small: str = "") -> str:
    below = f"<small>{html.escape(small)}</small>" if small else ""
    return f'<div class="bsig-finding" role="status">{html.escape(text)}{below}</div>'


def _prediction(encoded: EncodedImage, explanation: Explanation) -> str:
    softmax, sigmoid = encoded.probabilities()
    index = explanation.predicted_index
    return (
        f"Predicted: {explanation.predicted_name} (softmax {percent(float(softmax[index]))}, "
        f"sigmoid {percent(float(sigmoid[index]))}). Explained: {explanation.class_name}."
    )


def _crop_facts(encoded: EncodedImage) -> str:
    softmax = encoded.probabilities()[0]
    rows = [
        (encoded.model.class_names[index], percent(float(softmax[index]))) for index in encoded.top_classes(count=3)
    ]
    return _facts_list(rows)


def _facts(explanation: Explanation, branch: Branch) -> str:
    evidence = getattr(explanation, branch)
    rows = [
        ("Probability", percent(evidence.probability)),
        ("Logit", signed(evidence.logit, 2)),
        ("Positive area", area_text(evidence)),
        ("Range", f"{number_text(float(evidence.map.min()))} to {number_text(float(evidence.map.max()))}"),
    ]
    return _facts_list(rows, explain=branch == "softmax")  # once is enough


def _facts_list(rows: list[tuple[str, str]], *, explain: bool = False) -> str:
    written = explained if explain else html.escape
    return '<dl class="bsig-facts">' + "".join(
        f"<dt>{written(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in rows
    ) + "</dl>"  # fmt: skip


def _note(explanation: Explanation, drawing: Drawing, model: DualBranch) -> str:
    method = CAM_METHODS[explanation.method]
    rows, columns = explanation.softmax.map.shape
    sentences = [
        "Each map has its own scale: brightness cannot be compared." if drawing.own_scale else "",
        f"{method.title}: {method.note}",
        TREATMENTS[explanation.weights],
        BIAS_WORDS[explanation.with_bias],
        f"The maps have {rows} x {columns} cells; finer detail is interpolation.",
        "Positive area counts cells above zero.",
    ]
    of_model = [
        "" if model.features_at == "last" else f"Features are taken at layer '{model.features_at}'.",
        why_not_cam(model.softmax_head),
        not_trained(model),
    ]
    paragraphs = [" ".join(filter(None, part)) for part in (sentences, of_model)]
    return "".join(f'<p class="bsig-note">{html.escape(text)}</p>' for text in paragraphs if text)


def _reason(example: Any) -> str:
    return (
        f'<p class="bsig-note"><b>{html.escape(example.title)}.</b> {html.escape(example.reason)} '
        f"Really there: {html.escape(example.truth)}. Picture: {html.escape(example.credit)}.</p>"
    )
