"""The guided tour: four steps for someone who has one minute, and then the visitor's own picture.

Steps 1 and 2 show both branches' maps of one class side by side; in 3 and 4 the visitor drags a map, of the softmax and
of the sigmoid branch, beside the probabilities that stand still or move. Each step is one control and two sentences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import numpy as np

from bsig.explain.cams import Branch
from bsig.explain.diagnostics.map_drag import MapDrag, map_drag
from bsig.explain.diagnostics.shift_request import ShiftRequest, shifted_picture
from bsig.explain.drawing.comparison import Drawing, alt_text, map_picture, shared_limit_of
from bsig.explain.drawing.heatmaps import shared_limit
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.readings import comparison_readings
from bsig.explain.verdict import capital, part_of
from bsig.explain.wording import change_text, map_reading, percent, sigmoid_branch, tiny_percent
from bsig.ui.components import html
from bsig.ui.components.drag import drag_html, painted_html
from bsig.ui.components.examples import example_by_key
from bsig.ui.components.fields import Answers, InputValues
from bsig.ui.components.figure import figure
from bsig.ui.components.handlers import PRIVATE, in_words
from bsig.ui.components.inputs import OPEN_COMPARE_JS, MapImage
from bsig.ui.screens.compare.screen import CompareScreen, picture_answers
from bsig.ui.workbench import Workbench

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
PICTURE = "coffee"
LIKELIEST = ("likeliest class", "second class", "third class")
THERE = "what is there"
ABSENT = ("golf ball", "parachute", "gas pump", "French horn")
AS_IT_IS = "where it is"
CORNER = "top left"
PLACES = (AS_IT_IS, CORNER, "bottom right", "hide it", "background")
SHOWN: dict[Branch, tuple[str, str]] = {
    "softmax": ("Softmax heatmap", "the usual one (CAM)"),
    "sigmoid": ("Sigmoid heatmap", "the branch that explains, as in Compare"),
}
PICTURE_IDS: dict[Branch, str] = {"softmax": "tour-picture-{}", "sigmoid": "tour-picture-{}-sigmoid"}
DRAG_ID = "tour-drag-{}"
SURE, DENIED = 0.5, 0.1
"""Softmax probabilities: from the first the model is called sure of a class, below the second it denies it."""
WIDE = 0.5
"""The share of a picture above which bright cells hardly say where."""
NO_DRAG = "This checkpoint's head is not average pool and one linear layer, so its heatmap cannot be dragged."


@dataclass(frozen=True)
class StepAnswer:
    """The pictures and words of one step.

    Attributes:
        explanation: the explanation whose maps are drawn.
        sentences: what is seen, and what follows from it.
        drag: what the visitor drags and the map it starts with; None where both branches' maps are shown instead.
    """

    explanation: Explanation
    sentences: tuple[str, str]
    drag: tuple[MapDrag, np.ndarray] | None = None


@dataclass(frozen=True)
class TourStep:
    """One step: its name, its title, its one control, what the control's value shows, and whether it is dragged."""

    label: str
    title: str
    control: str
    choices: tuple[str, ...]
    answer: Callable[[EncodedImage, str], StepAnswer]
    is_dragged: bool = False


def present_class(encoded: EncodedImage, choice: str) -> StepAnswer:
    """Step 1: the heatmaps of a class that is there."""
    index = encoded.top_classes(count=len(LIKELIEST))[LIKELIEST.index(choice)]
    explanation = encoded.explain(index, **comparison_readings(encoded.model, None, "signed"))
    softmax = explanation.softmax
    peak = float(softmax.map.max())
    bright = float((softmax.map >= peak / 2).mean()) if peak > 0 else 0.0
    return StepAnswer(
        explanation,
        trust_sentences(explanation.class_name, softmax.probability, softmax.positive_area, bright),
    )


