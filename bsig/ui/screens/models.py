"""The Models screen: a dual-branch model of any timm classifier, to look at at once and to fine-tune next."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import gradio as gr

from bsig.explain.methods import CAM_METHODS, default_method, methods_of, why_not_cam
from bsig.explain.wording import percent
from bsig.inputs.errors import InputError
from bsig.inputs.images import RESAMPLING, Triple
from bsig.inputs.paths import EXAMPLES
from bsig.model.backbones import DEFAULT_BACKBONE, BackboneOptions
from bsig.model.class_embeddings import ClassEmbeddings, read_class_embeddings
from bsig.model.class_names import read_class_names
from bsig.model.dual_branch import DualBranch
from bsig.model.feature_stages import feature_stages, stage_of
from bsig.model.heads import head_in_words
from bsig.model.model_settings import NO_SETTINGS, ModelSettings, in_words, parsed_kwargs, parsed_size, triple
from bsig.model.new_model import model_name, new_model, not_trained
from bsig.model.preview import PREVIEWED, top_classes
from bsig.ui.components import html
from bsig.ui.components.fields import Answers, Fields, InputValues
from bsig.ui.components.handlers import in_words as refused_in_words
from bsig.ui.components.inputs import OPEN_COMPARE_JS
from bsig.ui.screens.compare.screen import CompareScreen, saved_checkpoint
from bsig.ui.screens.finetune.form import BACKBONE
from bsig.ui.server.limits import pretrained_names
from bsig.ui.workbench import Workbench

HUB = "hf:"
LAST = "last"
HUB_STAGES = [LAST, "stride16", "stride8"]
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
NO_MODEL = html.note(
    "Choose a backbone and load it: its head, its grid and the methods that are exact for it stand here. Published "
    f"weights come over the network once and are kept by timm; {DEFAULT_BACKBONE} is installed."
)


@dataclass(frozen=True)
class ModelRequest:
    """The model that a visitor asks for, as the fields have it.

    Attributes:
        backbone: a timm name or `hf:owner/repo`.
        weights: path of a file of this machine; empty for the published weights.
        stage: where the features are taken, as the title of a `FeatureStage`.
        weights_key: the set of weights of the file.
        class_names: one name a line, or the path of what `read_class_names` reads.
        input_size, mean, std, model_kwargs: as typed, like the options of `new-model`.
        interpolation, crop_mode: of the preprocessing; empty for the file's or timm's own.
        class_embeddings: path of a file of text embeddings, which makes an image tower a zero-shot model.
    """

    backbone: str | None
    weights: str | None = None
    stage: str | None = LAST
    weights_key: str | None = None
    class_names: str | None = None
    input_size: str | None = None
    mean: str | None = None
    std: str | None = None
    interpolation: str | None = None
    crop_mode: str | None = None
    model_kwargs: str | None = None
    class_embeddings: str | None = None

    def settings(self, bench: Workbench) -> ModelSettings:
        """Class names, preprocessing and further options, as typed.

        Raises:
            InputError: a value breaks its rule, or a path is given in a public app.
        """
        pairs = parsed_kwargs((self.model_kwargs or "").split())
        if pairs and not bench.limits.takes_paths:
            raise InputError("`model_kwargs` must be left out here: a public app builds timm's networks as they are.")
        return ModelSettings(
            class_names=_typed_names(self.class_names, bench),
            input_size_hw=parsed_size(self.input_size) if self.input_size else None,
            mean=_typed_numbers("mean", self.mean),
            std=_typed_numbers("std", self.std),
            interpolation=self.interpolation or None,
            crop_mode=self.crop_mode or None,
            model_kwargs=pairs,
            weights_key=(self.weights_key or "").strip() or None,
        )

    def embeddings(self, bench: Workbench) -> ClassEmbeddings | None:
        """The class embeddings of the file that is named; None where none is.

        Raises:
            InputError: the file cannot be used, or a path is given in a public app.
        """
        path = (self.class_embeddings or "").strip()
        if path and not bench.limits.takes_paths:
            raise InputError("`class_embeddings` must be left out here: a public app reads no files of its machine.")
        return read_class_embeddings(Path(path).expanduser()) if path else None

    def checked(self, bench: Workbench) -> tuple[str, Path | None, BackboneOptions]:
        """The backbone's name, the weights file and the options.

        Raises:
            InputError: nothing is typed, a file of this machine is asked for in a public app, or the backbone is not
                allowed there.
        """
        name, file = (self.backbone or "").strip(), (self.weights or "").strip()
        if not name:
            raise InputError("`backbone` (empty) must be a timm name or hf:owner/repo; type to search.")
        if file and not bench.limits.takes_paths:
            raise InputError("`weights` must be left out here: a public app reads no files of its machine.")
        bench.limits.check_backbone(name)
        return name, Path(file) if file else None, BackboneOptions(stage_of(self.stage or LAST))


def _typed_names(text: str | None, bench: Workbench) -> tuple[str, ...] | None:
    """Class names of lines, or of a path where a single line is one."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    if not lines:
        return None
    if len(lines) == 1 and bench.limits.takes_paths:
        return tuple(read_class_names(Path(lines[0]).expanduser()))
    if len(set(lines)) != len(lines):
        raise InputError("`class_names` must hold each name once, one a line.")
    return tuple(lines)


