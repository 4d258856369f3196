"""What the Compare screen answers: an explanation of the inputs, and every output of the screen by component."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr
from PIL import Image

from bsig.explain.cams import Branch
from bsig.explain.diagnostics.absent_classes import most_claimed_absent_class
from bsig.explain.drawing.colours import VIEWS
from bsig.explain.drawing.comparison import (
    BRANCHES,
    Drawing,
    alt_text,
    branch_picture,
    branch_pictures,
    difference_picture,
    shared_limit_of,
)
from bsig.explain.drawing.heatmaps import shared_limit
from bsig.explain.explainer import EncodedImage, can_add_bias
from bsig.explain.explanation import Explanation, summary
from bsig.explain.methods import TREATMENTS, default_method, methods_of
from bsig.explain.readings import READINGS, default_reading, readings_of, why_not_reading
from bsig.explain.verdict import Claims
from bsig.explain.verdict import finding as finding_of
from bsig.ui.components.fields import Answers
from bsig.ui.components.html import Html, finding, note, scale_bar
from bsig.ui.screens.compare.inputs import BUDGET, CompareInputs
from bsig.ui.screens.compare.layout import CROP_SIZE, CompareLayout, MapRow, WhyRow
from bsig.ui.screens.compare.words import (
    DIFFERENCE,
    NO_PICTURE,
    TWO_BRANCHES,
    cells_html,
    class_choices,
    method_choices,
    number_table,
    prediction,
    reading_choices,
    reading_note,
    why_titles,
    why_words,
    wipe_label,
)
from bsig.ui.server.log import leave_off_if_left
from bsig.ui.workbench import Workbench

SIGMOIDS_OWN = ("levelled", "window", "sigmoid-logit")
"""Readings that put what the sigmoid branch says on a map. Softmax has no such answer: its maps stay plain."""


def explanation_of(
    encoded: EncodedImage, inputs: CompareInputs, progress: Any = None, class_index: int | None = None
) -> Explanation:
    """The explanation that is asked for, as far as this checkpoint allows it.

    Another checkpoint may have other classes and a head that does not allow the method chosen for the one before. The
    bias is added where it and the map make the logit; `reading_note` says which is drawn.

    Args:
        encoded: the picture.
        inputs: class, method, treatment, budget, bias.
        progress: gradio's, told of every channel that Score-CAM has run.
        class_index: another class than the one that is asked for.
    """

    def on_channel(done: int, total: int) -> None:
        leave_off_if_left(done, total)
        if progress is not None:
            progress((done, total), desc="Score-CAM", unit="channels")

    method, reading = method_of(encoded, inputs), reading_key(encoded, inputs)
    return encoded.explain(
        encoded.class_or_predicted(inputs.class_name) if class_index is None else class_index,
        method,
        inputs.weights,
        with_bias=inputs.bias and can_add_bias(encoded.model, method, inputs.weights) and READINGS[reading].takes_bias,
        score_cam_channels=int(inputs.budget),
        progress=on_channel,
        reading=reading,
        reading_settings=inputs.reading_settings(reading),
        softmax_reading="plain" if reading in SIGMOIDS_OWN else None,
    )


def reading_key(encoded: EncodedImage, inputs: CompareInputs) -> str:
    """The reading that is asked for, or the checkpoint's own where that one is not exact here."""
    method = method_of(encoded, inputs)
    allowed = readings_of(encoded.model, method, inputs.weights)
    return inputs.reading if inputs.reading in allowed else default_reading(encoded.model, method, inputs.weights)


def method_of(encoded: EncodedImage, inputs: CompareInputs) -> str:
    """The method that is asked for, or the head's own where it does not allow that one."""
    head = encoded.model.softmax_head
    return inputs.method if inputs.method in methods_of(head) else default_method(head)


