"""A view of the page as a query string and back: `?example=cat&class=golf+ball&tab=logit-shift&shift=uniform`.

    query = query_of(View(example="cat", opacity=40))       # "example=cat&opacity=40"
    view, notes = view_of(parse_qsl(query))                 # the view again, and what could not be understood

Pure: no component, no model. What a link says is checked here against what there is to choose from; what depends on a
checkpoint (its classes, methods, channels, results) is checked where that is loaded. Whatever cannot be used falls
back to its default with one sentence for the page; a link never leads to an error. Defaults are left out.

An uploaded picture is in no link: it is nowhere but in this visit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlencode

from bsig.explain.diagnostics.painted_shift import TARGETS
from bsig.explain.diagnostics.shift_request import LARGEST_CHANNEL_DELTA, LARGEST_DELTA, SHIFTS
from bsig.explain.drawing.colours import COLORMAPS, VIEWS
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.explain.readings import READINGS

TABS = ("compare", "logit-shift", "sign-collapse", "doctor", "batch", "evaluate", "finetune", "models", "tour", "quiz")
SHOWS = {"overlay": "Overlay", "heatmap": "Heatmap alone", "wipe": "Wipe between the two", "difference": "Difference"}
SUBJECTS = {"predicted": "Predicted", "asked": "Asked in Compare"}
ZOOMS = ("all", "zero")
TOUR_STEPS = 4
KEYS = {"class_name": "class", "view": "evidence"}  # `view` is Gradio's own: `?view=api`
GRADIOS_OWN = ("view",)
LONGEST = 200
"""Letters of one value: class names are shorter, and a longer one is no name."""
MOST_PAIRS = 60
BETWEEN_CLASSES = "|"
SETTINGS = ("strength", "second_setting", "third_setting")
"""The parts that hold a reading's settings, in their order; no reading has more."""
OWN_SETTING = -9.0
"""Stands for the checkpoint's own setting of a reading; below the range of every one."""
DECIMAL = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class View:
    """What can be seen and chosen, as in the link. Empty texts: the app's own choice.

    Attributes:
        tab: the open screen.
        example: key of a bundled picture.
        class_name: in the link `class`; empty for the example's own, else the predicted one.
        reading: of the maps; empty for the checkpoint's own.
        strength, second_setting, third_setting: the reading's settings in their order; -9 for the checkpoint's own.
        other_class: in the link `other-class`: the class that "why A and not B" compares with.
        more_classes: in the link `more-classes`: further classes, with a bar between them.
        finer_grid: in the link `finer-grid`: maps of twice as many rows and columns, where the model has them.
        budget: Score-CAM's channels.
        threshold, opacity: in per cent.
        shift, target, cell, delta, channel, channel_delta: the Logit shift screen; `cell` is "row,column" from 1, with
            decimals between two cells, and stands above the target; a channel of -1 is the strongest one.
        subject: whose heatmap that screen moves, a key of `SUBJECTS`; empty for the link's class, else the predicted.
        zoom: of the Sign collapse screen.
        step, choice: the guided tour's step, from 1, and what its control says.
        measured, measured_on, measured_method, measured_weights: the Evaluate screen.
        run: of the Fine-tune screen.
    """

    tab: str = "compare"
    example: str = ""
    checkpoint: str = ""
    class_name: str = ""
    method: str = ""
    weights: str = "signed"
    reading: str = ""
    strength: float = OWN_SETTING
    second_setting: float = OWN_SETTING
    third_setting: float = OWN_SETTING
    other_class: str = ""
    more_classes: str = ""
    finer_grid: bool = False
    budget: int = 64
    bias: bool = False
    show: str = "overlay"
    view: str = "signed"
    grid: bool = False
    contour: bool = False
    threshold: int = 50
    opacity: int = 80
    colormap: str = "inferno"
    own_scale: bool = False
    subject: str = ""
    shift: str = "paint"
    target: str = "top left"
    cell: str = ""
    delta: float = 0.0
    channel: int = -1
    channel_delta: float = 0.3
    zoom: str = "all"
    step: int = 1
    choice: str = ""
    measured: str = ""
    measured_on: str = ""
    measured_method: str = "cam"
    measured_weights: str = "signed"
    run: str = ""

    def more_class_names(self) -> list[str]:
        """The further classes."""
        return self.more_classes.split(BETWEEN_CLASSES) if self.more_classes else []

    def cell_index(self) -> tuple[float, float] | None:
        """Row and column from 0, or None."""
        if not self.cell:
            return None
        row, column = (float(part) for part in self.cell.split(","))
        return row - 1, column - 1


def query_of(view: View) -> str:
    """The query string without its question mark; values that are the defaults are left out."""
    defaults = View()
    pairs = [
        (_key(field.name), _query_text(getattr(view, field.name)))
        for field in fields(view)
        if getattr(view, field.name) != getattr(defaults, field.name)
    ]
    return urlencode(pairs)


