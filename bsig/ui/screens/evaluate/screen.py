"""The Evaluate screen: which branch is better at what, from results that ship with a checkpoint or on own pictures.

Numbers come from `bsig.evaluation.output.shipped` or from a process of its own (`bsig.evaluation.job`). Pictures of the
shipped sets may not be passed on, so their gallery names files; own pictures are shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from bsig.evaluation.output.shipped import read_results
from bsig.evaluation.output.words import counts_text, result_title
from bsig.explain.methods import CAM_METHODS
from bsig.inputs.errors import InputError
from bsig.inputs.files import write_whole
from bsig.model.checkpoints.description import CheckpointDescription
from bsig.model.presence import PresenceCalibration
from bsig.ui.components import html
from bsig.ui.components.downloads import new_download_folder
from bsig.ui.components.fields import Answers, Fields, InputValues
from bsig.ui.components.handlers import PRIVATE, in_words
from bsig.ui.components.inputs import OPEN_COMPARE_JS, press_js
from bsig.ui.components.long_job import JobParts, LongJob, connect_job
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.screens.evaluate.kept import KeptEvaluation
from bsig.ui.screens.evaluate.own_pictures import OwnPictures, checked_pictures, measured_title
from bsig.ui.screens.evaluate.results_panel import Results, build_results_panel, results_answers, shown_results
from bsig.ui.screens.evaluate.tables import check_html, gallery_rows, table_of
from bsig.ui.workbench import Workbench

METHODS = [(method.title, key) for key, method in CAM_METHODS.items() if not method.is_slow]
WEIGHTS = [("Signed", "signed"), ("Non-negative", "nonnegative"), ("As in the paper's code", "paper")]


@dataclass(frozen=True)
class Choice:
    """The choice of the results that are shown.

    Attributes:
        data: the title of the results; None where there are none.
    """

    checkpoint: str | None
    data: str | None
    method: str
    weights: str


@dataclass(frozen=True)
class EvaluateScreen:
    """The parts of the screen that a link sets.

    Attributes:
        open_event: the arguments of the event that draws the screen.
        titles: of a checkpoint's shipped results.
    """

    checkpoint: gr.Dropdown
    data: gr.Dropdown
    method: gr.Dropdown
    weights: gr.Radio
    open_event: dict[str, Any]
    titles: Callable[[str | None], list[str]]


@dataclass(frozen=True)
class _OwnPart:
    """The form for own pictures, and what is going on with them.

    Attributes:
        check: what is known of the pictures before anything is measured, or why they cannot be.
        job: starts, cancels and shows the work.
        title: of the evaluation that has just ended.
    """

    fields: Fields[OwnPictures]
    check: gr.HTML
    job: JobParts
    title: gr.State


def build_evaluate(bench: Workbench, compare: CompareScreen, tab: gr.Tab) -> EvaluateScreen:
    """Lays out the tab and connects it."""
    fields = _choice_part(bench)
    with gr.Accordion("Measure your own pictures", open=False, elem_id="evaluate-own"):
        own = _own_part(bench, fields.checkpoint)
    panel = build_results_panel()
    _connect_download(bench, fields)
    open_event = _connect_choice(bench, fields, panel, tab)
    _connect_own(bench, fields, panel, own)
    _connect_gallery(bench, fields, panel, compare)
    return EvaluateScreen(
        fields.checkpoint,
        fields.data,
        fields.method,
        fields.weights,
        open_event,
        lambda name: [result_title(run) for run in _shipped_results(bench, name)],
    )


def _choice_part(bench: Workbench) -> Fields[Choice]:
    with gr.Row(equal_height=False, elem_classes="bsig-main"):
        checkpoint = gr.Dropdown(
            bench.checkpoint_names(), value=bench.default_checkpoint, label="Checkpoint", elem_id="evaluate-checkpoint",
            info="The trained model that was measured.", scale=2,
        )  # fmt: skip
        data = gr.Dropdown([], label="Measured on", elem_id="evaluate-data", info="Which pictures.", scale=2)
        method = gr.Dropdown(
            METHODS, value="cam", label="CAM variant", elem_id="evaluate-method", info="How the heatmap is weighed."
        )
        weights = gr.Radio(
            WEIGHTS, value="signed", label="Treatment of negative weights", elem_id="evaluate-weights",
            info="Keep what speaks against the class, or set it to zero.", scale=2,
        )  # fmt: skip
    return Fields(Choice, checkpoint=checkpoint, data=data, method=method, weights=weights)


def _own_part(bench: Workbench, checkpoint: gr.Dropdown) -> _OwnPart:
    gr.HTML(html.note(
        "A zip (or a folder) with one folder of pictures a class, named as the checkpoint's classes, or with an "
        "index.csv that also lists boxes and masks. Measured in a process of its own at low priority; keep this page "
        "open."
    ))  # fmt: skip
    if bench.is_public:
        gr.HTML(html.note(bench.limits.evaluate_limits()), elem_id="evaluate-limits")
    with gr.Row():
        zip_file = gr.File(label="Zip", file_types=[".zip"], elem_id="evaluate-zip", height=120)
        folder = gr.Textbox(
            label="or a folder of this machine", max_lines=1, visible=bench.limits.takes_paths,
            elem_id="evaluate-folder",
        )  # fmt: skip
    check = gr.HTML(elem_id="evaluate-check")
    with gr.Row():
        methods = gr.CheckboxGroup(
            METHODS, value=["cam"], label="CAM variants", elem_id="evaluate-methods", info="Ways to weigh the heatmap."
        )
        treatments = gr.CheckboxGroup(WEIGHTS, value=["signed"], label="Treatments", info="Of negative weights.")
        limit = gr.Number(200, label="Pictures, at most", minimum=1, precision=0, elem_id="evaluate-limit")
    with gr.Row():
        start = gr.Button("Measure", variant="primary", elem_id="evaluate-start")
        stop = gr.Button("Cancel", elem_id="evaluate-stop")
    progress = gr.HTML(elem_id="evaluate-progress")
    fields = Fields(
        OwnPictures, checkpoint=checkpoint, zip_file=zip_file, folder=folder, methods=methods, treatments=treatments,
        limit=limit,
    )  # fmt: skip
    return _OwnPart(fields, check, JobParts(start, stop, progress, gr.State(None)), gr.State(None))


def _connect_choice(bench: Workbench, fields: Fields[Choice], panel: Fields[Results], tab: gr.Tab) -> dict[str, Any]:
    """Draws what is chosen; returns the arguments of the event that opens the screen."""

    @in_words
    def on_choice(values: InputValues) -> Answers:
        return _result_answers(bench, panel, fields.read(values))

    @in_words
    def on_checkpoint(values: InputValues) -> Answers:
        choice = fields.read(values)
        titles = _titles(bench, choice.checkpoint)
        return _with_data(bench, fields, panel, choice, titles, next(iter(titles), None))

    @in_words
    def on_open(values: InputValues) -> Answers:
        choice, names = fields.read(values), bench.checkpoint_names()
        if choice.checkpoint not in names:
            choice = replace(choice, checkpoint=bench.default_checkpoint)
        titles = _titles(bench, choice.checkpoint)
        title = choice.data if choice.data in titles else next(iter(titles), None)
        return {
            fields.checkpoint: gr.Dropdown(choices=names, value=choice.checkpoint),
            **_with_data(bench, fields, panel, choice, titles, title),
        }

    for part in (fields.data, fields.method, fields.weights):
        part.input(on_choice, fields.components, list(panel), show_progress_on=panel.finding, **PRIVATE)
    fields.checkpoint.input(
        on_checkpoint, fields.components, [fields.data, *panel], show_progress_on=panel.finding, **PRIVATE
    )
    open_event = {
        "fn": on_open,
        "inputs": fields.components,
        "outputs": [fields.checkpoint, fields.data, *panel],
        **PRIVATE,
    }
    tab.select(**open_event)
    return open_event


def _connect_own(bench: Workbench, fields: Fields[Choice], panel: Fields[Results], own: _OwnPart) -> None:
    """Looks own pictures over when they are chosen, measures them, and shows what came out."""

    @in_words
    def on_check(values: InputValues) -> Answers:
        return {own.check: _check_answer(bench, own.fields.read(values)), own.job.progress: ""}

    def work(values: InputValues, job: LongJob) -> Answers:
        title = measured_title(bench, bench.visitor_space.evaluations, own.fields.read(values), job)
        return {own.title: title, own.job.progress: _end_words(bench, title)}

    @in_words
    def on_end(values: InputValues) -> Any:
        title, evaluation = values[own.title], bench.visitor_space.evaluations.get(values[own.title])
        if evaluation is None:
            return gr.skip()
        table = evaluation.results["tables"][0]
        choice = Choice(evaluation.results["checkpoint"], title, table["method"], table["weights"])
        return {
            fields.checkpoint: choice.checkpoint,
            fields.method: choice.method,
            fields.weights: choice.weights,
            **_with_data(bench, fields, panel, choice, _titles(bench, choice.checkpoint), title),
        }

    check_event = {
        "inputs": own.fields.components,
        "outputs": [own.check, own.job.progress],
        "show_progress_on": own.check,
    }
    for event in (own.fields.zip_file.change, own.fields.folder.submit, own.fields.checkpoint.input):
        event(on_check, **check_event, **PRIVATE)
    # The results are not among the work's outputs: gradio marks every output when work begins, and plots take long.
    running = connect_job(
        bench, own.job, work, own.fields.components, [own.title], "evaluate-own", lambda: {own.title: None}
    )
    running.success(on_end, {own.title}, [*fields, *panel], show_progress_on=own.job.progress, **PRIVATE)


def _check_answer(bench: Workbench, pictures: OwnPictures) -> html.Html:
    """The check of the chosen pictures, or the reason why they cannot be measured."""
    try:
        check = checked_pictures(bench, pictures)
    except InputError as error:
        return html.problem(str(error))
    return check_html(check) if check else html.Html()


def _end_words(bench: Workbench, title: str) -> html.Html:
    """The number of pictures that were measured, and their split."""
    evaluation = bench.visitor_space.evaluations.get(title)
    if evaluation is None:
        return html.note("Done.", role="status")
    counts, sentence = evaluation.results["counts"], evaluation.results["split_sentence"]
    return html.note(
        f"Done: {counts_text(counts)} measured; the results are below, and stay over a reload. {sentence}",
        role="status",
    )


def _connect_download(bench: Workbench, fields: Fields[Choice]) -> None:
    """A button that hands out the results that are shown, as the command would write them."""
    make = gr.Button("Download these results (JSON)", size="sm", elem_id="evaluate-make-file")
    hidden = gr.DownloadButton("results", elem_id="evaluate-file", elem_classes="bsig-offscreen")

    @in_words
    def on_download(values: InputValues) -> str:
        choice = fields.read(values)
        results, _ = _results(bench, choice.checkpoint, choice.data)
        return str(results_file(results))

    # On success alone: a refusal must not hand out the file of the time before.
    event = make.click(on_download, fields.components, hidden, **PRIVATE)
    event.success(None, None, None, js=press_js("evaluate-file"))


def results_file(results: Mapping[str, Any] | None) -> Path:
    """The results as a JSON file that can be downloaded.

    Raises:
        InputError: there are none.
    """
    if results is None:
        raise InputError("there are no results to download; choose some, or measure your own pictures.")
    file = new_download_folder() / "results.json"
    write_whole(file, json.dumps(results, indent=1, ensure_ascii=False).encode())
    return file


def _connect_gallery(bench: Workbench, fields: Fields[Choice], panel: Fields[Results], compare: CompareScreen) -> None:
    """Opens a picture of the gallery in Compare."""

    @in_words
    def on_picture(event: gr.SelectData, values: InputValues) -> Answers:
        choice = fields.read(values)
        results, evaluation = _results(bench, choice.checkpoint, choice.data)
        rows = gallery_rows(table_of(results, choice.method, choice.weights) if results else None, evaluation)
        if not isinstance(event.index, int) or not 0 <= event.index < len(rows):
            raise InputError("this picture is no longer kept; measure again.")
        row, file, _ = rows[event.index]
        names = bench.model(choice.checkpoint).class_names
        return {
            compare.image: str(file),
            compare.checkpoint: choice.checkpoint,
            compare.class_name: gr.Dropdown(choices=list(names), value=names[row["class_index"]]),
        }

    opening = panel.pictures.select(
        on_picture, fields.components, [compare.image, compare.checkpoint, compare.class_name], **PRIVATE
    )
    compare.redraw(opening)
    opening.success(None, None, None, js=OPEN_COMPARE_JS)


def _with_data(
    bench: Workbench,
    fields: Fields[Choice],
    panel: Fields[Results],
    choice: Choice,
    titles: list[str],
    title: str | None,
) -> Answers:
    """The list of results with one of them chosen, and that one drawn."""
    return {
        fields.data: gr.Dropdown(choices=titles, value=title),
        **_result_answers(bench, panel, replace(choice, data=title)),
    }


def _result_answers(bench: Workbench, panel: Fields[Results], choice: Choice) -> Answers:
    results, evaluation = _results(bench, choice.checkpoint, choice.data)
    calibration = _calibration(bench, choice.checkpoint)
    return results_answers(panel, shown_results(results, choice.method, choice.weights, evaluation, calibration))


def _calibration(bench: Workbench, checkpoint: str | None) -> PresenceCalibration | None:
    """How the checkpoint's probabilities were fitted; None where they were not."""
    try:
        presence = CheckpointDescription.read(bench.checkpoint_path(checkpoint or bench.default_checkpoint)).presence
    except InputError:  # a registered model has no folder
        return None
    return presence.calibration if presence else None


