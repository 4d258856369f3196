"""A long job of a visitor, which the page follows without events of gradio's, and the buttons that start and cancel it.

    parts = JobParts(gr.Button("Measure"), gr.Button("Cancel"), gr.HTML(), gr.State(None))
    connect_job(bench, parts, work, inputs, outputs, "evaluate-own")

    def work(values, job):               # in a thread, once it is the visitor's turn
        for count, picture in enumerate(pictures):
            job.note("Explaining 200 pictures", count, 200)     # ends it where it was cancelled or its visitor left
        return {sheet: ...}              # the answer of the event: the only one

At each step of an event gradio 6.31 copies what every component of the page holds, some 40 ms in which nothing moves.
So the event answers when the job has ended, and meanwhile the page's script asks `/progress` for its words.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from weakref import WeakValueDictionary

import gradio as gr

from bsig.inputs.errors import InputError, StoppedEarly, without_folders
from bsig.ui.components import html
from bsig.ui.components.fields import Answers, InputValues
from bsig.ui.components.handlers import PRIVATE, in_words
from bsig.ui.server.log import leave_off_if_left

JOB = "job"
"""The kind of job that `/progress` knows these as; a key comes after it."""
PACE_FROM_S = 2.0
CANCELLED = "Cancelled. Nothing of it is kept."


class Pace:
    """How long counted work still takes, from the time since it was first seen to move.

    What went before, such as loading a model, does not come again and is not counted.
    """

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def seconds_left(self, now: float, count: int, total: int) -> float | None:
        """The estimate at a time in seconds; None for less than `PACE_FROM_S` of work."""
        if not count:
            return None
        if self._first is None:
            self._first = (now, count)
        start, start_count = self._first
        if count == start_count or now - start < PACE_FROM_S:
            return None
        return (now - start) / (count - start_count) * max(0, total - count)


@dataclass(frozen=True)
class JobProgress:
    """How far a job is.

    Attributes:
        words: what is done, such as "Measuring 32 pictures".
        share: of the work that is done, 0 to 1; None while nothing is known.
        seconds_left: from the pace since something was first done; None while that says too little.
    """

    words: str
    share: float | None = None
    seconds_left: float | None = None


@dataclass(eq=False)
class LongJob:
    """A job of one visitor.

    Attributes:
        values: of the inputs when its visitor asked for it; what is changed while it waits is another job's.
        progress: the newest; `/progress` answers it.
        has_begun: whether its turn has come.
        has_ended: whether nothing of it goes on any more.
        is_cancelled: whether its visitor has cancelled it.
        key: nobody can guess it, and no other job has it.
    """

    values: InputValues = field(default_factory=dict)
    progress: JobProgress = JobProgress("Starts when its turn comes")
    has_begun: bool = False
    has_ended: bool = False
    is_cancelled: bool = False
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    _pace: Pace = field(default_factory=Pace)

    def note(self, words: str, count: int = 0, total: int = 0) -> None:
        """Notes how far the job is, which the page shows within a second; ends one that nobody wants any more.

        Args:
            words: what is done.
            count, total: work done and all of it, in any unit; 0 where nothing is known.

        Raises:
            StoppedEarly: its visitor has cancelled it.
            VisitorLeftError: its visitor has closed the page.
        """
        if self.is_cancelled:
            raise StoppedEarly(CANCELLED)
        leave_off_if_left(0, 1)
        share = count / total if total and count else None
        self.progress = JobProgress(words, share, self._pace.seconds_left(time.monotonic(), count, total))

    @property
    def html(self) -> html.Html:
        """How far it is; the page follows it."""
        progress = self.progress
        return html.followed(html.waiting(progress.words, progress.share, progress.seconds_left), f"{JOB} {self.key}")


def no_jobs() -> WeakValueDictionary[str, LongJob]:
    """An empty record of jobs by key: a job is in it as long as its page or its work holds it."""
    return WeakValueDictionary()


@dataclass(frozen=True)
class JobParts:
    """The parts of a screen that start, cancel and show a job.

    Attributes:
        progress: how far the job is, and how it ended where it has brought no result.
        job: the page's newest `LongJob`; None before the first.
    """

    start: gr.Button
    cancel: gr.Button
    progress: gr.HTML
    job: gr.State


@runtime_checkable
class _Space(Protocol):
    jobs: MutableMapping[str, LongJob]


@runtime_checkable
class _Bench(Protocol):
    @property
    def visitor_space(self) -> _Space: ...

    @property
    def is_public(self) -> bool: ...


def connect_job(
    bench: _Bench,
    parts: JobParts,
    work: Callable[[InputValues, LongJob], Answers],
    inputs: set[Any],
    outputs: list[Any],
    line: str,
    cleared: Callable[[], Answers] = dict,
) -> Any:
    """Connects the buttons of a job; returns the event that does the work, for what comes after it.

    Args:
        bench: knows the visitor who asks.
        parts: of the screen.
        work: does the job, and gives the answers about `outputs` and about `parts.progress`.
        inputs: what `work` gets the values of.
        outputs: what is filled when the job has ended.
        line: the line in which jobs of all visitors wait; one is done at a time.
        cleared: what old results become when a job begins.
    """

    @in_words
    def on_click(values: InputValues) -> Answers:
        return begun_answers(bench.visitor_space.jobs, parts, values, cleared)

    @in_words
    def on_turn(job: LongJob | None) -> Answers:
        return done_answers(parts, job, work, tells_folders=not bench.is_public)

    def on_cancel(job: LongJob | None) -> Any:
        return cancelled_answer(job)

    def on_failure(job: LongJob | None) -> Any:
        return failed_answer(job)

    quiet = {**PRIVATE, "show_progress": "hidden"}
    click = parts.start.click(on_click, {*inputs, parts.job}, [parts.job, parts.progress, *outputs], **quiet)
    running = click.success(
        on_turn, parts.job, [parts.progress, *outputs], api_visibility="private", show_progress="hidden",
        concurrency_limit=1, concurrency_id=line, trigger_mode="multiple",
    )  # fmt: skip
    running.failure(on_failure, parts.job, parts.progress, api_visibility="private")
    parts.cancel.click(on_cancel, parts.job, parts.progress, **quiet)
    return running


def begun_answers(
    jobs: MutableMapping[str, LongJob], parts: JobParts, values: InputValues, cleared: Callable[[], Answers] = dict
) -> Any:
    """A new job that waits for its turn; nothing new where the page's job still goes on.

    Args:
        jobs: of the visitor, by key.
        parts: of the screen.
        values: of the inputs, and the page's last job.
        cleared: as of `connect_job`.
    """
    last: LongJob | None = values[parts.job]
    if last is not None and not last.has_ended:
        return gr.skip()
    job = LongJob(values)
    jobs[job.key] = job
    return {**cleared(), parts.job: job, parts.progress: job.html}


def done_answers(
    parts: JobParts, job: LongJob | None, work: Callable[[InputValues, LongJob], Answers], *, tells_folders: bool = True
) -> Any:
    """Does the job whose turn has come; the answer is its result, or in words why there is none.

    Args:
        parts: of the screen.
        job: the page's newest, which may have taken the place of one that was cancelled before its turn.
        work: as of `connect_job`.
        tells_folders: whether a refusal may name folders of this machine.
    """
    if job is None or job.has_begun or job.has_ended:
        return gr.skip()
    job.has_begun = True
    try:
        job.note("Reading the pictures")
        return work(job.values, job)
    except StoppedEarly as stop:
        return {parts.progress: html.note(str(stop), role="status")}
    except InputError as error:
        return {parts.progress: html.problem(str(error) if tells_folders else without_folders(str(error)))}
    finally:
        job.has_ended, job.values = True, {}


def cancelled_answer(job: LongJob | None) -> Any:
    """Cancels a job: what it says where it has not begun; one that has begun ends by itself."""
    if job is None or job.has_ended:
        return gr.skip()
    job.is_cancelled = True
    if job.has_begun:
        return gr.skip()
    job.has_ended, job.values = True, {}
    return html.note(CANCELLED, role="status")


def failed_answer(job: LongJob | None) -> Any:
    """No words, for a job without an answer: a defect, or a line that was full; another may begin.

    A job that goes on keeps its words: it was a second click that found no room.
    """
    if job is not None and job.has_begun and not job.has_ended:
        return gr.skip()
    if job is not None:
        job.has_ended, job.values = True, {}
    return ""