def _typed_numbers(name: str, text: str | None) -> Triple | None:
    """Three numbers, or one for all."""
    parts = (text or "").replace(",", " ").split()
    try:
        return triple(name, [float(part) for part in parts]) if parts else None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"`{name}` (='{text}') must be one number or three (R G B).") from error


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
        model = load_model(bench, fields.read(values))
        return {
            facts: facts_html(model),
            model_list: models_html(bench),
            compare.checkpoint: gr.Dropdown(choices=bench.checkpoint_names(), value=model.name),
        }

    tab.select(on_open, fields.components, [fields.backbone, fields.stage], **QUIET)
    fields.backbone.change(on_backbone, fields.backbone, [fields.stage, facts], **QUIET)
    event = load.click(
        on_load, fields.components, [facts, model_list, compare.checkpoint], show_progress_on=facts, **QUIET
    )
    compare.redraw(event)
    event.success(None, None, None, js=OPEN_COMPARE_JS)
    return ModelsScreen(fields, finetune)


def _model_fields(bench: Workbench) -> Fields[ModelRequest]:
    or_hub = "" if bench.is_public else ", or hf:owner/repo"
    main = {
        "backbone": gr.Dropdown(
            [DEFAULT_BACKBONE], value=DEFAULT_BACKBONE, label="Backbone", filterable=True, allow_custom_value=True,
            elem_id="model-backbone", info=f"Type to search timm's names with published weights{or_hub}.",
        ),
        "weights": gr.Textbox(
            label="Weights file", placeholder="published weights", max_lines=1, elem_id="model-weights",
            visible=not bench.is_public, info="Path of a .safetensors or .pth file; may be empty.",
        ),
        "class_embeddings": gr.Textbox(
            label="Class embeddings", placeholder="none", max_lines=1, elem_id="model-class-embeddings",
            visible=not bench.is_public,
            info="For a zero-shot model of a CLIP or SigLIP tower: path of a file with a text embedding a class.",
        ),
        "stage": gr.Dropdown(
            [LAST], value=LAST, label="Features taken at", elem_id="model-stage",
            info="A finer grid, or an earlier layer.",
        ),
    }  # fmt: skip
    with gr.Accordion("Class names and preprocessing", open=False, elem_id="model-settings"):
        return Fields(ModelRequest, **main, **_settings_fields(bench))


def _settings_fields(bench: Workbench) -> dict[str, Any]:
    """The settings that a file of weights may lack; empty fields leave them to the file and to timm."""
    local = not bench.is_public
    or_path = ", or the path of a file or of a folder of class folders" if local else ""
    return {
        "class_names": gr.Textbox(label="Class names", lines=2, max_lines=8, elem_id="model-class-names",
                                  info=f"One a line, in the order of the outputs{or_path}."),
        "input_size": gr.Textbox(label="Input size", max_lines=1, elem_id="model-input-size",
                                 info="Pixels: 160, or rows x columns as 160x224."),
        "mean": gr.Textbox(label="Mean", max_lines=1, elem_id="model-mean",
                           info="Of pixels from 0 to 1: one number or three."),
        "std": gr.Textbox(label="Standard deviation", max_lines=1, elem_id="model-std", info="One number or three."),
        "interpolation": gr.Dropdown([("its own", ""), *((name, name) for name in RESAMPLING)], value="",
                                     label="Interpolation", elem_id="model-interpolation"),
        "crop_mode": gr.Dropdown([("its own", ""), ("centre crop", "center"), ("whole picture, squashed", "squash")],
                                 value="", label="Crop", elem_id="model-crop-mode"),
        "weights_key": gr.Textbox(label="Set of weights", max_lines=1, elem_id="model-weights-key", visible=local,
                                  info="Of a file that holds several; the moving average is the default."),
        "model_kwargs": gr.Textbox(label="Network options", max_lines=1, elem_id="model-kwargs", visible=local,
                                   info="As pad_type=same bn_eps=1e-3."),
    }  # fmt: skip


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
    settings_text = repr(settings) * (settings != NO_SETTINGS) + (embeddings.sha256 or "" if embeddings else "")
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
        model = new_model(backbone, weights, options, bench.device, settings, embeddings)
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


