"""What a visitor waits for: `/compare` of the running app over HTTP, and where its time goes."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from bsig.cli.bench.served import Served, resident_mb, served
from bsig.cli.bench.visitor import Visitor
from bsig.inputs.images import read_image
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT

PARTS = ("decode", "encode", "maps", "drawing", "png")
LOG_COMES_WITHIN_S = 2.0
Tell = Callable[[str], None]


def page_results(pictures: Sequence[Path], rounds: int, tell: Tell) -> dict[str, Any]:
    """Cold start, warm answers to pictures never seen and seen before, and their parts."""
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as folder:
        fresh = cropped_variants(pictures, rounds + 3, Path(folder))
        tell("cold start")
        started = time.perf_counter()
        with served() as app, closing(Visitor(app.url)) as visitor:
            app.wait_until_ready()
            listening = time.perf_counter() - started
            visitor.compare(pictures[0], DEFAULT_CHECKPOINT)
            first = time.perf_counter() - started
            for path in fresh[:3]:
                visitor.compare(path, DEFAULT_CHECKPOINT)
            found: dict[str, list[dict[str, float]]] = {"never seen": [], "seen before": []}
            for number, path in enumerate(fresh[3:]):
                tell(f"/compare, round {number + 1} of {rounds}")
                for kind in found:
                    found[kind].append(_asked(visitor, app, path))
            peak = resident_mb(app.process_id, peak=True)
    return {
        "cold_start_s": {"page answers": round(listening, 2), "first /compare answered": round(first, 2)},
        **{kind: _parts(rows) for kind, rows in found.items()},
        "drawing_and_png_against_encode": _drawn_against_encode(found["never seen"]),
        "peak_resident_mb": peak,
    }


def cropped_variants(pictures: Sequence[Path], count: int, folder: Path) -> list[Path]:
    """So many pictures that nobody has seen, each an example cut a little differently, as JPEG."""
    made = []
    for number in range(count):
        picture = read_image(pictures[number % len(pictures)])
        cut = 1 + number // len(pictures)
        path = folder / f"{number}.jpg"
        picture.crop((cut, cut, picture.width, picture.height)).save(path, "JPEG", quality=90)
        made.append(path)
    return made


def _asked(visitor: Visitor, app: Served, picture: Path) -> dict[str, float]:
    """Milliseconds of one answer, its pictures fetched, as the visitor counts them, by part as the app's log says."""
    before = len(app.lines)
    started = time.perf_counter()
    visitor.compare(picture, DEFAULT_CHECKPOINT)
    total = 1000 * (time.perf_counter() - started)
    deadline = time.monotonic() + LOG_COMES_WITHIN_S
    while not (said := _said(app.lines[before:])) and time.monotonic() < deadline:
        time.sleep(0.005)
    parts = {name: float(said.get("parts_ms", {}).get(name, 0.0)) for name in PARTS}
    inside = float(said.get("ms", 0.0))
    rest = {"server, rest": inside - sum(parts.values()), "upload, queue, transfer": total - inside}
    return {"total": total, **parts, **rest}


def _said(lines: list[dict[str, Any]]) -> dict[str, Any]:
    return next((line for line in lines if line["endpoint"] == "compare"), {})


def _parts(rows: list[dict[str, float]]) -> dict[str, Any]:
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    totals = sorted(row["total"] for row in rows)
    return {
        "median_ms": {name: round(value, 2) for name, value in medians.items()},
        "p95_ms": round(totals[min(len(totals) - 1, int(0.95 * len(totals)))], 1),
        "rounds": len(rows),
    }


def _drawn_against_encode(rows: list[dict[str, float]]) -> float:
    """Of the same answers: the pictures' drawing and PNG against the model's run over the picture."""
    return round(statistics.median((row["drawing"] + row["png"]) / row["encode"] for row in rows), 2)
