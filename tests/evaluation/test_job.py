"""Own pictures measured in a process of its own: progress, answer, stop, and bad input in words."""

from __future__ import annotations

import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from generated import class_folders

from bsig.evaluation.job import EvaluationJob, labelled_split
from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.ui.screens.evaluate.kept import OwnSets
from bsig.ui.screens.evaluate.own_pictures import Step, evaluate_answer, measured, own_pictures
from bsig.ui.screens.evaluate.tables import gallery_rows, screen_of
from bsig.ui.server.limits import Limits
from bsig.ui.workbench import Workbench

NAMES = {"tench": "red", "goldfish": "green", "golf ball": "blue", "zebra": "red"}
CHECKPOINT = "imagenet1k-efficientnet_lite0"


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench()


def zipped(folder: Path, target: Path) -> str:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    return str(target)


def job_on(data: Path, folder: Path) -> EvaluationJob:
    return EvaluationJob.start(
        data, CHECKPOINTS_FOLDER / CHECKPOINT, folder, methods=["cam"], weights=["signed"], split="train", limit=None
    )


def test_a_zip_is_measured_and_its_pictures_that_differ_most_are_kept(bench: Workbench, tmp_path: Path) -> None:
    file = zipped(class_folders(tmp_path / "set", NAMES, count=2), tmp_path / "set.zip")
    sets = OwnSets()
    steps = list(measured(bench, sets, CHECKPOINT, file, "", ["cam"], ["signed"], 50))
    assert all(isinstance(step, Step) for step in steps[:-1])
    assert isinstance(steps[-1], str)
    own = sets.get(steps[-1])
    assert own is not None
    assert own.results["counts"]["used"] == 8
    (table,) = own.results["tables"]
    rows = gallery_rows(table, own)
    assert rows
    assert all(path.is_file() for _, path, _ in rows)
    shown = screen_of(own.results, "cam", "signed", own)
    assert "claims" in shown[0]
    assert "localization is not measured" in shown[0]
    assert "less that of absent ones" in shown[-1]
    assert "set (train): 8 pictures" in steps[-1]  # named as the zip, not as where it was unpacked
    assert "was not measured here" in screen_of(own.results, "eigen-cam", "signed", own)[0]


def test_an_evaluation_that_is_left_or_takes_too_long_leaves_no_file(tmp_path: Path) -> None:
    file = zipped(class_folders(tmp_path / "set", NAMES, count=2), tmp_path / "set.zip")
    public = Workbench(limits=replace(Limits.public(), evaluation_seconds=0.0))
    sets = OwnSets()
    with pytest.raises(InputError, match="the evaluation was stopped after"):
        list(measured(public, sets, CHECKPOINT, file, "", ["cam"], ["signed"], 8))
    steps = measured(Workbench(), sets, CHECKPOINT, file, "", ["cam"], ["signed"], 8)
    assert isinstance(next(steps), Step)
    steps.close()  # type: ignore[attr-defined]  as when the visitor closes the page
    work = sets.new_folder()
    assert list(work.parent.iterdir()) == [work]
    with pytest.raises(InputError, match=r"`limit` \(=301 pictures\) must be at most 300"):
        list(measured(public, sets, CHECKPOINT, file, "", ["cam"], ["signed"], 301))
    sets.clear()
    assert not work.parent.exists()


def test_a_job_that_is_stopped_shows_nothing(tmp_path: Path) -> None:
    data = class_folders(tmp_path / "set", NAMES, count=2)
    job = job_on(data, tmp_path)
    job.stop()
    assert not job.is_running
    with pytest.raises(InputError, match="stopped"):
        job.results()


def test_bad_data_is_the_commands_own_sentence(tmp_path: Path) -> None:
    job = job_on(class_folders(tmp_path / "set", {"unicorn": "red"}, count=1), tmp_path)
    deadline = time.monotonic() + 240
    while job.is_running and time.monotonic() < deadline:
        time.sleep(0.1)
    with pytest.raises(InputError, match="no class 'unicorn'"):
        job.results()


def test_the_split_is_the_one_that_is_there(tmp_path: Path) -> None:
    assert labelled_split(class_folders(tmp_path / "plain", NAMES, count=1)).split == "train"
    class_folders(tmp_path / "both" / "train", NAMES, count=1)
    class_folders(tmp_path / "both" / "val", NAMES, count=1)
    assert labelled_split(tmp_path / "both").split == "val"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no labelled pictures"):
        labelled_split(tmp_path / "empty")


def test_a_public_app_takes_no_folder_of_its_machine(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="zip"), own_pictures(Workbench(is_public=True), None, str(tmp_path)):
        pass
    with own_pictures(Workbench(), None, str(tmp_path)) as where:
        assert where == tmp_path


def test_a_zip_that_is_none_is_refused(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"set\.zip"):
        list(measured(bench, OwnSets(), CHECKPOINT, str(tmp_path / "set.zip"), "", ["cam"], ["signed"], 5))


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


def test_a_screen_without_results_says_what_to_do() -> None:
    assert "measure your own pictures" in screen_of(None, "cam", "signed", None)[0]
