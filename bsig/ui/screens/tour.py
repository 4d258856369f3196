"""The guided tour: four steps for someone who has one minute. Each is one picture, one control, two sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bsig.explain.cams import Branch
from bsig.explain.diagnostics.shift_request import ShiftRequest, shifted_picture
from bsig.explain.drawing.comparison import Drawing, alt_text, map_picture, shared_limit_of
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.wording import area_text, percent
from bsig.ui.components import html
from bsig.ui.components.examples import example_by_key
from bsig.ui.components.fields import Answers, InputValues
from bsig.ui.components.handlers import in_words
from bsig.ui.components.inputs import MapImage
from bsig.ui.workbench import Workbench

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
PICTURE = "cat"
LIKELIEST = ("likeliest class", "second class", "third class")
THERE = "what is there"
ABSENT = ("golf ball", "parachute", "gas pump", "French horn")
PLACES = ("top left", "bottom right", "hide it", "background")


@dataclass(frozen=True)
class StepAnswer:
    """What one step shows.

    Attributes:
        explanation: the explanation whose map is drawn.
        branch: the branch of that map.
        sentences: what is seen, and what follows from it.
        scale_of: the explanation that the scale is taken from, where it is another one: a heatmap that is hidden must
            look hidden, not stretched.
    """

    explanation: Explanation
    branch: Branch
    sentences: tuple[str, str]
    scale_of: Explanation | None = None


@dataclass(frozen=True)
class TourStep:
    """One step: its name, its title, its one control, and what the control's value shows."""

    label: str
    title: str
    control: str
    choices: tuple[str, ...]
    answer: Callable[[EncodedImage, str], StepAnswer]


def present_class(encoded: EncodedImage, choice: str) -> StepAnswer:
    """Step 1: the heatmap of a class that is there."""
    index = encoded.top_classes(count=len(LIKELIEST))[LIKELIEST.index(choice)]
    explanation = encoded.explain(index)
    softmax = explanation.softmax
    return StepAnswer(
        explanation,
        "softmax",
        (
            f"The model gives '{explanation.class_name}' {percent(softmax.probability)}, and the usual heatmap (CAM) "
            f"lights up on {area_text(softmax)} of the picture.",
            "It looks right, so one trusts it; the next steps ask it questions whose answer is known.",
        ),
    )


def absent_class(encoded: EncodedImage, choice: str) -> StepAnswer:
    """Step 2: the softmax heatmap of something that is not there."""
    explanation = encoded.explain(encoded.model.class_index(choice))
    softmax = explanation.softmax
    return StepAnswer(
        explanation,
        "softmax",
        (
            f"There is no {choice} in this picture, and the model knows it: {percent(softmax.probability)}.",
            f"Its heatmap still claims evidence for '{choice}' on {area_text(softmax)} of the picture, because softmax "
            "leaves open where zero lies.",
        ),
    )


def painted_map(encoded: EncodedImage, choice: str) -> StepAnswer:
    """Step 3: the same classifier with a painted heatmap."""
    shifted = shifted_picture(encoded, encoded.predicted_index, "cam", ShiftRequest("paint", choice))
    return StepAnswer(
        shifted.after,
        "softmax",
        (
            f"One vector, added to the weights of every class, puts the heatmap of '{shifted.before.class_name}' "
            f"where we want it ({choice}).",
            f"It is the same classifier: over all {encoded.model.num_classes} classes no probability changed by more "
            f"than {shifted.largest_change('softmax'):.0e}.",
        ),
        scale_of=shifted.before,
    )


def sigmoid_branch(encoded: EncodedImage, choice: str) -> StepAnswer:
    """Step 4: the sigmoid branch on a class that is there and on one that is not."""
    is_there = choice == THERE
    explanation = encoded.explain(None if is_there else encoded.model.class_index(choice))
    softmax, branch = explanation.softmax, explanation.sigmoid
    second = (
        "A vector added to all classes would change its probabilities, so its zero is fixed by labels, not by chance."
        if is_there
        else f"Softmax claimed {area_text(softmax)}: ask for what is not there before you trust a heatmap."
    )
    return StepAnswer(
        explanation,
        "sigmoid",
        (
            f"The sigmoid branch answers yes or no for each class: '{explanation.class_name}' "
            f"{percent(branch.probability)}, with evidence on {area_text(branch)} of the picture.",
            second,
        ),
    )


