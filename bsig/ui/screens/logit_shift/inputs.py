"""What is asked on the Logit shift screen, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bsig.explain.diagnostics.shift_request import ShiftRequest


@dataclass(frozen=True)
class ShiftInputs:
    """The values of the screen's controls.

    Attributes:
        subject: whose heatmap is moved, a key of `SUBJECTS`.
        kind, target, delta, channel, channel_delta: as in `ShiftRequest`.
        cell: row and column from 0 that the map was dragged to; None for the target, which is None after a drag.
    """

    subject: str
    kind: str
    target: str | None
    cell: Sequence[float] | None
    delta: float
    channel: int | None
    channel_delta: float

    @property
    def grid_cell(self) -> tuple[float, float] | None:
        """The cell as a tuple; the browser sends a list."""
        return (float(self.cell[0]), float(self.cell[1])) if self.cell else None

    def request(self) -> ShiftRequest:
        """The shift that is asked for."""
        return ShiftRequest(
            kind=self.kind,
            target=self.target or ShiftRequest.target,
            cell=self.grid_cell,
            delta=float(self.delta),
            channel=None if self.channel is None else int(self.channel),
            channel_delta=float(self.channel_delta),
        )

    def view_parts(self) -> dict[str, Any]:
        """The parts of a link that say what is asked here, by the name of the `View`'s field."""
        cell = self.grid_cell if self.kind == "paint" else None
        parts: dict[str, Any] = {
            "subject": self.subject,
            "shift": self.kind,
            "target": self.target or ShiftRequest.target,
            "cell": f"{cell[0] + 1:.4g},{cell[1] + 1:.4g}" if cell else "",
        }
        if self.kind == "uniform":
            parts["delta"] = float(self.delta)
        if self.kind == "channel":
            parts["channel"] = -1 if self.channel is None else int(self.channel)
            parts["channel_delta"] = float(self.channel_delta)
        return parts


def dragged_cell(answer: str) -> tuple[float, float] | None:
    """Row and column from 0, of the page's answer "row,column"; None where nothing was dragged."""
    parts = answer.split(",")
    try:
        row, column = (float(part) for part in parts)
    except ValueError:
        return None
    return row, column
