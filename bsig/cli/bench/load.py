"""Many visitors against one running app over HTTP, each answer compared with what a single visitor gets.

A visitor uploads a picture that the app has never seen, asks several questions about it, fetches the maps of every
answer, and starts again with another one. Numbers, maps and every pixel of the pictures must be those of the quiet app.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from PIL import Image

from bsig.cli.bench.served import Visitor

METHODS = ("cam", "cam", "cam", "grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "hires-cam", "eigen-cam")
CLASSES = ("", "golf ball", "zebra", "tench", "Egyptian cat", "banana", "teapot")
TREATMENTS = ("signed", "signed", "nonnegative", "paper")
QUESTIONS_A_PICTURE = 3
PERCENTILES = {"p50": 50, "p95": 95, "most": 100}
Answer = tuple[dict[str, Any], list[bytes]]  # all numbers and values of the maps, and the files of the three pictures


class Question(NamedTuple):
    """A question about a picture, which has a name."""

    picture: str
    class_name: str
    method: str
    weights: str


@dataclass
class Load:
    """The answers that the visitors got, their times and the app's memory.

    Attributes:
        seconds: of each answer, from the question on, its pictures not counted.
        errors: refusals and broken connections, in words.
        wrong: answers that were not those of the quiet app, in words.
        rss_bytes: of the app, twice a second: (seconds since the start, bytes).
    """

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    rss_bytes: list[tuple[float, int]] = field(default_factory=list)

    def summary(self, seconds: float) -> dict[str, Any]:
        """The figures of so many seconds, for JSON; `peak_rss_mb` (2^20 bytes) is of each third of them."""
        ascending = sorted(self.seconds)
        peaks = {"start": 0, "middle": 0, "end": 0}
        for time_s, size in self.rss_bytes:
            if time_s < seconds:
                third = list(peaks)[int(3 * time_s / seconds)]
                peaks[third] = max(peaks[third], round(size / 2**20))
        return {
            "answers": len(ascending),
            "errors": len(self.errors),
            "wrong_answers": len(self.wrong),
            "answers_a_second": round(len(ascending) / seconds, 2),
            "compare_s": {name: percentile(ascending, share) for name, share in PERCENTILES.items()},
            "peak_rss_mb": peaks,
            "first_problems": [*self.errors, *self.wrong][:5],
        }


def percentile(ascending: list[float], share: int) -> float | None:
    """The value of the nearest rank; None of nothing."""
    return round(ascending[min(len(ascending) - 1, share * len(ascending) // 100)], 3) if ascending else None


def load_of_visitors(
    url: str, resident: Callable[[], int], pictures: Mapping[str, Path], visitors: int, seconds: float, *,
    pause_s: float = 0.0, different: int = 60,
) -> Load:  # fmt: skip
    """The load of `visitors` for `seconds`, after a single visitor has asked every question.

    `resident` returns the bytes of memory that the app takes now, `pictures` are what is asked about, by name, and
    `different` is how many different questions there are. A visitor starts the last one before `seconds` are over, and
    waits `pause_s` between two.
    """
    draw, keys = random.Random(0), sorted(pictures)
    questions = [Question(*map(draw.choice, (keys, CLASSES, METHODS, TREATMENTS))) for _ in range(different)]
    with closing(Visitor(url)) as single:
        uploads = {key: single.upload(picture) for key, picture in pictures.items()}
        expected = {}
        for question in questions:
            *files, numbers = single.ask(uploads[question.picture], *question[1:])
            expected[question] = numbers, single.pictures(files)
    load, start = Load(), time.monotonic()
    with ThreadPoolExecutor(visitors) as pool:
        visits = [
            pool.submit(_visit, url, number, start + seconds, pause_s, pictures, expected, load)
            for number in range(visitors)
        ]
        while wait(visits, timeout=0.5).not_done:
            load.rss_bytes.append((time.monotonic() - start, resident()))
    for visit in visits:
        visit.result()
    return load


def _visit(
    url: str, number: int, until: float, pause_s: float, pictures: Mapping[str, Path],
    expected: Mapping[Question, Answer], load: Load,
) -> None:  # fmt: skip
    draw, questions = random.Random(number), list(expected)
    with closing(Visitor(url)) as visitor:
        while time.monotonic() < until:
            key = draw.choice(questions).picture
            try:
                upload = visitor.upload(pictures[key], draw.randbytes(8))
                for question in draw.sample([q for q in questions if q.picture == key] * 3, QUESTIONS_A_PICTURE):
                    if time.monotonic() < until:
                        start = time.monotonic()
                        *files, numbers = visitor.ask(upload, *question[1:])
                        load.seconds.append(time.monotonic() - start)
                        if not _same((numbers, visitor.pictures(files)), expected[question]):
                            load.wrong.append(f"another answer to {question}")
                        time.sleep(pause_s)
            except (httpx.HTTPError, OSError, KeyError, ValueError) as error:  # an `InputError` is a `ValueError`
                load.errors.append(f"{type(error).__name__}: {error}"[:200])
                time.sleep(0.2)


def _same(answer: Answer, expected: Answer) -> bool:
    """Pictures byte for byte, or pixel for pixel: two files of one picture need not be packed alike (`png.py`)."""
    (numbers, pictures), (expected_numbers, expected_pictures) = answer, expected
    pairs = zip(pictures, expected_pictures, strict=True)
    return numbers == expected_numbers and all(a == b or _pixels(a) == _pixels(b) for a, b in pairs)


def _pixels(file: bytes) -> tuple[str, tuple[int, int], bytes]:
    picture = Image.open(io.BytesIO(file))
    return picture.mode, picture.size, picture.tobytes()
