"""The Blank map screen: why a heatmap is blank or misleading, whether its zero means anything, and the mend.

It asks about the picture, checkpoint and class of Compare, for a method, treatment and branch of its own. The diagnosis
is `bsig.explain.diagnostics.blank_map`; this file lays it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bsig.explain.cams import TRAINED
from bsig.explain.diagnostics.blank_map import BlankMapDiagnosis, MapFacts, blank_map_diagnosis
from bsig.explain.drawing.blank_map import asked_picture, mend_pictures, stretched_picture
from bsig.explain.drawing.comparison import BRANCHES
from bsig.explain.methods import CAM_METHODS, default_method, methods_of
from bsig.explain.wording import number_text, whole_percent
from bsig.model.dual_branch import DualBranch
from bsig.ui.components import html
from bsig.ui.components.fields import Answers, Fields, InputValues
from bsig.ui.components.figure import figure
from bsig.ui.components.handlers import PRIVATE, in_words
from bsig.ui.components.inputs import ANSWERED_JS, Choice, page_question
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.workbench import Workbench

NO_PICTURE = "Choose a picture in Compare: upload, paste, use the camera, or click an example."
TREATMENT_TITLES = {"signed": "Keep them", "nonnegative": "Set them to zero"}
BRANCH_TITLES = {branch: BRANCHES[branch] for branch in TRAINED}


@dataclass(frozen=True)
class DoctorInputs:
    """The map that is asked about.

    Attributes:
        image, checkpoint, class_name: of Compare.
        method: a key of `CAM_METHODS`.
        weights: a key of `TREATMENTS`.
        branch: `softmax` or `sigmoid`.
    """

    image: str | None
    checkpoint: str | None
    class_name: str | None
    method: str | None
    weights: str
    branch: str


@dataclass(frozen=True)
class DoctorScreen:
    """The parts of the screen that an answer fills."""

    finding: gr.HTML
    method: gr.Dropdown
    question_map: gr.Image
    stretched_map: gr.Image
    stretched_words: gr.HTML
    mends: gr.Gallery
    zero: gr.HTML
    facts: gr.HTML

    def outputs(self) -> list[Any]:
        """Every part that an answer fills."""
        return list(vars(self).values())


def build_doctor(bench: Workbench, compare: CompareScreen, tab: gr.Tab) -> None:
    """Lays out the tab and connects it to what Compare asks about."""
    gr.HTML(html.heading(
        "Why is my heatmap blank?",
        "Checks the map of the picture and class in Compare: what left it blank, whether its zero means anything, and "
        "which other view shows the evidence.",
    ))  # fmt: skip
    finding = gr.HTML(elem_id="doctor-finding")
    method, weights, branch = _controls()
    question_map, stretched_map, words = _pictures()
    with figure(
        "The mend", "The same evidence in other ways: red above zero, blue below it, each on its own scale."
    ):  # fmt: skip
        mends = gr.Gallery(
            label="The mend", show_label=False, columns=4, height="auto", object_fit="contain", format="jpeg",
            elem_id="doctor-mends", elem_classes="bsig-channels", buttons=["fullscreen"], interactive=False,
        )  # fmt: skip
    with figure("Does its zero mean anything?", "Only then does blank mean that nothing speaks for the class."):
        zero = gr.HTML(elem_id="doctor-zero")
    with figure("Behind the map", "The numbers that the diagnosis rests on."):
        facts = gr.HTML(elem_id="doctor-facts")
    screen = DoctorScreen(finding, method, question_map, stretched_map, words, mends, zero, facts)
    fields = Fields(
        DoctorInputs, image=compare.image, checkpoint=compare.checkpoint, class_name=compare.class_name, method=method,
        weights=weights, branch=branch,
    )  # fmt: skip
    _connect(screen, fields, bench, compare, tab)


def _controls() -> tuple[Choice, gr.Radio, gr.Radio]:
    model_choices = [(method.title, key) for key, method in CAM_METHODS.items() if not method.is_slow]
    with gr.Row(equal_height=True):
        branch = gr.Radio(
            [(title, key) for key, title in BRANCH_TITLES.items()], value="softmax", label="Whose map",
            elem_id="doctor-branch", min_width=250,
        )  # fmt: skip
        method = Choice(
            model_choices, value=None, label="CAM variant", elem_id="doctor-method", min_width=250,
            info="Empty: the model's own. Another layer: load the model with it in Models.",
        )  # fmt: skip
        weights = gr.Radio(
            [(title, key) for key, title in TREATMENT_TITLES.items()], value="signed", label="Negative weights",
            elem_id="doctor-weights", min_width=250,
        )  # fmt: skip
    return method, weights, branch


def _pictures() -> tuple[gr.Image, gr.Image, gr.HTML]:
    pictures = []
    titles = (
        ("As asked", "The heatmap from zero up: blank where nothing is above zero."),
        ("Stretched", "Rescaled to its own minimum and maximum, as many libraries draw every map."),
    )
    with figure("The heatmap", "One map, drawn in the two ways that are usual."):
        with gr.Row(equal_height=False, elem_classes="bsig-grid"):
            for key, (title, text) in zip(("asked", "stretched"), titles, strict=True):
                with gr.Column(min_width=0):
                    gr.HTML(html.heading(title, text))
                    pictures.append(gr.Image(
                        show_label=False, format="jpeg", interactive=False, elem_id=f"doctor-{key}",
                        buttons=["download", "fullscreen"], elem_classes="bsig-map",
                    ))  # fmt: skip
        return pictures[0], pictures[1], gr.HTML(elem_id="doctor-stretched-words")


def _connect(
    screen: DoctorScreen, fields: Fields[DoctorInputs], bench: Workbench, compare: CompareScreen, tab: gr.Tab
) -> None:
    last_question = gr.State(None)  # the question that the screen shows the answer to
    is_shown = page_question("is shown", "doctor-finding")

    @in_words
    def on_select(values: InputValues) -> Any:
        inputs = fields.read(values)
        if inputs == values[last_question]:
            return gr.skip()
        return {last_question: inputs, **doctor_answers(screen, bench, inputs)}

    @in_words
    def on_ready(values: InputValues) -> Any:
        return on_select(values) if values[is_shown] == "yes" else gr.skip()

    inputs, outputs = fields.components | {last_question}, [last_question, *screen.outputs()]
    tab.select(on_select, inputs, outputs, **PRIVATE)
    for control in (fields.method, fields.weights, fields.branch):
        control.input(on_select, inputs, outputs, trigger_mode="always_last", **PRIVATE)
    compare.ready.change(
        on_ready, {is_shown, *inputs}, outputs, js=ANSWERED_JS, trigger_mode="always_last", **PRIVATE
    )  # fmt: skip


def doctor_answers(screen: DoctorScreen, bench: Workbench, inputs: DoctorInputs) -> Answers:
    """The whole screen's answer by component."""
    if not inputs.image:
        return {**dict.fromkeys(screen.outputs()), screen.method: gr.update(), screen.finding: html.finding(NO_PICTURE)}
    encoded = bench.encode(inputs.image, inputs.checkpoint)
    keys = doctor_methods(encoded.model)
    # A method that another checkpoint had gives way to the model's own, and the control shows that.
    method = inputs.method if inputs.method in keys else default_method(encoded.model.softmax_head)
    diagnosis = blank_map_diagnosis(
        encoded, encoded.class_or_predicted(inputs.class_name), method, inputs.weights, branch=inputs.branch
    )
    name = diagnosis.facts.class_name
    return {
        screen.finding: finding_html(diagnosis),
        screen.method: gr.update(choices=[(CAM_METHODS[key].title, key) for key in keys], value=method),
        screen.question_map: gr.update(value=asked_picture(diagnosis), alt_text=f"Heatmap of {name} from zero up"),
        screen.stretched_map: gr.update(value=stretched_picture(diagnosis), alt_text=f"Heatmap of {name}, stretched"),
        screen.stretched_words: html.note(diagnosis.stretching_sentence),
        screen.mends: mend_pictures(diagnosis),
        screen.zero: html.note(diagnosis.zero.sentence),
        screen.facts: facts_html(diagnosis.facts),
    }