def contrast_of(encoded: EncodedImage, explanation: Explanation, inputs: CompareInputs) -> Explanation | None:
    """The same question for the other kind of class: one that is not there beside one that is, and the reverse.

    None for a method that knows no class, and where no class is known to be absent.
    """
    claims = Claims.of(explanation)
    other = encoded.predicted_index if claims.is_absent else most_claimed_absent_class(encoded)
    if not claims.knows_classes or other is None or other == explanation.class_index:
        return None
    return explanation_of(encoded, inputs, class_index=other)


def map_answers(
    layout: CompareLayout, encoded: EncodedImage, explanation: Explanation, inputs: CompareInputs
) -> Answers:
    """The maps, the verdicts, the numbers, the scale, and whatever the explanation says of the controls.

    `gr.update`, not components with a value: making one encodes its pictures, which are then encoded again.
    """
    drawing, fields = inputs.drawing(), layout.fields
    contrast = contrast_of(encoded, explanation, inputs)
    explanations = [explanation] if contrast is None else [explanation, contrast]
    limit = scale_limit(encoded, explanation, drawing)
    pictures = branch_pictures(explanation, drawing, limit)
    answers: Answers = {
        **_row_answers(layout.asked, explanation, pictures),
        **_contrast_answers(layout.contrast, encoded, contrast, drawing),
        layout.asked.verdict: finding(finding_of(explanation), prediction(encoded, explanation)),
        layout.numbers: number_table(explanations),
        layout.cells: cells_html(encoded, explanations),
        layout.crop: gr.update(
            value=encoded.crop.resize(CROP_SIZE),
            alt_text=f"The picture as the model saw it; it predicts {explanation.predicted_name}",
        ),
        layout.asked.scale: _scale(explanation, drawing, limit),
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
        fields.reading: gr.update(
            choices=reading_choices(encoded.model, explanation), value=explanation.reading,
            info=READINGS[explanation.reading].sentence,
        ),
        fields.strength: strength_slider(explanation),
        **_why_answers(layout.why, encoded, explanation, inputs),
    }  # fmt: skip
    if inputs.show == "difference":
        answers.update(_difference_answers(layout, explanation, drawing))
    return answers


def other_class_of(encoded: EncodedImage, explanation: Explanation, inputs: CompareInputs) -> int | None:
    """The class that the asked one is compared with: as chosen, else the likeliest other one by softmax."""
    chosen = encoded.class_or_predicted(inputs.other_class) if inputs.other_class else explanation.class_index
    if chosen != explanation.class_index:
        return chosen
    return next((index for index in encoded.top_classes(count=2) if index != explanation.class_index), None)


def _why_answers(row: WhyRow, encoded: EncodedImage, explanation: Explanation, inputs: CompareInputs) -> Answers:
    """Softmax's maps of the class and of another one, and the map of their difference, on one scale."""
    other = other_class_of(encoded, explanation, inputs)
    reason = why_not_reading(encoded.model, "pairwise", explanation.method, explanation.weights)
    if other is None or reason:
        words = f"Not available here: {reason or 'the model has one class.'}"
        return {row.words: note(words), **{picture: gr.update(value=None) for picture in row.pictures}}
    asked = (explanation.method, explanation.weights)
    explanations = [
        encoded.explain(explanation.class_index, *asked),
        encoded.explain(other, *asked),
        encoded.explain(explanation.class_index, *asked, reading="pairwise", other_class=other),
    ]
    drawing = replace(inputs.drawing(), view="signed", threshold_share=None)
    limit = shared_limit(*(each.softmax.map for each in explanations), view="signed")
    pictures = [branch_picture(each, "softmax", drawing, limit=limit) for each in explanations]
    titles = why_titles(explanation, encoded.model.class_names[other])
    return {
        row.words: why_words(explanations[2]),
        **{
            component: gr.update(value=picture, label=title, alt_text=title)
            for component, picture, title in zip(row.pictures, pictures, titles, strict=True)
        },
    }


