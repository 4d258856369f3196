"""An hour of visitors, simulated from measured answer times: how long they wait, and what is busy.

    for row in simulated_hours(AnswerTimes(new_s=0.05, known_s=0.03)): ...

A discrete-event simulation. Visitors arrive at random (Poisson). Each asks about one of the bundled examples and then
about pictures of their own, several questions a picture, with pauses between; a few fine-tune at the end. Answers are
worked out one after the other, as many visitors at once were measured to get them: 32 got no more answers a second than
two did. The encodings of the last pictures are kept, so a picture is encoded when it is new or has been forgotten.
Fine-tunes have a line of their own, one at a time.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

VISITORS_AN_HOUR = (10, 100, 1_000, 5_000)
KEPT_ENCODINGS = 64  # the app's own (`bsig.ui.workbench.Workbench`)
HOURS = 4


@dataclass(frozen=True)
class AnswerTimes:
    """Seconds of an answer about a picture that is new to the app, and about one that it has encoded."""

    new_s: float
    known_s: float


@dataclass(frozen=True)
class Visit:
    """The acts of a visitor. Nobody has been watched: these are assumptions, and the page names them.

    Attributes:
        own_pictures: pictures beside the example.
        questions: about each picture.
        pause_s: between an answer and the next question, on average.
        finetune_share: how many of all visitors fine-tune.
        finetune_s: one fine-tune.
        examples: bundled pictures to start with.
    """

    own_pictures: int = 2
    questions: int = 5
    pause_s: float = 15.0
    finetune_share: float = 0.05
    finetune_s: float = 60.0
    examples: int = 12


@dataclass
class Line:
    """One server that takes who comes first; `busy_s` is how long it has worked, `waits` how long each has waited."""

    free_at: float = 0.0
    busy_s: float = 0.0
    waits: list[float] = field(default_factory=list)

    def served(self, now: float, seconds: float) -> float:
        """The second at which somebody is finished who comes now and takes `seconds`."""
        start = max(now, self.free_at)
        self.waits.append(start - now)
        self.busy_s += seconds
        self.free_at = start + seconds
        return self.free_at


class Hour:
    """One simulation: so many visitors an hour for some hours."""

    def __init__(self, an_hour: int | float, times: AnswerTimes, visit: Visit, hours: int, seed: int = 0) -> None:
        self.times, self.visit, self.seconds = times, visit, 3600 * hours
        self.draw = random.Random(seed)
        self.answers, self.finetunes = Line(), Line()
        self.answer_seconds: list[float] = []
        self.encodings: OrderedDict[tuple[str, int], None] = OrderedDict()
        self.encoded = 0
        self.at_once = self.most_at_once = 0
        self._events: list[tuple[float, int, int, int]] = []  # seconds, order, visitor, question
        self._order = itertools.count()
        now = 0.0
        for visitor in itertools.count():
            now += self.draw.expovariate(an_hour / 3600)
            if now >= self.seconds:
                break
            self._expect(now, visitor, 0)

    def run(self) -> None:
        """Lets everybody who arrives in time ask until the end."""
        while self._events:
            now, _, visitor, question = heapq.heappop(self._events)
            if question == 0:
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
            if question < self.visit.questions * (1 + self.visit.own_pictures):
                end_s = self.answers.served(now, self._answer_time(visitor, question))
                self.answer_seconds.append(end_s - now)
                pause = self.draw.expovariate(1 / self.visit.pause_s) if self.visit.pause_s else 0.0
                self._expect(end_s + pause, visitor, question + 1)
                continue
            self.at_once -= 1
            if self.draw.random() < self.visit.finetune_share:
                self.finetunes.served(now, self.visit.finetune_s)

    def _expect(self, time_s: float, visitor: int, question: int) -> None:
        heapq.heappush(self._events, (time_s, next(self._order), visitor, question))

    def _answer_time(self, visitor: int, question: int) -> float:
        number = question // self.visit.questions
        picture = ("example", visitor % self.visit.examples) if number == 0 else (f"own {number}", visitor)
        is_known = picture in self.encodings
        self.encodings[picture] = None
        self.encodings.move_to_end(picture)
        if len(self.encodings) > KEPT_ENCODINGS:
            self.encodings.popitem(last=False)
        self.encoded += not is_known
        return self.times.known_s if is_known else self.times.new_s


def simulated_hours(
    times: AnswerTimes,
    visit: Visit = Visit(),
    visitors: Sequence[int] = VISITORS_AN_HOUR,
) -> list[dict[str, Any]]:
    """A row for each number of visitors an hour: waits in seconds, and the share of the time that each line is busy."""
    rows = []
    for an_hour in visitors:
        hour = Hour(an_hour, times, visit, HOURS)
        hour.run()
        span = max(hour.seconds, hour.answers.free_at)
        answers = sorted(hour.answer_seconds)
        waits = sorted(hour.finetunes.waits)
        rows.append(
            {
                "visitors an hour": an_hour,
                "most at once": hour.most_at_once,
                "answer, median, s": round(_at(answers, 0.5), 3),
                "answer, 95th percentile, s": round(_at(answers, 0.95), 3),
                "answers busy": f"{hour.answers.busy_s / span:.1%}",
                "pictures encoded, share of questions": f"{hour.encoded / max(1, len(answers)):.0%}",
                "fine-tunes busy": f"{min(1.0, hour.finetunes.busy_s / hour.seconds):.0%}",
                "wait for a fine-tune, 95th percentile, min": round(_at(waits, 0.95) / 60, 1),
            }
        )
    return rows


def _at(ascending: Sequence[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))] if ascending else 0.0
