"""The fields of the Fine-tune form, each explained in a few words, and what is known of the data before a start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bsig.inputs.errors import InputError
from bsig.training.data_check import UnmatchedClassesError
from bsig.ui.components import html
from bsig.ui.components.fields import Fields
from bsig.ui.screens.finetune.form import BACKBONE, DEVICES, SETTINGS, TORCHVISION, Form, data_kinds
from bsig.ui.screens.finetune.new_run import form_check
from bsig.ui.screens.finetune.run import check_html
from bsig.ui.workbench import Workbench

DEFAULT = Form()
BUNDLED_WORDS = html.note(
    "Pooled features of 1,000 pictures, one a class of ImageNet, and of 500 more that are only measured: numbers that "
    "the default backbone made, no pictures. Starts at once, takes seconds.",
    role="status",
)
LAYOUT_OF_DATA = "A {kind} with one folder of pictures a class, named as the class; or with an index.csv."
DOWNLOADED_WORDS = "Downloaded by torchvision when the run begins; a tenth of each class is held out."


@dataclass(frozen=True)
class FormPart:
    """The form's fields by name, the line that says what is known of the data, and the button for a new label set."""

    fields: Fields[Form]
    check: gr.HTML
    new_labels: gr.Button


@dataclass(frozen=True)
class CheckedData:
    """A check of the data before anything starts.

    Attributes:
        words: as HTML; where the data cannot be used, why.
        classes: how many would be trained; None where the data cannot be used.
        offers_new_labels: whether classes of the data are not the model's, so that a new label set would take more.
    """

    words: html.Html
    classes: int | None
    offers_new_labels: bool = False


def build_form(bench: Workbench) -> FormPart:
    """Lays out the form."""
    if bench.is_public:
        gr.HTML(html.note(bench.limits.finetune_limits()), elem_id="finetune-limits")
    data = _data_fields(bench)
    check = gr.HTML(elem_id="data-check")
    new_labels = gr.Button("Train a new label set instead", size="sm", visible=False, elem_id="data-new-labels")
    start = _start_fields(bench)
    most = f" At most {bench.limits.finetune_epochs}." if bench.limits.finetune_epochs else ""
    with gr.Row():
        first = {
            "epochs": _number("epochs", info=f"{SETTINGS['epochs'].help}{most}", elem_id="epochs"),
            "learning_rate": _number("learning_rate", elem_id="learning-rate"),
        }
    with gr.Accordion("More settings", open=False):
        more = _further_fields(bench)
    password = gr.Textbox(
        label="Password for fine-tuning", type="password", max_lines=1, visible=bench.limits.asks_password,
        elem_id="finetune-password", info="Whoever runs this app gives it out.",
    )  # fmt: skip
    return FormPart(Fields(Form, **data, **start, **first, **more, password=password), check, new_labels)


def _data_fields(bench: Workbench) -> dict[str, Any]:
    kinds = [(words, key) for key, words in data_kinds(bench.limits).items()]
    return {
        "kind": gr.Radio(kinds, value=DEFAULT.kind, label="What to train on", elem_id="data-kind"),
        "zip_file": gr.File(
            label="Zip of class folders", file_types=[".zip"], visible=False, elem_id="data-zip", height=120
        ),
        "folder": gr.Textbox(
            label="Folder", visible=False, elem_id="data-folder", max_lines=1, info="Enter looks it over."
        ),
        "dataset": gr.Dropdown(
            list(TORCHVISION), value=DEFAULT.dataset, label="Data set of torchvision", visible=False,
            allow_custom_value=not bench.is_public, elem_id="data-torchvision",
            info="Downloaded once; needs a network.",
        ),
    }  # fmt: skip


def _start_fields(bench: Workbench) -> dict[str, Any]:
    return {
        "labels": gr.Radio(
            [("The classes of the start", "own"), ("A new label set", "new")], value=DEFAULT.labels, label="Labels",
            elem_id="labels", info="A new label set first gets a softmax head of its own, then the sigmoid branch.",
        ),
        "start": gr.Dropdown(
            starts(bench), value=bench.default_checkpoint, label="Start from", allow_custom_value=True, elem_id="start",
            info=f"A checkpoint, or '{BACKBONE}' and any model name of timm.",
        ),
        "branch": gr.Radio(
            [(words, value) for value, words in SETTINGS["branch"].choices.items()], value=DEFAULT.branch,
            label=SETTINGS["branch"].label, info=SETTINGS["branch"].help, elem_id="branch",
        ),
    }  # fmt: skip


def _further_fields(bench: Workbench) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    with gr.Row():
        fields["schedule"] = _choice("schedule")
        fields["batch_size"] = _number("batch_size")
    with gr.Row():
        fields["weight_decay"] = _number("weight_decay")
        fields["positive_weight"] = _number("positive_weight", elem_id="positive-weight")
    with gr.Row():
        fields["initialisation"] = _choice("initialisation")
        fields["views"] = _number("views")
    with gr.Row():
        fields["device"] = gr.Dropdown(
            list(DEVICES), value=DEFAULT.device, label=SETTINGS["device"].label, min_width=120,
            info="auto: the best that is there.", visible=not bench.is_public,
        )  # fmt: skip
        fields["seed"] = _number("seed")
    return fields


def _number(name: str, *, info: str | None = None, elem_id: str | None = None) -> gr.Number:
    """The field of a number, as it is declared.

    Without gradio's own bounds and rounding: a number that breaks its rule is refused by name, in our words.
    """
    setting = SETTINGS[name]
    return gr.Number(
        getattr(DEFAULT, name), label=setting.label, info=info or setting.help, placeholder=setting.empty or None,
        min_width=120, elem_id=elem_id,
    )  # fmt: skip


def _choice(name: str) -> gr.Dropdown:
    setting = SETTINGS[name]
    choices = [(words, value) for value, words in setting.choices.items()]
    return gr.Dropdown(choices, value=getattr(DEFAULT, name), label=setting.label, info=setting.help, min_width=120)


def starts(bench: Workbench) -> list[str]:
    """Returns what a run can start from: every checkpoint, and two of timm's names to begin with."""
    return [*bench.saved_names(), f"{BACKBONE}tf_efficientnet_lite0", f"{BACKBONE}resnet50.a1_in1k"]


def checked_data(form: Form, bench: Workbench) -> CheckedData:
    """The check of the data; a fault of the data is a sentence in it, not an error."""
    try:
        return _known_data(form, bench)
    except UnmatchedClassesError as error:
        return CheckedData(html.problem(str(error)), None, offers_new_labels=True)
    except InputError as error:
        return CheckedData(html.problem(str(error)), None)


def _known_data(form: Form, bench: Workbench) -> CheckedData:
    """The check of data that can be read.

    Raises:
        InputError: as `form_check`; nothing to say where a zip or a folder is still to be chosen.
    """
    if form.kind in data_kinds(bench.limits) and form.is_data_missing:
        return CheckedData(html.note(LAYOUT_OF_DATA.format(kind=form.kind)), form.start_model(bench).num_classes)
    check, model = form_check(form, bench), form.start_model(bench)
    if check is None:
        words = BUNDLED_WORDS if form.kind == "bundled" else html.note(DOWNLOADED_WORDS)
        return CheckedData(words, model.num_classes)
    classes = len(check.counts) if form.new_head else model.num_classes
    words = check_html(check, model.class_names, new_head=form.new_head)
    return CheckedData(words, classes, offers_new_labels=bool(check.match.unmatched) and not form.new_head)
