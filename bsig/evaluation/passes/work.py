"""An evaluation's work in parts: computed by one process or several, kept on disk, never done twice.

Three passes: the pictures; the mosaics, which need to know which pictures are sure; faithfulness, which needs the maps.
Parts are the same whoever computes them, so a run on several processes, or one that was killed and started again, ends
with the same numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bsig.evaluation.map_sources import Ask, MapSource, distinct_sources
from bsig.evaluation.metrics.faithfulness import STEPS
from bsig.evaluation.metrics.localization import unpacked
from bsig.evaluation.metrics.road import SHARES
from bsig.evaluation.passes.faithfulness import COLUMNS, faithful_pictures, faithfulness_part
from bsig.evaluation.passes.localization import Places
from bsig.evaluation.passes.mosaics import mosaic_part, mosaic_sources
from bsig.evaluation.passes.parts_on_disk import PartialResults
from bsig.evaluation.passes.pictures import Notes, PicturePass, Progress, notes_of
from bsig.inputs.datasets.samples import LabelledImages, Sample
from bsig.inputs.errors import InputError
from bsig.model.backbones import state_sha256
from bsig.model.checkpoints.folder import library_versions
from bsig.model.dual_branch import DualBranch
from bsig.training.team import Team

Array = np.ndarray
LAYOUT_OF_PARTS = 1
PASSES_A_SCORE = 2 * (STEPS + 1) + 2 * len(SHARES) + 2


@dataclass(frozen=True)
class Work:
    """What is to be measured, without how it is shown.

    Attributes:
        labels: the model's index of each class of the data set; classes that are not in it are left out.
        absent_pool, absent_count: see `PicturePass`.
        mosaics, faithfulness: how many.
        faithful_methods: keys of the methods whose maps are scored for faithfulness.
    """

    model: DualBranch
    images: LabelledImages
    labels: dict[str, int]
    asks: tuple[Ask, ...]
    absent_pool: tuple[int, ...]
    absent_count: int
    mosaics: int
    faithfulness: int
    faithful_methods: tuple[str, ...]
    seed: int
    batch_size: int

    @cached_property
    def sources(self) -> dict[str, MapSource]:
        """All distinct maps."""
        return distinct_sources(self.asks)

    @cached_property
    def faithful_sources(self) -> dict[str, MapSource]:
        """Those whose faithfulness is scored: no gates, which change no order, and no deltas."""
        return distinct_sources([ask for ask in self.asks if ask.method.key in self.faithful_methods], COLUMNS)

    @cached_property
    def usable(self) -> list[tuple[int, Sample, int]]:
        """Position, sample and label of the pictures whose class the model has."""
        return [
            (at, sample, self.labels[sample.class_name])
            for at, sample in enumerate(self.images.samples)
            if sample.class_name in self.labels
        ]

    @property
    def picture_parts(self) -> list[str]:
        """The parts' names, in the order of their pictures."""
        return [f"pictures-{start:07d}" for start in range(0, len(self.usable), self.batch_size)]

    def size(self) -> int:
        """Forward passes, about: a mosaic counts as four pictures."""
        scores = len(self.faithful_sources) * PASSES_A_SCORE
        return len(self.usable) + 4 * self.mosaics + scores * self.faithfulness

    def fingerprint(self) -> str:
        """Changes with everything that changes a part: weights, files, classes, maps, settings, library versions."""
        said = {
            "layout": LAYOUT_OF_PARTS,
            "model": state_sha256(self.model.encoder, self.model.softmax_head, self.model.sigmoid_head),
            "network": [self.model.backbone_name, repr(self.model.options), self.model.features_at],
            "balanced_bias": self.model.metadata.get("training", {}).get("balanced_bias"),
            "preprocessing": repr(self.model.preprocessing),
            "samples": [
                [
                    sample.stamp(), sample.class_name, list(sample.boxes_xyxy), sample.listed_size_wh,
                    [_stamp(path) for path in (*sample.masks, sample.ignore_mask) if path],
                ]
                for sample in self.images.samples
            ],
            "labels": self.labels,
            "sources": list(self.sources),
            "settings": [self.absent_count, list(self.absent_pool), self.mosaics, self.faithfulness,
                         list(self.faithful_sources), self.seed, self.batch_size],
            "versions": library_versions(),
        }  # fmt: skip
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _stamp(path: Path) -> list[Any]:
    """Changes when the file does."""
    try:
        status = path.stat()
    except OSError:
        return [str(path), "missing"]
    return [str(path), status.st_size, status.st_mtime_ns]


