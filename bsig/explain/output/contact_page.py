"""Many explanations as one HTML page, the largest disagreement first: it opens offline and fetches nothing.

    page = ContactPage()
    for encoded in explainer.encode_many(paths):
        page.add(encoded.explain())
    page.html(), page.table.csv_text()

What a visitor or a checkpoint names (file, class) is escaped by the template, and the page's own policy forbids the
browser to fetch anything.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from PIL import Image

from bsig.explain.drawing.colours import css_variables
from bsig.explain.explanation import Explanation
from bsig.explain.methods import CAM_METHODS
from bsig.explain.output.table import THUMBNAIL, ExplanationTable, small_pictures
from bsig.explain.wording import whole_percent
from bsig.inputs.counts import counted
from bsig.inputs.errors import InputError
from bsig.inputs.version import __version__

JPEG_QUALITY = 85


@dataclass(frozen=True)
class ContactEntry:
    """One explanation on the page.

    Attributes:
        number: its place in the order of `add`, from 0.
        row: its numbers and words, the columns of `ExplanationTable`.
        strip: what the model saw, softmax and sigmoid side by side, as JPEG.
    """

    number: int
    row: dict[str, Any]
    strip: bytes

    def picture(self) -> Image.Image:
        """The strip as a picture."""
        return Image.open(io.BytesIO(self.strip)).convert("RGB")

    @property
    def caption(self) -> str:
        """File, class and disagreement, for a gallery."""
        disagreement = whole_percent(self.row["disagreement"])
        return f"{self.row['picture']}\n{self.row['class_name']}\ndisagreement {disagreement} of places"


class ContactPage:
    """Collects explanations of many pictures; a few kilobytes each."""

    def __init__(self) -> None:
        self.table = ExplanationTable()
        self._strips: list[bytes] = []
        self._checkpoint = ""

    def __len__(self) -> int:
        return len(self._strips)

    def add(self, explanation: Explanation, name: str) -> None:
        """Adds the explanation of a picture; `name` tells it from the others."""
        self.table.add(explanation, name)
        strip = Image.new("RGB", (3 * THUMBNAIL, THUMBNAIL))
        for column, picture in enumerate(small_pictures(explanation)):
            strip.paste(picture, (column * THUMBNAIL, 0))
        content = io.BytesIO()
        strip.save(content, "JPEG", quality=JPEG_QUALITY)
        self._strips.append(content.getvalue())
        self._checkpoint = explanation.checkpoint

    def entries(self) -> list[ContactEntry]:
        """All explanations, the largest disagreement first, else in the order of `add`."""
        rows = self.table.rows()
        return [
            ContactEntry(number, row, self._strips[number])
            for number, row in zip(self.table.order(), rows, strict=True)
        ]

    def html(self, left_out: Sequence[str] = ()) -> str:
        """The page, with a sentence for each picture that is not on it.

        Raises:
            InputError: there is no explanation to show.
        """
        entries = self.entries()
        if not entries:
            raise InputError("a contact sheet needs at least one explanation; none was added.")
        first = entries[0].row
        return _template().render(
            light=css_variables(dark=False),
            dark=css_variables(dark=True),
            title=f"{counted(len(entries), 'picture')}: where the two branches disagree",
            entries=[_listed_cell(entry) for entry in entries],
            left_out=list(left_out),
            version=__version__,
            checkpoint=self._checkpoint,
            method=CAM_METHODS[first["method"]].title,
            weights=first["weights"],
        )


def _listed_cell(entry: ContactEntry) -> dict[str, Any]:
    return {
        "row": entry.row,
        "picture": base64.b64encode(entry.strip).decode(),
        "alt": f"{entry.row['picture']}: what the model saw, the softmax map and the sigmoid map of "
        f"{entry.row['class_name']}",
        "disagreement": whole_percent(entry.row["disagreement"]),
    }


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = resources.files("bsig.explain.output").joinpath("contact_page.html").read_text(encoding="utf-8")
    return environment.from_string(text)
