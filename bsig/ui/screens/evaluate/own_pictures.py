"""A visitor's own pictures measured in a process of its own, and what is kept of them while the app runs."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bsig.evaluation.job import EvaluationJob, labelled_split
from bsig.evaluation.output.shipped import read_results
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.explain.wording import duration
from bsig.inputs.datasets.datasets import LabelledImages
from bsig.inputs.errors import InputError
from bsig.inputs.zips import extracted_zip
from bsig.ui.screens.evaluate.kept import OwnSet, OwnSets
from bsig.ui.workbench import Workbench

LOOK_EVERY_S = 0.4
SIDES = {"sigmoid_better": "Sigmoid better", "softmax_better": "Softmax better"}
QUICK_METHODS = tuple(key for key, method in CAM_METHODS.items() if not method.is_slow)


@dataclass(frozen=True)
class Step:
    """How far a visitor's evaluation is."""

    job: EvaluationJob
    done: int
    total: int
    seconds: float


def measured(
    bench: Workbench,
    own_sets: OwnSets,
    name: str | None,
    zip_file: str | None,
    folder: str,
    methods: Sequence[str],
    treatments: Sequence[str],
    limit: int | float | None,
) -> Iterator[Step | str]:
    """Steps while it runs, and at last the title under which the results are kept."""
    if not methods or not treatments:
        raise InputError("choose at least one CAM variant and one treatment.")
    checkpoint = bench.checkpoint_path(name or bench.default_checkpoint)
    pictures = _checked_limit(bench, limit)
    with own_pictures(bench, zip_file, folder) as where:
        images = labelled_split(where)
        work = own_sets.new_folder()
        job = EvaluationJob.start(
            where, checkpoint, work, methods=methods, weights=treatments, split=images.split, limit=pictures
        )
        started, is_kept = time.monotonic(), False
        try:
            while job.is_running:
                seconds = time.monotonic() - started
                _check_seconds(bench, seconds, pictures)
                yield Step(job, job.done, job.total, seconds)
                time.sleep(LOOK_EVERY_S)
            results = {**job.results(), "data": Path(zip_file).stem if zip_file else where.name}
            title = own_sets.add(OwnSet(results, work, kept_pictures(results, images, work)))
            is_kept = True
        finally:
            job.stop()
            if not is_kept:
                shutil.rmtree(work, ignore_errors=True)
        yield title


def _checked_limit(bench: Workbench, limit: int | float | None) -> int | None:
    """How many pictures at most; an empty field is the limit of a public app, or none."""
    allowed = bench.limits.evaluation_pictures
    if not limit:
        return allowed
    if not 1 <= limit < float("inf"):
        raise InputError(f"`limit` (={limit}) must be a whole number of pictures, at least 1.")
    bench.limits.check("limit", limit, allowed, "measure fewer", "pictures")
    return int(limit)


def _check_seconds(bench: Workbench, seconds: float, pictures: int | None) -> None:
    allowed = bench.limits.evaluation_seconds
    if allowed is not None and seconds > allowed:
        raise InputError(
            f"the evaluation was stopped after {duration(seconds)}, an evaluation in this public app may take "
            f"{duration(allowed)}; measure fewer than {pictures} pictures, or fewer CAM variants."
        )


@contextlib.contextmanager
def own_pictures(bench: Workbench, zip_file: str | None, folder: str) -> Iterator[Path]:
    """The folder that is to be measured.

    Raises:
        InputError: neither is given, the zip is refused, or a folder is asked for in a public app.
    """
    if zip_file:
        with extracted_zip(zip_file, bench.limits.zip_limits) as where:
            yield where
        return
    text = folder.strip()
    if text and not bench.limits.takes_paths:
        raise InputError("`folder` must be left out here: a public app reads no files of its machine; upload a zip.")
    if not text:
        raise InputError("no pictures are chosen; upload a zip of class folders.")
    yield Path(text).expanduser()


def kept_pictures(results: Mapping[str, Any], images: LabelledImages, folder: Path) -> dict[str, Path]:
    """Copies of the pictures that differ most, small, since the zip goes."""
    samples = {sample.key: sample for sample in images.samples}
    wanted = {row["key"] for table in results["tables"] for side in SIDES for row in table["differ_most"][side]}
    kept: dict[str, Path] = {}
    for number, key in enumerate(sorted(wanted & samples.keys())):
        with contextlib.suppress(InputError):
            picture = samples[key].open()
            picture.thumbnail((1024, 1024))
            kept[key] = folder / f"{number}.png"
            picture.save(kept[key])
    return kept


def evaluate_answer(
    bench: Workbench,
    checkpoint: str,
    data: str,
    zip_file: str | None,
    methods: str | None,
    weights: str | None,
    limit: int | float | None,
) -> dict[str, Any]:
    """What `/evaluate` answers: the shipped results of a checkpoint, or those of an uploaded zip.

    Raises:
        InputError: nothing ships, the zip or its pictures cannot be used, or a method or treatment is unknown.
    """
    chosen, treatments = (
        _listed(methods, QUICK_METHODS, "methods"),
        _listed(weights, tuple(TREATMENTS), "weights"),
    )
    name = checkpoint or bench.default_checkpoint
    if zip_file or data not in ("", "shipped"):
        if not zip_file:
            raise InputError(f"`data` (='{data}') must be 'shipped', or a zip must be uploaded.")
        sets = OwnSets()
        try:
            steps = measured(bench, sets, name, zip_file, "", chosen, treatments, limit)
            title = next(step for step in steps if isinstance(step, str))
            found = sets.get(title)
            return {"checkpoint": name, "runs": [found.results] if found else []}
        finally:
            sets.clear()
    runs = read_results(bench.checkpoint_path(name))
    if not runs:
        raise InputError(f"`checkpoint` (='{name}') ships no results; upload a zip of pictures.")
    kept = [
        {**run, "tables": [one for one in run["tables"] if one["method"] in chosen and one["weights"] in treatments]}
        for run in runs
    ]
    return {"checkpoint": name, "runs": kept}


def _listed(text: str | None, known: Sequence[str], name: str) -> list[str]:
    found = [part.strip() for part in (text or "").split(",") if part.strip()]
    unknown = [part for part in found if part not in known]
    if unknown or not found:
        raise InputError(f"`{name}` (='{text}') must be some of {', '.join(known)}, with commas.")
    return found