@dataclass(frozen=True)
class Job:
    """One part that is to be made: its name, how, and how many forward passes it counts."""

    name: str
    make: Callable[[], dict[str, Array]]
    size: int


class Measured:
    """The parts of a finished pass over the pictures, one array of all of them at a time.

    Attributes:
        mosaics: (n, 4) rows of pictures; empty where there are none.
        faithful: (m,) rows of pictures whose maps were scored.
    """

    def __init__(self, work: Work, parts: PartialResults) -> None:
        self.work, self._parts, self._names = work, parts, work.picture_parts
        self.mosaics: Int[Array, "n 4"] = np.zeros((0, 4), np.int64)
        self.mosaic_parts: list[str] = []
        self.faithful: Int[Array, " m"] = np.zeros(0, np.int64)

    def rows(self, key: str) -> Array:
        """An array of the pass over the pictures, a picture a row."""
        return self._parts.rows(self._names, key)

    @cached_property
    def positions(self) -> Int[Array, " n"]:
        """Of each picture in the data set."""
        return self.rows("position")

    @cached_property
    def labels(self) -> Int[Array, " n"]:
        """The model's index of each picture's class."""
        return self.rows("label")

    @cached_property
    def coverage(self) -> Float[Array, "n h w"]:
        """Share of each cell inside boxes or mask (the mask where there are both); NaN without either."""
        return self.rows("coverage")

    @cached_property
    def softmax_top1(self) -> Float[Array, " n"]:
        """1 where softmax's likeliest class is the picture's."""
        return self.rows("softmax_top1")

    @cached_property
    def boxed(self) -> Int[Array, " m"]:
        """Rows of the pictures with boxes."""
        return np.flatnonzero(self.rows("boxed"))

    @cached_property
    def masked(self) -> Int[Array, " m"]:
        """Rows of the pictures with a mask."""
        return np.flatnonzero(self.rows("masked"))

    @cached_property
    def notes(self) -> Notes:
        """What was left out or cut."""
        return notes_of([self._parts.read(name, "notes") for name in self._names])

    def sample(self, row: int) -> Sample:
        """The picture of a row."""
        return self.work.images.samples[int(self.positions[row])]

    def maps(self, key: str) -> Float[Array, "n m h w"]:
        """Of the own class first, then of the absent ones."""
        return self.rows(f"maps {key}")

    def places(self, key: str) -> Places:
        """What localization is formed from, of a map or of a baseline that looks at no picture."""
        found = unpacked(self.rows(f"places {key}")) if len(self.boxed) else None
        return Places(found, self.rows(f"pixels {key}") if len(self.masked) else None)

    def in_mosaics(self, key: str) -> Array:
        """An array of the mosaics, one a row."""
        return self._parts.rows(self.mosaic_parts, key)

    def faithfulness(self, key: str) -> Float[Array, "m scores"] | None:
        """Scores of a map, a picture a row; None where it was not scored."""
        if key not in self.work.faithful_sources or not len(self.faithful):
            return None
        return self._parts.rows([_faithful_name(int(row)) for row in self.faithful], f"scores {key}")


def measure(work: Work, open_parts: Callable[[], PartialResults], team: Team, progress: Progress) -> Measured | None:
    """Does what is not done yet; what was measured, for the first process of the team, and None for the others.

    Args:
        work: what is to be measured.
        open_parts: called by the first process alone.
        team: the processes that share the work.
        progress: called with (done, total) forward passes, about; first with what was done before.

    Raises:
        InputError: no picture is left.
    """
    parts = open_parts() if team.is_first else None
    counter = _Counter(progress if team.is_first else _silent, work.size())
    _make(_picture_jobs(work), parts, team, counter)
    measured = Measured(work, parts) if parts else None
    plan = team.broadcast(_plan(measured) if measured else None)
    if isinstance(plan, str):
        raise InputError(plan)
    mosaics, faithful = plan
    jobs = _mosaic_jobs(work, mosaics)
    _make(jobs, parts, team, counter)
    faithful_jobs = _faithful_jobs(work, faithful)
    _make(faithful_jobs, parts, team, counter)
    counter.finish()
    if measured:
        measured.mosaic_parts = [job.name for job in jobs]
    return measured