def doctor_methods(model: DualBranch) -> list[str]:
    """The methods that the screen offers: all that the head allows but Score-CAM, which takes minutes."""
    return [key for key in methods_of(model.softmax_head) if not CAM_METHODS[key].is_slow]


def finding_html(diagnosis: BlankMapDiagnosis) -> html.Html:
    """The headline, and below it the remedies; without a fault, whether zero can be relied on."""
    others = [cause.sentence for cause in diagnosis.causes[1:]]
    below = [*others, *(cause.remedy for cause in diagnosis.causes)] or [diagnosis.zero.sentence]
    return html.finding(diagnosis.headline, " ".join(below))


def facts_html(facts: MapFacts) -> html.Html:
    """The numbers behind the map in two columns."""
    rows, columns = facts.grid_hw
    numbers = [
        ("Grid", f"{rows} x {columns} cells"),
        ("Largest feature", number_text(facts.feature_size, signed=False)),
        ("Largest gradient", _number(facts.gradient_max)),
        ("Largest weight", _number(facts.weight_max)),
        ("Map", f"{number_text(facts.map_min)} to {number_text(facts.map_max)} {CAM_METHODS[facts.method].unit}"),
        ("Positive area", whole_percent(facts.positive_area)),
    ]
    return html.facts(numbers, explain=True)


def _number(value: float | None) -> str:
    return "this variant uses none" if value is None else number_text(value)
