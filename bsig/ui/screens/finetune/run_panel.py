"""The run that is shown: its parts on the page, and what they show as the run goes on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bsig.explain.drawing.colours import View
from bsig.explain.drawing.comparison import Drawing
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.description import CheckpointDescription
from bsig.model.presence import PresenceCalibration
from bsig.training.runs.events import EVENTS
from bsig.training.runs.folder import STATE, RunFolder
from bsig.training.runs.probe_pictures import probe_epochs, probe_pictures
from bsig.training.runs.queue import RunQueue
from bsig.training.runs.run import ENDED, Run
from bsig.training.runs.words import can
from bsig.ui.components import html
from bsig.ui.components.fields import Answers
from bsig.ui.components.inputs import MapImage
from bsig.ui.plots.presence import reliability_figure
from bsig.ui.plots.training import FIGURES
from bsig.ui.screens.finetune.run import menu_rows, runs_html, settings_html, status_html

VISIBILITY = {False: "Any tab can look at any run.", True: "Your own runs; nobody else sees them."}
ACTIONS = {"stop": "Stop", "resume": "Resume", "use": "Use in Compare", "prepare": "Download", "delete": "Delete"}
RELIABILITY = "Does the probability mean what it says?"
POINTS_DRAWN, NAME_SHOWN = 200, 40
RUN, NEWS = "run", "run-news"
"""The kind of job that `/progress` knows a run as, and the button that draws it anew."""
NEEDS = {"use": "download", "prepare": "download"}
"""What must be possible with a run for an action, where that has another name."""


@dataclass(frozen=True)
class RunPanel:
    """The parts that show one run; `run_name` says which, and `news`, which the page presses, draws it anew."""

    run_name: gr.Dropdown
    status: gr.HTML
    buttons: dict[str, gr.Button]
    download: gr.DownloadButton
    probe_row: gr.Row
    softmax: MapImage
    sigmoid: MapImage
    epoch_row: gr.Row
    epoch: gr.Slider
    view: gr.Radio
    scale: gr.HTML
    plots: dict[str, gr.Plot]
    reliability_part: gr.Accordion
    reliability: gr.Plot
    settings: gr.HTML
    all_runs: gr.HTML
    news: gr.Button

    def outputs(self) -> list[Any]:
        """Every part that `run_answers` fills."""
        return [
            self.status, *self.buttons.values(), self.probe_row, *self.probe_outputs(), self.epoch_row, self.epoch,
            *self.plots.values(), self.reliability_part, self.reliability, self.settings, self.all_runs,
        ]  # fmt: skip

    def probe_outputs(self) -> list[Any]:
        """Every part that `probe_answers` fills."""
        return [self.softmax, self.sigmoid, self.scale]


def build_run_panel(is_public: bool) -> RunPanel:
    """Lays out the parts of a run."""
    run_name = gr.Dropdown([], label="Run", elem_id="run-chosen", info=VISIBILITY[is_public])
    status = gr.HTML(elem_id="run-status")
    with gr.Row():
        buttons = {
            key: gr.Button(title, size="sm", min_width=90, interactive=False, elem_id=f"run-{key}")
            for key, title in ACTIONS.items()
        }
        download = gr.DownloadButton("zip", elem_id="run-download", elem_classes="bsig-offscreen")
    with gr.Row(equal_height=False, elem_classes="bsig-two", visible=False) as probe_row:
        softmax, sigmoid = (
            MapImage(
                label=label, format="png", interactive=False, elem_id=f"probe-{branch}", elem_classes="bsig-map",
                buttons=["download", "fullscreen"],
            )
            for branch, label in (("softmax", "Softmax branch: does not move"), ("sigmoid", "Sigmoid branch"))
        )  # fmt: skip
    with gr.Row(visible=False) as epoch_row:
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
                gr.HTML(html.heading(title))
                plots[key] = gr.Plot(show_label=False, elem_id=f"run-plot-{key}", elem_classes="bsig-plot")
    with gr.Accordion(RELIABILITY, open=False, visible=False, elem_id="run-reliability-part") as reliability_part:
        reliability = gr.Plot(show_label=False, elem_id="run-plot-reliability", elem_classes="bsig-plot")
    with gr.Accordion("Settings of this run", open=False):
        settings = gr.HTML(elem_id="run-settings")
    with gr.Accordion("All runs", open=False):
        all_runs = gr.HTML(elem_id="run-list")
    news = gr.Button("Draw the run anew", elem_id=NEWS, elem_classes="bsig-offscreen")
    return RunPanel(
        run_name, status, buttons, download, probe_row, softmax, sigmoid, epoch_row, epoch, view, scale, plots,
        reliability_part, reliability, settings, all_runs, news,
    )  # fmt: skip


def run_answers(
    panel: RunPanel,
    run: Run | None,
    runs: list[Run],
    position: int | None,
    view: View,
    epoch: int | None,
    stamp: str,
) -> Answers:
    """Every part of the panel for a run as it stands now.

    Args:
        panel: the parts.
        run: the run that is shown; None for none.
        runs: all runs of this visitor.
        position: of the run in line.
        view: how the probe's maps are drawn.
        epoch: of the probe's sigmoid map; None for the newest.
        stamp: the state of the run in which it is drawn, `Seen.stamp`.
    """
    answers = {panel.all_runs: runs_html(runs)}
    if run is None:
        return answers | _empty_answers(panel)
    possible = can(run)
    epochs = probe_epochs(run)
    newest = epochs[-1] if epochs else 0
    number = newest if epoch is None else epoch
    return {
        **answers,
        panel.status: run_html(run, position, stamp),
        **{button: gr.Button(interactive=possible[NEEDS.get(key, key)]) for key, button in panel.buttons.items()},
        panel.probe_row: gr.Row(visible=bool(epochs)),
        panel.epoch_row: gr.Row(visible=bool(epochs)),
        panel.epoch: gr.Slider(maximum=max(1, newest), value=number, visible=bool(epochs)),
        **probe_answers(panel, run, number, view),
        **_plot_answers(panel, run),
        panel.settings: settings_html(run),
    }


def run_html(run: Run, position: int | None, stamp: str) -> html.Html:
    """The status of the run; the page follows it as long as it goes on."""
    words = status_html(run, position)
    return words if run.state.standing in ENDED else html.followed(words, f"{RUN} {run.name}", stamp, NEWS)


def _plot_answers(panel: RunPanel, run: Run) -> Answers:
    """The plots of the epochs, and of how well the finished branch's probabilities hold."""
    epochs = thinned(run.epochs())
    presence = run_presence(run)
    reliability = reliability_figure(presence.reliability) if presence else None
    return {
        **{
            panel.plots[key]: build(epochs, run.last("start")) if key == "areas" else build(epochs)
            for key, (_, build) in FIGURES.items()
        },
        panel.reliability_part: gr.Accordion(visible=reliability is not None),
        panel.reliability: reliability,
    }


