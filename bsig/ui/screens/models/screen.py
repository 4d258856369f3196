"""The Models screen: a dual-branch model of any timm classifier, to look at at once and to fine-tune next."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

import gradio as gr

from bsig.inputs.errors import InputError
from bsig.inputs.images import RESAMPLING
from bsig.model.backbones import DEFAULT_BACKBONE, BackboneOptions
from bsig.model.dual_branch import DualBranch
from bsig.model.feature_stages import feature_stages, stage_of
from bsig.model.model_settings import NO_SETTINGS
from bsig.model.network_fit import POOLINGS
from bsig.model.new_model import model_name, new_model
from bsig.model.replaced_heads import ACTIVATIONS
from bsig.ui.components import html
from bsig.ui.components.fields import Answers, Fields, InputValues
from bsig.ui.components.handlers import in_words as refused_in_words
from bsig.ui.screens.compare.screen import CompareScreen, saved_checkpoint
from bsig.ui.screens.finetune.form import BACKBONE
from bsig.ui.screens.models.facts import facts_html, models_html, trials_html
from bsig.ui.screens.models.request import LABELS, LAST, ModelRequest, in_labels
from bsig.ui.server.limits import pretrained_names
from bsig.ui.workbench import Workbench

HUB = "hf:"
OWN = "its own"
# Who has named labelled pictures stays here, where their count is.
OPEN_COMPARE_UNLESS_COUNTED_JS = "(pictures) => pictures ? undefined : bsig.openCompare()"
GLOBAL_POOLS = (*POOLINGS, "max", "avgmax", "catavgmax")
HUB_STAGES = [LAST, "stride16", "stride8"]
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
NO_MODEL = html.note(
    "Choose a backbone and load it: its head, its grid and the methods that are exact for it stand here. Published "
    f"weights come over the network once and are kept by timm; {DEFAULT_BACKBONE} is installed."
)


@dataclass(frozen=True)
class ModelsScreen:
    """The fields that say which model is meant, and the button that leads to its fine-tune."""

    fields: Fields[ModelRequest]
    finetune: gr.Button


def build_models(bench: Workbench, compare: CompareScreen, tab: gr.Tab) -> ModelsScreen:
    """Lays out the tab and connects it; timm is imported when it is opened."""
    gr.HTML(html.heading(
        "A model of your choice",
        "Any picture classifier of the timm library, or weights of your own. Its head is copied into a sigmoid branch, "
        "and running it shows which heatmaps are exact for it.",
    ))  # fmt: skip
    if bench.is_public:
        gr.HTML(html.note(bench.limits.models_limits()), elem_id="models-limits")
    with gr.Row(equal_height=False, elem_classes="bsig-main"):
        with gr.Column(scale=4, min_width=320):
            fields = _model_fields(bench)
            with gr.Row():
                load = gr.Button("Load into Compare", variant="primary", elem_id="model-load")
                finetune = gr.Button("Fine-tune it", elem_id="model-finetune")
        with gr.Column(scale=6, min_width=320):
            facts = gr.HTML(NO_MODEL, elem_id="model-facts")
            model_list = gr.HTML(models_html(bench), elem_id="model-list")

    @refused_in_words
    def on_open(values: InputValues) -> Answers:
        request, backbones = fields.read(values), gr.Dropdown(choices=pretrained_names())
        try:
            titles = _stage_titles(bench, str(request.backbone or ""))
        except InputError:  # a name that is not known stands there until another one is chosen
            return {fields.backbone: backbones}
        stage = next((title for title in titles if stage_of(title) == stage_of(str(request.stage))), titles[0])
        return {
            fields.backbone: backbones,
            fields.stage: gr.Dropdown(choices=titles, value=stage),
        }

    @refused_in_words
    def on_backbone(name: str | float | None) -> Answers:  # what comes over HTTP may be a number
        titles = _stage_titles(bench, str(name or ""))
        return {fields.stage: gr.Dropdown(choices=titles, value=titles[0]), facts: NO_MODEL}

    @refused_in_words
    def on_load(values: InputValues) -> Answers:
        request = fields.read(values)
        request.labelled(bench)  # refuses before anything is loaded
        model = load_model(bench, request)
        return {
            facts: html.joined(facts_html(model), trials_html(bench, request, model)),
            model_list: models_html(bench),
            compare.checkpoint: gr.Dropdown(choices=bench.checkpoint_names(), value=model.name),
        }

    tab.select(on_open, fields.components, [fields.backbone, fields.stage], **QUIET)
    fields.backbone.change(on_backbone, fields.backbone, [fields.stage, facts], **QUIET)
    event = load.click(
        on_load, fields.components, [facts, model_list, compare.checkpoint], show_progress_on=facts, **QUIET
    )
    compare.redraw(event)
    event.success(None, fields.pictures, None, js=OPEN_COMPARE_UNLESS_COUNTED_JS)
    return ModelsScreen(fields, finetune)


def _model_fields(bench: Workbench) -> Fields[ModelRequest]:
    or_hub = "" if bench.is_public else ", or hf:owner/repo"
    main = {
        "backbone": gr.Dropdown(
            [DEFAULT_BACKBONE], value=DEFAULT_BACKBONE, label="Backbone", filterable=True, allow_custom_value=True,
            elem_id="model-backbone", info=f"Type to search timm's names with published weights{or_hub}.",
        ),
        "weights": gr.Textbox(
            label=LABELS["--weights"], placeholder="published weights", max_lines=1, elem_id="model-weights",
            visible=not bench.is_public, info="Path of a .safetensors or .pth file; may be empty.",
        ),
        "class_embeddings": gr.Textbox(
            label=LABELS["--class-embeddings"], placeholder="none", max_lines=1, elem_id="model-class-embeddings",
            visible=not bench.is_public,
            info="For a zero-shot model of a CLIP or SigLIP tower: path of a file with a text embedding a class.",
        ),
        "stage": gr.Dropdown(
            [LAST], value=LAST, label=LABELS["--feature-stage"], elem_id="model-stage",
            info="A finer grid, or an earlier layer.",
        ),
    }  # fmt: skip
    with gr.Accordion("Class names and preprocessing", open=False, elem_id="model-settings"):
        preprocessing = _preprocessing_fields(bench)
    with gr.Accordion("Network and head", open=False, elem_id="model-network", visible=not bench.is_public):
        return Fields(ModelRequest, **main, **preprocessing, **_network_fields())


def _preprocessing_fields(bench: Workbench) -> dict[str, Any]:
    """What a file of weights may not tell; empty fields leave it to the file and to timm."""
    local = not bench.is_public
    or_path = ", or the path of a file, or of a folder or zip of class folders" if local else ""
    return {
        "class_names": gr.Textbox(label=LABELS["--class-names"], lines=2, max_lines=8, elem_id="model-class-names",
                                  info=f"One a line, in the order of the outputs{or_path}."),
        "input_size": gr.Textbox(label=LABELS["--input-size"], max_lines=1, elem_id="model-input-size",
                                 info="Pixels: 160, or rows x columns as 160x224."),
        "mean": gr.Textbox(label=LABELS["--mean"], max_lines=1, elem_id="model-mean",
                           info="Of pixels from 0 to 1: one number or three."),
        "std": gr.Textbox(label=LABELS["--std"], max_lines=1, elem_id="model-std", info="One number or three."),
        "interpolation": _choice("--interpolation", RESAMPLING, "model-interpolation"),
        "crop_mode": gr.Dropdown([(OWN, ""), ("centre crop", "center"), ("whole picture, squashed", "squash")],
                                 value="", label=LABELS["--crop-mode"], elem_id="model-crop-mode"),
        "crop_pct": gr.Textbox(label=LABELS["--crop-pct"], max_lines=1, elem_id="model-crop-pct",
                               info="Of the shorter side, from 0.25 to 1."),
        "pictures": gr.Textbox(label=LABELS["--pictures"], max_lines=1, elem_id="model-pictures", visible=local,
                               info="Path of class folders or a zip of them: counts how many of at most 200 are right, "
                               "with this and with other usual settings."),
    }  # fmt: skip


def _network_fields() -> dict[str, Any]:
    """How the network of a file is built, and what its head is; empty fields leave it to the file."""
    return {
        "weights_key": gr.Textbox(label=LABELS["--weights-key"], max_lines=1, elem_id="model-weights-key",
                                  info="Of a file that holds several; the moving average is the default."),
        "model_kwargs": gr.Textbox(label=LABELS["--model-kwargs"], max_lines=1, elem_id="model-kwargs",
                                   info="As pad_type=same bn_eps=1e-3."),
        "global_pool": _choice("--global-pool", GLOBAL_POOLS, "model-global-pool"),
        "in_chans": _choice("--in-chans", ("1", "3"), "model-in-chans", info="1 for grey pictures, 3 for RGB."),
        "head_activation": _choice("--head-activation", ACTIVATIONS, "model-head-activation",
                                   info="Of a head of several layers, whose file does not tell it.",
                                   own="the usual one, relu"),
        "sigmoid_output": gr.Checkbox(label=LABELS["--sigmoid-output"], elem_id="model-sigmoid-output",
                                      info="A network with one output then has two classes, absent and present."),
        "logit_scale": gr.Textbox(label=LABELS["--logit-scale"], max_lines=1, elem_id="model-logit-scale",
                                  info="Zero-shot: the factor before the cosine."),
        "logit_bias": gr.Textbox(label=LABELS["--logit-bias"], max_lines=1, elem_id="model-logit-bias",
                                 info="Zero-shot: what the sigmoid branch adds."),
    }  # fmt: skip


def _choice(option: str, keys: Iterable[str], elem_id: str, info: str | None = None, own: str = OWN) -> gr.Dropdown:
    """One of some keys, or what the file or timm has, which `own` calls."""
    return gr.Dropdown([(own, ""), *((key, key) for key in keys)], value="", label=LABELS[option], elem_id=elem_id,
                       info=info)  # fmt: skip


def _stage_titles(bench: Workbench, name: str) -> list[str]:
    """The stages at which that backbone's features can be taken; those of a hub model are known once it is loaded."""
    if name:
        bench.limits.check_backbone(name.strip())
    if not name or name.startswith(HUB):
        return HUB_STAGES
    return [stage.title for stage in feature_stages(name)]


