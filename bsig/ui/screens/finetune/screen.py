"""The Fine-tune screen: what to train on, settings, runs in line, and evidence that forms epoch by epoch.

A run lives in a worker process and a folder (`bsig.training.runs`), never in a tab: this screen only asks for runs and
reads their folders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bsig.training.runs.queue import RunQueue
from bsig.training.runs.run import ENDED
from bsig.ui.components.fields import Answers, InputValues
from bsig.ui.components.handlers import in_words
from bsig.ui.components.inputs import OPEN_COMPARE_JS, press_js
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.screens.finetune.checkpoints import checkpoint_zip
from bsig.ui.screens.finetune.fields import FormPart, build_form, checked_data, starts
from bsig.ui.screens.finetune.new_run import resume_run, start_run
from bsig.ui.screens.finetune.run import menu_rows
from bsig.ui.screens.finetune.run_panel import RunPanel, build_run_panel, menu, probe_answers, run_answers
from bsig.ui.screens.finetune.two_checkpoints import build_two_checkpoints
from bsig.ui.workbench import Workbench

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": 8}


@dataclass(frozen=True)
class FinetuneScreen:
    """The parts of the screen.

    Attributes:
        form: the settings and the data of a run to be started.
        name: what it is to be called.
        start_button: starts it.
        panel: the run that is shown.
    """

    form: FormPart
    name: gr.Textbox
    start_button: gr.Button
    panel: RunPanel

    @property
    def start(self) -> gr.Dropdown:
        """The field that says what a run starts from."""
        return self.form.fields.start

    @property
    def run(self) -> gr.Dropdown:
        """The field that says which run is shown."""
        return self.panel.run_name


def build_finetune(
    bench: Workbench, queue: RunQueue, compare: CompareScreen, tab: gr.Tab, demo: gr.Blocks
) -> FinetuneScreen:
    """Lays out the tab and connects it."""
    with gr.Row(equal_height=False, elem_classes="bsig-main"):
        with gr.Column(scale=4, min_width=320):
            form = build_form(bench)
            name = gr.Textbox(
                label="Name of the run", placeholder="made from data and branch", max_lines=1, elem_id="run-name",
                info="The checkpoint gets this name.",
            )  # fmt: skip
            start_button = gr.Button("Start", variant="primary", elem_id="run-start")
        with gr.Column(scale=6, min_width=320):
            panel = build_run_panel(bench.is_public)

    def line() -> RunQueue:
        return bench.visitor_space.own_queue(queue)

    build_two_checkpoints(bench, lambda: line().folder, compare, tab)
    screen = FinetuneScreen(form, name, start_button, panel)
    _connect_check(screen, bench, tab)
    _connect_start(screen, bench, line, compare)
    _connect_panel(screen, bench, line, compare)
    _connect_actions(screen, bench, line, compare)
    _connect_opening(screen, bench, line, compare, tab, demo)
    return screen


def _connect_check(screen: FinetuneScreen, bench: Workbench, tab: gr.Tab) -> None:
    """Says what is known of the data when the tab is opened, and whenever it or what is trained on it changes."""
    fields, check, new_labels = screen.form.fields, screen.form.check, screen.form.new_labels

    @in_words
    def on_check(values: InputValues) -> Answers:
        data = checked_data(fields.read(values), bench)
        answers = {check: data.words, new_labels: gr.Button(visible=data.offers_new_labels)}
        if data.classes is None:
            return answers
        negatives = data.classes - 1
        info = f"Of the right class; empty: balanced, {negatives}."
        return {**answers, fields.positive_weight: gr.Number(placeholder=str(negatives), info=info)}

    def on_kind(kind: str) -> Answers:
        parts = {"zip": fields.zip_file, "folder": fields.folder, "torchvision": fields.dataset}
        return {part: gr.update(visible=kind == key) for key, part in parts.items()}

    event = {"inputs": fields.components, "outputs": [check, new_labels, fields.positive_weight], **QUIET}
    for part in (fields.kind, fields.zip_file, fields.dataset, fields.labels, fields.start):
        part.change(on_check, **event)
    fields.folder.submit(on_check, **event)
    fields.kind.change(on_kind, fields.kind, [fields.zip_file, fields.folder, fields.dataset], **QUIET)
    new_labels.click(lambda: "new", None, fields.labels, **QUIET)  # which asks for the check anew
    tab.select(on_check, **event)


def _connect_start(
    screen: FinetuneScreen, bench: Workbench, line: Callable[[], RunQueue], compare: CompareScreen
) -> None:
    fields, panel = screen.form.fields, screen.panel

    @in_words
    def on_start(values: InputValues) -> Answers:
        queue, form = line(), fields.read(values)
        # Own pictures are watched on one of their own; else it is the picture of Compare.
        has_pictures = form.kind in ("zip", "folder")
        probe, probe_class = (None, None) if has_pictures else (values[compare.image], values[compare.class_name])
        name = start_run(form, bench, queue, values[screen.name] or "", probe, probe_class)
        return {panel.run_name: menu(queue.folder.read_all(), name), screen.name: ""}

    screen.start_button.click(
        on_start, fields.components | {screen.name, compare.image, compare.class_name}, [panel.run_name, screen.name],
        **QUIET,
    )  # fmt: skip


def _connect_panel(
    screen: FinetuneScreen, bench: Workbench, line: Callable[[], RunQueue], compare: CompareScreen
) -> None:
    """Draws the chosen run, and draws it anew when the page finds that it has started or ended."""
    panel = screen.panel

    @in_words
    def on_choose(values: InputValues) -> Answers:
        return _run_now(screen, bench, line(), compare, values[panel.run_name], values[panel.view])

    @in_words
    def on_epoch(values: InputValues) -> Answers:
        run = line().folder.read(values[panel.run_name] or "")
        return probe_answers(panel, run, int(values[panel.epoch]), values[panel.view])

    # Gradio counts seconds at every output that waits, also unseen, at every frame: one is enough.
    outputs = _run_parts(screen, compare)
    for event in (panel.news.click, panel.run_name.change):
        event(on_choose, {panel.run_name, panel.view}, outputs, show_progress_on=panel.status, **QUIET)
    for control in (panel.epoch, panel.view):
        control.input(
            on_epoch, {panel.run_name, panel.epoch, panel.view}, panel.probe_outputs(), trigger_mode="always_last",
            **QUIET,
        )  # fmt: skip


def _run_parts(screen: FinetuneScreen, compare: CompareScreen) -> list[Any]:
    """Every part that `_run_now` fills."""
    return [screen.panel.run_name, compare.checkpoint, *screen.panel.outputs()]


def _run_now(
    screen: FinetuneScreen,
    bench: Workbench,
    queue: RunQueue,
    compare: CompareScreen,
    name: str | None,
    view: Any,
) -> Answers:
    """The run of that name as it stands now; no run where there is none of that name."""
    panel = screen.panel
    runs = queue.folder.read_all()
    run = queue.folder.read(name) if name in queue.folder.names() else None
    position = None if run is None else queue.position(run.name)
    answers = run_answers(panel, run, runs, position, view)
    if run is None or run.state.standing in ENDED:  # nothing new to choose from before
        answers[compare.checkpoint] = gr.Dropdown(choices=bench.checkpoint_names())
    return {**answers, panel.run_name: gr.Dropdown(choices=menu_rows(runs))}


def _connect_actions(
    screen: FinetuneScreen, bench: Workbench, line: Callable[[], RunQueue], compare: CompareScreen
) -> None:
    """Connects the buttons of a run."""
    panel = screen.panel

    def acting(action: Callable[[RunQueue, str], None]) -> Callable[[InputValues], Answers]:
        @in_words
        def on_action(values: InputValues) -> Answers:
            queue, name = line(), values[panel.run_name]
            action(queue, name or "")
            answers = _run_now(screen, bench, queue, compare, name, values[panel.view])
            return {**answers, panel.run_name: menu(queue.folder.read_all(), name)}

        return on_action

    @in_words
    def on_download(name: str | None) -> str:
        return str(checkpoint_zip(bench.checkpoint_path(name or "")))

    @in_words
    def on_use(name: str | None) -> Any:
        bench.model(name)
        return gr.Dropdown(choices=bench.checkpoint_names(), value=name)

    actions: dict[str, Callable[[RunQueue, str], None]] = {
        "stop": RunQueue.stop,
        "resume": lambda queue, name: resume_run(bench, queue, name),
        "delete": lambda queue, name: queue.folder.delete(name),
    }
    for key, action in actions.items():
        panel.buttons[key].click(
            acting(action), {panel.run_name, panel.view}, _run_parts(screen, compare), show_progress_on=panel.status,
            **QUIET,
        )  # fmt: skip
    # On success alone: a refusal must not hand out the file of the time before.
    panel.buttons["prepare"].click(on_download, panel.run_name, panel.download, **QUIET).success(
        None, None, None, js=press_js("run-download")
    )
    event = panel.buttons["use"].click(on_use, panel.run_name, compare.checkpoint, **QUIET)
    event.success(None, None, None, js=OPEN_COMPARE_JS)
    compare.redraw(event)


def _connect_opening(
    screen: FinetuneScreen,
    bench: Workbench,
    line: Callable[[], RunQueue],
    compare: CompareScreen,
    tab: gr.Tab,
    demo: gr.Blocks,
) -> None:
    """Lists runs and starts when the tab or the page is opened, and lets the worker get ready meanwhile."""
    run_name = screen.panel.run_name

    @in_words
    def on_open(name: str | None) -> Answers:
        line().warm_up()
        return {run_name: menu(line().folder.read_all(), name), screen.start: gr.Dropdown(choices=starts(bench))}

    @in_words
    def on_load(request: gr.Request) -> Answers:
        if request.query_params.get("tab") == "finetune":
            line().warm_up()
        runs = menu(line().folder.read_all(), request.query_params.get("run"))
        return {run_name: runs, compare.checkpoint: gr.Dropdown(choices=bench.checkpoint_names())}

    tab.select(on_open, run_name, [run_name, screen.start], **QUIET)
    demo.load(on_load, None, [run_name, compare.checkpoint], **QUIET)
