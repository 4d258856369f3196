"""The web API: every endpoint that `gradio_client` and the outside world call, on components that are not shown.

`/compare`, `/logit_shift`, `/sign_collapse`, `/evaluate` and `/checkpoints` answer; `/finetune` starts a run and
follows it, `/run`, `/runs` and `/stop_run` look at runs and stop them. Names, order and types of parameters stay.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, no_type_check

import gradio as gr

from bsig.explain.drawing.colours import View
from bsig.explain.methods import TREATMENTS
from bsig.training.runs.queue import RunQueue
from bsig.training.runs.run import ENDED, Run
from bsig.training.runs.words import status
from bsig.ui.components.handlers import in_words
from bsig.ui.components.inputs import LaterCheckbox, LaterTextbox, MapImage, PictureInput
from bsig.ui.components.long_job import JOB
from bsig.ui.screens.compare.answers import compare_answer
from bsig.ui.screens.evaluate.own_pictures import evaluate_answer
from bsig.ui.screens.finetune.form import Form, Number
from bsig.ui.screens.finetune.new_run import start_run
from bsig.ui.screens.finetune.run_panel import RUN, RUN_PICTURES, live_html, run_html
from bsig.ui.screens.logit_shift.answers import shift_answer
from bsig.ui.screens.sign_collapse import sign_collapse_answer
from bsig.ui.server.gradio_internals import received_picture, sent_picture
from bsig.ui.workbench import Workbench

FOLLOW_EVERY_S = 0.2


def add_endpoints(bench: Workbench, queue: RunQueue) -> None:
    """Adds every endpoint to the page that is being built."""
    with gr.Row(visible=False):
        _add_explanations(bench)
        _add_evaluation(bench)
        _add_checkpoints(bench)
        _add_finetune(bench, queue)
        _add_runs(bench, queue)
        _add_progress(bench, queue)


def _add_explanations(bench: Workbench) -> None:
    """`/compare`, `/logit_shift` and `/sign_collapse`: questions about one picture."""
    picture = PictureInput(type="filepath", image_mode=None, label="image")
    checkpoint = gr.Textbox(label="checkpoint", value=bench.default_checkpoint)
    class_name = gr.Textbox(label="class", value="")
    method = gr.Textbox(label="method", value="")  # empty: the model's own, CAM wherever it is exact
    weights = gr.Textbox(label="weights", value=next(iter(TREATMENTS)))
    finer_grid = LaterCheckbox(False, label="finer_grid")
    reading = LaterTextbox(label="reading", value="")  # empty: the checkpoint's own
    reading_settings = LaterTextbox(label="reading_settings", value="")  # "lambda=2,cells=5"
    other_class = LaterTextbox(label="other_class", value="")
    maps = [MapImage(format="png", label=name) for name in ("softmax", "sigmoid", "centred")]
    explanation, shift, collapse = (gr.JSON(label=name) for name in ("explanation", "shift", "sign collapse"))
    delta = gr.Number(label="delta", value=0.0)
    target = gr.Textbox(label="target", value="")

    @in_words
    def on_compare(
        image: Any, checkpoint: Any, class_name: Any, method: Any, weights: Any, finer_grid: Any, reading: Any,
        reading_settings: Any, other_class: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        # Values come and go as they are sent: gradio would take each of them through a thread of its own.
        file = picture.preprocess(received_picture(image))
        *files, numbers = compare_answer(
            bench, file, *map(_text, (checkpoint, class_name, method, weights)), finer_grid=bool(finer_grid),
            reading=_text(reading), reading_settings=_text(reading_settings), other_class=_text(other_class),
        )  # fmt: skip
        return *(sent_picture(file) for file in files), numbers

    @in_words
    def on_shift(image: str, checkpoint: str, class_name: str, delta: float, target: str) -> Any:
        return shift_answer(bench, image, checkpoint, class_name, delta, target or None)

    @in_words
    def on_collapse(image: str, checkpoint: str, class_name: str, method: str) -> Any:
        return sign_collapse_answer(bench, image, checkpoint, class_name, method)

    question = [picture, checkpoint, class_name]
    gr.Button("compare").click(
        on_compare, [*question, method, weights, finer_grid, reading, reading_settings, other_class],
        [*maps, explanation], api_name="compare", concurrency_limit=2, preprocess=False, postprocess=False,
    )  # fmt: skip

    gr.Button("logit shift").click(on_shift, [*question, delta, target], shift, api_name="logit_shift")
    gr.Button("sign collapse").click(on_collapse, [*question, method], collapse, api_name="sign_collapse")


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _add_evaluation(bench: Workbench) -> None:
    """`/evaluate`: results that ship with a checkpoint, or of one's own pictures."""
    checkpoint = gr.Textbox(label="checkpoint", value=bench.default_checkpoint)
    data = gr.Textbox(label="data", value="shipped")
    zip_file = gr.File(label="zip", file_types=[".zip"])
    methods = gr.Textbox(label="methods", value="cam")
    weights = gr.Textbox(label="weights", value=next(iter(TREATMENTS)))
    limit = gr.Number(label="limit", value=200)

    @in_words
    def on_evaluate(
        checkpoint: str, data: str, zip_file: str | None, methods: str, weights: str, limit: int | float | None
    ) -> Any:
        return evaluate_answer(bench, checkpoint, data, zip_file, methods, weights, limit)

    gr.Button("evaluate").click(
        on_evaluate, [checkpoint, data, zip_file, methods, weights, limit], gr.JSON(label="evaluation"),
        api_name="evaluate", concurrency_limit=1, concurrency_id="evaluate-own",
    )  # fmt: skip


