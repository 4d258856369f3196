"""The work done in parts: computed by one process or several, kept on disk, never done twice.

Three passes: the pictures; the mosaics, which need to know which pictures are sure; faithfulness, which needs the maps.
Parts are the same whoever computes them, so a run on several processes, or one that was killed and started again, ends
with the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from bsig.evaluation.passes.faithfulness import faithful_rows, faithfulness_part
from bsig.evaluation.passes.measurements import Measurements, faithful_part_name
from bsig.evaluation.passes.mosaics import mosaic_part, mosaic_sources
from bsig.evaluation.passes.parts_on_disk import PartialResults
from bsig.evaluation.passes.pictures import picture_part
from bsig.evaluation.passes.regions import Notes
from bsig.evaluation.passes.work import PASSES_A_SCORE, Work
from bsig.inputs.counts import none_of
from bsig.inputs.datasets.classes import first_names
from bsig.inputs.errors import InputError
from bsig.training.processes import Processes

Array = np.ndarray
Progress = Callable[[int, int], None]


class Part(NamedTuple):
    """One part of the work: its name on disk, what computes its arrays, and how many forward passes that takes."""

    name: str
    compute: Callable[[], dict[str, Array]]
    size: int


class FaithfulPicture(NamedTuple):
    """A picture to score: the row of its class, its position in the data set, the class, the class's maps by key."""

    row: int
    position: int
    label: int
    maps: dict[str, Array]


class LaterPasses(NamedTuple):
    """What the later passes need to know of the pictures: the positions of each mosaic's four, and what is scored."""

    mosaics: list[list[int]]
    faithful: list[FaithfulPicture]


def measure(
    work: Work, open_parts: Callable[[], PartialResults], processes: Processes, progress: Progress | None
) -> Measurements | None:
    """Everything measured, in the first process; None in the others. Only what is not done yet is computed.

    The first process alone calls `open_parts` and `progress`, with about (done, total) forward passes.

    Raises:
        InputError: no picture is left.
    """
    parts = open_parts() if processes.is_first else None
    counter = _Counter(progress if processes.is_first else None, work.size())
    _complete(list(_picture_parts(work)), parts, processes, counter)
    measurements = Measurements(work, parts) if parts else None
    # A refusal must reach every process: one that waited for the first would wait for ever.
    later: LaterPasses | str | None = processes.from_first(_later_passes(measurements) if measurements else None)
    if not isinstance(later, LaterPasses):
        raise InputError(str(later))
    mosaic_parts = list(_mosaic_parts(work, later.mosaics))
    _complete(mosaic_parts, parts, processes, counter)
    _complete(list(_faithful_parts(work, later.faithful)), parts, processes, counter)
    counter.finish()
    if measurements:
        measurements.mosaic_parts = [part.name for part in mosaic_parts]
    return measurements


def _later_passes(measurements: Measurements) -> LaterPasses | str:
    """Which pictures make mosaics and which are scored; or the sentence that says why no picture can be evaluated."""
    work, config = measurements.work, measurements.work.config
    if not work.usable or not len(measurements.labels):
        return _nothing_left(work, measurements.notes if work.usable else Notes())
    labels, positions = measurements.labels, measurements.rows("position")
    # A quarter of a mosaic must hold one class.
    is_right = measurements.softmax_top1 * measurements.rows("is_alone")
    likeliest, confidence = measurements.rows("likeliest"), measurements.rows("confidence")
    measurements.mosaics = mosaic_sources(likeliest, is_right, confidence, config.mosaics, config.seed)
    measurements.faithful = rows = faithful_rows(measurements.rows("is_likeliest"), config.faithfulness, config.seed)
    maps = {key: measurements.rows(f"maps {key}")[rows, 0] for key in work.faithful_sources if len(rows)}
    faithful = [
        FaithfulPicture(int(row), int(positions[row]), int(labels[row]), {key: maps[key][i] for key in maps})
        for i, row in enumerate(rows)
    ]
    return LaterPasses(measurements.picture_positions[measurements.mosaics].tolist(), faithful)


def _nothing_left(work: Work, notes: Notes) -> str:
    """Why no picture can be evaluated, in a sentence."""
    images = work.images
    text = f"{none_of(len(images.samples), 'picture')} of '{images.name}' ({images.split}) can be evaluated: "
    if not work.labels:
        names = first_names(work.model.class_names)
        return text + (
            f"the checkpoint has no class '{images.class_names[0][:60]}' (it has {names}); name the data's classes so, "
            "give --class-map, or take another checkpoint."
        )
    return text + (notes.unreadable[0] if notes.unreadable else "none falls into a class of the checkpoint.")


def _picture_parts(work: Work) -> Iterator[Part]:
    size, usable = work.config.batch_size, list(work.usable.items())
    for number, name in enumerate(work.picture_parts):
        samples = usable[number * size : (number + 1) * size]
        yield Part(name, partial(picture_part, work, samples), len(samples))


def _mosaic_parts(work: Work, mosaics: Sequence[Sequence[int]]) -> Iterator[Part]:
    step = max(work.config.batch_size // 4, 1)
    for start in range(0, len(mosaics), step):
        several = mosaics[start : start + step]
        yield Part(f"mosaics-{start:07d}", partial(mosaic_part, work, several), 4 * len(several))


def _faithful_parts(work: Work, pictures: Sequence[FaithfulPicture]) -> Iterator[Part]:
    size = len(work.faithful_sources) * PASSES_A_SCORE
    for row, position, label, maps in pictures:
        yield Part(faithful_part_name(row), partial(faithfulness_part, work, position, label, maps), size)


def _complete(planned: Sequence[Part], parts: PartialResults | None, processes: Processes, counter: _Counter) -> None:
    """Computes the parts that are not on disk yet, one a process at a time; the first process writes them."""
    numbers: list[int] = processes.from_first(
        [number for number, part in enumerate(planned) if parts and not parts.has(part.name)]
    )
    counter.add(sum(part.size for part in planned) - sum(planned[number].size for number in numbers))
    for start in range(0, len(numbers), processes.count):
        turn = numbers[start : start + processes.count]
        own = planned[turn[processes.rank]].compute() if processes.rank < len(turn) else None
        # The last turn may have fewer parts than there are processes: the rest gather None.
        for number, arrays in zip(turn, processes.gathered_by_first(own) or [], strict=False):
            if parts and arrays is not None:
                parts.write(planned[number].name, arrays)
        counter.add(sum(planned[number].size for number in turn))


class _Counter:
    """Counts the forward passes that are done, of about how many."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._count, self._total = progress, 0, total

    def add(self, size: int) -> None:
        """Adds work that was done now or by an earlier run."""
        self._count = min(self._count + size, self._total)
        if self._progress:
            self._progress(self._count, self._total)

    def finish(self) -> None:
        """Shows the total, an estimate: fewer mosaics may have been possible than were asked for."""
        if self._count < self._total:
            self.add(self._total)
