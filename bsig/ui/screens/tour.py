"""The guided tour: four steps for someone who has one minute. Each is one picture, one control, two sentences."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bsig.explain.cams import Branch
from bsig.explain.diagnostics.shift_request import ShiftRequest, shifted_picture
from bsig.explain.drawing.comparison import Drawing, alt_text, map_picture, shared_limit_of
from bsig.explain.explainer import EncodedImage, find_class
from bsig.explain.explanation import Explanation
from bsig.explain.wording import area_text, percent
from bsig.ui.components.examples import example_by_key
from bsig.ui.components.handlers import in_words
from bsig.ui.components.html import heading
from bsig.ui.components.inputs import MapImage
from bsig.ui.workbench import Workbench

PICTURE = "cat"
ABSENT = ("golf ball", "parachute", "gas pump", "French horn")
PLACES = ("top left", "bottom right", "hide it", "background")


@dataclass(frozen=True)
class Shown:
    """One step's answer: a picture, its description, two sentences."""

    explanation: Explanation
    branch: Branch
    sentences: tuple[str, str]
    limit_from: Explanation | None = None


@dataclass(frozen=True)
class TourStep:
    """One step: its name, its title, its one control, and what the control's value shows."""

    label: str
    title: str
    control: str
    choices: tuple[str, ...]
    answer: Callable[[EncodedImage, str], Shown]


def trusted(encoded: EncodedImage, choice: str) -> Shown:
    """Step 1: the heatmap of a class that is there."""
    index = encoded.top_classes(count=3)[("likeliest", "second", "third").index(choice.split()[0])]
    explanation = encoded.explain(index)
    softmax = explanation.softmax
    return Shown(
        explanation,
        "softmax",
        (
            f"The model gives '{explanation.class_name}' {percent(softmax.probability)}, and the usual heatmap (CAM) "
            f"lights up on {area_text(softmax)} of the picture.",
            "It looks right, so one trusts it; the next steps ask it questions whose answer is known.",
        ),
    )


def absent(encoded: EncodedImage, choice: str) -> Shown:
    """Step 2: the softmax heatmap of something that is not there."""
    explanation = encoded.explain(find_class(encoded.model, choice))
    softmax = explanation.softmax
    return Shown(
        explanation,
        "softmax",
        (
            f"There is no {choice} in this picture, and the model knows it: {percent(softmax.probability)}.",
            f"Its heatmap still claims evidence for '{choice}' on {area_text(softmax)} of the picture, because softmax "
            "leaves open where zero lies.",
        ),
    )


def moved(encoded: EncodedImage, choice: str) -> Shown:
    """Step 3: the same classifier with a painted heatmap."""
    shifted = shifted_picture(encoded, encoded.predicted_index, "cam", ShiftRequest("paint", choice))
    return Shown(
        shifted.after,
        "softmax",
        (
            f"One vector, added to the weights of every class, puts the heatmap of '{shifted.before.class_name}' "
            f"where we want it ({choice}).",
            f"It is the same classifier: over all {encoded.model.num_classes} classes no probability changed by more "
            f"than {shifted.softmax_change:.0e}.",
        ),
        limit_from=shifted.before,
    )


def sigmoid(encoded: EncodedImage, choice: str) -> Shown:
    """Step 4: the sigmoid branch on a class that is there and on one that is not."""
    is_there = choice == "what is there"
    explanation = encoded.explain(None if is_there else find_class(encoded.model, choice))
    softmax, branch = explanation.softmax, explanation.sigmoid
    second = (
        "A vector added to all classes would change its probabilities, so its zero is fixed by labels, not by chance."
        if is_there
        else f"Softmax claimed {area_text(softmax)}: ask for what is not there before you trust a heatmap."
    )
    return Shown(
        explanation,
        "sigmoid",
        (
            f"The sigmoid branch answers yes or no for each class: '{explanation.class_name}' "
            f"{percent(branch.probability)}, with evidence on {area_text(branch)} of the picture.",
            second,
        ),
    )


