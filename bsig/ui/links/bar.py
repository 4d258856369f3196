"""The link to what is seen now: a button that copies it, a field that shows it, and what opening one restores.

Each screen says which parts of a `View` are its own; this file asks the open one and puts the parts together.
`components/static/page.js` copies the link and puts it into the address bar.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr

from bsig.ui.components.examples import bundled_examples, example_of
from bsig.ui.components.fields import Answers, InputValues
from bsig.ui.components.handlers import PRIVATE, encoded_updates, in_words, picture_files
from bsig.ui.components.html import Html, element, finding, joined
from bsig.ui.components.inputs import ANSWERED_JS, page_question
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
GONE = "This view of your own picture is no longer kept: upload the picture again."
LONGEST_QUERY = 8000
OWN_SET = "Results on your own pictures are in no link."
ABOUT_A_PICTURE = ("compare", "logit-shift", "sign-collapse", "doctor")
COPY_LINK_JS = "(query) => bsig.copyLink(query)"


@dataclass(frozen=True)
class LinkBar:
    """The button, what follows it, and where a link that cannot be followed says so.

    `tab`, `step` and `query` are not seen: what the browser says is open, and the link under way; nor are `go`, which
    the page presses for Back and Forward, and `entry`, the view that is wanted then.
    """

    copy: gr.Button
    status: gr.HTML
    field: gr.Textbox
    notes: gr.HTML
    tab: gr.Textbox
    step: gr.Textbox
    query: gr.Textbox
    go: gr.Button
    entry: gr.Textbox


@dataclass(frozen=True)
class Screens:
    """The screens that a link can set."""

    tabs: gr.Tabs
    compare: CompareScreen
    shift: ShiftScreen
    zoom: gr.Radio
    evaluate: EvaluateScreen
    run: gr.Dropdown
    tour: TourScreen
    run_names: Callable[[], list[str]]

    @property
    def linked(self) -> set[Any]:
        """Every control that a link can hold."""
        return {
            self.compare.layout.example, *self.compare.fields, *self.shift.fields, self.zoom,
            *_evaluate_controls(self.evaluate), self.run, *self.tour.controls,
        }  # fmt: skip


def build_link_bar() -> LinkBar:
    """Lays out the button and the field, which is hidden until there is a link."""
    with gr.Row(elem_id="link-bar"):
        copy = gr.Button("Copy link to this view", size="sm", elem_id="copy-link", scale=0, min_width=190)
        field = gr.Textbox(
            label="Link", show_label=False, container=False, max_lines=1, visible=False, elem_id="link-field",
            scale=2, min_width=200, interactive=True,
        )  # fmt: skip
        status = gr.HTML(_status(""), elem_id="link-said")
    return LinkBar(
        copy=copy,
        status=status,
        field=field,
        notes=gr.HTML(elem_id="link-notes"),
        tab=page_question("open tab", *TABS),
        step=page_question("open step", *map(str, range(len(STEPS)))),
        query=gr.Textbox(visible=False),
        go=gr.Button("Back or forward", elem_id="go-view", elem_classes="bsig-offscreen"),
        entry=page_question("history entry"),
    )


def connect_links(demo: gr.Blocks, bench: Workbench, bar: LinkBar, screens: Screens) -> Callable[[], Any]:
    """Connects the button, which makes a link, and the opening of the page, which follows one.

    Returns:
        What computes the comparison that the page opens with, so that the first visitor finds it computed.
    """
    _connect_copy(bar, screens)
    _connect_opening(demo, bench, bar, screens)
    _connect_browser_history(bar, screens)
    return lambda: opening_of(bench, screens.compare, View())


# --- a view as a link -------------------------------------------------------------------------------------------------


def _connect_copy(bar: LinkBar, screens: Screens) -> None:
    @in_words
    def on_copy(values: InputValues) -> Answers:
        view, remark = view_now(screens, values, tab=values[bar.tab], step=int(values[bar.step]))
        if view is None:
            return {bar.query: None, bar.field: gr.update(visible=False), bar.status: _status(remark)}
        words = " ".join(filter(None, ("Making the link …", remark)))
        return {bar.query: query_of(view), bar.field: gr.update(visible=True), bar.status: _status(words)}

    copied = bar.copy.click(
        on_copy, {bar.tab, bar.step, *screens.linked}, [bar.query, bar.field, bar.status], js=ANSWERED_JS,
        **{**PRIVATE, "show_progress": "hidden"},
    )  # fmt: skip
    copied.success(None, bar.query, bar.field, js=COPY_LINK_JS)


def view_now(screens: Screens, values: InputValues, *, tab: str, step: int) -> tuple[View | None, str]:
    """The view on the page, and a sentence where something of it cannot be linked to; no view where nothing can be.

    Args:
        screens: the page.
        values: of all its linked controls.
        tab: the open screen.
        step: the open step of the tour, from 0.
    """
    inputs = screens.compare.fields.read(values)
    example = example_of(inputs.image, values[screens.compare.layout.example])
    if example is None and tab in ABOUT_A_PICTURE:
        return None, NO_LINK
    view = View(tab=tab, example=example.key if example else "")
    if tab in ABOUT_A_PICTURE:
        view = replace(view, **inputs.view_parts())
    if tab == "logit-shift":
        return replace(view, **screens.shift.fields.read(values).view_parts()), ""
    if tab == "sign-collapse":
        return replace(view, zoom=values[screens.zoom]), ""
    if tab == "evaluate":
        return _evaluate_view(view, screens.evaluate, values)
    if tab == "finetune":
        return replace(view, run=values[screens.run] or ""), ""
    if tab == "tour":
        choice = values[screens.tour.controls[step]]
        is_first = choice == STEPS[step].choices[0]
        return replace(view, step=step + 1, choice="" if is_first else choice), ""
    return view, ""


def _evaluate_view(view: View, evaluate: EvaluateScreen, values: InputValues) -> tuple[View, str]:
    checkpoint, results = values[evaluate.checkpoint], values[evaluate.data]
    is_shipped = results in evaluate.titles(checkpoint)
    view = replace(
        view,
        measured=checkpoint or "",
        measured_on=results if is_shipped else "",
        measured_method=values[evaluate.method],
        measured_weights=values[evaluate.weights],
    )
    return view, OWN_SET if results and not is_shipped else ""


# --- a link as a view -------------------------------------------------------------------------------------------------


def _connect_opening(demo: gr.Blocks, bench: Workbench, bar: LinkBar, screens: Screens) -> None:
    compare, evaluate, tour = screens.compare, screens.evaluate, screens.tour

    @in_words
    def on_load(request: gr.Request) -> Answers:
        view, notes = view_of(list(request.query_params.items()))
        answers, compare_notes = opening_of(bench, compare, view)
        evaluate_answers, evaluate_notes = _restored_evaluate(view, evaluate, bench)
        tour_answers, tour_notes = _restored_tour(view, tour)
        notes = [*notes, *compare_notes, *evaluate_notes, *tour_notes]
        if view.run and view.run not in screens.run_names():  # unnamed: a visitor's runs are nobody else's business
            notes.append(NO_RUN)
        return {
            screens.tabs: gr.update(selected=view.tab),
            bar.notes: _notes(notes),
            **answers,
            **screens.shift.restore(view),
            screens.zoom: view.zoom,
            **evaluate_answers,
            **tour_answers,
        }

    outputs = [
        screens.tabs, bar.notes, *compare.restored, *screens.shift.fields, screens.zoom,
        *_evaluate_controls(evaluate), tour.walk, *tour.controls,
    ]  # fmt: skip
    event = demo.load(on_load, None, outputs, **PRIVATE)
    event.then(**compare.ready_event)
    hidden = {**PRIVATE, "show_progress": "hidden"}
    event.then(**{**evaluate.open_event, **hidden})
    event.then(**{**tour.open_event, **hidden})


def opening_of(bench: Workbench, compare: CompareScreen, view: View) -> tuple[Answers, list[str]]:
    """The Compare screen as a link has it, and one sentence for each part that cannot be had.

    What the page opens with where no link says otherwise is computed once, not for every visitor.
    """
    if view != View():
        return compare.restore(view)
    encoded = bench.encode(bundled_examples()[0].path, None)
    answers, notes = bench.answer(encoded, ("opening", compare.ready), lambda: _with_files(*compare.restore(view)))
    # Gradio takes the value out of an update: each visitor gets updates of their own.
    return {component: copy(update) for component, update in answers.items()}, notes


def _with_files(answers: Answers, notes: list[str]) -> tuple[tuple[Answers, list[str]], list[Path]]:
    """Answers with their pictures as files, and these files."""
    answers = encoded_updates(answers)
    return (answers, notes), picture_files(answers.values())


def _connect_browser_history(bar: LinkBar, screens: Screens) -> None:
    """Back and Forward lead to the view of the browser's entry: one of this visit, else as its link has it.

    `components/static/page.js` makes the entries, and opens the entry's tab by itself.
    """
    compare, history = screens.compare, screens.compare.layout.history

    @in_words
    def on_go(values: InputValues) -> Answers:
        notes: list[str]
        key, query, tab, press = _entry(values[bar.entry])
        view = next((view for view in reversed(values[history.views]) if view.key == key), None)
        if view:
            answers, notes = compare.answers_of(view.example, view.inputs), []
        elif query:
            target, notes = view_of(parse_qsl(query, keep_blank_values=True))
            answers, further = compare.restore(target)
            notes += further
        else:
            answers, notes = {}, [GONE]
        if tab in TABS:
            answers[screens.tabs] = gr.update(selected=tab)
        return {bar.notes: _notes(notes), history.press: press, **answers}

    outputs = [screens.tabs, bar.notes, history.press, *compare.restored]
    event = bar.go.click(
        on_go, {bar.entry, history.views}, outputs, js=ANSWERED_JS, trigger_mode="always_last",
        **{**PRIVATE, "show_progress": "hidden"},
    )  # fmt: skip
    event.failure(None, None, None, js="() => bsig.stopWaiting()")
    event.then(**compare.ready_event)
    screens.tabs.change(None, None, None, js="() => bsig.tabOpened()")


def _entry(text: str) -> tuple[str, str, str, str]:
    """Key, query, tab and press of the entry as the browser sent it; each is empty where it is no text."""
    try:
        entry = json.loads(text)
    except (TypeError, ValueError, RecursionError):  # anything may be sent
        return "", "", "", ""
    parts = [entry.get(name) if isinstance(entry, dict) else None for name in ("key", "query", "tab", "press")]
    key, query, tab, press = (part[:LONGEST_QUERY] if isinstance(part, str) else "" for part in parts)
    return key, query, tab, press


def _evaluate_controls(evaluate: EvaluateScreen) -> tuple[Any, ...]:
    return evaluate.checkpoint, evaluate.data, evaluate.method, evaluate.weights


def _restored_evaluate(view: View, evaluate: EvaluateScreen, bench: Workbench) -> tuple[Answers, list[str]]:
    """The Evaluate screen's controls as the link has them, and sentences for what cannot be had."""
    notes, names = [], bench.checkpoint_names()
    name = view.measured or bench.default_checkpoint
    if name not in names:
        notes.append(f"The link's measured checkpoint (='{name}') is not here; '{bench.default_checkpoint}' is shown.")
        name = bench.default_checkpoint
    titles = evaluate.titles(name)
    title = view.measured_on or None  # None: the screen opens with the visitor's own newest results, else with shipped
    if title and title not in titles:
        notes.append(f"The link's results (='{view.measured_on}') do not ship with checkpoint '{name}'.")
        title = None
    return {
        evaluate.checkpoint: gr.update(choices=names, value=name),
        evaluate.data: gr.update(choices=titles, value=title),
        evaluate.method: view.measured_method,
        evaluate.weights: view.measured_weights,
    }, notes


def _restored_tour(view: View, tour: TourScreen) -> tuple[Answers, list[str]]:
    """The tour's step and controls as the link has them, and a sentence for a choice that there is not."""
    answers: Answers = {
        tour.walk: gr.update(selected=view.step - 1),
        **{control: step.choices[0] for control, step in zip(tour.controls, STEPS, strict=True)},
    }
    choices = STEPS[view.step - 1].choices
    if view.choice in choices:
        answers[tour.controls[view.step - 1]] = view.choice
    elif view.choice:
        rule = f"must be one of {', '.join(choices)}; the first is shown."
        return answers, [f"The link's choice (='{view.choice}') {rule}"]
    return answers, []


def _status(text: str) -> Html:
    return element("p", text, class_="bsig-note", role="status")


def _notes(notes: list[str]) -> str:
    return finding(joined(*notes, between=Html("<br>"))) if notes else ""
