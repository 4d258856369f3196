"""Two checkpoints on one picture: before and after a fine-tune, or any two; and a checkpoint brought from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bsig.explain.cams import Branch
from bsig.explain.diagnostics.before_and_after import BeforeAndAfter, before_and_after
from bsig.explain.drawing.comparison import PICTURE_SIZE, Drawing
from bsig.explain.drawing.heatmaps import overlay
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.wording import area_text, probability_text
from bsig.inputs.errors import InputError
from bsig.training.runs.folder import RunFolder
from bsig.ui.components import html
from bsig.ui.components.fields import Answers, Fields, InputValues
from bsig.ui.components.figure import figure
from bsig.ui.components.handlers import in_words
from bsig.ui.components.inputs import MapImage
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.screens.finetune.checkpoints import keep_checkpoint
from bsig.ui.workbench import Workbench

TITLES = {"before": "Sigmoid branch, before", "after": "Sigmoid branch, after", "softmax": "Softmax branch, after"}
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}


@dataclass(frozen=True)
class Question:
    """The two checkpoints, and the picture, class and method of Compare."""

    before: str
    after: str | None
    image: str | None
    class_name: str | None
    method: str


@dataclass(frozen=True)
class TwoMaps:
    """The parts of the section that show an answer."""

    finding: gr.HTML
    row: gr.Row
    pictures: dict[str, MapImage]
    scale: gr.HTML

    def outputs(self) -> list[Any]:
        """All parts that an answer fills."""
        return [self.finding, self.row, *self.pictures.values(), self.scale]


def build_two_checkpoints(bench: Workbench, runs: Callable[[], RunFolder], compare: CompareScreen, tab: gr.Tab) -> None:
    """Lays out the section and connects it to the picture, class and method of Compare."""
    names = bench.checkpoint_names()
    with figure(
        "Two checkpoints on one picture",
        "The picture, class and CAM variant of Compare; one scale for all three maps. The softmax branch is frozen, "
        "so a fine-tune from the same start must leave it as it was: the largest difference is printed.",
    ):
        with gr.Row(equal_height=False, elem_classes="bsig-ask"):
            before = gr.Dropdown(names, value=bench.default_checkpoint, label="Before", elem_id="two-before")
            after = gr.Dropdown(names, value=None, label="After", elem_id="two-after")
            ask = gr.Button("Compare the two", elem_id="two-ask")
        maps = _maps_part()
    fields = Fields(
        Question, before=before, after=after, image=compare.image, class_name=compare.class_name, method=compare.method
    )

    @in_words
    def on_ask(values: InputValues) -> Answers:
        question = fields.read(values)
        if not question.after:
            raise InputError("`after` (empty) must be a checkpoint; choose one.")
        first, second = bench.encode(question.image, question.before), bench.encode(question.image, question.after)
        return two_answers(maps, first, second, question.class_name, question.method)

    def on_open() -> Answers:
        choices = bench.checkpoint_names()
        return {before: gr.Dropdown(choices=choices), after: gr.Dropdown(choices=choices)}

    ask.click(on_ask, fields.components, maps.outputs(), **QUIET)
    _build_upload(bench, runs, compare, before, after)
    for event in (tab.select, after.focus, before.focus):
        event(on_open, None, [before, after], **QUIET)


def _maps_part() -> TwoMaps:
    finding = gr.HTML(elem_id="two-finding")
    with gr.Row(equal_height=False, elem_classes="bsig-three", visible=False) as row:
        pictures = {
            pane: MapImage(
                label=title, format="png", interactive=False, elem_id=f"two-{pane}-map", elem_classes="bsig-map",
                buttons=["download", "fullscreen"],
            )
            for pane, title in TITLES.items()
        }  # fmt: skip
    return TwoMaps(finding, row, pictures, gr.HTML())


def _build_upload(
    bench: Workbench, runs: Callable[[], RunFolder], compare: CompareScreen, before: gr.Dropdown, after: gr.Dropdown
) -> None:
    """Lays out the field for a checkpoint from elsewhere; one that is kept can be chosen on the whole page."""
    with gr.Accordion("Bring a checkpoint from elsewhere", open=False):
        if bench.is_public:
            gr.HTML(html.note(bench.limits.models_limits()))
        upload = gr.File(
            label="Zip of a checkpoint folder (safetensors and JSON only)", file_types=[".zip"], height=120,
            elem_id="checkpoint-zip",
        )  # fmt: skip
        answer = gr.HTML(elem_id="checkpoint-taken")

    @in_words
    def on_upload(file: str | None) -> Answers:
        name = keep_checkpoint(file, runs(), bench)
        choices = bench.checkpoint_names()
        words = html.joined("Taken in as ", html.bold(name), "; it can be chosen now.")
        return {
            answer: html.note(words, role="status"),
            before: gr.Dropdown(choices=choices),
            after: gr.Dropdown(choices=choices, value=name),
            compare.checkpoint: gr.Dropdown(choices=choices),
        }

    upload.upload(on_upload, upload, [answer, before, after, compare.checkpoint], **QUIET)


def two_answers(
    maps: TwoMaps, before: EncodedImage, after: EncodedImage, class_name: str | None, method: str
) -> Answers:
    """The sentence, the three maps and their scale.

    Raises:
        InputError: the two have no such class in common.
    """
    two = before_and_after(before, after, class_name, method)
    answers: Answers = {
        maps.row: gr.Row(visible=True),
        maps.finding: two_words(two),
        maps.scale: html.scale_bar(two.limit, Drawing(), two.method),
    }
    for pane, part in maps.pictures.items():
        explanation = two.before if pane == "before" else two.after
        branch: Branch = "softmax" if pane == "softmax" else "sigmoid"
        evidence = explanation.evidence(branch)
        answers[part] = gr.update(
            value=overlay(explanation.crop.resize(PICTURE_SIZE), evidence.map, two.limit),
            alt_text=f"{pane} map of '{explanation.class_name}': positive evidence on {area_text(evidence)}, "
            f"{probability_text(explanation, branch)}",
        )
    return answers


def two_words(two: BeforeAndAfter) -> html.Html:
    """The finding: what each checkpoint says of the class, and by how much maps and softmax probabilities differ."""
    change = "" if two.map_change is None else f" Largest change of a cell: {two.map_change:.2f}."
    small: str = ""
    if two.softmax_change is not None:
        exact = "no softmax probability differs"
        if two.softmax_change:
            exact = f"softmax probabilities differ by up to {two.softmax_change:.0e}"
        change_words = f"{two.softmax_change:.3e}"
        small = html.element("small", f"Of {two.classes} classes {exact}.", data_softmax_change=change_words)
    before, after = map(_evidence_words, (two.before, two.after))
    names = two.before.checkpoint, two.after.checkpoint
    both = f"with {names[0]}, {after} with {names[1]}" if before != after else f"with both {names[0]} and {names[1]}"
    sentence = (
        f"Sigmoid branch on '{two.before.class_name}': {before} {both}.{change} These are the plain maps, which no "
        "reading has changed."
    )
    return html.finding(html.joined(sentence, small))


def _evidence_words(explanation: Explanation) -> str:
    area = area_text(explanation.sigmoid)
    return f"evidence on {area} of the picture ({probability_text(explanation, 'sigmoid')})"
