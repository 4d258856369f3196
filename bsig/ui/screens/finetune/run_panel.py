"""The run that is shown: its parts on the page, and what they show while it goes on and once it has ended.

While it goes on no event runs: at each step of one gradio 6.31 copies what every component of the page holds, some
40 ms in which nothing moves. The page's script renews words, maps and charts by itself (`html.followed`). Where the run
starts or ends it presses a button once, whose event draws the rest: buttons, plots, and a slider over all epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bsig.explain.drawing.colours import View
from bsig.explain.drawing.comparison import Drawing
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.description import CheckpointDescription
from bsig.model.presence import PresenceCalibration
from bsig.training.runs.folder import RunFolder
from bsig.training.runs.probe_pictures import ProbePictures, probe_epochs, probe_pictures
from bsig.training.runs.run import ENDED, Run
from bsig.training.runs.words import can
from bsig.ui.components import html
from bsig.ui.components.fields import Answers
from bsig.ui.components.inputs import MapImage, png_file
from bsig.ui.plots.presence import reliability_figure
from bsig.ui.plots.training import CHARTS, charts_html, training_figure
from bsig.ui.screens.finetune.run import menu_rows, runs_html, settings_html, status_html

VISIBILITY = {False: "Any tab can look at any run.", True: "Your own runs; nobody else sees them."}
ACTIONS = {"stop": "Stop", "resume": "Resume", "use": "Use in Compare", "prepare": "Download", "delete": "Delete"}
RELIABILITY = "Does the probability mean what it says?"
POINTS_DRAWN, EPOCHS_DRAWN, NAME_SHOWN = 200, 25, 40
RUN, RUN_PICTURES, NEWS = "run", "run-pictures", "run-news"
"""The kinds of job that `/progress` knows a run's words and its pictures as, and the button that draws it anew."""
BRANCH_LABELS = {"softmax": "Softmax branch: does not move", "sigmoid": "Sigmoid branch"}
NEEDS = {"use": "download", "prepare": "download"}
"""What must be possible with a run for an action, where that has another name."""