def _titles(bench: Workbench, checkpoint: str | None) -> list[str]:
    """The titles of a checkpoint's results: on the visitor's own pictures, newest first, then those that ship."""
    own = [
        title
        for title in bench.visitor_space.evaluations.titles()
        if _is_of(bench.visitor_space.evaluations.get(title), checkpoint)
    ]
    return [*own, *(result_title(run) for run in _shipped_results(bench, checkpoint))]


def _is_of(evaluation: KeptEvaluation | None, checkpoint: str | None) -> bool:
    return evaluation is not None and evaluation.results["checkpoint"] == checkpoint


def _results(
    bench: Workbench, checkpoint: str | None, title: str | None
) -> tuple[dict[str, Any] | None, KeptEvaluation | None]:
    """The results of that title, and their evaluation where they are of own pictures."""
    evaluation = bench.visitor_space.evaluations.get(title)
    if evaluation:
        return evaluation.results, evaluation
    return next((run for run in _shipped_results(bench, checkpoint) if result_title(run) == title), None), None


def _shipped_results(bench: Workbench, checkpoint: str | None) -> list[dict[str, Any]]:
    try:
        return read_results(bench.checkpoint_path(checkpoint or bench.default_checkpoint))
    except InputError:  # a registered model has no folder; a damaged file is said by the endpoint
        return []