def trust_sentences(name: str, probability: float, area: float, bright: float) -> tuple[str, str]:
    """What softmax says of a likely class, and whether its heatmap looks like it.

    Args:
        name: of the class.
        probability: of softmax.
        area: share of the softmax map's cells above zero, 0 to 1.
        bright: share of its cells of at least half its maximum, 0 to 1; no more than `area`.
    """
    parts, is_sure = (part_of(area), part_of(bright)), probability >= SURE
    place = "nowhere" if not area else f"on {parts[0]} of the picture"
    if area and parts[0] != parts[1]:
        place += f", brightest on {parts[1]}"
    if not area:
        judgement = f"It is blank{', though softmax is sure' if is_sure else ''}: it does not say where."
    elif bright > WIDE:
        doubt = "though softmax is sure" if is_sure else "and softmax is not sure"
        judgement = f"Most of the picture is bright: it hardly says where, {doubt}."
    elif is_sure:
        judgement = "Softmax is sure and the heatmap has a bright place, so one trusts it."
    else:
        judgement = "Softmax is not sure, yet the heatmap has a bright place, as one to trust would have."
    return (
        f"Softmax gives '{name}' {percent(probability)}, and its heatmap (CAM) lights up {place}.",
        f"{judgement} The next steps ask it questions whose answer is known.",
    )


def absent_class(encoded: EncodedImage, choice: str) -> StepAnswer:
    """Step 2: the heatmaps of something that is not there."""
    readings = comparison_readings(encoded.model, None, "signed")
    explanation = encoded.explain(encoded.model.class_index(choice), **readings)
    softmax, sigmoid, reading = explanation.softmax, explanation.sigmoid, map_reading(explanation, "sigmoid")
    return StepAnswer(
        explanation,
        absence_sentences(choice, softmax.probability, (softmax.positive_area, sigmoid.positive_area), reading),
    )


def absence_sentences(name: str, probability: float, areas: tuple[float, float], reading: str = "") -> tuple[str, str]:
    """What softmax says of a class that is not there, and how much of the picture each branch's map claims for it.

    Args:
        name: of the class.
        probability: of softmax.
        areas: share of the softmax and of the sigmoid map's cells above zero, 0 to 1.
        reading: what the sigmoid map was turned into, as of `map_reading`.
    """
    softmax, sigmoid = areas
    branch = sigmoid_branch(reading)
    knows = "and the model knows it:" if probability < DENIED else "yet softmax gives it"
    texts = part_of(softmax), part_of(sigmoid)
    if not softmax and not sigmoid:
        claim = f"Neither heatmap claims any evidence for '{name}'."
    elif texts[0] == texts[1]:
        claim = f"Both heatmaps claim evidence for '{name}' on {texts[0]} of the picture."
    elif sigmoid < softmax:
        claim = (
            f"The softmax heatmap still claims evidence for '{name}' on {texts[0]} of the picture, because softmax "
            f"leaves open where zero lies; {branch} claims {texts[1]}."
        )
    else:
        claim = (
            f"{capital(branch)} claims evidence for '{name}' on {texts[1]} of the picture, more than softmax "
            f"({texts[0]}): here its heatmap is the worse one."
        )
    return f"There is no {name} in this picture, {knows} {percent(probability)}.", claim


def softmax_drag(encoded: EncodedImage, choice: str) -> StepAnswer:
    """Step 3: the softmax heatmap in the visitor's hand, at the start where the choice puts it."""
    index = encoded.predicted_index
    place = CORNER if choice == AS_IT_IS else choice
    picture = shifted_picture(encoded, index, "cam", ShiftRequest("paint", place))
    change = picture.largest_change("softmax")
    bound = f" by more than {tiny_percent(change)}" if change else ""
    side = picture.before if choice == AS_IT_IS else picture.after
    return StepAnswer(
        picture.before,
        (
            f"Drag the heatmap of '{side.class_name}' wherever you like: one vector, added to the weights of every "
            "class, puts it there.",
            f"It is the same classifier. Under the shift '{place}' none of its {encoded.model.num_classes} "
            f"probabilities changes{bound}, so nothing tells you which heatmap is the honest one.",
        ),
        (map_drag(encoded, index), side.softmax.map),
    )


