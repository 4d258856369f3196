"""The Batch screen without a browser: every picture once, the largest disagreement first, the rest with its reason."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import gradio as gr
import pytest

from bsig.explain.explainer import Explainer
from bsig.explain.output.contact_page import ContactPage
from bsig.explain.wording import whole_percent
from bsig.inputs.errors import InputError, StoppedEarly
from bsig.inputs.paths import EXAMPLES
from bsig.ui.components.long_job import CANCELLED, JobParts, LongJob
from bsig.ui.screens.batch import (
    MOST_PICTURES,
    BatchInputs,
    BatchResult,
    BatchScreen,
    explained_batch,
    no_sheet,
    sheet_answers,
    uploaded_pictures,
)
from bsig.ui.workbench import Workbench

CAT, COFFEE = str(EXAMPLES / "cat.jpg"), str(EXAMPLES / "coffee.jpg")


@pytest.fixture(scope="module")
def bench() -> Workbench:
    bench = Workbench()
    bench.model(None)
    return bench


@pytest.fixture
def screen() -> BatchScreen:
    """The screen's parts outside of any page."""
    kinds = {"sheet_pictures": gr.State, "gallery": gr.Gallery, "page": gr.DownloadButton, "table": gr.DownloadButton}
    parts = {part.name: kinds.get(part.name, gr.HTML)() for part in fields(BatchScreen) if part.name != "job"}
    return BatchScreen(JobParts(gr.Button(), gr.Button(), gr.HTML(), gr.State()), **parts)


def result_of(bench: Workbench, files: list[str], folder: Path, class_name: str | None = None) -> BatchResult:
    return explained_batch(bench, BatchInputs(files, None, class_name), folder, LongJob())


def test_pictures_and_a_zip_become_one_sheet_whose_pictures_are_those_of_compare(
    bench: Workbench, screen: BatchScreen, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(EXAMPLES / "clock.jpg", "inside/clock.jpg")
        archive.writestr("notes.txt", "not a picture")
    files = [CAT, COFFEE, str(broken), str(tmp_path / "more.zip")]
    result = result_of(bench, files, tmp_path / "unpacked", "golf ball")
    assert sorted(Path(each.path).name for each in result.pictures) == ["cat.jpg", "clock.jpg", "coffee.jpg"]
    disagreements = [bench.encode(each.path, None).explain("golf ball").disagreement for each in result.pictures]
    assert disagreements == sorted(disagreements, reverse=True)
    assert {each.class_name for each in result.pictures} == {"golf ball"}
    assert len(result.left_out) == 1
    assert result.left_out[0].startswith("broken.jpg: the file")
    assert str(tmp_path) not in result.left_out[0]
    assert "3 pictures." in result.finding
    assert "1 could not be used." in result.finding
    answers = sheet_answers(screen, result)
    assert set(answers) == {screen.job.progress, *screen.outputs()}
    assert Path(answers[screen.table]["value"]).read_text(encoding="utf-8").count("\n") == 4
    assert Path(answers[screen.page]["value"]).read_text(encoding="utf-8").count("<article>") == 3
    for part in (screen.page, screen.table):
        shutil.rmtree(Path(answers[part]["value"]).parent, ignore_errors=True)


def test_the_finding_names_a_picture_only_where_the_branches_disagree(bench: Workbench) -> None:
    explanation = Explainer(bench.model(None)).encode(CAT).explain("golf ball")
    same = replace(explanation, sigmoid=explanation.softmax)
    assert (explanation.disagreement > 0.005, same.disagreement) == (True, 0)
    for explanations, words in (
        ([same], "1 picture. The branches disagree on less than 1 % of places."),
        ([same, same], "2 pictures. The branches disagree on less than 1 % of places in each."),
        ([same, explanation], f"disagree most on cat.jpg: {whole_percent(explanation.disagreement)} of places."),
    ):
        page = ContactPage()
        for number, each in enumerate(explanations):
            page.add(each, f"{number}.jpg")
        assert BatchResult(page, (), ()).finding.endswith(words)


def test_without_a_class_each_picture_has_its_own_predicted_one(bench: Workbench, tmp_path: Path) -> None:
    (picture,) = result_of(bench, [COFFEE], tmp_path).pictures
    assert picture.class_name == "espresso"


def test_while_a_batch_goes_on_nothing_old_is_shown(screen: BatchScreen) -> None:
    answers = no_sheet(screen)
    assert set(answers) == set(screen.outputs())
    assert answers[screen.sheet_pictures] is None
    assert answers[screen.gallery]["value"] == []
    assert not answers[screen.page]["visible"]


def test_what_cannot_be_used_is_refused_before_anything_is_encoded(bench: Workbench, tmp_path: Path) -> None:
    for inputs, sentence in (
        (BatchInputs(None, None, None), "no picture is chosen"),
        (BatchInputs([CAT] * (MOST_PICTURES + 1), None, None), r"`pictures` \(=201\) must be at most 200 here"),
        (BatchInputs([CAT], None, "a class that nobody has"), "is not among the classes"),
    ):
        with pytest.raises(InputError, match=sentence):
            explained_batch(bench, inputs, tmp_path / "unpacked", LongJob())


def test_a_batch_of_files_that_are_no_pictures_is_refused(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("x")
    with pytest.raises(InputError, match=r"no picture could be used; a\.jpg: the file"):
        explained_batch(bench, BatchInputs([str(tmp_path / "a.jpg")], None, None), tmp_path / "unpacked", LongJob())


class Counted(LongJob):
    """A job that its visitor cancels after two pictures."""

    def note(self, words: str, count: int = 0, total: int = 0) -> None:
        """Cancels it at the third."""
        self.is_cancelled = count == 2
        super().note(words, count, total)


def test_every_picture_is_noted_and_a_cancelled_batch_leaves_no_unpacked_zip(bench: Workbench, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "three.zip", "w") as archive:
        for number in range(3):
            archive.write(EXAMPLES / "cat.jpg", f"{number}.jpg")
    job, folder = Counted(), tmp_path / "unpacked"
    with pytest.raises(StoppedEarly, match=CANCELLED):
        explained_batch(bench, BatchInputs([str(tmp_path / "three.zip")], None, None), folder, job)
    assert job.progress.words == "Explaining 3 pictures"
    assert job.progress.share == 1 / 3
    assert not folder.exists()


def test_two_zips_do_not_overwrite_each_other(bench: Workbench, tmp_path: Path) -> None:
    for name, picture in (("a.zip", "cat.jpg"), ("b.zip", "coffee.jpg")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.write(EXAMPLES / picture, "same.jpg")
    pictures = uploaded_pictures(bench, [str(tmp_path / "a.zip"), str(tmp_path / "b.zip")], tmp_path / "unpacked")
    contents = [each.path.read_bytes() for each in pictures]
    assert contents == [(EXAMPLES / name).read_bytes() for name in ("cat.jpg", "coffee.jpg")]
