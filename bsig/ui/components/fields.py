"""The inputs of a screen by name: components on one side, a dataclass of their values on the other.

fields = Fields(ShiftInputs, kind=gr.Radio(...), target=gr.Radio(...))
button.click(on_click, fields.components | {other}, {picture})

def on_click(values):                       # Gradio hands a set of inputs over as a dict by component
inputs = fields.read(values)            # ShiftInputs(kind="paint", target="top left")
return {picture: ..., **fields.answers(kind="uniform")}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Generic, TypeVar

Values = TypeVar("Values")
InputValues = Mapping[Any, Any]
"""What Gradio hands to a handler whose inputs are a set: values by component."""
Answers = dict[Any, Any]
"""What a handler answers: an update or a value by component; components that are left out stay as they are."""


class Fields(Generic[Values]):
    """The components of a screen's inputs, each under the name of a field of `kind`, the dataclass of their values."""

    def __init__(self, kind: type[Values], /, **components: Any) -> None:
        names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
        if names != set(components):
            raise ValueError(f"`components` ({[*components]}) must be the fields of {kind.__name__}: {sorted(names)}.")
        self._kind = kind
        self._components = components

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_components"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._components.values())

    @property
    def components(self) -> set[Any]:
        """All components, as the inputs of an event."""
        return set(self._components.values())

    def read(self, values: InputValues) -> Values:
        """The values of this screen's components; the dict may hold those of other screens too."""
        return self._kind(**{name: values[component] for name, component in self._components.items()})

    def answers(self, **updates: Any) -> Answers:
        """Updates by component, from updates by name."""
        return {self._components[name]: update for name, update in updates.items()}