def sigmoid_drag(encoded: EncodedImage, choice: str) -> StepAnswer:
    """Step 4: the sigmoid branch's heatmap in the visitor's hand."""
    index = encoded.predicted_index if choice == THERE else encoded.model.class_index(choice)
    picture = shifted_picture(encoded, encoded.predicted_index, "cam", ShiftRequest("paint", CORNER))
    before, after = picture.sigmoid_probability()
    explanation = encoded.explain(index, "cam")
    return StepAnswer(
        explanation,
        (
            f"Now drag the sigmoid branch's heatmap of '{explanation.class_name}': each class has a probability of its "
            f"own, so the probabilities move with it. Under the vector that took the softmax heatmap to '{CORNER}', "
            f"'{picture.before.class_name}' {change_text(percent(before), percent(after))}.",
            "No logit shift moves it unseen, since each class has its own probability: one that keeps the map's mean "
            "does not show on this picture, but it does on others.",
        ),
        (map_drag(encoded, index, "sigmoid"), explanation.sigmoid.map),
    )


STEPS: tuple[TourStep, ...] = (
    TourStep("Trust", "Would you trust this heatmap?", "Explain the", LIKELIEST, present_class),
    TourStep("Ask", "Ask for what is not there", "Ask for", ABSENT, absent_class),
    TourStep("Drag", "Drag the heatmap; the classifier stays the same", "Put it", PLACES, softmax_drag, True),
    TourStep(
        "Answer", "In the sigmoid branch a drag shows", "Drag the heatmap of", (THERE, *ABSENT), sigmoid_drag, True
    ),
)


@dataclass(frozen=True)
class _Pane:
    """The parts of one step: maps by branch, or the block of a drag and the map it starts with."""

    step: TourStep
    control: gr.Radio
    words: gr.HTML
    pictures: dict[Branch, MapImage]
    drag: tuple[gr.HTML, ...]

    @property
    def outputs(self) -> list[Any]:
        """The parts that the control's value changes."""
        return [self.words, *self.pictures.values(), *self.drag]


@dataclass(frozen=True)
class TourScreen:
    """The parts of the tour that a link sets.

    Attributes:
        walk: which step is open.
        controls: the control of each step.
        open_event: the arguments of the event that draws all steps.
    """

    walk: gr.Walkthrough
    controls: list[gr.Radio]
    open_event: dict[str, Any]


def build_tour(bench: Workbench, compare: CompareScreen, tab: gr.Tab) -> TourScreen:
    """Lays out the four steps and connects them."""
    with gr.Walkthrough(selected=0, elem_id="tour") as walk:
        panes = [_step_part(number, step, walk) for number, step in enumerate(STEPS)]
    with figure("Now your own picture", "See what both branches say of it, and drag its heatmap."):
        own = gr.UploadButton(
            "Try your picture", file_types=["image"], variant="primary", elem_id="tour-own", scale=0, min_width=220
        )

    @in_words
    def on_open(values: InputValues) -> Answers:
        return {
            part: answer for pane in panes for part, answer in _step_answers(bench, pane, values[pane.control]).items()
        }

    controls = [pane.control for pane in panes]
    outputs = [part for pane in panes for part in pane.outputs]
    open_event = {"fn": on_open, "inputs": set(controls), "outputs": outputs, **QUIET}
    tab.select(**open_event)
    for pane in panes:
        pane.control.input(_on_choice(bench, pane), pane.control, pane.outputs, **QUIET)
    _connect_own(bench, compare, own)
    return TourScreen(walk, controls, open_event)


def _connect_own(bench: Workbench, compare: CompareScreen, own: gr.UploadButton) -> None:
    """The visitor's picture opens in Compare, with the class that is predicted."""
    layout, fields = compare.layout, compare.fields

    @in_words
    def on_own(values: InputValues) -> Answers:
        inputs = replace(fields.read(values), image=values[own], class_name=None)
        return {fields.image: inputs.image, layout.reason: "", layout.example: "",
                **picture_answers(bench, layout, inputs)}  # fmt: skip

    outputs = [fields.image, layout.reason, layout.example, *layout.outputs]
    event = own.upload(on_own, fields.components | {own}, outputs, **PRIVATE)
    event.success(None, None, None, js=OPEN_COMPARE_JS).then(**compare.ready_event)


