"""Many visitors against one running app over HTTP, each answer compared with what a single visitor gets.

A visitor uploads a picture that the app has never seen, asks several questions about it, fetches the maps of every
answer, and starts again with another one. Numbers, maps and every pixel of the pictures must be those of the quiet app.
"""

from __future__ import annotations

import asyncio
import io
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT

METHODS = ("cam", "cam", "cam", "grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "hires-cam", "eigen-cam")
CLASSES = ("", "golf ball", "zebra", "tench", "Egyptian cat", "banana", "teapot")
TREATMENTS = ("signed", "signed", "nonnegative", "paper")
QUESTIONS_A_PICTURE = 3
TIMEOUT_S = 120.0
Parts = dict[str, bytes]  # of an answer: its numbers as JSON, and the files of its pictures


@dataclass(frozen=True)
class Question:
    """What is asked of a bundled picture."""

    picture: str
    class_name: str
    method: str
    weights: str


@dataclass
class Answer:
    """When an answer was asked for, the seconds until it was there and until its pictures were, and what was wrong."""

    started: float
    seconds: float
    seconds_with_pictures: float
    problem: str | None = None


@dataclass
class Load:
    """What the visitors saw.

    Attributes:
        answers: all of them.
        errors: what went wrong in words, however often.
        upload_seconds: of every upload.
        rss_bytes: of the app and its processes, twice a second: (seconds since the start, bytes).
    """

    answers: list[Answer] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    upload_seconds: list[float] = field(default_factory=list)
    rss_bytes: list[tuple[float, int]] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """What was wrong with answers."""
        return [answer.problem for answer in self.answers if answer.problem]

    def summary(self, seconds: float) -> dict[str, Any]:
        """For people and JSON."""
        answered = sorted(answer.seconds for answer in self.answers)
        whole = sorted(answer.seconds_with_pictures for answer in self.answers)
        third = seconds / 3
        peaks = [
            max((size for when, size in self.rss_bytes if third * part <= when < third * (part + 1)), default=0)
            for part in range(3)
        ]
        return {
            "answers": len(answered),
            "errors": len(self.errors),
            "wrong_answers": len(self.wrong),
            "answers_a_second": round(len(answered) / seconds, 2),
            "compare_s": {
                "p50": percentile(answered, 50),
                "p95": percentile(answered, 95),
                "most": percentile(answered, 100),
            },
            "with_pictures_s": {"p50": percentile(whole, 50), "p95": percentile(whole, 95)},
            "upload_s": {
                "p50": percentile(sorted(self.upload_seconds), 50),
                "p95": percentile(sorted(self.upload_seconds), 95),
            },
            "peak_rss_mb": {
                name: round(peak / 2**20) for name, peak in zip(("start", "middle", "end"), peaks, strict=True)
            },
            "first_problems": [*self.errors, *self.wrong][:5],
        }


def percentile(ascending: list[float], share: int) -> float | None:
    """Nearest rank; None of nothing."""
    if not ascending:
        return None
    return round(ascending[min(len(ascending) - 1, int(share / 100 * len(ascending)))], 3)


def questions(seed: int, count: int, keys: Sequence[str]) -> list[Question]:
    """Different pictures, classes, methods and treatments."""
    generator = random.Random(seed)
    return [
        Question(
            generator.choice(keys), generator.choice(CLASSES), generator.choice(METHODS), generator.choice(TREATMENTS)
        )
        for _ in range(count)
    ]


async def loaded(
    url: str, resident: Callable[[], int], pictures: Mapping[str, Path], visitors: int, seconds: float, *,
    pause_s: float = 0.0, seed: int = 0, different: int = 60,
) -> Load:  # fmt: skip
    """So many visitors for so long, after a single one has asked every question.

    Args:
        url: of the app.
        resident: bytes of memory that the app takes now.
        pictures: what is asked about, by name.
        visitors: how many at a time.
        seconds: how long they go on starting questions.
        pause_s: what a visitor waits between two questions.
        seed: of the questions.
        different: how many different questions there are.
    """
    load, different_questions = Load(), questions(seed, different, sorted(pictures))
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as single:
        expected: dict[Question, Parts] = {}
        for question in different_questions:
            file = await _upload(single, pictures[question.picture], b"", load)
            expected[question] = await _parts(single, await _ask(single, file, question))
    load.upload_seconds.clear()
    start = time.monotonic()
    watching = asyncio.create_task(_watch(resident, load, start))
    await asyncio.gather(
        *(_visit(url, number, start + seconds, pause_s, pictures, expected, load, start) for number in range(visitors))
    )
    watching.cancel()
    return load


async def _visit(
    url: str, number: int, until: float, pause_s: float, pictures: Mapping[str, Path],
    expected: dict[Question, Parts], load: Load, start: float,
) -> None:  # fmt: skip
    generator, every_question = random.Random(number), list(expected)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
        while time.monotonic() < until:
            key = generator.choice(every_question).picture
            try:
                file = await _upload(client, pictures[key], generator.randbytes(8), load)
                for question in generator.sample(
                    [q for q in every_question if q.picture == key] * 3, QUESTIONS_A_PICTURE
                ):
                    if time.monotonic() < until:
                        load.answers.append(await _answer(client, file, question, expected[question], start))
                        await asyncio.sleep(pause_s)
            except (httpx.HTTPError, OSError, KeyError, ValueError) as error:
                load.errors.append(f"{type(error).__name__}: {error}"[:200])
                await asyncio.sleep(0.2)


async def _answer(client: httpx.AsyncClient, file: Any, question: Question, expected: Parts, start: float) -> Answer:
    begun = time.monotonic()
    values = await _ask(client, file, question)
    there = time.monotonic()
    parts = await _parts(client, values)
    wrong = ", ".join(name for name in expected if not _same(parts.get(name, b""), expected[name]))
    problem = f"after {begun - start:.1f} s: other {wrong} to {question}" if wrong else None
    return Answer(begun - start, there - begun, time.monotonic() - begun, problem)


async def _upload(client: httpx.AsyncClient, picture: Path, tail: bytes, load: Load) -> dict[str, Any]:
    """A picture; with other bytes behind it, which no decoder reads, one that the app does not know."""
    content = picture.read_bytes() + tail
    begun = time.monotonic()
    response = await client.post("/gradio_api/upload", files={"files": (picture.name, content)})
    response.raise_for_status()
    load.upload_seconds.append(time.monotonic() - begun)
    return {"path": response.json()[0], "meta": {"_type": "gradio.FileData"}}


async def _ask(client: httpx.AsyncClient, file: dict[str, Any], question: Question) -> list[Any]:
    values = [file, DEFAULT_CHECKPOINT, question.class_name, question.method, question.weights]
    response = await client.post("/gradio_api/call/compare", json={"data": values})
    response.raise_for_status()
    stream = await client.get(f"/gradio_api/call/compare/{response.json()['event_id']}")
    kind, content = stream.text.strip().split("\n\n")[-1].split("\n", 1)
    if kind != "event: complete":
        raise ValueError(f"refused: {content[:150]}")
    return json.loads(content.removeprefix("data: "))


async def _parts(client: httpx.AsyncClient, answer: list[Any]) -> Parts:
    """All numbers and values of the maps, and the files of the three pictures."""
    *files, numbers = answer
    parts = {"numbers": json.dumps(numbers, sort_keys=True).encode()}
    for number, file in enumerate(files):
        response = await client.get(f"/gradio_api/file={file['path']}")
        response.raise_for_status()
        parts[f"picture {number}"] = response.content
    return parts


def _same(part: bytes, expected: bytes) -> bool:
    """Byte for byte, or pixel for pixel: two files of one picture need not be packed alike (`png.py`)."""
    return part == expected or (_is_png(part) and _is_png(expected) and _pixels(part) == _pixels(expected))


def _is_png(part: bytes) -> bool:
    return part.startswith(b"\x89PNG")


def _pixels(file: bytes) -> tuple[str, tuple[int, int], bytes]:
    picture = Image.open(io.BytesIO(file))
    return picture.mode, picture.size, picture.tobytes()


async def _watch(resident: Callable[[], int], load: Load, start: float) -> None:
    while True:
        load.rss_bytes.append((time.monotonic() - start, resident()))
        await asyncio.sleep(0.5)