def thinned(epochs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Evenly many of the epochs, at most about `POINTS_DRAWN`, the first and the last among them."""
    step = -(-len(epochs) // POINTS_DRAWN)
    return epochs if step < 2 else [*epochs[:-1:step], epochs[-1]]


def run_presence(run: Run) -> PresenceCalibration | None:
    """The calibration of the run's checkpoint; None where there is no checkpoint, or it is not calibrated."""
    if run.state.checkpoint is None:
        return None
    try:
        description = CheckpointDescription.read(RunFolder.of(run.folder).checkpoints / run.state.checkpoint)
    except InputError:  # deleted or damaged: said where it is used
        return None
    return description.presence.calibration if description.presence else None


def probe_answers(panel: RunPanel, run: Run, epoch: int, view: View) -> Answers:
    """Both pictures of the probe after an epoch, and their scale; empty without a probe."""
    pictures = probe_pictures(run, epoch, view)
    if pictures is None:
        empty = gr.update(value=None, alt_text="")
        return {panel.softmax: empty, panel.sigmoid: empty, panel.scale: ""}
    moment = f"after epoch {pictures.epoch}" if pictures.epoch else "before training"
    name = (run.last("start") or {}).get("probe_class")
    if name:
        moment += f": '{name[:NAME_SHOWN]}'"
    return {
        panel.softmax: gr.update(value=pictures.softmax, alt_text=pictures.softmax_text),
        panel.sigmoid: gr.update(
            value=pictures.sigmoid, alt_text=pictures.sigmoid_text, label=f"Sigmoid branch {moment}"
        ),
        panel.scale: html.scale_bar(pictures.limit, Drawing(view=view), pictures.method),
    }


def _empty_answers(panel: RunPanel) -> Answers:
    return {
        panel.status: html.finding("No run yet: press Start for a short one."),
        **{button: gr.Button(interactive=False) for button in panel.buttons.values()},
        panel.probe_row: gr.Row(visible=False),
        panel.epoch_row: gr.Row(visible=False),
        panel.reliability_part: gr.Accordion(visible=False),
        **dict.fromkeys((panel.softmax, panel.sigmoid, *panel.plots.values(), panel.reliability)),
        panel.scale: "",
        panel.settings: "",
    }


def menu(runs: list[Run], name: str | None) -> Any:
    """The list of runs with the one of that name chosen, else the one that runs, else the newest."""
    names = [run.name for run in runs]
    running = [run.name for run in runs if run.state.standing == "running"]
    value = name if name in names else next(iter([*running, *names]), None)
    return gr.Dropdown(choices=menu_rows(runs), value=value)


@dataclass(frozen=True)
class Seen:
    """The state of a run on the page; another value means that there is something new to draw.

    Attributes:
        stamps: when the run's state and events were written.
        newest: the newest epoch that has a map of the probe.
    """

    name: str | None = None
    runs: int = 0
    stamps: tuple[int, ...] = ()
    position: int | None = None
    newest: int = 0

    @property
    def stamp(self) -> str:
        """The same in a few letters."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    @classmethod
    def of(cls, queue: RunQueue, name: str | None) -> Seen:
        """The run of that name as it stands now."""
        names = queue.folder.names()
        if name is None or name not in names:
            return cls(runs=len(names))
        folder = queue.folder.folder(name)
        files = [folder / part for part in (STATE, EVENTS)]
        stamps = tuple(file.stat().st_mtime_ns if file.is_file() else 0 for file in files)
        epochs = probe_epochs(queue.folder.read(name))
        return cls(name, 0, stamps, queue.position(name), epochs[-1] if epochs else 0)
