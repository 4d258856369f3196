"""A visitor's own pictures: progress, results that are kept, files that go, and bad input in words."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from generated import class_folders

from bsig.inputs.errors import InputError, StoppedEarly
from bsig.ui.components.long_job import CANCELLED, LongJob
from bsig.ui.screens.evaluate.kept import KeptEvaluations
from bsig.ui.screens.evaluate.own_pictures import (
    OwnPictures,
    PicturesCheck,
    checked_pictures,
    evaluate_answer,
    measured_title,
    pictures_folder,
    progress_words,
)
from bsig.ui.screens.evaluate.results_panel import shown_results
from bsig.ui.screens.evaluate.tables import gallery_rows
from bsig.ui.server.limits import Limits
from bsig.ui.server.log import VisitorLeftError
from bsig.ui.workbench import Workbench

NAMES = {"tench": "red", "goldfish": "green", "golf ball": "blue", "zebra": "red"}
CHECKPOINT = "imagenet1k-efficientnet_lite0"


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench()


@pytest.fixture
def pictures_zip(tmp_path: Path) -> Path:
    folder, file = class_folders(tmp_path / "set", NAMES, count=1), tmp_path / "set.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    return file


class LeftJob(LongJob):
    """A job whose visitor has closed the page."""

    def note(self, *_: object) -> None:  # type: ignore[override]
        """Ends it."""
        raise VisitorLeftError


def own_pictures(zip_file: Path, limit: int) -> OwnPictures:
    return OwnPictures(CHECKPOINT, str(zip_file), "", ["cam"], ["signed"], limit)


@pytest.mark.nightly
def test_a_zip_is_measured_and_its_pictures_that_differ_most_are_kept(bench: Workbench, pictures_zip: Path) -> None:
    evaluations = KeptEvaluations()
    job = LongJob()
    title = measured_title(bench, evaluations, own_pictures(pictures_zip, 50), job)
    assert "4 pictures" in job.progress.words  # not forward passes
    assert evaluations.titles() == [title]
    evaluation = evaluations.get(title)
    assert evaluation is not None
    assert evaluation.results["counts"]["used"] == 4
    (table,) = evaluation.results["tables"]
    rows = gallery_rows(table, evaluation)
    assert rows
    assert all(path.is_file() for _, path, _ in rows)
    results = shown_results(evaluation.results, "cam", "signed", evaluation)
    assert "claims" in results.finding
    assert "localization is not measured" in results.finding
    assert "less that of absent ones" in results.files
    assert len(results.pictures) == len(rows)
    assert "set (train): 4 pictures" in title  # named as the zip, not as where it was unpacked
    other = shown_results(evaluation.results, "eigen-cam", "signed", evaluation)
    assert "was not measured here; there is: cam signed" in other.finding
    assert other.pictures == ()


def test_an_evaluation_that_is_left_or_takes_too_long_leaves_no_file(pictures_zip: Path) -> None:
    public = Workbench(limits=replace(Limits.public(), evaluation_seconds=0.0))
    evaluations = KeptEvaluations()
    with pytest.raises(InputError, match="the evaluation was stopped after"):
        measured_title(public, evaluations, own_pictures(pictures_zip, 8), LongJob())
    with pytest.raises(VisitorLeftError):
        measured_title(Workbench(), evaluations, own_pictures(pictures_zip, 8), LeftJob())
    folder = evaluations.new_folder()
    assert list(folder.parent.iterdir()) == [folder]
    with pytest.raises(InputError, match=r"`limit` \(=301 pictures\) must be at most 300"):
        measured_title(public, evaluations, own_pictures(pictures_zip, 301), LongJob())
    evaluations.clear()
    assert not folder.parent.exists()


def test_a_cancelled_evaluation_ends_in_the_middle_and_leaves_nothing(bench: Workbench, pictures_zip: Path) -> None:
    evaluations = KeptEvaluations()
    with pytest.raises(StoppedEarly, match=CANCELLED):
        measured_title(bench, evaluations, own_pictures(pictures_zip, 8), LongJob(is_cancelled=True))
    assert evaluations.titles() == []
    folder = evaluations.new_folder()
    assert list(folder.parent.iterdir()) == [folder]
    evaluations.clear()


def test_the_words_count_pictures_and_say_what_is_not_counted() -> None:
    assert progress_words(0, 0, 1) == "Loading the model and 1 picture"
    assert progress_words(0, 90, 8) == "Loading the model and 8 pictures"
    assert progress_words(40, 90, 8) == "Measuring 8 pictures"
    assert progress_words(90, 90, 8) == "8 pictures measured, working out intervals and tables"


def test_the_check_counts_pictures_and_names_the_classes_that_the_checkpoint_lacks(
    bench: Workbench, tmp_path: Path
) -> None:
    data = class_folders(tmp_path / "set", {"tench": "red", "zebra": "green", "unicorn": "blue"}, count=2)
    own = OwnPictures(CHECKPOINT, None, str(data), ["cam"], ["signed"], None)
    check = checked_pictures(bench, own)
    assert check is not None
    assert (check.pictures, check.measured, check.known_classes, dict(check.unmatched)) == (6, 4, 2, {"unicorn": 2})
    assert check.words.startswith("6 pictures, 2 of 3 classes are the checkpoint's; 4 are measured.")
    assert check.remarks == ["'unicorn' is no class of this checkpoint: 2 pictures left out."]
    small = checked_pictures(bench, replace(own, limit=3))
    assert small is not None
    assert "at most 3 are measured" in small.words
    assert checked_pictures(bench, replace(own, folder=" ")) is None


def test_a_picture_of_several_classes_is_counted_once_and_kept_for_the_known_one(
    bench: Workbench, tmp_path: Path
) -> None:
    lines = ("file,class", "a.jpg,tench;zebra", "b.jpg,unicorn;zebra", "c.jpg,unicorn;faun", "d.jpg,tench")
    (tmp_path / "index.csv").write_text("\n".join(lines), encoding="utf-8")
    check = checked_pictures(bench, OwnPictures(CHECKPOINT, None, str(tmp_path), ["cam"], ["signed"], None))
    assert check is not None
    assert (check.pictures, check.measured, check.known_classes) == (4, 3, 2)
    assert check.unmatched == {"faun": 1, "unicorn": 1}


def test_a_zip_without_a_known_class_is_refused_by_its_own_name(bench: Workbench, tmp_path: Path) -> None:
    folder, file = class_folders(tmp_path / "set", {"unicorn": "red"}, count=1), tmp_path / "beasts.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    with pytest.raises(InputError, match=r"no class of 'beasts' \(e\.g\. 'unicorn'\)"):
        checked_pictures(bench, own_pictures(file, 5))


def test_a_public_app_takes_no_folder_of_its_machine(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="zip"), pictures_folder(Workbench(is_public=True), None, str(tmp_path)):
        pass
    with pictures_folder(Workbench(), None, str(tmp_path)) as folder:
        assert folder == tmp_path


def test_a_zip_that_is_none_is_refused(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"set\.zip"):
        measured_title(bench, KeptEvaluations(), own_pictures(tmp_path / "set.zip", 5), LongJob())


@pytest.mark.parametrize(
    ("methods", "weights", "data", "words"),
    [
        ("no-cam", "signed", "shipped", "methods"),
        ("score-cam", "signed", "shipped", "methods"),
        ("cam", "clever", "shipped", "weights"),
        ("", "signed", "shipped", "methods"),
        ("cam", "signed", "elsewhere", "data"),
    ],
)
def test_the_endpoint_refuses_what_it_does_not_know(
    bench: Workbench, methods: str, weights: str, data: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        evaluate_answer(bench, CHECKPOINT, data, None, methods, weights, 5)


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (PicturesCheck(1, 1, False, 1, {}, ""), "1 picture, 1 class; 1 is measured."),
        (PicturesCheck(2, 1, False, 1, {"unicorn": 1}, ""), "2 pictures, 1 of 2 classes is the checkpoint's; 1 is"),
        (PicturesCheck(40, 39, True, 2, {"unicorn": 1}, ""), "40 pictures, 2 of 3 classes are the"),
        (PicturesCheck(0, 0, False, 0, {}, ""), "0 pictures, 0 classes; 0 are measured."),
    ],
)  # fmt: skip
def test_a_check_counts_in_the_singular_too(check: PicturesCheck, words: str) -> None:
    assert check.words.startswith(words)
