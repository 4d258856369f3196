"""The Fine-tune screen: what to train on, settings, runs in line, and evidence that forms epoch by epoch.

A run lives in a worker process and a folder (`run.py`), never in a tab: this screen only asks for runs and reads
their folders, on a timer while one is going on.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import gradio as gr

from bsig.explain.drawing.comparison import Drawing
from bsig.training.runs.queue import RunQueue
from bsig.training.runs.run import ENDED, EVENTS, STATE, Run
from bsig.training.runs.words import can
from bsig.ui.components.handlers import in_words
from bsig.ui.components.html import explained, scale_bar
from bsig.ui.components.inputs import OPEN_COMPARE_JS, MapImage, press_js
from bsig.ui.plots.training import FIGURES
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.screens.finetune.checkpoints import checkpoint_zip
from bsig.ui.screens.finetune.fields import POSITIVE, build_form, checked, starts
from bsig.ui.screens.finetune.form import Form, resumed, started
from bsig.ui.screens.finetune.run import (
    list_rows,
    probe_epochs,
    probe_pictures,
    probe_text,
    runs_html,
    settings_html,
    status_html,
)
from bsig.ui.screens.finetune.two_checkpoints import build_two_checkpoints
from bsig.ui.workbench import Workbench

TICK_S = 0.6
WHOSE = {False: "Any tab can look at any run.", True: "Your own runs; nobody else sees them."}


def build_finetune(bench: Workbench, queue: RunQueue, compare: CompareScreen, tab: gr.Tab, demo: gr.Blocks) -> Any:
    """Lays out the tab and connects it; returns the fields that say what a run starts from and which run is shown."""

    def line() -> RunQueue:
        return bench.visitor_space.own_queue(queue)

    with gr.Row(equal_height=False, elem_classes="bsig-main"):
        with gr.Column(scale=4, min_width=320):
            form, start, check, zip_file, folder, dataset = build_form(bench)
            name = gr.Textbox(
                label="Name of the run", placeholder="made from data and branch", max_lines=1, elem_id="run-name",
                info="The checkpoint gets this name.",
            )  # fmt: skip
            go = gr.Button("Start", variant="primary", elem_id="run-start")
        with gr.Column(scale=6, min_width=320):
            chosen = gr.Dropdown([], label="Run", elem_id="run-chosen", info=WHOSE[bench.is_public])
            stands = gr.HTML(elem_id="run-status")
            with gr.Row():
                stop = gr.Button("Stop", size="sm", min_width=90, interactive=False, elem_id="run-stop")
                resume = gr.Button("Resume", size="sm", min_width=90, interactive=False, elem_id="run-resume")
                use = gr.Button("Use in Compare", size="sm", min_width=90, interactive=False, elem_id="run-use")
                prepare = gr.Button("Download", size="sm", min_width=90, interactive=False, elem_id="run-prepare")
                delete = gr.Button("Delete", size="sm", min_width=90, interactive=False, elem_id="run-delete")
                download = gr.DownloadButton("zip", elem_id="run-download", elem_classes="bsig-offscreen")
            with gr.Row(equal_height=False, elem_classes="bsig-two", visible=False) as probe_row:
                softmax = MapImage(
                    label="Softmax branch: does not move", format="png", interactive=False, elem_id="probe-softmax",
                    elem_classes="bsig-map", buttons=["download", "fullscreen"],
                )  # fmt: skip
                sigmoid = MapImage(
                    label="Sigmoid branch", format="png", interactive=False, elem_id="probe-sigmoid",
                    elem_classes="bsig-map", buttons=["download", "fullscreen"],
                )  # fmt: skip
            with gr.Row(visible=False) as slider_row:
                epoch = gr.Slider(
                    0, 1, 0, step=1, label="Epoch (0: before training)", elem_id="probe-epoch", scale=3,
                    info="Drag to watch the evidence form.",
                )  # fmt: skip
                view = gr.Radio(
                    [("For the class", "positive"), ("For and against", "signed")], value="positive", label="Evidence",
                    elem_id="probe-view", scale=2,
                )  # fmt: skip
            scale = gr.HTML(elem_id="probe-scale")
            plots = {}
            with gr.Row(equal_height=False, elem_classes="bsig-plots"):
                for key, (title, _) in FIGURES.items():
                    with gr.Column(min_width=0):
                        gr.HTML(f'<div class="bsig-section"><small><b>{explained(title)}</b></small></div>')
                        plots[key] = gr.Plot(show_label=False, elem_id=f"run-plot-{key}", elem_classes="bsig-plot")
            with gr.Accordion("Settings of this run", open=False):
                settings = gr.HTML(elem_id="run-settings")
            with gr.Accordion("All runs", open=False):
                listed = gr.HTML(elem_id="run-list")
    build_two_checkpoints(bench, lambda: line().folder, compare, tab)

    timer = gr.Timer(TICK_S, active=False)
    seen = gr.State("")
    shown = [stands, stop, resume, use, prepare, delete, probe_row, softmax, sigmoid, slider_row, epoch, scale,
             *plots.values(), settings, listed]  # fmt: skip
    redrawn = [seen, timer, chosen, compare.checkpoint, *shown]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": 8}

    def look(run_name: str | None, shown_view: Any, at_epoch: float | None) -> list[Any]:
        """`redrawn` for the run as it stands now."""
        own = line()
        runs = own.folder
        run = runs.read(run_name) if run_name in runs.names() else None
        active = run is not None and run.state.standing not in ENDED
        selectable = gr.Dropdown(choices=bench.checkpoint_names())
        found = runs.read_all()
        drawn = _shown(run, own, runs_html(found), shown_view, at_epoch)
        menu = gr.Dropdown(choices=list_rows(found))
        return [_signature(own, run_name), gr.Timer(active=active), menu, selectable, *drawn]

    @in_words
    def on_tick(run_name: str | None, last: str, shown_view: Any, at_epoch: float) -> list[Any]:
        if _signature(line(), run_name) == last:
            return [gr.skip()] * len(redrawn)
        follows = at_epoch >= _newest(last)  # else the visitor has gone back to an earlier epoch and stays there
        return look(run_name, shown_view, None if follows else at_epoch)

    @in_words
    def on_choose(run_name: str | None, shown_view: Any) -> list[Any]:
        return look(run_name, shown_view, None)

    @in_words
    def on_open(run_name: str | None) -> list[Any]:
        queue.warm_up()
        return [_menu(line().folder.read_all(), run_name), gr.Dropdown(choices=starts(bench))]

    @in_words
    def on_load(request: gr.Request) -> list[Any]:
        if request.query_params.get("tab") == "finetune":
            queue.warm_up()
        wanted = request.query_params.get("run")
        return [_menu(line().folder.read_all(), wanted), gr.Dropdown(choices=bench.checkpoint_names())]

    @in_words
    def on_start(*values: Any) -> list[Any]:
        *filled, run_name, probe, probe_class = values
        own = line()
        made = started(Form(*filled), bench, own, run_name or "", probe, probe_class)
        return [_menu(own.folder.read_all(), made), ""]

    @in_words
    def on_check(*values: Any) -> list[Any]:
        filled = Form(*values)
        words, classes = checked(filled, bench)
        return [
            words,
            gr.Number(placeholder=str(classes - 1), info=f"Of the right class; empty: balanced, {classes - 1}."),
        ]

    def on_first_check(*values: Any) -> list[Any]:
        try:
            return on_check(*values)
        except gr.Error as error:  # nobody has asked yet: said below the choice, not thrown at a visitor of Compare
            return [f'<p class="bsig-note">{html.escape(str(error.message))}</p>', gr.skip()]

    def acting(action: Callable[[RunQueue, str], None]) -> Callable[[str | None], list[Any]]:
        @in_words
        def on_action(run_name: str | None) -> list[Any]:
            own = line()
            action(own, run_name or "")
            return [_menu(own.folder.read_all(), run_name), gr.Timer(active=True), ""]

        return on_action

    @in_words
    def on_epoch(run_name: str | None, number: float, shown_view: Any) -> list[Any]:
        return _probe(line().folder.read(run_name or ""), int(number), shown_view)

    @in_words
    def on_download(run_name: str | None) -> str:
        return str(checkpoint_zip(bench.checkpoint_path(run_name or "")))

    @in_words
    def on_use(run_name: str | None) -> Any:
        bench.model(run_name)
        return gr.Dropdown(choices=bench.checkpoint_names(), value=run_name)

    timer.tick(on_tick, [chosen, seen, view, epoch], redrawn, **quiet)
    chosen.change(on_choose, [chosen, view], redrawn, **quiet)
    tab.select(on_open, chosen, [chosen, start], **quiet)
    go.click(on_start, [*form, name, compare.image, compare.class_name], [chosen, name], **quiet)
    actions: tuple[tuple[gr.Button, Callable[[RunQueue, str], None]], ...] = (
        (stop, RunQueue.stop),
        (resume, lambda own, run_name: resumed(bench, own, run_name)),
        (delete, lambda own, run_name: own.folder.delete(run_name)),
    )
    for button, action in actions:
        button.click(acting(action), chosen, [chosen, timer, seen], **quiet)
    for control in (epoch, view):
        control.input(on_epoch, [chosen, epoch, view], [softmax, sigmoid, scale], trigger_mode="always_last", **quiet)
    prepare.click(on_download, chosen, download, **quiet).success(None, None, None, js=press_js("run-download"))
    used = use.click(on_use, chosen, compare.checkpoint, **quiet)
    used.success(None, None, None, js=OPEN_COMPARE_JS)
    compare.redraw(used)
    kind, _, _, _, labels = form[:5]
    for part in (kind, zip_file, dataset, labels, start):
        part.change(on_check, form, [check, form[POSITIVE]], **quiet)
    folder.submit(on_check, form, [check, form[POSITIVE]], **quiet)
    kind.change(
        lambda value: [gr.update(visible=value == key) for key in ("zip", "folder", "torchvision")],
        kind, [zip_file, folder, dataset], **quiet,
    )  # fmt: skip
    demo.load(on_first_check, form, [check, form[POSITIVE]], **quiet)
    demo.load(on_load, None, [chosen, compare.checkpoint], **quiet)
    return start, chosen


def _menu(found: list[Run], wanted: str | None) -> Any:
    """The list of runs with the wanted one chosen, else the one that runs, else the newest."""
    names = [run.name for run in found]
    going = [run.name for run in found if run.state.standing == "running"]
    value = wanted if wanted in names else next(iter([*going, *names]), None)
    return gr.Dropdown(choices=list_rows(found), value=value)


def _signature(queue: RunQueue, run_name: str | None) -> str:
    """Changes when there is something new to draw; ends in the newest epoch that has a map."""
    if run_name not in queue.folder.names():
        return f"none {len(queue.folder.names())} 0"
    folder = queue.folder.folder(str(run_name))
    stamps = [(folder / name).stat().st_mtime_ns if (folder / name).is_file() else 0 for name in (STATE, EVENTS)]
    newest = probe_epochs(queue.folder.read(str(run_name)))
    return f"{run_name} {stamps} {queue.position(str(run_name))} {newest[-1] if newest else 0}"


def _newest(signature: str) -> int:
    return int(signature.rsplit(" ", 1)[-1]) if signature else 0


def _shown(run: Run | None, queue: RunQueue, listed: str, view: Any, at_epoch: float | None) -> list[Any]:
    """`shown` of the screen for a run; empty for none."""
    if run is None:
        idle = [gr.Button(interactive=False)] * 5
        words = '<div class="bsig-finding" role="status">No run yet: press Start for a short one.</div>'
        none = [gr.Row(visible=False), None, None, gr.Row(visible=False), gr.Slider(), ""]
        return [words, *idle, *none, *[None] * len(FIGURES), "", listed]
    may = can(run)
    buttons = [gr.Button(interactive=may[key]) for key in ("stop", "resume", "download", "download", "delete")]
    kept = probe_epochs(run)
    number = (kept[-1] if kept else 0) if at_epoch is None else int(at_epoch)
    maximum = max(1, kept[-1] if kept else 1)
    slider = gr.Slider(maximum=maximum, value=number, visible=bool(kept))
    epochs = run.epochs()
    figures = [
        build(epochs, run.last("start")) if key == "areas" else build(epochs) for key, (_, build) in FIGURES.items()
    ]
    pictures = _probe(run, number, view)
    return [
        status_html(run, queue.position(run.name)), *buttons, gr.Row(visible=bool(kept)), *pictures[:2],
        gr.Row(visible=bool(kept)), slider, pictures[2], *figures, settings_html(run), listed,
    ]  # fmt: skip


def _probe(run: Run, number: int, view: Any) -> list[Any]:
    """Both pictures of the probe after an epoch, and their scale."""
    found = probe_pictures(run, number, view)
    if found is None:
        return [gr.update(value=None, alt_text=""), gr.update(value=None, alt_text=""), ""]
    left, right, limit = found
    number = min(number, probe_epochs(run)[-1])
    texts = probe_text(run, number)
    method = str((run.last("start") or {}).get("method", "cam"))
    label = f"Sigmoid branch after epoch {number}" if number else "Sigmoid branch before training"
    return [
        gr.update(value=left, alt_text=texts[0]),
        gr.update(value=right, alt_text=texts[1], label=label),
        scale_bar(limit, Drawing(view=view), method),
    ]
