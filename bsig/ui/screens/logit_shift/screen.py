"""The Logit shift screen connected: to its own controls, and to the picture and question of Compare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from bsig.explain.diagnostics.shift_request import possible_request, shift_method, shift_vector, strongest_channels_of
from bsig.explain.explainer import EncodedImage
from bsig.inputs.errors import InputError
from bsig.ui.components.fields import Answers, Fields, InputValues
from bsig.ui.components.handlers import PRIVATE, in_words
from bsig.ui.components.inputs import ANSWERED_JS
from bsig.ui.links.view import View
from bsig.ui.screens.compare.inputs import CompareInputs
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.screens.logit_shift.answers import doctored_zip, drag_answers, drag_file, shift_answers, survey_answers
from bsig.ui.screens.logit_shift.inputs import ShiftInputs, dragged_cell
from bsig.ui.screens.logit_shift.layout import ShiftLayout, lay_out_logit_shift
from bsig.ui.screens.logit_shift.tables import proof_table
from bsig.ui.workbench import Workbench


@dataclass(frozen=True)
class ShiftScreen:
    """The parts of the screen that links need and that its own events share."""

    layout: ShiftLayout
    bench: Workbench
    compare: CompareScreen

    @property
    def fields(self) -> Fields[ShiftInputs]:
        """The controls by name."""
        return self.layout.fields

    @property
    def inputs(self) -> set[Any]:
        """Everything that a shift is made from: Compare's question and this screen's controls."""
        return self.compare.fields.components | self.fields.components

    def question(self, values: InputValues) -> tuple[CompareInputs, EncodedImage, int]:
        """The inputs of Compare, its encoded picture, and the index of the class to move."""
        inputs = self.compare.fields.read(values)
        encoded = self.bench.encode(inputs.image, inputs.checkpoint)
        name = inputs.class_name if self.fields.read(values).subject == "asked" else None
        return inputs, encoded, encoded.class_or_predicted(name)

    def answers(self, values: InputValues, inputs: ShiftInputs | None = None) -> Answers:
        """Maps and tables for the controls as they are, or for the inputs that are given."""
        question, encoded, index = self.question(values)
        request = (inputs or self.fields.read(values)).request()
        return shift_answers(self.layout, encoded, index, question.method, request)

    def restore(self, view: View) -> Answers:
        """The controls as a link has them."""
        subject = view.subject or ("asked" if view.class_name else "predicted")
        cell = view.cell_index()
        answers = self.fields.answers(
            subject=subject,
            kind=view.shift,
            target=view.target,
            cell=cell,
            delta=view.delta,
            channel_delta=view.channel_delta,
        )
        if view.channel >= 0:
            choices = [(f"channel {view.channel}", view.channel)]
            answers[self.fields.channel] = gr.update(choices=choices, value=view.channel)
        return answers


def build_logit_shift(bench: Workbench, compare: CompareScreen, tab: gr.Tab) -> ShiftScreen:
    """Lays out the screen and connects it."""
    screen = ShiftScreen(lay_out_logit_shift(), bench, compare)
    _connect_question(screen, tab)
    _connect_painting(screen)
    _connect_kinds(screen)
    _connect_files(screen)
    return screen


def _connect_question(screen: ShiftScreen, tab: gr.Tab) -> None:
    """Another picture, checkpoint, class or method in Compare: everything is drawn anew."""
    layout, compare, fields = screen.layout, screen.compare, screen.fields

    @in_words
    def on_source(values: InputValues) -> Any:
        if not values[compare.ready]:  # Compare has not answered yet; it will say so when it has
            return gr.skip()
        question = compare.fields.read(values)
        if not question.image:
            raise InputError("no picture is chosen; go to Compare and upload one or click an example.")
        _, encoded, index = screen.question(values)
        inputs = fields.read(values)
        source = [question.image, question.checkpoint, index]
        channels = strongest_channels_of(encoded, index)
        is_same = values[layout.painted_for] in (None, source)
        channel = inputs.channel if is_same and inputs.channel is not None else channels[0]
        inputs = replace(inputs, channel=channel, cell=inputs.cell if is_same else None)
        choices = [(f"channel {number}", number) for number in dict.fromkeys([*channels, channel])]
        return {
            layout.painted_for: source,
            fields.channel: gr.update(choices=choices, value=channel),
            fields.cell: inputs.cell,
            fields.target: None if inputs.cell else inputs.request().target,
            layout.proof: "",
            layout.exported: gr.update(visible=False),
            layout.animation: gr.update(visible=False),
            **drag_answers(layout, encoded, index, question.class_name),
            **screen.answers(values, inputs),
            **survey_answers(layout, screen.bench, encoded, index),
        }

    @in_words
    def on_ready(values: InputValues) -> Any:
        return on_source(values) if values[layout.is_shown] == "yes" else gr.skip()

    inputs = {*screen.inputs, compare.ready, layout.painted_for}
    tab.select(on_source, inputs, layout.outputs, **PRIVATE)
    fields.subject.input(on_source, inputs, layout.outputs, **PRIVATE)
    compare.ready.change(
        on_ready, {*inputs, layout.is_shown}, layout.outputs, js=ANSWERED_JS, trigger_mode="always_last", **PRIVATE
    )


def _connect_painting(screen: ShiftScreen) -> None:
    """A target or a drag says where the heatmap should be."""
    layout, fields = screen.layout, screen.fields

    @in_words
    def on_target(values: InputValues) -> Answers:
        return {fields.cell: None, **screen.answers(values, replace(fields.read(values), cell=None))}

    @in_words
    def on_drag(values: InputValues) -> Any:
        cell = dragged_cell(values[layout.dragged_to])
        if cell is None:
            return gr.skip()
        answers = screen.answers(values, replace(fields.read(values), kind="paint", cell=cell))
        return {**fields.answers(cell=cell, kind="paint", target=None), **answers}

    fields.target.input(on_target, screen.inputs, [fields.cell, *layout.answer_parts], **PRIVATE)
    # The block itself is no output: it is in the visitor's hand, and would lose the pointer and the focus.
    layout.dragged.click(
        on_drag, {*screen.inputs, layout.dragged_to}, [fields.cell, fields.kind, fields.target, *layout.answer_parts],
        js=ANSWERED_JS, trigger_mode="always_last", **PRIVATE,
    )  # fmt: skip


def _connect_kinds(screen: ShiftScreen) -> None:
    """The kind of shift decides which controls are seen; every one of them is answered at once."""
    layout, fields = screen.layout, screen.fields

    @in_words
    def on_kind(kind: str) -> Answers:
        by_kind = {
            "paint": (fields.target,),
            "uniform": (fields.delta,),
            "channel": (fields.channel, fields.channel_delta, layout.thumbnail),
        }
        return {
            component: gr.update(visible=kind == key) for key, components in by_kind.items() for component in components
        }

    @in_words
    def on_wish(values: InputValues) -> Answers:
        return screen.answers(values)

    controls = [fields.target, fields.delta, fields.channel, fields.channel_delta, layout.thumbnail]
    fields.kind.change(on_kind, fields.kind, controls, **PRIVATE)
    for control in (fields.kind, fields.channel):
        control.input(on_wish, screen.inputs, layout.answer_parts, **PRIVATE)
    for slider in (fields.delta, fields.channel_delta):
        slider.change(on_wish, screen.inputs, layout.answer_parts, trigger_mode="always_last", **PRIVATE)


def _connect_files(screen: ShiftScreen) -> None:
    """The proof on the other pictures, the animation and the doctored classifier as files."""
    layout, fields = screen.layout, screen.fields

    def vector_of(values: InputValues) -> tuple[CompareInputs, EncodedImage, Any, str]:
        inputs, encoded, index = screen.question(values)
        request = possible_request(fields.read(values).request(), encoded.model.softmax_head)
        vector, description = shift_vector(encoded, index, request)
        return inputs, encoded, vector, description

    @in_words
    def on_prove(values: InputValues) -> str:
        inputs, encoded, vector, _ = vector_of(values)
        method, _ = shift_method(inputs.method, encoded.model.softmax_head)
        return proof_table(screen.bench, inputs.checkpoint, vector, method)

    @in_words
    def on_export(values: InputValues) -> Any:
        _, encoded, vector, description = vector_of(values)
        return gr.update(value=str(doctored_zip(encoded, vector, description)), visible=True)

    @in_words
    def on_animate(values: InputValues) -> Any:
        _, encoded, index = screen.question(values)
        return gr.update(value=str(drag_file(encoded, index)), visible=True)

    layout.animate.click(on_animate, screen.inputs, layout.animation, **PRIVATE)
    layout.prove.click(on_prove, screen.inputs, layout.proof, **PRIVATE)
    layout.export.click(on_export, screen.inputs, layout.exported, **PRIVATE)
