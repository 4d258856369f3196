"""A long job begins once, is followed by its key, says how it ended, and ends where nobody wants it any more."""

from __future__ import annotations

import gc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from bsig.inputs.errors import InputError, StoppedEarly
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.training.runs.folder import RunFolder
from bsig.training.runs.queue import RunQueue
from bsig.ui.api import progress_answer
from bsig.ui.components import long_job
from bsig.ui.components.long_job import (
    CANCELLED,
    JobParts,
    LongJob,
    Pace,
    begun_answers,
    cancelled_answer,
    done_answers,
    failed_answer,
    no_jobs,
)
from bsig.ui.server import log
from bsig.ui.workbench import Workbench

STAYS = gr.skip()


@pytest.fixture
def parts() -> JobParts:
    return JobParts(gr.Button(), gr.Button(), gr.HTML(), gr.State())


def never(values: Any, job: LongJob) -> dict[Any, Any]:
    raise AssertionError("this job must not be done")


def test_the_estimate_counts_from_the_first_picture_and_not_from_the_start() -> None:
    pace = Pace()
    assert pace.seconds_left(100.0, 0, 50) is None  # a hundred seconds of loading
    assert pace.seconds_left(100.0, 10, 50) is None
    assert pace.seconds_left(101.0, 12, 50) is None  # too short to tell
    assert pace.seconds_left(104.0, 30, 50) == pytest.approx(4.0)  # 20 in 4 s, 20 to go
    assert pace.seconds_left(108.0, 50, 50) == 0.0


def test_the_page_follows_a_job_by_its_key_until_it_has_ended(
    parts: JobParts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bench, text, queue = Workbench(), gr.HTML(), RunQueue(RunFolder(tmp_path), CHECKPOINTS_FOLDER)
    answers = begun_answers(bench.visitor_space.jobs, parts, {parts.job: None, text: "a"}, lambda: {text: ""})
    job = answers[parts.job]
    assert answers[text] == ""
    assert answers[parts.progress] == job.html
    assert job.html.startswith(f'<div data-follows="job {job.key}">')

    def work(values: Any, job: LongJob) -> dict[Any, Any]:
        for now, count in ((10.0, 1), (13.0, 4)):
            monkeypatch.setattr(long_job, "time", SimpleNamespace(monotonic=lambda now=now: now))
            job.note("Explaining 8 pictures", count, 8)
        progress = progress_answer(bench, queue, f"job {job.key}")
        assert progress == {"html": job.html, "standing": "running", "has_ended": False}
        assert "Explaining 8 pictures, 50 %, about 4 s left." in progress["html"]
        return {text: values[text] + "b"}

    assert done_answers(parts, job, work) == {text: "ab"}
    assert progress_answer(bench, queue, f"job {job.key}") == {"html": "", "standing": "", "has_ended": True}


def test_a_job_is_done_once_with_the_values_of_its_click_and_a_second_waits_for_its_end(parts: JobParts) -> None:
    jobs = no_jobs()
    job = begun_answers(jobs, parts, {parts.job: None})[parts.job]
    assert begun_answers(jobs, parts, {parts.job: job}) == STAYS  # a second click
    assert done_answers(parts, job, lambda *_: {parts.progress: "done"}) == {parts.progress: "done"}
    assert done_answers(parts, job, never) == STAYS
    assert begun_answers(jobs, parts, {parts.job: job})[parts.job] is not job


def test_a_job_that_is_cancelled_before_its_turn_is_never_done_and_gives_way_to_the_next(parts: JobParts) -> None:
    jobs = no_jobs()
    first = begun_answers(jobs, parts, {parts.job: None, "file": "a"})[parts.job]
    assert CANCELLED in cancelled_answer(first)
    assert done_answers(parts, first, never) == STAYS
    second = begun_answers(jobs, parts, {parts.job: first, "file": "b"})[parts.job]
    # the turn of the first finds the second, whose values are its own
    assert done_answers(parts, second, lambda values, _: {"file": values["file"]}) == {"file": "b"}
    assert cancelled_answer(second) == cancelled_answer(None) == STAYS


def test_a_running_job_that_is_cancelled_ends_at_its_next_note_and_says_so(parts: JobParts) -> None:
    def work(values: Any, job: LongJob) -> dict[Any, Any]:
        assert cancelled_answer(job) == STAYS  # it is about to say itself that it has ended
        job.note("going on")
        raise AssertionError

    job = LongJob()
    assert CANCELLED in done_answers(parts, job, work)[parts.progress]
    assert job.has_ended
    with pytest.raises(StoppedEarly):
        job.note("going on")


def test_a_job_whose_visitor_has_gone_ends_at_its_next_note(parts: JobParts) -> None:
    job, token = LongJob(), log._request.set(SimpleNamespace(is_awaited=False))  # type: ignore[arg-type]
    try:
        with pytest.raises(log.VisitorLeftError):
            done_answers(parts, job, never)
    finally:
        log._request.reset(token)
    assert job.has_ended


def test_a_refusal_stands_where_the_progress_stood_and_names_no_folder_to_strangers(parts: JobParts) -> None:
    def work(values: Any, job: LongJob) -> dict[Any, Any]:
        raise InputError("'/srv/secret/a.zip' is no zip; <make> it again.")

    for tells_folders in (True, False):
        words = done_answers(parts, LongJob(), work, tells_folders=tells_folders)[parts.progress]
        assert 'role="alert"' in words
        assert "a.zip" in words
        assert "&lt;make&gt;" in words
        assert ("/srv/secret" in words) == tells_folders


def test_a_defect_is_no_answer_and_ends_the_job_all_the_same(parts: JobParts) -> None:
    job = LongJob()
    with pytest.raises(ZeroDivisionError):
        done_answers(parts, job, lambda *_: {parts.progress: 1 / 0})
    assert job.has_ended


def test_a_job_that_found_no_room_in_the_line_gives_way_to_the_next(parts: JobParts) -> None:
    first = begun_answers(no_jobs(), parts, {parts.job: None})[parts.job]
    assert failed_answer(first) == failed_answer(None) == ""
    assert done_answers(parts, first, never) == STAYS
    assert begun_answers(no_jobs(), parts, {parts.job: first})[parts.job] is not first


def test_a_second_click_that_found_no_room_leaves_the_running_job_its_words(parts: JobParts) -> None:
    def work(_: Any, job: LongJob) -> dict[Any, Any]:
        assert failed_answer(job) == STAYS
        assert not job.has_ended
        return {parts.progress: "done"}

    assert done_answers(parts, LongJob(), work) == {parts.progress: "done"}


def test_what_a_cancelled_or_failed_job_was_given_is_let_go(parts: JobParts) -> None:
    for end in (cancelled_answer, failed_answer):
        job = LongJob({"picture": "large"})
        end(job)
        assert job.values == {}


def test_a_job_that_no_page_holds_is_forgotten(parts: JobParts) -> None:
    jobs = no_jobs()
    begun_answers(jobs, parts, {parts.job: None})
    gc.collect()
    assert len(jobs) == 0