@dataclass(frozen=True)
class RunPanel:
    """The parts that show one run; `run_name` says which, and `news`, which the page presses, draws it anew.

    `live` shows the maps and charts of a run that goes on; the parts below it those of one that has ended.
    """

    run_name: gr.Dropdown
    status: gr.HTML
    buttons: dict[str, gr.Button]
    download: gr.DownloadButton
    live: gr.HTML
    probe_row: gr.Row
    softmax: MapImage
    sigmoid: MapImage
    epoch_row: gr.Row
    epoch: gr.Slider
    view: gr.Radio
    scale: gr.HTML
    plot_row: gr.Row
    plots: dict[str, gr.Plot]
    reliability_part: gr.Accordion
    reliability: gr.Plot
    settings: gr.HTML
    all_runs: gr.HTML
    news: gr.Button

    def outputs(self) -> list[Any]:
        """Every part that `run_answers` fills."""
        return [
            self.status, *self.buttons.values(), self.live, self.probe_row, *self.probe_outputs(), self.epoch_row,
            self.epoch, self.plot_row, *self.plots.values(), self.reliability_part, self.reliability, self.settings,
            self.all_runs,
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
    live = gr.HTML(elem_id="run-live")
    with gr.Row(equal_height=False, elem_classes="bsig-two", visible=False) as probe_row:
        softmax, sigmoid = (
            MapImage(
                label=label, format="png", interactive=False, elem_id=f"probe-{branch}", elem_classes="bsig-map",
                buttons=["download", "fullscreen"],
            )
            for branch, label in BRANCH_LABELS.items()
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
    with gr.Row(equal_height=False, elem_classes="bsig-plots", visible=False) as plot_row:
        for key, chart in CHARTS.items():
            with gr.Column(min_width=0):
                gr.HTML(html.heading(chart.title))
                plots[key] = gr.Plot(show_label=False, elem_id=f"run-plot-{key}", elem_classes="bsig-plot")
    with gr.Accordion(RELIABILITY, open=False, visible=False, elem_id="run-reliability-part") as reliability_part:
        reliability = gr.Plot(show_label=False, elem_id="run-plot-reliability", elem_classes="bsig-plot")
    with gr.Accordion("Settings of this run", open=False):
        settings = gr.HTML(elem_id="run-settings")
    with gr.Accordion("All runs", open=False):
        all_runs = gr.HTML(elem_id="run-list")
    news = gr.Button("Draw the run anew", elem_id=NEWS, elem_classes="bsig-offscreen")
    return RunPanel(
        run_name, status, buttons, download, live, probe_row, softmax, sigmoid, epoch_row, epoch, view, scale, plot_row,
        plots, reliability_part, reliability, settings, all_runs, news,
    )  # fmt: skip


def run_answers(panel: RunPanel, run: Run | None, runs: list[Run], position: int | None, view: View) -> Answers:
    """Every part of the panel for a run as it stands now.

    Args:
        panel: the parts.
        run: the run that is shown; None for none.
        runs: all runs of this visitor.
        position: of the run in line.
        view: how the probe's maps are drawn.
    """
    answers = {panel.all_runs: runs_html(runs)}
    if run is None:
        return answers | _empty_answers(panel)
    possible = can(run)
    return {
        **answers,
        panel.status: run_html(run, position, run.state.standing),
        **{button: gr.Button(interactive=possible[NEEDS.get(key, key)]) for key, button in panel.buttons.items()},
        **(_ended_answers(panel, run, view) if run.state.standing in ENDED else _live_answers(panel, run, view)),
        panel.settings: settings_html(run),
    }


def run_html(run: Run, position: int | None, standing: str) -> html.Html:
    """Where the run stands; the page follows it as long as it goes on.

    Args:
        run: as it stands now.
        position: of the run in line.
        standing: the one in which the rest of the panel has been drawn; in another one the page draws it anew.
    """
    words = status_html(run, position)
    return words if run.state.standing in ENDED else html.followed(words, f"{RUN} {run.name}", standing, NEWS)


def live_html(run: Run, view: View) -> html.Html:
    """The newest maps of the probe and the charts so far; the page follows them as long as the run goes on."""
    charts = charts_html(thinned(run.epochs()), run.last("start"))
    epoch = picture_epoch(max(probe_epochs(run), default=0))
    pictures = probe_pictures(run, epoch, view, last_epoch=epoch)  # so that nothing changes until the next one is drawn
    content = html.joined(_probe_html(run, pictures, view) if pictures else "", charts)
    return html.followed(content, f"{RUN_PICTURES} {view} {run.name}")


def picture_epoch(newest: int) -> int:
    """The epoch whose maps are shown: the newest at first, later every second, fourth, eighth one.

    Each picture is a file of the app's cache; so a long run leaves `EPOCHS_DRAWN` for each doubling.
    """
    step = 1 << max(0, (newest // EPOCHS_DRAWN).bit_length() - 1)
    return newest - newest % step


def _probe_html(run: Run, pictures: ProbePictures, view: View) -> html.Html:
    labels = {**BRANCH_LABELS, "sigmoid": f"{BRANCH_LABELS['sigmoid']} {_moment(run, pictures.epoch)}"}
    figures = (
        html.element(
            "figure", html.element("figcaption", labels[branch]), html.sent_picture(png_file(picture), text),
            class_="bsig-map",
        )
        for branch, picture, text in (
            ("softmax", pictures.softmax, pictures.softmax_text), ("sigmoid", pictures.sigmoid, pictures.sigmoid_text),
        )
    )  # fmt: skip
    scale = html.scale_bar(pictures.limit, Drawing(view=view), pictures.method)
    return html.joined(html.element("div", *figures, class_="bsig-two"), scale)


def _live_answers(panel: RunPanel, run: Run, view: View) -> Answers:
    """What shows a run that goes on; what shows an ended one is away."""
    return {panel.live: live_html(run, view), **_without_pictures(panel)}


def _ended_answers(panel: RunPanel, run: Run, view: View) -> Answers:
    """The newest maps with a slider over all of them, the plots, and how well the branch's probabilities hold."""
    probe, epochs, start = probe_epochs(run), thinned(run.epochs()), run.last("start")
    newest = max(probe, default=0)
    presence = run_presence(run)
    reliability = reliability_figure(presence.reliability) if presence else None
    return {
        panel.live: "",
        panel.probe_row: gr.Row(visible=bool(probe)),
        panel.epoch_row: gr.Row(visible=bool(probe)),
        panel.epoch: gr.Slider(maximum=max(1, newest), value=newest, visible=bool(probe)),
        **probe_answers(panel, run, newest, view),
        panel.plot_row: gr.Row(visible=bool(epochs)),
        **{panel.plots[key]: training_figure(chart, epochs, start) for key, chart in CHARTS.items()},
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
    return {
        panel.softmax: gr.update(value=pictures.softmax, alt_text=pictures.softmax_text),
        panel.sigmoid: gr.update(
            value=pictures.sigmoid,
            alt_text=pictures.sigmoid_text,
            label=f"{BRANCH_LABELS['sigmoid']} {_moment(run, pictures.epoch)}",
        ),
        panel.scale: html.scale_bar(pictures.limit, Drawing(view=view), pictures.method),
    }


def _moment(run: Run, epoch: int) -> str:
    """When a map was drawn, and of which class."""
    moment = f"after epoch {epoch}" if epoch else "before training"
    name = (run.last("start") or {}).get("probe_class")
    return f"{moment}: '{name[:NAME_SHOWN]}'" if name else moment


def _empty_answers(panel: RunPanel) -> Answers:
    return {
        panel.status: html.finding("No run yet: press Start for a short one."),
        **{button: gr.Button(interactive=False) for button in panel.buttons.values()},
        panel.live: "",
        **_without_pictures(panel),
        panel.settings: "",
    }


def _without_pictures(panel: RunPanel) -> Answers:
    """What shows an ended run, empty and away."""
    return {
        panel.probe_row: gr.Row(visible=False),
        panel.epoch_row: gr.Row(visible=False),
        panel.plot_row: gr.Row(visible=False),
        panel.reliability_part: gr.Accordion(visible=False),
        **dict.fromkeys((panel.softmax, panel.sigmoid, *panel.plots.values(), panel.reliability)),
        panel.scale: "",
    }


def menu(runs: list[Run], name: str | None) -> Any:
    """The list of runs with the one of that name chosen, else the one that runs, else the newest."""
    names = [run.name for run in runs]
    running = [run.name for run in runs if run.state.standing == "running"]
    value = name if name in names else next(iter([*running, *names]), None)
    return gr.Dropdown(choices=menu_rows(runs), value=value)