def connect_finetune(models: ModelsScreen, bench: Workbench, start: gr.Dropdown, tabs: gr.Tabs) -> None:
    """Connects the button that opens the Fine-tune tab with this backbone as its start."""

    @refused_in_words
    def on_finetune(values: InputValues) -> Answers:
        value = finetune_start(bench, models.fields.read(values))
        choices = [*bench.checkpoint_names(), value]
        return {start: gr.Dropdown(choices=choices, value=value), tabs: gr.Tabs(selected="finetune")}

    models.finetune.click(on_finetune, models.fields.components, [start, tabs], **QUIET)


def load_model(bench: Workbench, request: ModelRequest) -> DualBranch:
    """Loads the model and makes it selectable everywhere.

    Raises:
        InputError: as `ModelRequest.checked` and `new_model`; or a limit of this app is reached.
    """
    backbone, weights, options = request.checked(bench)
    settings, embeddings = request.settings(bench), request.embeddings(bench)
    label = model_name(backbone if weights is None else f"{backbone}-{weights.stem}", options)
    of_embeddings = f"{embeddings.sha256} {embeddings.logit_scale} {embeddings.logit_bias}" if embeddings else ""
    settings_text = repr(settings) * (settings != NO_SETTINGS) + of_embeddings
    if settings_text:
        # Answers are kept by name, so other settings are another model.
        label = f"{label[:92]}-{hashlib.sha256(settings_text.encode()).hexdigest()[:6]}"
    other_names = {row["name"] for row in bench.checkpoint_rows()} - set(bench.visitor_space.registered)
    if label in other_names:
        label = next(name for number in count(2) if (name := f"{label}-{number}") not in other_names)
    if label not in bench.visitor_space.registered:
        bench.limits.check_count(
            "models and checkpoints",
            bench.visitor_space.models(),
            bench.limits.models_kept,
            "they go when you close the page",
        )

    def new_copy() -> DualBranch:
        try:
            model = new_model(backbone, weights, options, bench.device, settings, embeddings)
        except InputError as error:
            raise InputError(in_labels(str(error))) from error
        model.name = label
        return model

    # Made before it is registered, so that nothing is that cannot be loaded; where it has gone from memory, made again.
    first = [new_copy()]
    bench.register(label, lambda: first.pop() if first else new_copy())
    return bench.model(label)


def finetune_start(bench: Workbench, request: ModelRequest) -> str:
    """What the Fine-tune form starts from: a timm name, or, for a file or another feature stage, a saved checkpoint.

    Raises:
        InputError: as `load_model` and `saved_checkpoint`.
    """
    backbone, weights, options = request.checked(bench)
    own = request.settings(bench) == NO_SETTINGS and options == BackboneOptions() and not request.class_embeddings
    if weights is None and not backbone.startswith(HUB) and own:
        return f"{BACKBONE}{backbone}"
    if bench.own_checkpoints() is None:  # before the model is loaded
        raise InputError(
            "this app has no folder for new checkpoints; use `python -m bsig new-model` and fine-tune that."
        )
    return saved_checkpoint(bench, load_model(bench, request).name)
