"""What the Compare screen answers: an explanation of the inputs, and every output of the screen by component."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from bsig.explain.drawing.colours import VIEWS
from bsig.explain.drawing.comparison import (
    BRANCHES,
    Drawing,
    alt_text,
    branch_pictures,
    difference_picture,
    shared_limit_of,
)
from bsig.explain.explainer import EncodedImage, can_add_bias
from bsig.explain.explanation import Explanation, summary
from bsig.explain.methods import TREATMENTS, default_method, methods_of
from bsig.explain.wording import finding as finding_of
from bsig.ui.components.fields import Answers
from bsig.ui.components.html import finding, scale_bar
from bsig.ui.screens.compare.inputs import BUDGET, CompareInputs
from bsig.ui.screens.compare.layout import CROP_SIZE, CompareLayout
from bsig.ui.screens.compare.words import (
    DIFFERENCE,
    NO_PICTURE,
    branch_facts,
    class_choices,
    crop_facts,
    method_choices,
    prediction,
    reading_note,
    wipe_label,
)
from bsig.ui.server.log import leave_off_if_left
from bsig.ui.workbench import Workbench


def explanation_of(encoded: EncodedImage, inputs: CompareInputs, progress: Any = None) -> Explanation:
    """The explanation that is asked for, as far as this checkpoint allows it.

    Another checkpoint may have other classes and a head that does not allow the method chosen for the one before. The
    bias is added where it and the map make the logit; `reading_note` says which is drawn.

    Args:
        encoded: the picture.
        inputs: class, method, treatment, budget, bias.
        progress: gradio's, told of every channel that Score-CAM has run.
    """

    def on_channel(done: int, total: int) -> None:
        leave_off_if_left(done, total)
        if progress is not None:
            progress((done, total), desc="Score-CAM", unit="channels")

    head = encoded.model.softmax_head
    method = inputs.method if inputs.method in methods_of(head) else default_method(head)
    return encoded.explain(
        encoded.class_or_predicted(inputs.class_name),
        method,
        inputs.weights,
        with_bias=inputs.bias and can_add_bias(encoded.model, method, inputs.weights),
        score_cam_channels=int(inputs.budget),
        progress=on_channel,
    )


def map_answers(
    layout: CompareLayout, encoded: EncodedImage, explanation: Explanation, inputs: CompareInputs
) -> Answers:
    """The maps, their facts, their scale, and whatever the explanation says of the controls.

    `gr.update`, not components with a value: making one encodes its pictures, which are then encoded again.
    """
    drawing, fields = inputs.drawing(), layout.fields
    pictures = branch_pictures(explanation, drawing)
    answers: Answers = {
        layout.finding: finding(finding_of(explanation), prediction(encoded, explanation)),
        layout.crop: gr.update(
            value=encoded.crop.resize(CROP_SIZE),
            alt_text=f"The picture as the model saw it; it predicts {explanation.predicted_name}",
        ),
        layout.crop_facts: crop_facts(encoded),
        layout.scale: ""
        if drawing.own_scale
        else scale_bar(shared_limit_of(explanation, drawing), drawing, explanation.method),
        layout.note: reading_note(explanation, drawing, encoded.model),
        layout.maps: gr.update(visible=inputs.show in ("overlay", "heatmap")),
        layout.wipe: gr.update(
            value=(pictures["softmax"], pictures["sigmoid"]) if inputs.show == "wipe" else None,
            visible=inputs.show == "wipe",
            label=wipe_label(explanation),
        ),
        layout.wipe_at: gr.update(visible=inputs.show == "wipe"),
        layout.single: gr.update(visible=False),
        fields.weights: gr.update(info=TREATMENTS[explanation.weights]),
        fields.view: gr.update(info=f"{VIEWS[drawing.view]}."),
        fields.budget: gr.update(visible=explanation.method == "score-cam"),
    }
    for branch in BRANCHES:
        answers[layout.pictures[branch]] = gr.update(value=pictures[branch], alt_text=alt_text(explanation, branch))
        answers[layout.facts[branch]] = branch_facts(explanation, branch)
    if inputs.show == "difference":
        answers.update(_difference_answers(layout, explanation, drawing))
    return answers


def _difference_answers(layout: CompareLayout, explanation: Explanation, drawing: Drawing) -> Answers:
    picture, limit = difference_picture(explanation, drawing)
    ends = ("softmax claims more", "sigmoid claims more")
    return {
        layout.single: gr.update(value=picture, visible=True, alt_text=DIFFERENCE, label=DIFFERENCE),
        layout.scale: scale_bar(limit, replace(drawing, view="signed"), explanation.method, ends),
    }


def question_answers(layout: CompareLayout, encoded: EncodedImage, explanation: Explanation) -> Answers:
    """The choices of class and method that the checkpoint allows, with those that are explained."""
    return layout.fields.answers(
        class_name=gr.update(choices=class_choices(encoded), value=explanation.class_name),
        method=gr.update(choices=method_choices(encoded.model), value=explanation.method),
    )


def empty_answers(layout: CompareLayout) -> Answers:
    """The screen without a picture."""
    return {
        layout.fields.class_name: gr.update(choices=[], value=None),
        layout.finding: finding(NO_PICTURE),
        layout.crop_facts: "",
        layout.scale: "",
        layout.note: "",
        layout.wipe: gr.update(value=None),
        **{picture: gr.update(value=None, alt_text="") for picture in (layout.crop, *layout.pictures.values())},
        layout.single: gr.update(value=None),
        **dict.fromkeys(layout.facts.values(), ""),
    }


def compare_answer(
    bench: Workbench, image: str, checkpoint: str | None, class_name: str | None, method: str, weights: str
) -> tuple[Any, Any, Any, dict[str, Any]]:
    """What the `/compare` endpoint answers: the three overlays and all numbers, maps included."""
    encoded = bench.encode(image, checkpoint)
    explanation = encoded.explain(
        class_name or None, method or None, weights or "signed", score_cam_channels=BUDGET, progress=leave_off_if_left
    )
    pictures = branch_pictures(explanation, Drawing())
    numbers = {**summary(explanation), "finding": finding_of(explanation)}
    for branch in BRANCHES:
        numbers[branch]["map"] = explanation.evidence(branch).map.tolist()
    return pictures["softmax"], pictures["sigmoid"], pictures["centred"], numbers