def strength_slider(explanation: Explanation) -> Any:
    """The slider of the reading's first setting, with its range; hidden where the reading has none."""
    settings = READINGS[explanation.reading].settings
    if not settings:
        return gr.update(visible=False)
    first = settings[0]
    return gr.update(
        visible=True, minimum=first.low, maximum=first.high, step=1 if first.is_whole else 0.05,
        value=explanation.reading_settings[first.key], label=f"{first.key}: {first.title}",
    )  # fmt: skip


def scale_limit(encoded: EncodedImage, explanation: Explanation, drawing: Drawing) -> float:
    """The end of a row's colour scale, which both maps share, in the method's unit.

    A reading that lowers the sigmoid map of a denied class by a number would stretch the scale until softmax's evidence
    cannot be seen. So the scale is that of the maps before the reading; what lies below its end has the end's colour.
    """
    if explanation.sigmoid.reading not in SIGMOIDS_OWN:
        return shared_limit_of(explanation, drawing)
    plain = encoded.explain(
        explanation.class_index, explanation.method, explanation.weights, with_bias=explanation.with_bias
    )
    return shared_limit_of(plain, drawing)


def _scale(explanation: Explanation, drawing: Drawing, limit: float) -> Html:
    """The row's colour bar; it says so where a map goes on below its end."""
    if drawing.own_scale:
        return Html()
    lowest = min(float(explanation.evidence(branch).map.min()) for branch in TWO_BRANCHES)
    against = "against the class, and below" if lowest < -limit else "against the class"
    ends = (against, "for the class") if drawing.view == "signed" else None
    return scale_bar(limit, drawing, explanation.method, ends)


def _contrast_answers(row: MapRow, encoded: EncodedImage, contrast: Explanation | None, drawing: Drawing) -> Answers:
    """The second row; empty where there is nothing to set against the class."""
    if contrast is None:
        return {row.verdict: "", row.scale: "", **{picture: gr.update(value=None) for picture in row.pictures.values()}}
    limit = scale_limit(encoded, contrast, drawing)
    return {
        **_row_answers(row, contrast, branch_pictures(contrast, drawing, limit)),
        row.scale: _scale(contrast, drawing, limit),
    }


def _row_answers(row: MapRow, explanation: Explanation, pictures: dict[Branch, Image.Image]) -> Answers:
    """The verdict and the maps of one class."""
    return {
        row.verdict: finding(finding_of(explanation)),
        **{
            picture: gr.update(value=pictures[branch], alt_text=alt_text(explanation, branch))
            for branch, picture in row.pictures.items()
        },
    }


def _difference_answers(layout: CompareLayout, explanation: Explanation, drawing: Drawing) -> Answers:
    picture, limit = difference_picture(explanation, drawing)
    ends = ("softmax claims more", "sigmoid claims more")
    return {
        layout.single: gr.update(value=picture, visible=True, alt_text=DIFFERENCE, label=DIFFERENCE),
        layout.asked.scale: scale_bar(limit, replace(drawing, view="signed"), explanation.method, ends),
    }


def question_answers(layout: CompareLayout, encoded: EncodedImage, explanation: Explanation) -> Answers:
    """The choices of class and method that the checkpoint allows, with those that are explained."""
    return layout.fields.answers(
        class_name=gr.update(choices=class_choices(encoded), value=explanation.class_name),
        other_class=gr.update(choices=class_choices(encoded), value=None),
        method=gr.update(choices=method_choices(encoded.model), value=explanation.method),
    )


def empty_answers(layout: CompareLayout) -> Answers:
    """The screen without a picture."""
    pictures = (layout.crop, *layout.asked.pictures.values(), *layout.contrast.pictures.values())
    words = (
        layout.contrast.verdict,
        layout.numbers,
        layout.cells,
        layout.asked.scale,
        layout.contrast.scale,
        layout.note,
    )
    return {
        layout.fields.class_name: gr.update(choices=[], value=None),
        layout.asked.verdict: finding(NO_PICTURE),
        layout.wipe: gr.update(value=None),
        layout.single: gr.update(value=None),
        **{picture: gr.update(value=None, alt_text="") for picture in pictures},
        **dict.fromkeys(words, ""),
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
