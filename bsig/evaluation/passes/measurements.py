"""What the passes have measured, one array of all pictures (or mosaics) at a time."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from bsig.evaluation.passes.parts_on_disk import PartialResults
from bsig.evaluation.passes.pictures import notes_of
from bsig.evaluation.passes.regions import Notes
from bsig.evaluation.passes.work import Work
from bsig.inputs.datasets.samples import Sample

Array = np.ndarray


class Measurements:
    """The parts of a finished evaluation; nothing but what is asked for is in memory.

    Attributes:
        mosaics: (n, 4) rows of pictures; empty where there are none.
        mosaic_parts: names of the parts that hold the mosaics' maps.
        faithful: (m,) rows of present classes whose maps were scored, at most one a picture.
    """

    def __init__(self, work: Work, parts: PartialResults) -> None:
        self.work, self._parts, self._names = work, parts, work.picture_parts
        self.mosaics: Int[Array, "n 4"] = np.zeros((0, 4), np.int64)
        self.mosaic_parts: list[str] = []
        self.faithful: Int[Array, " m"] = np.zeros(0, np.int64)

    def rows(self, key: str) -> Array:
        """An array of the pass over the pictures; `picture_part` lists them and says what a row is."""
        return self._parts.rows(self._names, key)

    @cached_property
    def labels(self) -> Int[Array, " n"]:
        """The model's index of each class that is in a picture."""
        return self.rows("label")

    @cached_property
    def picture_positions(self) -> Int[Array, " p"]:
        """The place of each picture in the data set, ascending."""
        return self.rows("picture_position")

    @cached_property
    def picture_rows(self) -> Int[Array, " n"]:
        """The row of each present class's picture among the pictures."""
        return np.searchsorted(self.picture_positions, self.rows("position"))

    @cached_property
    def coverage(self) -> Float[Array, "n h w"]:
        """Each `PresentClass.coverage`."""
        return self.rows("coverage")

    @cached_property
    def softmax_top1(self) -> Float[Array, " p"]:
        """1 where softmax's likeliest class is in the picture, else 0."""
        return self.rows("softmax_top1")

    @cached_property
    def boxed(self) -> Int[Array, " m"]:
        """Rows of the present classes with boxes."""
        return np.flatnonzero(self.rows("boxed"))

    @cached_property
    def masked(self) -> Int[Array, " m"]:
        """Rows of the present classes with a mask."""
        return np.flatnonzero(self.rows("masked"))

    @cached_property
    def notes(self) -> Notes:
        """What was left out or cut off, a sentence each."""
        return notes_of([self._parts.read(name, "notes") for name in self._names])

    @cached_property
    def samples(self) -> list[Sample]:
        """The picture of each present class, with that class as its own."""
        work, rows = self.work, zip(self.rows("position"), self.labels, strict=True)
        return [
            sample.of_class(next(name for name in sample.class_names if work.labels[name] == label))
            for position, label in rows
            for sample in [work.usable[position]]
        ]

    def in_mosaics(self, key: str) -> Array:
        """An array of the mosaics, a mosaic a row."""
        return self._parts.rows(self.mosaic_parts, key)

    def faithfulness(self, key: str) -> Float[Array, "m scores"] | None:
        """Scores of a map, a row each of `faithful`; None where it was not scored."""
        if key not in self.work.faithful_sources or not len(self.faithful):
            return None
        return self._parts.rows([faithful_part_name(int(row)) for row in self.faithful], f"scores {key}")


def faithful_part_name(row: int) -> str:
    """The name of the part that holds the scores of a row's map."""
    return f"faithfulness-{row:07d}"
