"""The link to what is seen now: a button that copies it, a field that shows it, and what opening one restores.

The address bar is left alone until the button is pressed, then it holds the link too, so that a bookmark or a reload
keeps this view; updating it at every change would fill the history of a page that is often shown in a frame. The link
is made from the page's own address, so it works behind a path prefix.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from bsig.ui.components.examples import example_of
from bsig.ui.components.handlers import in_words
from bsig.ui.components.inputs import ANSWERED_JS, page_question
from bsig.ui.links.check import view_of_choices
from bsig.ui.links.view import TABS, View, query_of, view_of
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.screens.evaluate.screen import EvaluateScreen
from bsig.ui.screens.logit_shift.screen import ShiftScreen
from bsig.ui.screens.tour import STEPS, TourScreen
from bsig.ui.workbench import Workbench

NO_LINK = (
    "A link cannot carry a picture of your own: it is in this visit alone and kept nowhere. Download the report "
    "instead (on Compare): one file with everything on it."
)
NO_RUN = "There is no such run here as the link asks for, or it is another visitor's; the Fine-tune screen shows yours."
COPY_LINK_JS = "(query) => bsig.copyLink(query)"
OWN_SET = " Results on your own pictures are in no link."


@dataclass(frozen=True)
class LinkBar:
    """The button, what follows it, and where a link that cannot be followed says so."""

    copy: gr.Button
    said: gr.HTML
    field: gr.Textbox
    notes: gr.HTML


@dataclass(frozen=True)
class Screens:
    """All that a link speaks of."""

    tabs: gr.Tabs
    compare: CompareScreen
    shift: ShiftScreen
    zoom: gr.Radio
    evaluate: EvaluateScreen
    run: gr.Dropdown
    tour: TourScreen
    run_names: Callable[[], list[str]]


def build_link_bar() -> LinkBar:
    """Lays out the button and the field, which is hidden until there is a link."""
    with gr.Row(elem_id="link-bar"):
        copy = gr.Button("Copy link to this view", size="sm", elem_id="copy-link", scale=0, min_width=190)
        field = gr.Textbox(
            label="Link", show_label=False, container=False, max_lines=1, visible=False, elem_id="link-field",
            scale=2, min_width=200, interactive=True,
        )  # fmt: skip
        said = gr.HTML(_said(""), elem_id="link-said")
    return LinkBar(copy, said, field, gr.HTML(elem_id="link-notes"))


def connect_links(demo: gr.Blocks, bench: Workbench, bar: LinkBar, screens: Screens) -> None:
    """A link is made when the button is pressed, and followed when the page is opened."""
    compare, shift, evaluate, tour = screens.compare, screens.shift, screens.evaluate, screens.tour
    own = [*_shift_parts(shift)[:6], screens.zoom, *_evaluate_parts(evaluate), screens.run, *tour.controls]
    tab, step = page_question("open tab", *TABS), page_question("open step", *map(str, range(len(STEPS))))
    query = gr.Textbox(visible=False)
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": 4}

    @in_words
    def on_copy(tab: str, step: str, key: str, image: str | None, checkpoint: str | None, *values: Any) -> list[Any]:
        example = example_of(image, key)
        if example is None and tab not in ("evaluate", "finetune", "models", "tour"):
            return [None, gr.Textbox(visible=False), _said(NO_LINK)]
        count = len(compare.choices)
        view = View(tab=tab, example=example.key if example else "")
        if tab in ("compare", "logit-shift", "sign-collapse"):
            view = replace(view, checkpoint=checkpoint or "", **view_of_choices(list(values[:count])))
        view, more = _own_parts(view, int(step), list(values[count:]), evaluate)
        return [query_of(view), gr.Textbox(visible=True), _said("Making the link …" + more)]

    @in_words
    def on_load(request: gr.Request) -> list[Any]:
        view, notes = view_of(list(request.query_params.items()))
        values, more = compare.restore(view)
        shown, evaluated = _evaluated(view, evaluate, bench)
        toured, followed = _toured(view)
        said = [*notes, *more, *shown, *toured]
        if view.run and view.run not in screens.run_names():  # unnamed: a visitor's runs are nobody else's business
            said.append(NO_RUN)
        return [gr.Tabs(selected=view.tab), _notes(said), *values, *_shifted(view), view.zoom, *evaluated, *followed]

    copied = bar.copy.click(
        on_copy, [tab, step, compare.example, compare.image, compare.checkpoint, *compare.choices, *own],
        [query, bar.field, bar.said], js=ANSWERED_JS, **quiet,
    )  # fmt: skip
    copied.success(None, query, bar.field, js=COPY_LINK_JS)
    outputs = [
        screens.tabs, bar.notes, *compare.restored, *_shift_parts(shift), screens.zoom, *_evaluate_parts(evaluate),
        tour.walk, *tour.controls,
    ]  # fmt: skip
    loaded = demo.load(on_load, None, outputs, **{**quiet, "show_progress": "minimal"})
    loaded.then(**compare.done)
    loaded.then(**{**evaluate.opened, **quiet})
    loaded.then(**{**tour.opened, **quiet})


def _shift_parts(shift: ShiftScreen) -> list[Any]:
    return [
        shift.kind, shift.target, shift.cell, shift.delta, shift.channel, shift.channel_delta, shift.row, shift.column
    ]  # fmt: skip


def _evaluate_parts(evaluate: EvaluateScreen) -> list[Any]:
    return [evaluate.checkpoint, evaluate.data, evaluate.method, evaluate.weights]


def _own_parts(view: View, step: int, values: list[Any], evaluate: EvaluateScreen) -> tuple[View, str]:
    """The view with what its own screen shows, and a sentence where something cannot be linked to."""
    kind, target, cell, delta, channel, channel_delta, zoom, name, data, method, weights, run, *choices = values
    if view.tab == "logit-shift":
        place = f"{cell[0] + 1},{cell[1] + 1}" if cell and kind == "paint" else ""
        view = replace(view, shift=kind, target=target, cell=place)
        if kind == "uniform":
            view = replace(view, delta=float(delta))
        if kind == "channel":
            view = replace(view, channel=-1 if channel is None else int(channel), channel_delta=float(channel_delta))
    if view.tab == "sign-collapse":
        view = replace(view, zoom=zoom)
    if view.tab == "evaluate":
        is_shipped = data in evaluate.titles(name)
        view = replace(view, measured=name or "", measured_method=method, measured_weights=weights)
        return replace(view, measured_on=data if is_shipped else ""), "" if is_shipped or not data else OWN_SET
    if view.tab == "finetune":
        view = replace(view, run=run or "")
    if view.tab == "tour":
        default = STEPS[step].choices[0]
        view = replace(view, step=step + 1, choice="" if choices[step] == default else choices[step])
    return view, ""


def _shifted(view: View) -> list[Any]:
    """The Logit shift screen's controls as the link has them."""
    cell = view.cell_index()
    kept = None if view.channel < 0 else view.channel
    channel = gr.Dropdown([(f"channel {kept}", kept)], value=kept) if kept is not None else gr.Dropdown()
    places = [gr.Slider(), gr.Slider()]
    if cell:
        places = [gr.Slider(maximum=max(7, place + 1), value=place + 1) for place in cell]
    return [view.shift, view.target, cell, view.delta, channel, view.channel_delta, *places]


