"""What the Compare screen answers: an explanation of the inputs, and every output of the screen by component."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr

from bsig.explain.diagnostics.absent_classes import most_claimed_absent_class
from bsig.explain.drawing.colours import VIEWS
from bsig.explain.drawing.comparison import (
    BRANCHES,
    Drawing,
    alt_text,
    branch_picture,
    branch_pictures,
    difference_picture,
)
from bsig.explain.drawing.heatmaps import shared_limit
from bsig.explain.explainer import EncodedImage, can_add_bias
from bsig.explain.explanation import Explanation, summary
from bsig.explain.methods import CAM_METHODS, TREATMENTS, default_method, methods_of
from bsig.explain.readings import READINGS, comparison_readings, default_reading, readings_of, why_not_reading
from bsig.explain.setting_text import reading_settings_from
from bsig.explain.timing import part
from bsig.explain.verdict import Claims
from bsig.explain.verdict import finding as finding_of
from bsig.explain.wording import reading_text
from bsig.model.dual_branch import DualBranch
from bsig.model.finer_grid import finer_grid_hw, why_not_finer
from bsig.ui.components.fields import Answers
from bsig.ui.components.html import finding, heading, note, scale_bar
from bsig.ui.components.inputs import png_file
from bsig.ui.links.view import SETTINGS
from bsig.ui.screens.compare.inputs import BUDGET, CompareInputs
from bsig.ui.screens.compare.layout import CROP_SIZE, CompareLayout, MapRow, WhyRow
from bsig.ui.screens.compare.rows import ClassRow, class_rows
from bsig.ui.screens.compare.words import (
    DIFFERENCE,
    NO_PICTURE,
    cells_html,
    class_choices,
    method_choices,
    number_table,
    reading_choices,
    reading_note,
    sigmoid_title,
    why_titles,
    why_words,
    wipe_label,
)
from bsig.ui.server.log import leave_off_if_left
from bsig.ui.workbench import Workbench


def encoded_of(bench: Workbench, inputs: CompareInputs) -> EncodedImage:
    """The picture as it can be shown at once.

    On the finer grid where that is asked for and the picture is in memory on it; else on the model's own grid, whose
    maps are drawn first and then replaced. A method that runs the network for each channel is not asked twice.
    """
    if not wants_finer(bench, inputs):
        return bench.encode(inputs.image, inputs.checkpoint)
    if inputs.method in CAM_METHODS and CAM_METHODS[inputs.method].is_slow:
        return bench.encode(inputs.image, inputs.checkpoint, finer_grid=True)
    return bench.kept_finer(inputs.image, inputs.checkpoint) or bench.encode(inputs.image, inputs.checkpoint)


def wants_finer(bench: Workbench, inputs: CompareInputs) -> bool:
    """Whether the finer grid is asked for, and the model has one: it may be another one than it was asked for."""
    return inputs.finer_grid and not why_not_finer(bench.model(inputs.checkpoint))


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

    def on_channel(count: int, total: int) -> None:
        leave_off_if_left(count, total)
        if progress is not None:
            progress((count, total), desc="Score-CAM", unit="channels")

    method, reading = method_of(encoded, inputs), reading_key(encoded, inputs)
    return encoded.explain(
        encoded.class_or_predicted(inputs.class_name) if class_index is None else class_index,
        method,
        inputs.weights,
        with_bias=inputs.bias and can_add_bias(encoded.model, method, inputs.weights) and READINGS[reading].takes_bias,
        score_cam_channels=int(inputs.budget),
        progress=on_channel,
        reading_settings=inputs.reading_settings(reading),
        **comparison_readings(encoded.model, method, inputs.weights, reading),
    )


def reading_key(encoded: EncodedImage, inputs: CompareInputs) -> str:
    """The reading that is asked for, or the checkpoint's own where that one is not exact here.

    "Why A and not B" is never the reading of the rows: it has maps of its own.
    """
    method = method_of(encoded, inputs)
    is_exact = inputs.reading in readings_of(encoded.model, method, inputs.weights)
    if is_exact and not READINGS[inputs.reading].needs_other_class:
        return inputs.reading
    return default_reading(encoded.model, method, inputs.weights)


def method_of(encoded: EncodedImage, inputs: CompareInputs) -> str:
    """The method that is asked for, or the head's own where it does not allow that one."""
    head = encoded.model.softmax_head
    return inputs.method if inputs.method in methods_of(head) else default_method(head)


def contrast_of(encoded: EncodedImage, explanation: Explanation, inputs: CompareInputs) -> Explanation | None:
    """The same question for the other kind of class: one that is not there beside one that is, and the reverse.

    None for a method that knows no class, and where no class is known to be absent.
    """
    claims = Claims.of(explanation)
    other = encoded.predicted_index if claims.is_absent else most_claimed_absent_class(encoded.coarse or encoded)
    if not claims.knows_classes or other is None or other == explanation.class_index:
        return None
    return explanation_of(encoded, inputs, class_index=other)