STEPS: tuple[TourStep, ...] = (
    TourStep("Trust", "The heatmap you trust", "Explain the", LIKELIEST, present_class),
    TourStep("Ask", "Ask for what is not there", "Ask for", ABSENT, absent_class),
    TourStep("Move", "The same model, another heatmap", "Put the heatmap", PLACES, painted_map),
    TourStep("Answer", "What the sigmoid branch shows", "Ask the sigmoid branch for", (THERE, *ABSENT), sigmoid_branch),
)


@dataclass(frozen=True)
class _Pane:
    """The parts of one step."""

    step: TourStep
    control: gr.Radio
    picture: MapImage
    words: gr.HTML


@dataclass(frozen=True)
class TourScreen:
    """What a link says of the tour.

    Attributes:
        walk: which step is open.
        controls: the control of each step.
        opened: the arguments of the event that draws all steps.
    """

    walk: gr.Walkthrough
    controls: list[gr.Radio]
    opened: dict[str, Any]


def build_tour(bench: Workbench, tab: gr.Tab) -> TourScreen:
    """Lays out the four steps and connects them."""
    with gr.Walkthrough(selected=0, elem_id="tour") as walk:
        panes = [_step_part(number, step, walk) for number, step in enumerate(STEPS)]

    @in_words
    def on_open(values: InputValues) -> Answers:
        return {part: answer for pane in panes for part, answer in _drawn(bench, pane, values[pane.control]).items()}

    controls = [pane.control for pane in panes]
    outputs = [part for pane in panes for part in (pane.picture, pane.words)]
    opened = {"fn": on_open, "inputs": set(controls), "outputs": outputs, **QUIET}
    tab.select(**opened)
    for pane in panes:
        pane.control.input(_on_choice(bench, pane), pane.control, [pane.picture, pane.words], **QUIET)
    return TourScreen(walk, controls, opened)


def _step_part(number: int, step: TourStep, walk: gr.Walkthrough) -> _Pane:
    with gr.Step(step.label, id=number), gr.Row(elem_classes="bsig-main"):
        with gr.Column(scale=1, min_width=300):
            picture = MapImage(
                show_label=False, format="png", interactive=False, buttons=["fullscreen"], height=448,
                elem_id=f"tour-picture-{number}", elem_classes="bsig-map",
            )  # fmt: skip
        with gr.Column(scale=1, min_width=300):
            gr.HTML(html.heading(f"{number + 1}. {step.title}"))
            words = gr.HTML(elem_id=f"tour-words-{number}")
            control = gr.Radio(
                list(step.choices), value=step.choices[0], label=step.control, elem_id=f"tour-control-{number}"
            )
            with gr.Row():
                if number:
                    _leads_to(gr.Button("Back", size="sm"), number - 1, walk)
                if number + 1 < len(STEPS):
                    button = gr.Button("Next", variant="primary", size="sm", elem_id=f"tour-next-{number}")
                    _leads_to(button, number + 1, walk)
    return _Pane(step, control, picture, words)


def _leads_to(button: gr.Button, number: int, walk: gr.Walkthrough) -> None:
    button.click(lambda: gr.Walkthrough(selected=number), None, walk, api_visibility="private")


def _on_choice(bench: Workbench, pane: _Pane) -> Callable[[str | None], Answers]:
    @in_words
    def on_choice(choice: str | None) -> Answers:
        return _drawn(bench, pane, choice)

    return on_choice


def _drawn(bench: Workbench, pane: _Pane, choice: str | None) -> Answers:
    """The picture and the words of a step for its control's value."""
    choice = choice or pane.step.choices[0]
    encoded = bench.encode(example_by_key(PICTURE).path, bench.default_checkpoint)
    if choice in ABSENT and choice not in encoded.model.class_names:
        words = f"This checkpoint has no class '{choice}'. Start the tour with the default one."
        return {pane.picture: None, pane.words: html.finding(words)}
    answer = pane.step.answer(encoded, choice)
    evidence = answer.explanation.evidence(answer.branch)
    limit = shared_limit_of(answer.scale_of or answer.explanation, Drawing())
    picture = map_picture(answer.explanation, evidence.map, limit, Drawing())
    return {
        pane.picture: gr.update(value=picture, alt_text=alt_text(answer.explanation, answer.branch)),
        pane.words: html.finding(" ".join(answer.sentences)),
    }
