"""The fields of the Fine-tune form, each explained in a few words, and what is said of the data before a start."""

from __future__ import annotations

import html
from dataclasses import fields
from typing import Any

import gradio as gr

from bsig.ui.screens.finetune.form import BACKBONE, TORCHVISION, Form, address_of, kinds_taken, looked_over, start_of
from bsig.ui.screens.finetune.run import check_html
from bsig.ui.workbench import Workbench

DEFAULT = Form()
POSITIVE = [field.name for field in fields(Form)].index("positive_weight")
BUNDLED_WORDS = (
    '<p class="bsig-note" role="status">Pooled features of 1,000 pictures, one a class of ImageNet, and of 500 more '
    "that are only measured: numbers that the default backbone made, no pictures. Starts at once, takes seconds.</p>"
)


def build_form(bench: Workbench) -> tuple[list[Any], gr.Dropdown, gr.HTML, gr.File, gr.Textbox, gr.Dropdown]:
    """The components in the order of `Form`'s fields, and those of them that others need by name."""
    limits = bench.limits
    if limits.is_public:
        gr.HTML(f'<p class="bsig-note">{html.escape(limits.finetune_limits())}</p>', elem_id="finetune-limits")
    kinds = [(words, key) for key, words in kinds_taken(limits).items()]
    kind = gr.Radio(kinds, value=DEFAULT.kind, label="What to train on", elem_id="data-kind")
    zip_file = gr.File(label="Zip of class folders", file_types=[".zip"], visible=False, elem_id="data-zip", height=110)
    folder = gr.Textbox(label="Folder", visible=False, elem_id="data-folder", max_lines=1, info="Enter looks it over.")
    dataset = gr.Dropdown(
        list(TORCHVISION), value=DEFAULT.dataset, label="Data set of torchvision", visible=False,
        allow_custom_value=not bench.is_public, elem_id="data-torchvision", info="Downloaded once; needs a network.",
    )  # fmt: skip
    check = gr.HTML(elem_id="data-check")
    labels = gr.Radio(
        [("The classes of the start", "own"), ("A new label set", "new")], value=DEFAULT.labels, label="Labels",
        elem_id="labels", info="A new label set first gets a softmax head of its own, then the sigmoid branch.",
    )  # fmt: skip
    start = gr.Dropdown(
        starts(bench), value=bench.default_checkpoint, label="Start from", allow_custom_value=True, elem_id="start",
        info=f"A checkpoint, or '{BACKBONE}' and any model name of timm.",
    )  # fmt: skip
    branch = gr.Radio(
        [("Full clone of the head", "full"), ("Fitted shift", "shift")], value=DEFAULT.branch, label="Branch",
        elem_id="branch", info="The shift learns one vector and one number for all classes; the clone every weight.",
    )  # fmt: skip
    with gr.Row():
        most = f" At most {limits.finetune_epochs}." if limits.finetune_epochs else ""
        epochs = gr.Number(DEFAULT.epochs, label="Epochs", minimum=1, precision=0, elem_id="epochs", min_width=120,
                           info=f"Passes over the data.{most}")  # fmt: skip
        rate = gr.Number(DEFAULT.learning_rate, label="Learning rate", elem_id="learning-rate", min_width=120,
                         info="0.03 as published; more moves zero further.")  # fmt: skip
    with gr.Accordion("More settings", open=False):
        with gr.Row():
            schedule = gr.Dropdown(["cosine", "constant"], value=DEFAULT.schedule, label="Schedule", min_width=120,
                                   info="Of the learning rate; cosine falls to 0.")  # fmt: skip
            batch = gr.Number(DEFAULT.batch_size, label="Batch size", minimum=1, precision=0, min_width=120,
                              info="Pictures a step.")  # fmt: skip
        with gr.Row():
            decay = gr.Number(DEFAULT.weight_decay, label="Weight decay", min_width=120, info="Pull towards 0.")
            positive = gr.Number(None, label="Positive weight", min_width=120, elem_id="positive-weight",
                                 placeholder="classes - 1", info="Of the right class; empty: balanced.")  # fmt: skip
        with gr.Row():
            initialisation = gr.Dropdown(["clone", "fresh"], value=DEFAULT.initialisation, label="Initialisation",
                                         min_width=120, info="The softmax head's copy, or zeros.")  # fmt: skip
            views = gr.Number(DEFAULT.views, label="Views", minimum=1, precision=0, min_width=120,
                              info="Cuts of each picture; one an epoch.")  # fmt: skip
        with gr.Row():
            device = gr.Dropdown(["auto", "cpu", "cuda", "mps"], value=DEFAULT.device, label="Device", min_width=120,
                                 info="auto: the best that is there.", visible=not limits.is_public)  # fmt: skip
            seed = gr.Number(DEFAULT.seed, label="Seed", precision=0, min_width=120, info="The same gives the same.")
    password = gr.Textbox(
        label="Password for fine-tuning", type="password", max_lines=1, visible=limits.asks_password,
        elem_id="finetune-password", info="Whoever runs this app gives it out.",
    )  # fmt: skip
    form = [kind, zip_file, folder, dataset, labels, start, branch, epochs, rate, schedule, batch, decay, positive,
            initialisation, views, device, seed, password]  # fmt: skip
    return form, start, check, zip_file, folder, dataset


def starts(bench: Workbench) -> list[str]:
    """What a run can start from: every checkpoint, and two of timm's names to begin with."""
    return [*bench.saved_names(), f"{BACKBONE}tf_efficientnet_lite0", f"{BACKBONE}resnet50.a1_in1k"]


def checked(form: Form, bench: Workbench) -> tuple[str, int]:
    """What is said of the data before anything starts, and how many classes would be trained."""
    hints = {
        "zip": "A zip with one folder of pictures a class, named as the class; or with an index.csv.",
        "folder": "A folder with one folder of pictures a class, named as the class; or with an index.csv.",
    }
    if form.kind not in kinds_taken(bench.limits):
        address_of(form, bench)  # says why not
    if form.kind == "torchvision":
        words = "Downloaded by torchvision when the run begins; a tenth of each class is held out."
        return f'<p class="bsig-note">{words}</p>', start_of(form, bench).num_classes
    if (form.kind == "zip" and not form.zip_file) or (form.kind == "folder" and not form.folder.strip()):
        return f'<p class="bsig-note">{hints[form.kind]}</p>', start_of(form, bench).num_classes
    found, new_head = looked_over(form, bench), form.labels == "new"
    model = start_of(form, bench)
    if found is None:
        return BUNDLED_WORDS, model.num_classes
    return check_html(found, model.class_names, new_head=new_head), len(found.counts) if new_head else model.num_classes