STEPS: tuple[TourStep, ...] = (
    TourStep(
        "Trust", "The heatmap you trust", "Explain the", ("likeliest class", "second class", "third class"), trusted
    ),
    TourStep("Ask", "Ask for what is not there", "Ask for", ABSENT, absent),
    TourStep("Move", "The same model, another heatmap", "Put the heatmap", PLACES, moved),
    TourStep(
        "Answer", "What the sigmoid branch shows", "Ask the sigmoid branch for", ("what is there", *ABSENT), sigmoid
    ),
)


@dataclass(frozen=True)
class TourScreen:
    """What a link says of the tour; `draw` answers each control's choice, for `outputs`."""

    walk: gr.Walkthrough
    controls: list[gr.Radio]
    draw: Callable[..., list[Any]]
    outputs: list[Any]


def build_tour(bench: Workbench, tab: gr.Tab) -> TourScreen:
    """Lays out the four steps and connects them."""
    with gr.Walkthrough(selected=0, elem_id="tour") as walk:
        panes = []
        for number, step in enumerate(STEPS):
            with gr.Step(step.label, id=number), gr.Row(elem_classes="bsig-main"):
                with gr.Column(scale=1, min_width=300):
                    picture = MapImage(
                        show_label=False, format="png", interactive=False, buttons=["fullscreen"], height=448,
                        elem_id=f"tour-picture-{number}", elem_classes="bsig-map",
                    )  # fmt: skip
                with gr.Column(scale=1, min_width=300):
                    gr.HTML(heading(f"{number + 1}. {step.title}", ""))
                    words = gr.HTML(elem_id=f"tour-words-{number}")
                    control = gr.Radio(
                        list(step.choices), value=step.choices[0], label=step.control, elem_id=f"tour-control-{number}"
                    )
                    with gr.Row():
                        if number:
                            gr.Button("Back", size="sm").click(
                                lambda to=number - 1: gr.Walkthrough(selected=to), None, walk, api_visibility="private"
                            )
                        if number + 1 < len(STEPS):
                            gr.Button("Next", variant="primary", size="sm", elem_id=f"tour-next-{number}").click(
                                lambda to=number + 1: gr.Walkthrough(selected=to), None, walk, api_visibility="private"
                            )
                    panes.append((step, control, picture, words))

    def shown(step: TourStep, choice: str | None) -> list[Any]:
        choice = choice or step.choices[0]
        encoded = bench.encode(example_by_key(PICTURE).path, bench.default_checkpoint)
        if any(choice == name and name not in encoded.model.class_names for name in ABSENT):
            return [None, _words(f"This checkpoint has no class '{choice}'.", "Start the tour with the default one.")]
        answer = step.answer(encoded, choice)
        evidence = getattr(answer.explanation, answer.branch)
        # The scale of the honest picture: a heatmap that is hidden must look hidden, not stretched.
        limit = shared_limit_of(answer.limit_from or answer.explanation, Drawing())
        image = map_picture(answer.explanation, evidence.map, limit, Drawing())
        return [gr.update(value=image, alt_text=alt_text(answer.explanation, answer.branch)), _words(*answer.sentences)]

    @in_words
    def on_start(*chosen: str) -> list[Any]:
        return [value for (step, *_), choice in zip(panes, chosen, strict=True) for value in shown(step, choice)]

    everything = [part for _, _, picture, words in panes for part in (picture, words)]
    controls = [control for _, control, _, _ in panes]
    tab.select(on_start, controls, everything, api_visibility="private", show_progress="minimal")
    for step, control, picture, words in panes:
        control.input(
            in_words(_bound(shown, step)), control, [picture, words], api_visibility="private", show_progress="minimal"
        )
    return TourScreen(walk, controls, on_start, everything)


def _bound(shown: Callable[[TourStep, str | None], list[Any]], step: TourStep) -> Callable[[str | None], list[Any]]:
    def on_choice(choice: str | None) -> list[Any]:
        return shown(step, choice)

    return on_choice


def _words(first: str, second: str) -> str:
    return f'<div class="bsig-finding" role="status">{html.escape(first)} {html.escape(second)}</div>'
