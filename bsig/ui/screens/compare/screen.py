"""The Compare screen connected: every choice is answered by both branches side by side on one scale."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.load import is_saved_as
from bsig.model.checkpoints.save import check_nothing_is_lost, save_checkpoint
from bsig.ui.components.examples import example_at, example_by_key
from bsig.ui.components.fields import Answers, Fields, InputValues
from bsig.ui.components.handlers import PRIVATE, in_words
from bsig.ui.components.inputs import SHOW_MAPS_JS, press_js
from bsig.ui.links.check import possible_view
from bsig.ui.links.view import View
from bsig.ui.screens.compare.answers import (
    empty_answers,
    encoded_of,
    explanation_of,
    map_answers,
    question_answers,
    wants_finer,
)
from bsig.ui.screens.compare.downloads import card_file, report_file, zip_file
from bsig.ui.screens.compare.history import MOST_VIEWS, CompareView, earlier_titles, with_view
from bsig.ui.screens.compare.inputs import CompareInputs
from bsig.ui.screens.compare.layout import CompareLayout, lay_out_compare
from bsig.ui.screens.compare.words import example_reason
from bsig.ui.screens.finetune.fields import starts
from bsig.ui.workbench import Workbench


@dataclass(frozen=True)
class CompareScreen:
    """The parts of Compare that other screens and links need: its controls, and the ways to draw it anew.

    Attributes:
        layout: its components.
        bench: models and pictures.
        ready_event: arguments of the event that tells the other screens to draw theirs.
    """

    layout: CompareLayout
    bench: Workbench
    ready_event: dict[str, Any]

    @property
    def fields(self) -> Fields[CompareInputs]:
        """The controls by name."""
        return self.layout.fields

    @property
    def image(self) -> gr.Image:
        """The picture."""
        return self.fields.image

    @property
    def checkpoint(self) -> gr.Dropdown:
        """The checkpoint."""
        return self.fields.checkpoint

    @property
    def class_name(self) -> gr.Dropdown:
        """The class to explain."""
        return self.fields.class_name

    @property
    def method(self) -> gr.Dropdown:
        """The CAM variant."""
        return self.fields.method

    @property
    def weights(self) -> gr.Radio:
        """The treatment of negative weights."""
        return self.fields.weights

    @property
    def ready(self) -> gr.State:
        """How often Compare has answered; changes when there is something new to ask about."""
        return self.layout.ready

    @property
    def restored(self) -> list[Any]:
        """The parts that a link sets."""
        controls = [control for control in self.fields if control not in self.layout.outputs]
        return [*self.layout.outputs, *controls, self.layout.example, self.layout.reason]

    def redraw(self, event: Any) -> None:
        """Draws everything anew after an event that has set some of the controls."""

        @in_words
        def on_picture(values: InputValues) -> Answers:
            return picture_answers(self.bench, self.layout, self.fields.read(values))

        event.then(on_picture, self.fields.components, self.layout.outputs, **PRIVATE).then(**self.ready_event)

    def restore(self, view: View) -> tuple[Answers, list[str]]:
        """The screen as a link has it, and one sentence for each part of the link that cannot be had."""
        possible, notes = possible_view(self.bench, view)
        example = example_by_key(possible.example)
        return self.answers_of(example.key, CompareInputs.of_view(possible, example.path)), notes

    def answers_of(self, example: str, inputs: CompareInputs) -> Answers:
        """The screen with all controls as given, on a bundled picture or, with an empty key, a visitor's own."""
        controls = {name: value for name, value in vars(inputs).items() if name != "class_name"}
        answers = {
            **self.fields.answers(**controls),
            self.layout.example: example,
            self.layout.reason: example_reason(example_by_key(example)) if example else "",
        }
        pictures = picture_answers(self.bench, self.layout, inputs)
        return {**answers, **_with_values(pictures, answers)}


def build_compare(bench: Workbench) -> CompareScreen:
    """Lays out the screen and connects it."""
    layout = lay_out_compare(bench)
    ready = layout.ready
    ready_event = {"fn": lambda count: count + 1, "inputs": ready, "outputs": ready, "api_visibility": "private"}
    screen = CompareScreen(layout, bench, ready_event)
    _connect_pictures(screen)
    _connect_choices(screen)
    _connect_files(screen)
    _connect_history(screen)
    return screen


def connect_finetune(compare: CompareScreen, start: gr.Dropdown, tabs: gr.Tabs) -> None:
    """Connects the button that opens the Fine-tune tab with the model whose sigmoid branch is still the clone."""

    @in_words
    def on_finetune(values: InputValues) -> Answers:
        bench, name = compare.bench, values[compare.checkpoint] or compare.bench.default_checkpoint
        start_from = saved_checkpoint(bench, name)
        return {start: gr.update(choices=starts(bench), value=start_from), tabs: gr.update(selected="finetune")}

    compare.layout.finetune.click(on_finetune, {compare.checkpoint}, [start, tabs], **PRIVATE)


