"""Many explanations as a table and as one sheet of small pictures, the largest disagreement first."""

from __future__ import annotations

import csv
import io
from bisect import insort
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageDraw

from bsig.explain.drawing.colours import INK, PAPER, QUIET
from bsig.explain.drawing.comparison import Drawing, branch_picture
from bsig.explain.drawing.text import draw_lines, font, wrapped_lines
from bsig.explain.explanation import Explanation
from bsig.explain.verdict import finding
from bsig.explain.wording import area_text, probability_text, whole_percent

SHEET_ROWS = 50
THUMBNAIL, GAP, WORDS_WIDTH = 144, 12, 520
COLUMNS = ("folder", "picture", "class_index", "class_name", "predicted_index", "predicted_name", "method", "weights",
           "disagreement", "softmax_positive_area", "sigmoid_positive_area", "centred_positive_area",
           "softmax_probability", "sigmoid_probability", "softmax_logit", "sigmoid_logit", "finding",
           "softmax_reading", "sigmoid_reading", "sigmoid_calibrated_probability")  # fmt: skip


@dataclass(order=True)
class _SheetRow:
    rank: tuple[float, int]
    thumbnails: list[Image.Image] = field(compare=False)
    words: str = field(compare=False)


class ExplanationTable:
    """Collects the numbers of explanations, and the small pictures of those that disagree most.

    Memory grows by a few hundred bytes an explanation: beyond `SHEET_ROWS` no more pictures are kept.
    """

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._sheet: list[_SheetRow] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, explanation: Explanation, folder: str) -> None:
        """Adds an explanation whose files lie in the folder, a path below the table's own."""
        numbers = {
            f"{branch}_{name}": getattr(evidence, name)
            for branch, evidence in explanation.evidences.items()
            for name in ("positive_area", "probability", "logit", "reading", "calibrated_probability")
        }
        names = ("class_index", "class_name", "predicted_index", "predicted_name", "method", "weights", "disagreement")
        self._rows.append({
            "folder": folder, "picture": explanation.require_encoded().picture_name, "finding": finding(explanation),
            **{name: getattr(explanation, name) for name in names}, **numbers,
        })  # fmt: skip
        rank = (-explanation.disagreement, len(self._rows))
        if len(self._sheet) < SHEET_ROWS or rank < self._sheet[-1].rank:
            insort(self._sheet, _SheetRow(rank, small_pictures(explanation), _words(explanation, folder)))
            del self._sheet[SHEET_ROWS:]

    def rows(self) -> list[dict[str, Any]]:
        """The columns of each explanation, the largest disagreement first, else in the order of `add`."""
        return [{column: self._rows[number][column] for column in COLUMNS} for number in self.order()]

    def order(self) -> list[int]:
        """Places in the order of `add`, from 0, of the rows as `rows` has them."""
        return sorted(range(len(self._rows)), key=lambda number: -self._rows[number]["disagreement"])

    def csv_text(self) -> str:
        """The rows as CSV with a header, comma-separated, numbers in full."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return text.getvalue()

    def contact_sheet(self) -> Image.Image:
        """One row an explanation: what the model saw, softmax, sigmoid, and their numbers; at most `SHEET_ROWS`."""
        row_height, typeface, bold = THUMBNAIL + GAP, font(15), font(17, bold=True)
        top = 3 * GAP + 17
        width = GAP + 3 * (THUMBNAIL + GAP) + WORDS_WIDTH
        sheet = Image.new("RGB", (width, top + row_height * len(self._sheet)), PAPER)
        draw = ImageDraw.Draw(sheet)
        more = f" ({len(self._sheet)} of {len(self._rows)})" if len(self._rows) > len(self._sheet) else ""
        title = f"What the model saw, softmax, sigmoid; the largest disagreement first{more}"
        draw.text((GAP, GAP), title, font=bold, fill=INK)
        for index, row in enumerate(self._sheet):
            y = top + index * row_height
            for column, thumbnail in enumerate(row.thumbnails):
                sheet.paste(thumbnail, (GAP + column * (THUMBNAIL + GAP), y))
            heading, _, rest = row.words.partition("\n")
            x = GAP + 3 * (THUMBNAIL + GAP)
            draw_lines(draw, (x, y), wrapped_lines(heading, bold, WORDS_WIDTH - GAP)[:2], bold, INK)
            lines = [line for text in rest.splitlines() for line in wrapped_lines(text, typeface, WORDS_WIDTH - GAP)]
            draw_lines(draw, (x, y + 48), lines[:4], typeface, QUIET)
        return sheet


def small_pictures(explanation: Explanation) -> list[Image.Image]:
    """The crop, the softmax and the sigmoid overlay, `THUMBNAIL` pixels wide and high."""
    drawing = Drawing()
    pictures = [explanation.crop, *(branch_picture(explanation, branch, drawing) for branch in ("softmax", "sigmoid"))]
    return [picture.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX) for picture in pictures]


def _words(explanation: Explanation, folder: str) -> str:
    softmax, sigmoid = explanation.softmax, explanation.sigmoid
    predicted = "" if explanation.class_index == explanation.predicted_index else f", not {explanation.predicted_name}"
    return (
        f"{folder}: {explanation.class_name}{predicted}\n"
        f"disagreement {whole_percent(explanation.disagreement)} of cells\n"
        f"softmax: evidence on {area_text(softmax)}, {probability_text(explanation, 'softmax')}\n"
        f"sigmoid: evidence on {area_text(sigmoid)}, {probability_text(explanation, 'sigmoid')}"
    )