def _step_part(number: int, step: TourStep, walk: gr.Walkthrough) -> _Pane:
    with gr.Step(step.label, id=number):
        gr.HTML(html.section(f"{number + 1}. {step.title}"))
        words = gr.HTML(elem_id=f"tour-words-{number}")
        with gr.Row(elem_classes="bsig-main"):
            with gr.Column(scale=3, min_width=320):
                pictures = {} if step.is_dragged else _pictures(number)
                keys = (DRAG_ID, "tour-painted-{}") if step.is_dragged else ()
                drag = tuple(gr.HTML(elem_id=key.format(number)) for key in keys)
            with gr.Column(scale=1, min_width=240):
                control = gr.Radio(
                    list(step.choices), value=step.choices[0], label=step.control, elem_id=f"tour-control-{number}"
                )
                with gr.Row():
                    if number:
                        _leads_to(gr.Button("Back", size="sm"), number - 1, walk)
                    if number + 1 < len(STEPS):
                        button = gr.Button("Next", variant="primary", size="sm", elem_id=f"tour-next-{number}")
                        _leads_to(button, number + 1, walk)
    return _Pane(step, control, words, pictures, drag)


def _pictures(number: int) -> dict[Branch, MapImage]:
    """Both branches' maps, side by side."""
    pictures: dict[Branch, MapImage] = {}
    with gr.Row(elem_classes="bsig-grid"):
        for branch, (title, text) in SHOWN.items():
            with gr.Column(min_width=0):
                gr.HTML(html.heading(title, text))
                pictures[branch] = MapImage(
                    show_label=False, format="png", interactive=False, buttons=["fullscreen"],
                    elem_id=PICTURE_IDS[branch].format(number), elem_classes="bsig-map",
                )  # fmt: skip
    return pictures


def _leads_to(button: gr.Button, number: int, walk: gr.Walkthrough) -> None:
    button.click(lambda: gr.Walkthrough(selected=number), None, walk, api_visibility="private")


def _on_choice(bench: Workbench, pane: _Pane) -> Callable[[str | None], Answers]:
    @in_words
    def on_choice(choice: str | None) -> Answers:
        return _step_answers(bench, pane, choice)

    return on_choice


def _step_answers(bench: Workbench, pane: _Pane, choice: str | None) -> Answers:
    """The pictures and the words of a step for its control's value."""
    choice = choice or pane.step.choices[0]
    encoded = bench.encode(example_by_key(PICTURE).path, bench.default_checkpoint)
    nothing: Answers = dict.fromkeys(pane.outputs)
    if choice in ABSENT and choice not in encoded.model.class_names:
        words = f"This checkpoint has no class '{choice}'. Start the tour with the default one."
        return {**nothing, pane.words: html.finding(words)}
    if pane.step.is_dragged and not encoded.model.softmax_head.cam_is_exact:
        return {**nothing, pane.words: html.finding(NO_DRAG)}
    answer = pane.step.answer(encoded, choice)
    words = html.finding(*answer.sentences)
    answers = _maps(pane, answer.explanation) if answer.drag is None else _drag(pane, answer.explanation, *answer.drag)
    return {pane.words: words, **answers}


def _maps(pane: _Pane, explanation: Explanation) -> Answers:
    """Both branches' maps on one scale."""
    limit = shared_limit_of(explanation, Drawing())
    return {
        picture: gr.update(
            value=map_picture(explanation, explanation.evidence(branch).map, limit, Drawing()),
            alt_text=alt_text(explanation, branch),
        )
        for branch, picture in pane.pictures.items()
    }


def _drag(pane: _Pane, explanation: Explanation, drag: MapDrag, start: np.ndarray) -> Answers:
    """The map to drag, on the scale of both branches' own maps, and where it starts."""
    block, painted_map = pane.drag
    elem_id = DRAG_ID.format(STEPS.index(pane.step))
    drag_block = drag_html(
        drag, explanation.crop, shared_limit(explanation.softmax.map, explanation.sigmoid.map), elem_id=elem_id,
        text=f"'{drag.class_name}': drag it anywhere",
    )  # fmt: skip
    return {block: drag_block, painted_map: painted_html(start, elem_id)}