def _add_checkpoints(bench: Workbench) -> None:
    """`/checkpoints`: what can be loaded."""

    @in_words
    def on_checkpoints() -> list[dict[str, Any]]:
        return bench.checkpoint_rows()

    gr.Button("checkpoints").click(on_checkpoints, None, gr.JSON(label="checkpoints"), api_name="checkpoints")


def _add_finetune(bench: Workbench, queue: RunQueue) -> None:
    """`/finetune`: starts a run and answers with it at every change until it has ended."""

    @no_type_check  # a checked generator function is none to gradio
    def finetune(
        data: str | None, name: str, start: str, labels: str, branch: str, epochs: Number, learning_rate: Number,
        batch_size: Number, seed: Number, password: str | None = None,
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        form = Form(
            kind="zip" if data else "bundled", zip_file=data, start=start, labels=labels, branch=branch, epochs=epochs,
            learning_rate=learning_rate, batch_size=batch_size, seed=seed, device=bench.device, password=password,
        )  # fmt: skip
        own_queue = bench.visitor_space.own_queue(queue)
        run_name = begin(form, own_queue, name)
        while True:
            run, position = standing(own_queue, run_name)
            yield run_json(run, position)
            if run.state.standing in ENDED:
                return
            time.sleep(FOLLOW_EVERY_S)

    @in_words
    def begin(form: Form, own_queue: RunQueue, name: str) -> str:
        return start_run(form, bench, own_queue, name)

    @in_words
    def standing(own_queue: RunQueue, name: str) -> tuple[Run, int | None]:
        return own_queue.folder.read(name), own_queue.position(name)

    # Following a run costs nothing, so that many may; the order of the runs is the queue's own.
    gr.Button("finetune").click(
        finetune, _finetune_inputs(bench), gr.JSON(label="run"), api_name="finetune", concurrency_limit=16
    )


def _finetune_inputs(bench: Workbench) -> list[Any]:
    """The parameters of `/finetune` in their order; the password where this app asks for one."""
    form = Form()
    inputs: list[Any] = [
        gr.File(label="data", file_types=[".zip"]),
        gr.Textbox(label="name", value=""),
        gr.Textbox(label="start", value=bench.default_checkpoint),
        gr.Textbox(label="labels", value=form.labels),
        gr.Textbox(label="branch", value=form.branch),
        gr.Number(label="epochs", value=form.epochs),
        gr.Number(label="learning_rate", value=form.learning_rate),
        gr.Number(label="batch_size", value=form.batch_size),
        gr.Number(label="seed", value=form.seed),
    ]
    return [*inputs, gr.Textbox(label="password", value="", type="password")] if bench.limits.asks_password else inputs


def _add_runs(bench: Workbench, queue: RunQueue) -> None:
    """`/run`, `/runs` and `/stop_run`: the visitor's own runs."""
    name = gr.Textbox(label="run", value="")

    def own_queue() -> RunQueue:
        return bench.visitor_space.own_queue(queue)

    @in_words
    def on_run(run: str) -> dict[str, Any]:
        return run_json(own_queue().folder.read(run), own_queue().position(run))

    @in_words
    def on_stop(run: str) -> dict[str, Any]:
        own_queue().stop(run)
        return on_run(run)

    @in_words
    def on_runs() -> list[dict[str, Any]]:
        return [run_json(run, own_queue().position(run.name)) for run in own_queue().folder.read_all()]

    gr.Button("run").click(on_run, name, gr.JSON(label="run"), api_name="run")
    gr.Button("stop run").click(on_stop, name, gr.JSON(label="run"), api_name="stop_run")
    gr.Button("runs").click(on_runs, None, gr.JSON(label="runs"), api_name="runs")


def _add_progress(bench: Workbench, queue: RunQueue) -> None:
    """`/progress`: what is said of a long job right now, for the page's script (`html.followed`).

    Not in the queue, and no event of the page: at each step of an event gradio 6.31 copies all values and choices of
    every component that ever waited, which takes the browser some 40 ms.
    """

    @in_words
    def on_progress(job: str) -> dict[str, Any]:
        return progress_answer(bench, bench.visitor_space.own_queue(queue), str(job))

    gr.Button("progress").click(
        on_progress, gr.Textbox(label="job"), gr.JSON(label="progress"), api_name="progress",
        api_visibility="undocumented", queue=False,
    )  # fmt: skip


def progress_answer(bench: Workbench, own_queue: RunQueue, job: str) -> dict[str, Any]:
    """What shows a job as HTML, its standing, and whether it has ended, as far as it is known."""
    kind, *details = job.split(" ")
    name = details[-1] if details else ""
    long_job = bench.visitor_space.jobs.get(name)
    if kind in (RUN, RUN_PICTURES) and name in own_queue.folder.names():
        run = own_queue.folder.read(name)
        standing, has_ended = run.state.standing, run.state.standing in ENDED
        if kind == RUN:
            return {"html": run_html(run, own_queue.position(name), ""), "standing": standing, "has_ended": has_ended}
        view: View = "signed" if details[0] == "signed" else "positive"
        return {"html": "" if has_ended else live_html(run, view), "standing": standing, "has_ended": has_ended}
    if kind == JOB and long_job and not long_job.has_ended:
        return {"html": long_job.html, "standing": "running", "has_ended": False}
    return {"html": "", "standing": "", "has_ended": True}


def run_json(run: Run, position: int | None) -> dict[str, Any]:
    """A run for JSON: where it stands, in line and in words, its checkpoint, and the figures of every epoch."""
    return {
        "name": run.name,
        "standing": run.state.standing,
        "position": None if run.state.standing in ENDED else position,  # the line lets go a moment later
        "status": status(run, position),
        "epochs_done": run.state.epochs_done,
        "checkpoint": run.state.checkpoint,
        "notes": run.notes(),
        "epochs": [{key: value for key, value in epoch.items() if key != "kind"} for epoch in run.epochs()],
    }