def saved_checkpoint(bench: Workbench, name: str) -> str:
    """The name of a model as a checkpoint folder, which a fine-tune can start from; saved where it was not yet.

    Raises:
        InputError: there is no folder to save it in, or another checkpoint has its name there.
    """
    if name in bench.saved_names():
        return name
    folder = bench.own_checkpoints()
    if folder is None:
        raise InputError(
            f"`checkpoint` (='{name}') is not saved, and this app has no folder for new checkpoints; use `python -m "
            "bsig new-model` and fine-tune that."
        )
    model, path = bench.model(name), folder / name
    if is_saved_as(model, path):
        return name
    check_nothing_is_lost(path, "rename that folder, so that nothing of it is replaced")
    save_checkpoint(model, path)
    return name


def picture_answers(bench: Workbench, layout: CompareLayout, inputs: CompareInputs) -> Answers:
    """Everything for a picture, or another checkpoint for it: the classes that can be asked for, and the maps."""
    if not inputs.image:
        return empty_answers(layout)
    encoded = encoded_of(bench, inputs)
    explanation = explanation_of(encoded, inputs)
    return {
        **map_answers(layout, encoded, explanation, inputs),
        **question_answers(layout, encoded, explanation, inputs),
    }


def _with_values(updates: Answers, values: Answers) -> Answers:
    """The updates, each with the value that is set at the same time; an update alone would leave the old one."""
    return {
        component: {"value": values[component], **update}
        if component in values and isinstance(update, dict)
        else update
        for component, update in updates.items()
    }


def _connect_pictures(screen: CompareScreen) -> None:
    """A new picture, an example, another checkpoint: what can be asked changes with them."""
    bench, layout, fields = screen.bench, screen.layout, screen.fields

    @in_words
    def on_new_picture(values: InputValues) -> Answers:
        return picture_answers(bench, layout, replace(fields.read(values), class_name=None, other_class=None))

    def on_own_picture() -> Answers:
        return {layout.reason: "", layout.example: ""}

    @in_words
    def on_picture(values: InputValues) -> Answers:
        return picture_answers(bench, layout, fields.read(values))

    @in_words
    def on_example(values: InputValues, event: gr.SelectData) -> Answers:
        example = example_at(event.index)
        inputs = replace(fields.read(values), image=str(example.path), class_name=example.class_name,
                         other_class=None)  # fmt: skip
        return {
            layout.example: example.key,
            layout.reason: example_reason(example),
            fields.image: inputs.image,
            **picture_answers(bench, layout, inputs),
        }

    outputs = [layout.example, fields.image, layout.reason, *layout.outputs]
    opening = layout.gallery.select(on_example, fields.components, outputs, **PRIVATE)
    opening.success(None, js=SHOW_MAPS_JS, api_visibility="private")
    opening.then(**screen.ready_event)
    for event in (fields.image.upload, fields.image.clear):
        # Also where the picture is refused: the words of an example must not stay beside it.
        event(on_new_picture, fields.components, layout.outputs, **PRIVATE).then(
            on_own_picture, None, [layout.reason, layout.example], api_visibility="private"
        ).then(**screen.ready_event)
    fields.checkpoint.input(on_picture, fields.components, layout.outputs, **PRIVATE).then(**screen.ready_event)


def _connect_choices(screen: CompareScreen) -> None:
    """Every other control: the picture is encoded already, the maps are drawn anew."""
    bench, layout, fields = screen.bench, screen.layout, screen.fields

    @in_words
    def on_choice(values: InputValues) -> Answers:
        inputs = fields.read(values)
        encoded = encoded_of(bench, inputs)
        progress = gr.Progress() if inputs.method == "score-cam" else None
        # The method is left as it is: a visitor may have chosen another one while this was being answered.
        return map_answers(layout, encoded, explanation_of(encoded, inputs, progress), inputs)

    @in_words
    def on_reading(values: InputValues) -> Answers:
        """The sliders belong to the reading before; the new one starts with its own settings."""
        inputs = fields.read(values).with_own_settings()
        encoded = encoded_of(bench, inputs)
        return map_answers(layout, encoded, explanation_of(encoded, inputs), inputs)

    @in_words
    def on_method(values: InputValues) -> Answers:
        """The reading goes back to the checkpoint's own: a method that allows only the plain one must not leave it."""
        inputs = replace(fields.read(values).with_own_settings(), reading="")
        encoded = encoded_of(bench, inputs)
        progress = gr.Progress() if inputs.method == "score-cam" else None
        return map_answers(layout, encoded, explanation_of(encoded, inputs, progress), inputs)

    for control in (fields.method, fields.weights):
        control.input(on_method, fields.components, layout.answer_parts, trigger_mode="always_last", **PRIVATE).then(
            **screen.ready_event
        )
    fields.reading.input(
        on_reading, fields.components, layout.answer_parts, trigger_mode="always_last", **PRIVATE
    ).then(**screen.ready_event)
    for control in fields:
        if control in (fields.image, fields.checkpoint, fields.reading, fields.method, fields.weights):
            continue
        # A slider's `input` misses its reset button, and `release` the keyboard. `change` has both, but is also sent
        # where a link or Undo sets the slider, with the other controls as they were before. Score-CAM's budget waits
        # for the release: every value in between would run the network.
        events = [control.input]
        if isinstance(control, gr.Slider):
            events = [control.release] if control is fields.budget else [control.input, control.release]
        gr.on(events, on_choice, fields.components, layout.answer_parts, trigger_mode="always_last", **PRIVATE).then(
            **screen.ready_event
        )
    _connect_finer_grid(screen, on_choice)
    layout.wipe_at.change(
        lambda place: gr.update(slider_position=place), layout.wipe_at, layout.wipe, trigger_mode="always_last",
        **PRIVATE,
    )  # fmt: skip