def view_of(pairs: Iterable[tuple[str, str]]) -> tuple[View, list[str]]:
    """The view that a link asks for, and one sentence for each part of it that cannot be used.

    Keys that are Gradio's own (`__theme`, `view`) pass without a word. Where a key comes twice, the last one counts.
    """
    parts, notes, names = {}, [], {_key(field.name): field.name for field in fields(View)}
    for at, (key, text) in enumerate(pairs):
        if at >= MOST_PAIRS:
            notes.append(f"The link has more than {MOST_PAIRS} parts; the rest is left out.")
            break
        if key.startswith("__") or key in GRADIOS_OWN:
            continue
        name = names.get(key)
        if name is None:
            notes.append(f"The link's '{_shortened(key)}' is no part of a view; it is left out.")
            continue
        value = READERS[name](text) if len(text) <= LONGEST else None
        if value is None:
            notes.append(f"The link's {key} (='{_shortened(text)}') must be {RULES[name]}; {_instead(name)} is shown.")
        else:
            parts[name] = value
    return View(**parts), list(dict.fromkeys(notes))


def _instead(name: str) -> str:
    default = getattr(View(), name)
    return f"'{_query_text(default)}'" if default != "" and default != -1 else "the app's own choice"


def _key(name: str) -> str:
    return KEYS.get(name, name.replace("_", "-"))


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def _query_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


# --- what each part may be --------------------------------------------------------------------------------------------


def _one_of(choices: Iterable[str]) -> Callable[[str], str | None]:
    values = tuple(choices)
    return lambda text: text if text in values else None


def _whole(lowest: int, highest: int) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        is_number = text.isascii() and text.lstrip("-").isdigit() and len(text) < 9
        return int(text) if is_number and text.count("-") <= 1 and lowest <= int(text) <= highest else None

    return read


def _number(largest: float) -> Callable[[str], float | None]:
    def read(text: str) -> float | None:
        if not DECIMAL.fullmatch(text):  # `float` also takes digits of other scripts, '1_0', 'inf' and 'nan'
            return None
        value = float(text)
        return value if abs(value) <= largest else None

    return read


def _yes_no(text: str) -> bool | None:
    return {"yes": True, "no": False}.get(text)


def _cell(text: str) -> str | None:
    """Row and column with at most three decimals; the upper edge of the first row is 0.5."""
    if not re.fullmatch(r"\d{1,2}(\.\d{1,3})?,\d{1,2}(\.\d{1,3})?", text, re.ASCII):
        return None
    return text if all(0.5 <= float(part) <= 64.5 for part in text.split(",")) else None


def _text(text: str) -> str:
    return text


OF_ONE_CLASS = [key for key, reading in READINGS.items() if not reading.needs_other_class]


def _listed(choices: Iterable[str]) -> str:
    return f"one of {', '.join(choices)}"


_FAMILIES: dict[str, tuple[Callable[[str], Any], str]] = {
    "tab": (_one_of(TABS), _listed(TABS)),
    "method": (_one_of(CAM_METHODS), _listed(CAM_METHODS)),
    "weights": (_one_of(TREATMENTS), _listed(TREATMENTS)),
    "reading": (_one_of(("", *OF_ONE_CLASS)), _listed(OF_ONE_CLASS)),
    "strength": (_number(16.0), "a number from -16 to 16"),
    "second_setting": (_number(63.0), "a number from -63 to 63"),
    "budget": (_whole(8, 1280), "a whole number from 8 to 1280"),
    "bias": (_yes_no, "yes or no"),
    "show": (_one_of(SHOWS), _listed(SHOWS)),
    "view": (_one_of(VIEWS), _listed(VIEWS)),
    "threshold": (_whole(5, 95), "a whole number from 5 to 95"),
    "opacity": (_whole(10, 100), "a whole number from 10 to 100"),
    "colormap": (_one_of(COLORMAPS), _listed(COLORMAPS)),
    "subject": (_one_of(("", *SUBJECTS)), _listed(SUBJECTS)),
    "shift": (_one_of(SHIFTS), _listed(SHIFTS)),
    "target": (_one_of(TARGETS), _listed(TARGETS)),
    "cell": (_cell, "a row and a column of the grid, as 2,6"),
    "delta": (_number(LARGEST_DELTA), f"a number from -{LARGEST_DELTA} to {LARGEST_DELTA}"),
    "channel": (_whole(0, 99_999), "the number of a channel"),
    "channel_delta": (_number(LARGEST_CHANNEL_DELTA), "a number from -1 to 1"),
    "zoom": (_one_of(ZOOMS), _listed(ZOOMS)),
    "step": (_whole(1, TOUR_STEPS), f"a whole number from 1 to {TOUR_STEPS}"),
}
_LIKE = {
    "third_setting": "second_setting",
    "finer_grid": "bias",
    "grid": "bias",
    "contour": "bias",
    "own_scale": "bias",
    "measured_method": "method",
    "measured_weights": "weights",
}
_TEXT = (_text, f"at most {LONGEST} letters long")
READERS: dict[str, Callable[[str], Any]] = {
    field.name: _FAMILIES.get(_LIKE.get(field.name, field.name), _TEXT)[0] for field in fields(View)
}
RULES: dict[str, str] = {
    field.name: _FAMILIES.get(_LIKE.get(field.name, field.name), _TEXT)[1] for field in fields(View)
}
