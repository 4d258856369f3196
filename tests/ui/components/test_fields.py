"""Inputs and answers are found by name; a control that is missing or too many is told at once."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr
import pytest

from bsig.ui.components.fields import Fields


@dataclass(frozen=True)
class Values:
    kind: str
    size: float


@pytest.fixture
def fields() -> Fields[Values]:
    return Fields(Values, size=gr.Number(), kind=gr.Textbox())


def test_values_are_read_by_name_whatever_their_order_and_beside_those_of_others(fields: Fields[Values]) -> None:
    other = gr.Checkbox()
    assert fields.read({other: True, fields.size: 2.0, fields.kind: "a"}) == Values(kind="a", size=2.0)
    assert fields.components == {fields.kind, fields.size}
    assert set(fields) == fields.components


def test_answers_are_given_by_name(fields: Fields[Values]) -> None:
    assert fields.answers(kind="b") == {fields.kind: "b"}
    with pytest.raises(KeyError, match="colour"):
        fields.answers(colour="red")


def test_the_components_must_be_the_fields(fields: Fields[Values]) -> None:
    with pytest.raises(ValueError, match=r"\(\['kind'\]\) must be the fields of Values: \['kind', 'size'\]"):
        Fields(Values, kind=fields.kind)
    with pytest.raises(ValueError, match="must be the fields of Values"):
        Fields(Values, kind=fields.kind, size=fields.size, colour=fields.kind)
    with pytest.raises(AttributeError, match="colour"):
        _ = fields.colour