def more_of(
    encoded: EncodedImage, explanations: Sequence[Explanation | None], inputs: CompareInputs
) -> list[Explanation]:
    """The same question for the classes that were added; those that are shown already are not shown twice."""
    first_indices = {explanation.class_index for explanation in explanations if explanation is not None}
    known_indices = dict.fromkeys(encoded.model.class_index(name) for name in known_classes(encoded.model, inputs))
    return [explanation_of(encoded, inputs, class_index=index) for index in known_indices if index not in first_indices]


def known_classes(model: DualBranch, inputs: CompareInputs) -> list[str]:
    """The added classes that this checkpoint has: it may be another one than they were chosen for."""
    return [name for name in inputs.more_classes if name in model.class_names]


def map_answers(
    layout: CompareLayout, encoded: EncodedImage, explanation: Explanation, inputs: CompareInputs
) -> Answers:
    """The maps, the verdicts, the numbers, the scale, and whatever the explanation says of the controls.

    `gr.update`, not components with a value: making one encodes its pictures, which are then encoded again.
    """
    drawing, fields = inputs.drawing(), layout.fields
    is_first = inputs.finer_grid and encoded.coarse is None and not why_not_finer(encoded.model)
    contrast = contrast_of(encoded, explanation, inputs)
    more = more_of(encoded, [explanation, contrast], inputs)
    in_rows = [explanation, contrast, *more, *[None] * (len(layout.more) - len(more))]
    explanations = [each for each in in_rows if each is not None]
    rows = class_rows(encoded, explanations, drawing, is_shared=bool(more))
    pictures = rows[0].pictures
    answers: Answers = {
        **_row_answers(layout.class_row, rows[0]),
        **_further_answers(layout, in_rows[1:], iter(rows[1:])),
        layout.class_row.head: heading(*sigmoid_title(explanation)),
        layout.finetune: gr.update(visible=not encoded.model.is_trained),
        layout.numbers: number_table(explanations),
        layout.cells: cells_html(encoded, in_rows),
        layout.crop: gr.update(
            value=encoded.crop.resize(CROP_SIZE),
            alt_text=f"The picture as the model saw it; it predicts {explanation.predicted_name}",
        ),
        layout.note: reading_note(encoded, explanation, drawing, finer_follows=is_first),
        layout.sharpening: uuid4().hex if is_first else None,
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
        **dict(zip(layout.setting_sliders, setting_sliders(explanation), strict=True)),
        **_why_answers(layout.why, encoded, explanation, inputs),
    }  # fmt: skip
    if inputs.show == "difference":
        answers.update(_difference_answers(layout, explanation, drawing))
    return answers


def other_class_of(encoded: EncodedImage, explanation: Explanation, inputs: CompareInputs) -> int | None:
    """The class that the asked one is compared with: as chosen, else the likeliest other one by softmax."""
    other_index = encoded.class_or_predicted(inputs.other_class) if inputs.other_class else explanation.class_index
    if other_index != explanation.class_index:
        return other_index
    return next((index for index in encoded.top_classes(count=2) if index != explanation.class_index), None)


