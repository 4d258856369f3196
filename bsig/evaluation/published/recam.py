"""ReCAM's claim, tested on mosaics: does binary cross-entropy spoil maps of pictures with several classes?

Chen et al., "Class Re-Activation Maps for Weakly-Supervised Semantic Segmentation", CVPR 2022, arXiv 2203.00962: with
binary cross-entropy cells answer to several classes of a picture at once; softmax cross-entropy mends that. Oh and Noh
claim the opposite of the two losses. A mosaic of four pictures (`passes/mosaics.py`) asks both: do the strongest cells
of a class lie in its quarter?

It is no repetition of ReCAM, which trains the whole network on pictures with several labels: here the encoder is frozen
and both heads saw one label a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bsig.evaluation.published.beside import MeasuredCell, measured_cells

ONE_OBJECT = "inside_auc"
SEVERAL_OBJECTS = ("mosaic_quarter", "mosaic_maximum", "mosaic_at_30")
"""Scores of mosaics in which zero does not count; the first one, at equal area, decides."""


@dataclass(frozen=True)
class ClaimRow:
    """One score of both branches in each treatment.

    Attributes:
        metric: key in `METRICS`.
        has_several: whether the pictures hold several classes.
    """

    metric: str
    has_several: bool
    measured: tuple[MeasuredCell, ...]


def claim_rows(results: Mapping[str, Any], method: str = "cam") -> list[ClaimRow]:
    """The rows of one object and of several; none without mosaics."""
    if not measured_cells(results, method, SEVERAL_OBJECTS[0]):
        return []
    rows = [ClaimRow(metric, metric != ONE_OBJECT, measured_cells(results, method, metric))
            for metric in (ONE_OBJECT, *SEVERAL_OBJECTS)]  # fmt: skip
    return [row for row in rows if row.measured]


def verdicts(rows: Sequence[ClaimRow]) -> list[tuple[MeasuredCell, str]]:
    """The deciding score's cells with `for` or `against` ReCAM's claim, or `unclear`.

    Only of treatments that are alike for both branches: `paper` compares clamped weights with signed ones.
    """
    deciding = next((row for row in rows if row.metric == SEVERAL_OBJECTS[0]), None)
    return [
        (cell, "unclear" if not cell.is_clear else "for" if cell.falls else "against")
        for cell in (deciding.measured if deciding else ())
        if cell.treatment != "paper"
    ]
