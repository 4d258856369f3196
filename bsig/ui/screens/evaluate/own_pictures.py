"""A visitor's own pictures, measured in a process of its own; and what the web API answers."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.job import EvaluationJob
from bsig.evaluation.output.shipped import read_results
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.explain.wording import duration
from bsig.inputs.counts import counted, counted_classes, none_of
from bsig.inputs.datasets.classes import ClassMatch, match_classes
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.datasets.splits import images_to_measure
from bsig.inputs.errors import InputError
from bsig.inputs.zips import extracted_zip
from bsig.ui.components.long_job import LongJob
from bsig.ui.screens.evaluate.kept import KeptEvaluation, KeptEvaluations
from bsig.ui.workbench import Workbench

LOOK_EVERY_S = 0.5
FEW_PICTURES = 30
NAMES_SHOWN = 5
THUMBNAIL_SIZE = (1024, 1024)
SIDES = {"sigmoid_better": "Sigmoid better", "softmax_better": "Softmax better"}
QUICK_METHODS = tuple(key for key, method in CAM_METHODS.items() if not method.is_slow)


@dataclass(frozen=True)
class OwnPictures:
    """The pictures of a visitor, and how they are to be measured.

    Attributes:
        checkpoint: by name; None for the default one.
        zip_file, folder: where the pictures are; one of the two.
        methods, treatments: CAM variants and treatments of negative weights, each with each.
        limit: how many pictures at most; None or 0 for as many as this app measures.
    """

    checkpoint: str | None
    zip_file: str | None
    folder: str
    methods: Sequence[str]
    treatments: Sequence[str]
    limit: int | float | None

    @property
    def name(self) -> str:
        """The name of the pictures: the zip as it was uploaded, not where it is unpacked."""
        return Path(self.zip_file).stem if self.zip_file else Path(self.folder.strip()).expanduser().name


def measured_title(bench: Workbench, evaluations: KeptEvaluations, own: OwnPictures, job: LongJob) -> str:
    """Measures a visitor's pictures; returns the title under which the results are kept.

    Args:
        bench: checkpoints and limits.
        evaluations: takes the results.
        own: what is measured, and how.
        job: is told how far the work is.

    Raises:
        StoppedEarly: the visitor stopped it; nothing is kept then.
        VisitorLeftError: the visitor has closed the page; nothing is kept then.
        InputError: a setting or the pictures cannot be used, or a limit of this app is reached; nothing is kept then.
    """
    if not own.methods or not own.treatments:
        raise InputError("choose at least one CAM variant and one treatment.")
    checkpoint = bench.checkpoint_path(own.checkpoint or bench.default_checkpoint)
    limit = _picture_limit(bench, own.limit)
    with _named_as_uploaded(bench, own) as data:
        split = images_to_measure(data)
        folder = evaluations.new_folder()
        config = EvaluationConfig(methods=tuple(own.methods), weights=tuple(own.treatments), limit=limit)
        process = EvaluationJob.start(data, checkpoint, folder, config, split=split.images.split)
        title = None
        try:
            _wait(bench, process, job, min(len(split.images.samples), limit or len(split.images.samples)))
            results = {**process.results(), "data": own.name, "split_sentence": split.sentence}
            title = evaluations.add(KeptEvaluation(results, folder, small_copies(results, split.images, folder)))
        finally:
            process.stop()
            if title is None:
                shutil.rmtree(folder, ignore_errors=True)
    return title


def _wait(bench: Workbench, process: EvaluationJob, job: LongJob, pictures: int) -> None:
    """Waits for the end of the process, and tells the job meanwhile how far it is."""
    start = time.monotonic()
    while process.is_running:
        _check_seconds(bench, time.monotonic() - start, pictures)
        words = progress_words(process.count, process.total, pictures)
        # The total is about right; what follows the last pass is not counted.
        is_counted = process.count < process.total
        job.note(words, *((process.count, process.total) if is_counted else (0, 0)))
        time.sleep(LOOK_EVERY_S)


def progress_words(count: int, total: int, pictures: int) -> str:
    """What an evaluation of so many pictures does.

    Args:
        count, total: forward passes that are done and all of them, about; 0 while the process reads and loads.
        pictures: how many are measured.
    """
    pictures_text = counted(pictures, "picture")
    if not total or not count:
        return f"Loading the model and {pictures_text}"
    if count >= total:  # what follows is not counted
        return f"{pictures_text} measured, working out intervals and tables"
    return f"Measuring {pictures_text}"


@contextlib.contextmanager
def _named_as_uploaded(bench: Workbench, own: OwnPictures) -> Iterator[Path]:
    """`pictures_folder`, where a sentence on the pictures names the zip and not the folder that it is unpacked to."""
    with pictures_folder(bench, own.zip_file, own.folder) as folder:
        try:
            yield folder
        except InputError as error:
            if not own.zip_file:
                raise
            sentence = str(error).replace(str(folder), own.name).replace(f"'{folder.name}'", f"'{own.name}'")
            raise type(error)(sentence) from error


@dataclass(frozen=True)
class PicturesCheck:
    """A check of a visitor's pictures, before anything is measured.

    Attributes:
        pictures: how many there are of the split that is measured.
        measured: how many of them would be, at most: of classes that the checkpoint has, and not above the limit.
        is_drawn: whether the limit draws some of all; which of them have a class of the checkpoint is not known yet.
        known_classes: classes of the data that the checkpoint has.
        unmatched: pictures of each class that it does not have; they are left out.
        split_sentence: which split is measured, and why.
    """

    pictures: int
    measured: int
    is_drawn: bool
    known_classes: int
    unmatched: Mapping[str, int]
    split_sentence: str

    @property
    def words(self) -> str:
        """The check in a sentence or three."""
        classes = self.known_classes + len(self.unmatched)
        names = counted_classes(classes)
        if self.unmatched:
            names = f"{self.known_classes} of {names} {'is' if self.known_classes == 1 else 'are'} the checkpoint's"
        at_most = "at most " if self.is_drawn and self.unmatched else ""
        verb = "is" if self.measured == 1 else "are"
        parts = [
            f"{counted(self.pictures, 'picture')}, {names}; {at_most}{self.measured} {verb} measured.",
            self.split_sentence,
        ]
        if self.measured < FEW_PICTURES:
            parts.append(f"Fewer than {FEW_PICTURES} pictures: intervals are wide, and few differences are clear.")
        return " ".join(parts)

    @property
    def remarks(self) -> list[str]:
        """A line for each class that is left out, the first few by name."""
        lines = [
            f"'{name[:60]}' is no class of this checkpoint: {counted(count, 'picture')} left out."
            for name, count in self.unmatched.items()
        ]
        return lines if len(lines) <= NAMES_SHOWN else [*lines[:NAMES_SHOWN], f"and {len(lines) - NAMES_SHOWN} more"]


def checked_pictures(bench: Workbench, own: OwnPictures) -> PicturesCheck | None:
    """The check of what was chosen; None where nothing is chosen yet.

    Raises:
        InputError: the pictures cannot be read, or none is of a class of the checkpoint.
    """
    if not own.zip_file and not own.folder.strip():
        return None
    model, limit = bench.model(own.checkpoint), _picture_limit(bench, own.limit)
    with _named_as_uploaded(bench, own) as data:
        split = images_to_measure(data)
    counts = split.images.counts()
    match = match_classes(split.images.class_names, model.class_names, model.class_ids)
    usable = [sample for sample in split.images.samples if sample.of_classes(match.index_of)]
    if not usable:
        raise InputError(
            f"{none_of(len(counts), 'class', 'classes')} of '{own.name}' (e.g. '{next(iter(counts))[:60]}') is a class "
            f"of '{model.name}'; name the folders as its classes, or choose another checkpoint."
        )
    total = len(split.images.samples)
    is_drawn = limit is not None and limit < total
    return PicturesCheck(
        pictures=total,
        measured=min(len(usable), limit) if is_drawn and limit else len(usable),
        is_drawn=is_drawn,
        known_classes=len(match.index_of),
        unmatched=_left_out_of_class(split.images, match),
        split_sentence=split.sentence,
    )


def _left_out_of_class(images: LabelledImages, match: ClassMatch) -> dict[str, int]:
    """How many pictures of each class that the checkpoint lacks hold none that it has."""
    left_out = (sample for sample in images.samples if not sample.of_classes(match.index_of))
    counts = Counter(name for sample in left_out for name in sample.class_names)
    return {name: counts[name] for name in match.unmatched if name in counts}


def _picture_limit(bench: Workbench, limit: int | float | None) -> int | None:
    """How many pictures at most; an empty field is the limit of a public app, or none."""
    most = bench.limits.evaluation_pictures
    if not limit:
        return most
    if not 1 <= limit < float("inf"):
        raise InputError(f"`limit` (={limit}) must be a whole number of pictures, at least 1.")
    bench.limits.check("limit", limit, most, "measure fewer", "pictures")
    return int(limit)


def _check_seconds(bench: Workbench, seconds: float, pictures: int) -> None:
    most = bench.limits.evaluation_seconds
    if most is not None and seconds > most:
        raise InputError(
            f"the evaluation was stopped after {duration(seconds)}, an evaluation in this public app may take "
            f"{duration(most)}; measure fewer than {counted(pictures, 'picture')}, or fewer CAM variants."
        )


@contextlib.contextmanager
def pictures_folder(bench: Workbench, zip_file: str | None, folder: str) -> Iterator[Path]:
    """The folder that is to be measured: an unpacked zip while the block runs, or one of this machine.

    Raises:
        InputError: neither is given, the zip is refused, or a folder is asked for in a public app.
    """
    if zip_file:
        with extracted_zip(zip_file, bench.limits.zip_limits) as pictures:
            yield pictures
        return
    text = folder.strip()
    if text and not bench.limits.takes_paths:
        raise InputError("`folder` must be left out here: a public app reads no files of its machine; upload a zip.")
    if not text:
        raise InputError("no pictures are chosen; upload a zip of class folders.")
    yield Path(text).expanduser()


def small_copies(results: Mapping[str, Any], images: LabelledImages, folder: Path) -> dict[str, Path]:
    """Copies of the pictures that differ most, by key; small, and made because the zip goes."""
    samples = {sample.key: sample for sample in images.samples}
    keys = {row["key"] for table in results["tables"] for side in SIDES for row in table["differ_most"][side]}
    copies: dict[str, Path] = {}
    for number, key in enumerate(sorted(keys & samples.keys())):
        with contextlib.suppress(InputError):
            picture = samples[key].open()
            picture.thumbnail(THUMBNAIL_SIZE)
            picture.save(folder / f"{number}.png")
            copies[key] = folder / f"{number}.png"
    return copies


def evaluate_answer(
    bench: Workbench,
    checkpoint: str,
    data: str,
    zip_file: str | None,
    methods: str | None,
    weights: str | None,
    limit: int | float | None,
) -> dict[str, Any]:
    """The answer of `/evaluate`: the shipped results of a checkpoint, or those of an uploaded zip.

    Raises:
        InputError: nothing ships, the zip or its pictures cannot be used, or a method or treatment is unknown.
    """
    keys = _listed(methods, QUICK_METHODS, "methods")
    treatments = _listed(weights, tuple(TREATMENTS), "weights")
    name = checkpoint or bench.default_checkpoint
    if zip_file:
        return {"checkpoint": name, "runs": [_measured_once(bench, OwnPictures(
            name, zip_file, "", keys, treatments, limit
        ))]}  # fmt: skip
    if data not in ("", "shipped"):
        raise InputError(f"`data` (='{data}') must be 'shipped', or a zip must be uploaded.")
    runs = read_results(bench.checkpoint_path(name))
    if not runs:
        raise InputError(f"`checkpoint` (='{name}') ships no results; upload a zip of pictures.")
    return {"checkpoint": name, "runs": [_with_tables(run, keys, treatments) for run in runs]}


def _measured_once(bench: Workbench, own: OwnPictures) -> dict[str, Any]:
    """The results alone; nothing is kept of the pictures."""
    evaluations = KeptEvaluations()
    try:
        evaluation = evaluations.get(measured_title(bench, evaluations, own, LongJob()))
        return evaluation.results if evaluation else {}
    finally:
        evaluations.clear()


def _with_tables(run: dict[str, Any], methods: Sequence[str], treatments: Sequence[str]) -> dict[str, Any]:
    """The run with the tables of these methods and treatments alone."""
    tables = [table for table in run["tables"] if table["method"] in methods and table["weights"] in treatments]
    return {**run, "tables": tables}


def _listed(text: str | None, allowed_keys: Sequence[str], name: str) -> list[str]:
    keys = [part.strip() for part in (text or "").split(",") if part.strip()]
    if not keys or any(key not in allowed_keys for key in keys):
        raise InputError(f"`{name}` (='{text}') must be some of {', '.join(allowed_keys)}, with commas.")
    return keys
