"""The Models screen: a dual-branch model of any timm classifier, to look at at once and to fine-tune next."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from bsig.explain.methods import CAM_METHODS, default_method, methods_of, why_not_cam
from bsig.inputs.errors import InputError
from bsig.model.backbones import DEFAULT_BACKBONE, BackboneOptions
from bsig.model.checkpoints.folder import save_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.model.feature_stages import feature_stages, head_in_words, stage_of
from bsig.model.new_model import model_name, new_model, not_trained
from bsig.ui.components.handlers import in_words
from bsig.ui.components.html import explained, heading
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.screens.finetune.form import BACKBONE
from bsig.ui.server.limits import pretrained_names
from bsig.ui.workbench import Workbench

# A table wider than a phone scrolls by itself; the page does not.
SCROLLS = "<div style='overflow-x: auto; max-width: calc(100vw - 6rem)'>"


@dataclass(frozen=True)
class ModelsScreen:
    """The fields that say which model is meant, and the button that leads to its fine-tune."""

    backbone: gr.Dropdown
    weights: gr.Textbox
    stage: gr.Dropdown
    facts: gr.HTML
    finetune: gr.Button


def build_models(bench: Workbench, compare: CompareScreen) -> ModelsScreen:
    """Lays out the tab and connects it."""
    gr.HTML(heading("Any timm classifier as a dual-branch model", "Its head is cut off behind the feature map and "
                      "cloned as it is; what it allows is found out by running it."))  # fmt: skip
    if bench.is_public:
        gr.HTML(f"<p class='bsig-note'>{html.escape(bench.limits.models_limits())}</p>", elem_id="models-limits")
    or_hub = "" if bench.is_public else ", or hf:owner/repo"
    with gr.Row(equal_height=False, elem_classes="bsig-main"):
        with gr.Column(scale=4, min_width=320):
            backbone = gr.Dropdown(
                pretrained_names(), value=DEFAULT_BACKBONE, label="Backbone", filterable=True, allow_custom_value=True,
                elem_id="model-backbone", info=f"Type to search timm's names with published weights{or_hub}.",
            )  # fmt: skip
            weights = gr.Textbox(
                label="Weights file", placeholder="published weights", max_lines=1, elem_id="model-weights",
                visible=not bench.is_public, info="Path of a .safetensors or .pth file; may be empty.",
            )  # fmt: skip
            titles = [one.title for one in feature_stages(DEFAULT_BACKBONE)]
            stage = gr.Dropdown(
                titles, value=titles[0],
                label="Features taken at", elem_id="model-stage", info="A finer grid, or an earlier layer.",
            )  # fmt: skip
            with gr.Row():
                load = gr.Button("Load into Compare", variant="primary", elem_id="model-load")
                finetune = gr.Button("Fine-tune it", elem_id="model-finetune")
        with gr.Column(scale=6, min_width=320):
            facts = gr.HTML(_facts_of_nothing(), elem_id="model-facts")
            listed = gr.HTML(models_html(bench), elem_id="model-list")
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}

    @in_words
    def on_backbone(name: str | float | None) -> Any:  # what comes over HTTP may be a number
        name = str(name or "")
        if name:
            bench.limits.check_backbone(name.strip())
        if not name or name.startswith("hf:"):
            return [gr.Dropdown(choices=["last", "stride16", "stride8"], value="last"), _facts_of_nothing()]
        titles = [one.title for one in feature_stages(name)]
        return [gr.Dropdown(choices=titles, value=titles[0]), _facts_of_nothing()]

    @in_words
    def on_load(name: str | None, file: str | None, title: str | None) -> list[Any]:
        model = loaded(bench, name, file, title)
        return [facts_html(model), models_html(bench), gr.Dropdown(choices=bench.checkpoint_names(), value=model.name)]

    backbone.change(on_backbone, backbone, [stage, facts], **quiet)
    done = load.click(on_load, [backbone, weights, stage], [facts, listed, compare.checkpoint], **quiet)
    compare.redraw(done)
    return ModelsScreen(backbone, weights, stage, facts, finetune)


def connect_finetune(models: ModelsScreen, bench: Workbench, start: gr.Dropdown, tabs: gr.Tabs) -> None:
    """The button that opens the Fine-tune tab with this backbone as its start."""

    @in_words
    def on_finetune(name: str | None, file: str | None, title: str | None) -> list[Any]:
        chosen = start_of(bench, name, file, title)
        return [gr.Dropdown(choices=[*bench.checkpoint_names(), chosen], value=chosen), gr.Tabs(selected="finetune")]

    models.finetune.click(
        on_finetune, [models.backbone, models.weights, models.stage], [start, tabs], api_visibility="private",
        show_progress="minimal",
    )  # fmt: skip


def loaded(bench: Workbench, name: str | None, file: str | None, title: str | None) -> DualBranch:
    """The model that the fields ask for, made selectable everywhere.

    Raises:
        InputError: as `new_model`; or a file of this machine is asked for in a public app.
    """
    backbone, weights, options = _wanted(bench, name, file, title)
    label = model_name(backbone if weights is None else f"{backbone}-{weights.stem}", options)
    if label in {row["name"] for row in bench.checkpoint_rows()}:
        label = f"{label}-new"
    if label not in bench.visitor_space.registered:
        bench.limits.check_count(
            "models and checkpoints",
            bench.visitor_space.models(),
            bench.limits.models_kept,
            "they go when you close the page",
        )
    model = new_model(backbone, weights, options, bench.device)
    model.name = label

    def again() -> DualBranch:
        made = new_model(backbone, weights, options, bench.device)
        made.name = label
        return made

    # Kept like any other model: where it has gone from memory it is made again.
    first = [model]
    bench.register(label, lambda: first.pop() if first else again())
    return bench.model(label)


def start_of(bench: Workbench, name: str | None, file: str | None, title: str | None) -> str:
    """What the Fine-tune form starts from: a timm name, or, for a file or another feature stage, a saved checkpoint.

    Raises:
        InputError: as `loaded`; or there is no folder to save a checkpoint in.
    """
    backbone, weights, options = _wanted(bench, name, file, title)
    if weights is None and not backbone.startswith("hf:") and options == BackboneOptions():
        return f"{BACKBONE}{backbone}"
    folder = bench.own_checkpoints()
    if folder is None:
        raise InputError(
            "this app has no folder for new checkpoints; use `python -m bsig new-model` and fine-tune that."
        )
    model = loaded(bench, name, file, title)
    save_checkpoint(model, folder / model.name)
    return model.name


def _wanted(
    bench: Workbench, name: str | None, file: str | None, title: str | None
) -> tuple[str, Path | None, BackboneOptions]:
    if not name or not name.strip():
        raise InputError("`backbone` (empty) must be a timm name or hf:owner/repo; type to search.")
    weights = Path(file.strip()) if file and file.strip() else None
    if weights is not None and not bench.limits.takes_paths:
        raise InputError("`weights` must be left out here: a public app reads no files of its machine.")
    bench.limits.check_backbone(name.strip())
    return name.strip(), weights, BackboneOptions(stage_of(title or "last"))


def facts_html(model: DualBranch) -> str:
    """What the head is, where the features are taken, and which methods are exact, as a table."""
    head = model.softmax_head
    rows, columns = model.grid_hw or (0, 0)
    default = default_method(head)
    methods = ", ".join(CAM_METHODS[key].title for key in methods_of(head))
    where = "the last feature map" if model.features_at == "last" else f"layer '{model.features_at}'"
    told = {
        "Model": model.name,
        "Classes": f"{model.num_classes:,}",
        "Features": f"{where}, {rows} x {columns} cells",
        "Head": head_in_words(head),
        "Exact": "CAM: the map's mean plus the bias is the logit" if head.cam_is_exact else "no method",
        "Shown first": CAM_METHODS[default].title,
        "Methods": methods,
        "Sigmoid branch": "fine-tuned" if model.is_trained else "still the clone: not fine-tuned yet",
    }
    body = "".join(f"<tr><th>{explained(key)}</th><td>{html.escape(value)}</td></tr>" for key, value in told.items())
    words = " ".join(text for text in (why_not_cam(head), not_trained(model)) if text)
    return (
        f"{SCROLLS}<table class='bsig-table' id='model-table'><tbody>{body}</tbody></table></div>"
        f"<p class='bsig-note' role='status'>Compare shows it now. {html.escape(words)}</p>"
    )


def models_html(bench: Workbench) -> str:
    """All checkpoints with backbone, grid and whether their sigmoid branch has been fine-tuned."""
    rows = []
    known = bench.checkpoint_rows()
    for row in known:
        if "error" in row:
            cells = (row["name"], row["error"], "", "")
        else:
            grid = row.get("grid_hw")
            where = row.get("feature_stage", "last")
            cells = (
                row["name"], row["backbone"], where if not grid else f"{where}, {grid[0]} x {grid[1]}",
                f"{row['branch']}, fine-tuned" if row.get("trained", True) else "still the clone",
            )  # fmt: skip
        rows.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>")
    names = {row["name"] for row in known}
    rows += [
        f"<tr><td>{html.escape(name)}</td><td>loaded here, not saved</td><td></td><td>still the clone</td></tr>"
        for name in bench.checkpoint_names()
        if name not in names
    ]
    return (
        f"{SCROLLS}<table class='bsig-table'><thead><tr>"
        + "".join(f"<th>{explained(title)}</th>" for title in ("Checkpoint", "Backbone", "Features", "Sigmoid branch"))
        + f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _facts_of_nothing() -> str:
    return (
        "<p class='bsig-note'>Choose a backbone and load it: its head, its grid and the methods that are exact for it "
        "stand here. Published weights come over the network once and are kept by timm; "
        f"{DEFAULT_BACKBONE} is installed.</p>"
    )
