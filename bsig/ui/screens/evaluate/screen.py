"""The Evaluate screen: which branch is better at what, from results that ship with a checkpoint or on own pictures.

Numbers come from `shipped.py` or from a process of its own (`job.py`); this file only shows
them. Pictures of the shipped sets may not be passed on, so their gallery names files; own pictures are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bsig.evaluation.job import EvaluationJob
from bsig.evaluation.output.shipped import read_results
from bsig.evaluation.output.words import result_title
from bsig.explain.methods import CAM_METHODS
from bsig.inputs.errors import InputError
from bsig.ui.components.handlers import in_words, steps_in_words
from bsig.ui.components.html import section
from bsig.ui.components.inputs import OPEN_COMPARE_JS
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.screens.evaluate.kept import OwnSet
from bsig.ui.screens.evaluate.own_pictures import measured
from bsig.ui.screens.evaluate.tables import PLOTS, gallery_rows, note, progress_html, screen_of, table_of
from bsig.ui.workbench import Workbench

METHODS = [(method.title, key) for key, method in CAM_METHODS.items() if not method.is_slow]
WEIGHTS = [("Signed", "signed"), ("Non-negative", "nonnegative"), ("As in the paper's code", "paper")]


@dataclass(frozen=True)
class EvaluateScreen:
    """What a link says of this screen; `opened` are the arguments of the event that draws it."""

    checkpoint: gr.Dropdown
    data: gr.Dropdown
    method: gr.Dropdown
    weights: gr.Radio
    opened: dict[str, Any]
    titles: Callable[[str | None], list[str]]


def build_evaluate(bench: Workbench, compare: CompareScreen, tab: gr.Tab) -> EvaluateScreen:
    """Lays out the tab and connects it."""
    own_titles = gr.State([])  # of this visitor alone
    with gr.Row(equal_height=False, elem_classes="bsig-main"):
        checkpoint = gr.Dropdown(
            bench.checkpoint_names(),
            value=bench.default_checkpoint,
            label="Checkpoint",
            elem_id="evaluate-checkpoint",
            info="The trained model that was measured.",
        )
        data = gr.Dropdown([], label="Measured on", elem_id="evaluate-data", info="Which pictures.")
        method = gr.Dropdown(
            METHODS, value="cam", label="CAM variant", elem_id="evaluate-method", info="How the heatmap is weighed."
        )
        weights = gr.Radio(
            WEIGHTS,
            value="signed",
            label="Treatment of negative weights",
            elem_id="evaluate-weights",
            info="Keep what speaks against the class, or set it to zero.",
        )
    said = gr.HTML(elem_id="evaluate-finding")
    table = gr.HTML(elem_id="evaluate-table", elem_classes="bsig-scroll")
    with gr.Accordion("All rows and columns", open=False):
        everything = gr.HTML(elem_id="evaluate-all", elem_classes="bsig-scroll")
    plots: dict[str, gr.Plot] = {}
    with gr.Row(equal_height=False, elem_classes="bsig-pair"):
        for key, title, text in PLOTS[:2]:
            with gr.Column(min_width=280):
                gr.HTML(section(title, text))
                plots[key] = gr.Plot(show_label=False, elem_id=f"evaluate-plot-{key}", elem_classes="bsig-plot")
    gr.HTML(section("Where the branches differ most", "Pictures whose places one branch ranks much better than the "
                     "other. Your own are shown, and open in Compare with a click."))  # fmt: skip
    gallery = gr.Gallery(
        label="Pictures that differ most", show_label=False, columns=6, height="auto", allow_preview=False,
        object_fit="cover", elem_id="evaluate-gallery", elem_classes="bsig-channels", buttons=[], interactive=False,
        visible=False,
    )  # fmt: skip
    listed = gr.HTML(elem_id="evaluate-listed", elem_classes="bsig-scroll")
    with gr.Accordion("Class by class", open=False):
        gr.HTML(section(PLOTS[2][1], PLOTS[2][2]))
        plots["classes"] = gr.Plot(show_label=False, elem_id="evaluate-plot-classes", elem_classes="bsig-plot")
    with gr.Accordion("Measure your own pictures", open=False, elem_id="evaluate-own"):
        form, start, stop, progress = _own_form(bench)
    job_of_visitor = gr.State(None)
    shown = [said, table, everything, *plots.values(), gallery, listed]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", "concurrency_limit": 4}

    def sets_of(name: str | None, own: list[str]) -> list[str]:
        mine = [
            title
            for title in own
            if (kept := bench.visitor_space.evaluations.get(title)) and kept.results["checkpoint"] == name
        ]
        return [*mine, *(result_title(run) for run in _shipped(bench, name))]

    def results_of(name: str | None, title: str | None) -> tuple[dict[str, Any] | None, OwnSet | None]:
        kept = bench.visitor_space.evaluations.get(title)
        if kept:
            return kept.results, kept
        return next((run for run in _shipped(bench, name) if result_title(run) == title), None), None

    def look(name: str | None, title: str | None, method_key: str, treatment: str) -> list[Any]:
        results, own = results_of(name, title)
        return screen_of(results, method_key, treatment, own)

    @in_words
    def on_choice(name: str | None, title: str | None, method_key: str, treatment: str) -> list[Any]:
        return look(name, title, method_key, treatment)

    @in_words
    def on_checkpoint(name: str | None, own: list[str], method_key: str, treatment: str) -> list[Any]:
        titles = sets_of(name, own)
        first = titles[0] if titles else None
        return [gr.Dropdown(choices=titles, value=first), *look(name, first, method_key, treatment)]

    @in_words
    def on_open(name: str | None, title: str | None, own: list[str], method_key: str, treatment: str) -> list[Any]:
        names = bench.checkpoint_names()
        name = name if name in names else bench.default_checkpoint
        titles = sets_of(name, own)
        kept = title if title in titles else next(iter(titles), None)
        dropdowns = [gr.Dropdown(choices=names, value=name), gr.Dropdown(choices=titles, value=kept)]
        return [*dropdowns, *look(name, kept, method_key, treatment)]

    @steps_in_words
    def on_start(
        name: str | None, zip_file: str | None, folder: str, methods: list[str], treatments: list[str],
        limit: int | float | None, own: list[str],
    ) -> Iterator[list[Any]]:  # fmt: skip
        for step in measured(
            bench, bench.visitor_space.evaluations, name, zip_file, folder, methods, treatments, limit
        ):
            if isinstance(step, str):
                titles = sets_of(name, [step, *own])
                drawn = look(name, step, methods[0], treatments[0])
                sets = gr.Dropdown(choices=titles, value=step)
                kept = bench.visitor_space.evaluations.get(step)
                done = note(f"Done; the results are above. {kept.results['split_sentence'] if kept else ''}".strip())
                yield [None, done, [step, *own], sets, methods[0], treatments[0], *drawn]
            else:
                words = progress_html(step.done, step.total, step.seconds)
                yield [step.job, words, own, *[gr.skip()] * (3 + len(shown))]

    def on_stop(job: EvaluationJob | None) -> None:
        if job:
            job.stop()

    @in_words
    def on_picture(event: gr.SelectData, name: str | None, title: str | None, method_key: str, treatment: str) -> Any:
        results, own = results_of(name, title)
        rows = gallery_rows(table_of(results, method_key, treatment) if results else None, own)
        if not isinstance(event.index, int) or not 0 <= event.index < len(rows):
            raise InputError("this picture is no longer kept; measure again.")
        row, file, _ = rows[event.index]
        model = bench.model(name)
        return [str(file), name, gr.Dropdown(choices=list(model.class_names),
                                             value=model.class_names[row["class_index"]])]  # fmt: skip

    chosen = [checkpoint, data, method, weights]
    for part in (data, method, weights):
        part.input(on_choice, chosen, shown, **quiet)
    checkpoint.input(on_checkpoint, [checkpoint, own_titles, method, weights], [data, *shown], **quiet)
    opened = {"fn": on_open, "inputs": [checkpoint, data, own_titles, method, weights],
              "outputs": [checkpoint, data, *shown], **quiet}  # fmt: skip
    tab.select(**opened)
    running = start.click(
        on_start, [checkpoint, *form, own_titles],
        [job_of_visitor, progress, own_titles, data, method, weights, *shown],
        api_visibility="private", show_progress="hidden", concurrency_limit=1, concurrency_id="evaluate-own",
    )  # fmt: skip
    stop.click(on_stop, job_of_visitor, None, api_visibility="private", concurrency_limit=4)
    running.failure(lambda: (None, ""), None, [job_of_visitor, progress], api_visibility="private")
    clicked = gallery.select(on_picture, chosen, [compare.image, compare.checkpoint, compare.class_name], **quiet)
    compare.redraw(clicked)
    clicked.success(None, None, None, js=OPEN_COMPARE_JS)
    return EvaluateScreen(checkpoint, data, method, weights, opened, lambda name: sets_of(name, []))


def _own_form(bench: Workbench) -> tuple[list[Any], gr.Button, gr.Button, gr.HTML]:
    gr.HTML(note("A zip (or a folder) with one folder of pictures a class, named as the checkpoint's classes, or with "
                  "an index.csv that also lists boxes and masks. Measured in a process of its own at low priority; "
                  "keep this page open."))  # fmt: skip
    if bench.is_public:
        gr.HTML(note(bench.limits.evaluate_limits()), elem_id="evaluate-limits")
    with gr.Row():
        zip_file = gr.File(label="Zip", file_types=[".zip"], elem_id="evaluate-zip", height=110)
        folder = gr.Textbox(
            label="or a folder of this machine",
            max_lines=1,
            visible=bench.limits.takes_paths,
            elem_id="evaluate-folder",
        )
    with gr.Row():
        methods = gr.CheckboxGroup(
            METHODS, value=["cam"], label="CAM variants", elem_id="evaluate-methods", info="Ways to weigh the heatmap."
        )
        treatments = gr.CheckboxGroup(WEIGHTS, value=["signed"], label="Treatments", info="Of negative weights.")
        limit = gr.Number(200, label="Pictures, at most", minimum=1, precision=0, elem_id="evaluate-limit")
    with gr.Row():
        start = gr.Button("Measure", variant="primary", elem_id="evaluate-start")
        stop = gr.Button("Stop", elem_id="evaluate-stop")
    progress = gr.HTML(elem_id="evaluate-progress")
    return [zip_file, folder, methods, treatments, limit], start, stop, progress


def _shipped(bench: Workbench, name: str | None) -> list[dict[str, Any]]:
    try:
        return read_results(bench.checkpoint_path(name or bench.default_checkpoint))
    except InputError:  # a registered model has no folder; a damaged file is said by the endpoint
        return []
