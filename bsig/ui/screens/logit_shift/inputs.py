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
        kind, target, delta, channel, channel_delta: as in `ShiftRequest`.
        cell: row and column from 0 that the map is painted on; None for the target.
        row, column: the sliders that move the cell, from 1.
    """

    kind: str
    target: str
    cell: Sequence[int] | None
    delta: float
    channel: int | None
    channel_delta: float
    row: float
    column: float

    @property
    def grid_cell(self) -> tuple[int, int] | None:
        """The cell as a tuple; the browser sends a list."""
        return (int(self.cell[0]), int(self.cell[1])) if self.cell else None

    def request(self) -> ShiftRequest:
        """The shift that is asked for."""
        return ShiftRequest(
            kind=self.kind,
            target=self.target,
            cell=self.grid_cell,
            delta=float(self.delta),
            channel=None if self.channel is None else int(self.channel),
            channel_delta=float(self.channel_delta),
        )

    def view_parts(self) -> dict[str, Any]:
        """The parts of a link that say what is asked here, by the name of the `View`'s field."""
        cell = self.grid_cell if self.kind == "paint" else None
        parts: dict[str, Any] = {
            "shift": self.kind,
            "target": self.target,
            "cell": f"{cell[0] + 1},{cell[1] + 1}" if cell else "",
        }
        if self.kind == "uniform":
            parts["delta"] = float(self.delta)
        if self.kind == "channel":
            parts["channel"] = -1 if self.channel is None else int(self.channel)
            parts["channel_delta"] = float(self.channel_delta)
        return parts