def _evaluated(view: View, evaluate: EvaluateScreen, bench: Workbench) -> tuple[list[str], list[Any]]:
    """Sentences, and the Evaluate screen's controls as the link has them."""
    notes, names = [], bench.checkpoint_names()
    name = view.measured or bench.default_checkpoint
    if name not in names:
        notes.append(f"The link's measured checkpoint (='{name}') is not here; '{bench.default_checkpoint}' is shown.")
        name = bench.default_checkpoint
    titles = evaluate.titles(name)
    title = view.measured_on or next(iter(titles), None)
    if title and title not in titles:
        notes.append(f"The link's results (='{view.measured_on}') do not ship with checkpoint '{name}'.")
        title = next(iter(titles), None)
    chosen = [gr.Dropdown(choices=names, value=name), gr.Dropdown(choices=titles, value=title)]
    return notes, [*chosen, view.measured_method, view.measured_weights]


def _toured(view: View) -> tuple[list[str], list[Any]]:
    """Sentences, and the tour's step and controls as the link has them."""
    notes, chosen = [], [step.choices[0] for step in STEPS]
    allowed = STEPS[view.step - 1].choices
    if view.choice in allowed:
        chosen[view.step - 1] = view.choice
    elif view.choice:
        notes.append(f"The link's choice (='{view.choice}') must be one of {', '.join(allowed)}; the first is shown.")
    return notes, [gr.Walkthrough(selected=view.step - 1), *chosen]


def _said(text: str) -> str:
    return f'<p class="bsig-note" role="status">{html.escape(text)}</p>'


def _notes(notes: list[str]) -> str:
    if not notes:
        return ""
    return f'<div class="bsig-finding" role="status">{"<br>".join(html.escape(note) for note in notes)}</div>'