def _connect_finer_grid(screen: CompareScreen, on_choice: Callable[[InputValues], Answers]) -> None:
    """Encodes the picture on the finer grid where coarse maps stand in for finer ones, and then draws those.

    Two events, since the second asks with the controls as they are when the first has ended: a visitor who has chosen
    another class meanwhile does not see the maps of the one before.
    """
    bench, layout, fields = screen.bench, screen.layout, screen.fields

    @in_words
    def on_sharpening(values: InputValues) -> Any:
        inputs = fields.read(values)
        if values[layout.sharpening] is None or not wants_finer(bench, inputs):
            return gr.skip()
        bench.encode(inputs.image, inputs.checkpoint, finer_grid=True)
        return values[layout.finer_count] + 1

    hidden = {**PRIVATE, "show_progress": "hidden", "trigger_mode": "always_last"}
    finer_inputs = {layout.sharpening, layout.finer_count, *fields}
    layout.sharpening.change(on_sharpening, finer_inputs, layout.finer_count, **hidden)
    layout.finer_count.change(on_choice, fields.components, layout.answer_parts, **hidden)


def _connect_files(screen: CompareScreen) -> None:
    """The buttons that make a file and hand it out."""
    bench, layout, fields = screen.bench, screen.layout, screen.fields

    def explanation_for(values: InputValues) -> tuple[CompareInputs, EncodedImage, Explanation]:
        inputs = fields.read(values)
        encoded = bench.encode(inputs.image, inputs.checkpoint, finer_grid=wants_finer(bench, inputs))
        return inputs, encoded, explanation_of(encoded, inputs)

    @in_words
    def on_download(values: InputValues) -> str:
        inputs, encoded, explanation = explanation_for(values)
        return str(zip_file(encoded, explanation, inputs.drawing()))

    @in_words
    def on_report(values: InputValues) -> str:
        inputs, encoded, explanation = explanation_for(values)
        return str(report_file(encoded, explanation, inputs.drawing(), Path(inputs.image or "").name))

    @in_words
    def on_card(values: InputValues) -> str:
        inputs, _, explanation = explanation_for(values)
        return str(card_file(explanation, inputs.drawing()))

    handlers: dict[str, Callable[[InputValues], str]] = {"download": on_download, "report": on_report, "card": on_card}
    for key, handler in handlers.items():
        event = layout.prepare[key].click(handler, fields.components, layout.downloads[key], **PRIVATE)
        # On success alone: a refusal must not hand out the file of the time before.
        event.success(None, js=press_js(key), api_visibility="private")


def _connect_history(screen: CompareScreen) -> None:
    """Remembers every view that is answered, and leads back to it."""
    layout, fields, history = screen.layout, screen.fields, screen.layout.history

    def history_answers(views: list[CompareView]) -> Answers:
        return {
            history.views: views,
            history.row: gr.update(visible=len(views) > 1),
            history.earlier: gr.update(choices=earlier_titles(views), value=None),
        }

    @in_words
    def on_ready(values: InputValues) -> Answers:
        view = CompareView.of(values[layout.example], fields.read(values))
        entry = view and {
            "key": view.key, "stem": view.key_without_sliders, "query": view.query,
            "press": values[history.press],
        }  # fmt: skip
        views = with_view(values[history.views], view)
        return {**history_answers(views), history.entry: json.dumps(entry)}

    @in_words
    def on_back(values: InputValues) -> Answers:
        """Goes back to the view from the list, which then is the last; Undo goes to the one before this one."""
        views, place = values[history.views], values[history.earlier]
        if len(views) < 2:
            return history_answers(views)  # gradio takes no empty answer
        is_from_list = isinstance(place, int) and 0 <= place < len(views)
        view = views[place] if is_from_list else views[-2]
        views = [*views, view][-MOST_VIEWS:] if is_from_list else views[:-1]
        return {**history_answers(views), **screen.answers_of(view.example, view.inputs)}

    inputs: set[Any] = {layout.example, history.views, history.earlier}
    entered = [*history.components, history.entry]
    hidden = {**PRIVATE, "show_progress": "hidden"}
    view_event = layout.ready.change(on_ready, {*inputs, history.press, *fields}, entered, **hidden)
    view_event.success(None, history.entry, None, js="(entry) => bsig.viewed(entry)", api_visibility="private")
    outputs = [*history.components, *screen.restored]
    for event in (history.undo.click, history.earlier.input):
        event(on_back, inputs, outputs, **PRIVATE).then(**screen.ready_event)