def facts_html(model: DualBranch) -> html.Html:
    """What the head is, where the features are taken, and which methods are exact, as a table."""
    head = model.softmax_head
    height, width = model.grid_hw or (0, 0)
    place = "the last feature map" if model.features_at == LAST else f"layer '{model.features_at}'"
    facts = {
        "Model": model.name,
        "Classes": f"{model.num_classes:,}",
        "Features": f"{place}, {height} x {width} cells",
        "Head": head_in_words(head),
        "Exact": "CAM: the map's mean plus the bias is the logit" if head.cam_is_exact else "no method",
        "Shown first": CAM_METHODS[default_method(head)].title,
        "Methods": ", ".join(CAM_METHODS[key].title for key in methods_of(head)),
        "Preprocessing": ", ".join(in_words(model.preprocessing).values()),
        **{f"Top classes of {name}, by softmax probability": _top(model, name) for name in PREVIEWED},
        **_zero_shot_facts(model),
        "Sigmoid branch": model.training_state if model.is_trained else "still the clone: not fine-tuned yet",
    }
    rows: list[list[str | html.Cell]] = [[html.row_title(name), value] for name, value in facts.items()]
    words = " ".join(
        text for text in ("Compare shows it now.", *model.notes, why_not_cam(head), not_trained(model)) if text
    )
    return html.joined(html.table([], rows, scrolls=True, id="model-table"), html.note(words, role="status"))


def _zero_shot_facts(model: DualBranch) -> dict[str, str]:
    """Scale and bias of a zero-shot model; nothing for others."""
    entry = model.metadata.get("zero_shot")
    if not entry:
        return {}
    bias = entry["logit_bias"]
    sigmoid = "no bias" if bias is None else f"{bias:+.4g} in the sigmoid branch"
    return {"Zero-shot logit": f"{entry['logit_scale']:.4g} x cosine of picture and class, {sigmoid}"}


def _top(model: DualBranch, picture: str) -> str:
    """The most probable classes of an example, by which a wrong mean or order of classes is seen."""
    return ", ".join(f"{name} {percent(probability)}" for name, probability in top_classes(model, EXAMPLES / picture))


def models_html(bench: Workbench) -> html.Html:
    """All checkpoints with backbone, grid and whether their sigmoid branch has been fine-tuned."""
    checkpoints = bench.checkpoint_rows()
    names = {row["name"] for row in checkpoints}
    lines = [
        *(_checkpoint_row(row) for row in checkpoints),
        *(
            [name, "loaded here, not saved", "", "still the clone"]
            for name in bench.checkpoint_names()
            if name not in names
        ),
    ]
    titles = ("Backbone", "Features", "Sigmoid branch")
    rows = [
        [html.cell(name, class_="main"), *(html.cell(text, data_name=title if text else None)
                                           for title, text in zip(titles, texts, strict=True))]
        for name, *texts in lines
    ]  # fmt: skip
    return html.table(["Checkpoint", *titles], rows, kind="bsig-measured", scrolls=True)


def _checkpoint_row(row: dict[str, Any]) -> list[str]:
    if "error" in row:
        return [row["name"], row["error"], "", ""]
    if "needs" in row:
        return [row["name"], f"{row['backbone']}, not installed: {row['needs']}", "", ""]
    grid, stage = row.get("grid_hw"), row.get("feature_stage", LAST)
    features = f"{stage}, {grid[0]} x {grid[1]}" if grid else str(stage)
    state = "zero-shot" if row.get("zero_shot") else "fine-tuned"
    branch = f"{row['branch']}, {state}" if row.get("trained", True) else "still the clone"
    return [row["name"], str(row["backbone"]), features, branch]