def _why_answers(row: WhyRow, encoded: EncodedImage, explanation: Explanation, inputs: CompareInputs) -> Answers:
    """Softmax's maps of the class and of another one, and the map of their difference, on one scale."""
    other = other_class_of(encoded, explanation, inputs)
    reason = why_not_reading(encoded.model, "pairwise", explanation.method, explanation.weights)
    if other is None or reason:
        words = f"Not available here: {reason or 'the model has one class.'}"
        return {row.words: note(words), **{picture: gr.update(value=None) for picture in row.pictures}}
    settings = (explanation.method, explanation.weights)
    explanations = [
        encoded.explain(explanation.class_index, *settings),
        encoded.explain(other, *settings),
        encoded.explain(explanation.class_index, *settings, reading="pairwise", other_class=other),
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


def setting_sliders(explanation: Explanation) -> list[Any]:
    """A slider for each of the reading's settings, with its range; those left over are hidden."""
    settings = READINGS[explanation.reading].settings
    shown = [
        gr.update(
            visible=True, minimum=setting.low, maximum=setting.high, step=setting.step,
            value=explanation.reading_settings[setting.key], label=f"{setting.key}: {setting.title}",
        )
        for setting in settings
    ]  # fmt: skip
    return [*shown, *[gr.update(visible=False)] * (len(SETTINGS) - len(shown))]


def _further_answers(
    layout: CompareLayout, explanations: Sequence[Explanation | None], rows: Iterator[ClassRow]
) -> Answers:
    """The rows below the first; one that has nothing to show is hidden."""
    answers: Answers = {}
    for row, explanation in zip((layout.contrast, *layout.more), explanations, strict=True):
        if explanation is not None:
            answers.update(_row_answers(row, next(rows)))
        answers[row.box] = gr.update(visible=explanation is not None)
    return answers


def _row_answers(row: MapRow, content: ClassRow) -> Answers:
    """The verdict, the maps and the colour bar of one class."""
    return {
        row.verdict: content.verdict,
        row.scale: content.scale,
        **{
            picture: gr.update(value=content.pictures[branch], alt_text=alt_text(content.explanation, branch))
            for branch, picture in row.pictures.items()
        },
    }


def _difference_answers(layout: CompareLayout, explanation: Explanation, drawing: Drawing) -> Answers:
    picture, limit = difference_picture(explanation, drawing)
    ends = ("softmax claims more", "sigmoid claims more")
    return {
        layout.single: gr.update(value=picture, visible=True, alt_text=DIFFERENCE, label=DIFFERENCE),
        layout.class_row.scale: scale_bar(limit, replace(drawing, view="signed"), explanation.method, ends),
    }


def question_answers(
    layout: CompareLayout, encoded: EncodedImage, explanation: Explanation, inputs: CompareInputs
) -> Answers:
    """The choices of class and method that the checkpoint allows, with those that are explained."""
    return layout.fields.answers(
        class_name=gr.update(choices=class_choices(encoded), value=explanation.class_name),
        other_class=gr.update(choices=class_choices(encoded), value=_known_choice(encoded.model, inputs.other_class)),
        more_classes=gr.update(choices=class_choices(encoded), value=known_classes(encoded.model, inputs)),
        method=gr.update(choices=method_choices(encoded.model), value=explanation.method),
        finer_grid=finer_grid_choice((encoded.coarse or encoded).model),
    )


def finer_grid_choice(model: DualBranch) -> Any:
    """The box that asks for the finer grid, with its rows and columns; hidden where the model has none."""
    if why_not_finer(model):
        return gr.update(visible=False, value=False)
    return gr.update(visible=True, label="Finer grid: {} x {} cells".format(*finer_grid_hw(model)))


def _known_choice(model: DualBranch, name: str | None) -> str | None:
    return name if name in model.class_names else None


def empty_answers(layout: CompareLayout) -> Answers:
    """The screen without a picture."""
    pictures = (layout.crop, *layout.class_row.pictures.values())
    words = (layout.numbers, layout.cells, layout.class_row.scale, layout.note)
    return {
        layout.fields.class_name: gr.update(choices=[], value=None),
        **{row.box: gr.update(visible=False) for row in (layout.contrast, *layout.more)},
        layout.finetune: gr.update(visible=False),
        layout.class_row.verdict: finding(NO_PICTURE),
        layout.wipe: gr.update(value=None),
        layout.single: gr.update(value=None),
        **{picture: gr.update(value=None, alt_text="") for picture in pictures},
        **dict.fromkeys(words, ""),
    }


def compare_answer(
    bench: Workbench,
    image: str | None,
    checkpoint: str | None,
    class_name: str | None,
    method: str | None,
    weights: str | None,
    *,
    finer_grid: bool = False,
    reading: str | None = None,
    reading_settings: str | None = None,
    other_class: str | None = None,
) -> tuple[Path, Path, Path, dict[str, Any]]:
    """What the `/compare` endpoint answers: the three overlays' files and all numbers, maps included.

    Args:
        bench, image, checkpoint, class_name, method, weights, finer_grid: the picture and the question.
        reading: a key of `READINGS`; empty for the checkpoint's own.
        reading_settings: such as 'lambda=2,cells=5'; empty for the checkpoint's own.
        other_class: the class B of the reading `pairwise`; empty for none.
    """
    settings = reading_settings_from(reading_settings)
    encoded = bench.encode(image, checkpoint, finer_grid=finer_grid)
    # Names may be written in many ways.
    class_index, other_index = (encoded.model.class_index(name) if name else None for name in (class_name, other_class))
    readings = comparison_readings(encoded.model, method, weights or "signed", reading)

    def make() -> tuple[tuple[Path, Path, Path, dict[str, Any]], list[Path]]:
        explanation = encoded.explain(
            class_index, method or None, weights or "signed", score_cam_channels=BUDGET,
            progress=leave_off_if_left, reading_settings=settings, other_class=other_index, **readings,
        )  # fmt: skip
        pictures = branch_pictures(explanation, Drawing())
        with part("png"):
            files = {branch: png_file(picture) for branch, picture in pictures.items()}
        answer = (files["softmax"], files["sigmoid"], files["centred"], _all_numbers(explanation))
        return answer, [*files.values()]

    question = (class_index, method, weights, readings["reading"], *sorted(settings.items()), other_index)
    return bench.answer(encoded, ("/compare", *question), make)


def _all_numbers(explanation: Explanation) -> dict[str, Any]:
    numbers = {**summary(explanation), "finding": finding_of(explanation), "reading_text": reading_text(explanation)}
    for branch in BRANCHES:
        numbers[branch]["map"] = explanation.evidence(branch).map.tolist()
    return numbers