def _plan(measured: Measured) -> str | tuple[list[Any], list[Any]]:
    """What the later passes need to know of the first: samples of mosaics, and maps to score; or why there is none."""
    work = measured.work
    if not work.usable or not len(measured.labels):
        return nothing_left(work, measured.notes if work.usable else Notes())
    measured.mosaics = mosaic_sources(
        measured.labels, measured.softmax_top1, measured.rows("confidence"), work.mosaics, work.seed
    )
    measured.faithful = faithful_pictures(measured.softmax_top1, work.faithfulness, work.seed)
    place = measured.positions
    mosaics = [[(int(place[row]), int(measured.labels[row])) for row in four] for four in measured.mosaics]
    maps = {key: measured.maps(key)[measured.faithful, 0] for key in work.faithful_sources if len(measured.faithful)}
    faithful = [
        (int(row), int(place[row]), int(measured.labels[row]), {key: one[at] for key, one in maps.items()})
        for at, row in enumerate(measured.faithful)
    ]
    return mosaics, faithful


def nothing_left(work: Work, notes: Notes) -> str:
    """Why no picture can be evaluated, in a sentence."""
    images = work.images
    text = f"none of the {len(images.samples)} pictures of '{images.name}' ({images.split}) can be evaluated: "
    unmatched = [name for name in images.class_names if name not in work.labels]
    if not work.labels:
        return text + f"the checkpoint has no class '{unmatched[0]}'; give a class map or another checkpoint."
    return text + (notes.unreadable[0] if notes.unreadable else "none falls into a class of the checkpoint.")


def _picture_jobs(work: Work) -> list[Job]:
    one_pass = PicturePass(work.model, work.sources, work.absent_pool, work.absent_count, work.seed)

    def job(at: int, name: str) -> Job:
        samples = work.usable[at * work.batch_size : (at + 1) * work.batch_size]
        return Job(name, lambda: one_pass.part(samples), len(samples))

    return [job(at, name) for at, name in enumerate(work.picture_parts)]


def _mosaic_jobs(work: Work, mosaics: Sequence[Sequence[tuple[int, int]]]) -> list[Job]:
    step = max(work.batch_size // 4, 1)
    samples = work.images.samples

    def job(start: int) -> Job:
        chosen = [[(samples[at], label) for at, label in four] for four in mosaics[start : start + step]]
        return Job(f"mosaics-{start:07d}", lambda: mosaic_part(work.model, work.sources, chosen), 4 * len(chosen))

    return [job(start) for start in range(0, len(mosaics), step)]


def _faithful_jobs(work: Work, chosen: Sequence[tuple[int, int, int, dict[str, Array]]]) -> list[Job]:
    size = len(work.faithful_sources) * PASSES_A_SCORE

    def job(row: int, position: int, label: int, maps: dict[str, Array]) -> Job:
        sample = work.images.samples[position]
        return Job(_faithful_name(row), lambda: faithfulness_part(work.model, sample, label, maps), size)

    return [job(*one) for one in chosen]


def _faithful_name(row: int) -> str:
    return f"faithfulness-{row:07d}"


def _make(jobs: Sequence[Job], parts: PartialResults | None, team: Team, counter: _Counter) -> None:
    """Makes the parts that are not there yet, one a process at a time; the first process writes them down."""
    missing: list[int] = team.broadcast([at for at, job in enumerate(jobs) if parts and not parts.has(job.name)])
    counter.add_done(sum(job.size for job in jobs) - sum(jobs[at].size for at in missing))
    for start in range(0, len(missing), team.size):
        turn = missing[start : start + team.size]
        made = jobs[turn[team.rank]].make() if team.rank < len(turn) else None
        for at, arrays in zip(turn, team.gather(made) or [], strict=False):
            if parts and arrays is not None:
                parts.write(jobs[at].name, arrays)
        counter.add(sum(jobs[at].size for at in turn))


def _silent(done: int, total: int) -> None:
    """Only the first process shows progress."""


class _Counter:
    """How much is done, of about how much."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total

    def add_done(self, size: int) -> None:
        """Work that an earlier run has left behind."""
        if size or not self._done:
            self.add(size)

    def add(self, size: int) -> None:
        self._done += size
        self._progress(min(self._done, self._total), self._total)

    def finish(self) -> None:
        """The total was an estimate: fewer mosaics may be possible than were asked for."""
        if self._done < self._total:
            self._progress(self._total, self._total)
