"""The running app over HTTP: what a visitor waits for at `/compare`, where the time goes, and what memory it takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from bsig.cli.bench.served import Served, Visitor, resident_mb, served
from bsig.inputs.images import read_image
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.backbones import classifier_from_timm
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch

OTHER = "resnet50"
"""A model with an encoder of its own; of random weights, which weigh the same and need no network."""
ANSWERS = 40
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
            rounds_of: dict[str, list[dict[str, float]]] = {"never seen": [], "seen before": []}
            for number, path in enumerate(fresh[3:]):
                tell(f"/compare, round {number + 1} of {rounds}")
                for kind in rounds_of:
                    rounds_of[kind].append(_answer_parts(visitor, app, path))
            peak = resident_mb(app.process_id, peak=True)
    return {
        "cold_start_s": {"page answers": round(listening, 2), "first /compare answered": round(first, 2)},
        **{kind: _summary(rows) for kind, rows in rounds_of.items()},
        "drawing_and_png_against_encode": _drawing_against_encode(rounds_of["never seen"]),
        "peak_resident_mb": peak,
    }


def cropped_variants(pictures: Sequence[Path], count: int, folder: Path) -> list[Path]:
    """JPEG files of `count` pictures that the app has never seen, each an example cut a little differently."""
    files = []
    for number in range(count):
        picture = read_image(pictures[number % len(pictures)])
        cut = 1 + number // len(pictures)
        path = folder / f"{number}.jpg"
        picture.crop((cut, cut, picture.width, picture.height)).save(path, "JPEG", quality=90)
        files.append(path)
    return files


def _answer_parts(visitor: Visitor, app: Served, picture: Path) -> dict[str, float]:
    """Milliseconds of one answer, its pictures fetched, as the visitor counts them, by part as the app's log says."""
    before = len(app.lines)
    started = time.perf_counter()
    visitor.compare(picture, DEFAULT_CHECKPOINT)
    total = 1000 * (time.perf_counter() - started)
    deadline = time.monotonic() + LOG_COMES_WITHIN_S
    while not (entry := _compare_entry(app.lines[before:])) and time.monotonic() < deadline:
        time.sleep(0.005)
    parts = {name: float(entry.get("parts_ms", {}).get(name, 0.0)) for name in PARTS}
    inside = float(entry.get("ms", 0.0))
    rest = {"server, rest": inside - sum(parts.values()), "upload, queue, transfer": total - inside}
    return {"total": total, **parts, **rest}


def _compare_entry(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The first entry of `/compare` in the app's log; empty where there is none yet."""
    return next((line for line in lines if line["endpoint"] == "compare"), {})


def _summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    totals = sorted(row["total"] for row in rows)
    return {
        "median_ms": {name: round(value, 2) for name, value in medians.items()},
        "p95_ms": round(totals[min(len(totals) - 1, int(0.95 * len(totals)))], 1),
        "rounds": len(rows),
    }


def _drawing_against_encode(rows: list[dict[str, float]]) -> float:
    """The median over the answers of drawing and PNG against the model's run in the same answer."""
    return round(statistics.median((row["drawing"] + row["png"]) / row["encode"] for row in rows), 2)


def memory_results(picture: Path, tell: Tell) -> dict[str, Any]:
    """MB resident: with the default model, after answers, with checkpoints that share its encoder, with another."""
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as name:
        folder = Path(name)
        shipped = [path for path in CHECKPOINTS_FOLDER.iterdir() if (path / "checkpoint.json").is_file()]
        for path in shipped:
            (folder / path.name).symlink_to(path)
        tell(f"a {OTHER} of random weights")
        save_checkpoint(DualBranch(classifier_from_timm(OTHER, pretrained=False)), folder / OTHER)
        sharing = sorted(path.name for path in shipped if path.name != DEFAULT_CHECKPOINT)
        steps = [("default model", [DEFAULT_CHECKPOINT]), (f"{ANSWERS} answers later", [DEFAULT_CHECKPOINT] * ANSWERS)]
        steps += [(f"and {key}, same encoder", [key]) for key in sharing] + [(f"and {OTHER}", [OTHER])]
        resident: dict[str, Any] = {"torch alone, imported": _resident_mb_of_torch_alone()}
        arguments = ("--checkpoints", str(folder), "--models", str(len(shipped) + 1))
        with served(*arguments) as app, closing(Visitor(app.url)) as visitor:
            app.wait_until_ready()
            resident["page answers, default model loaded"] = resident_mb(app.process_id)
            for title, checkpoints in steps:
                tell(f"memory: {title}")
                for checkpoint in checkpoints:
                    visitor.compare(picture, checkpoint, "", "")
                resident[title] = resident_mb(app.process_id)
            resident["peak"] = resident_mb(app.process_id, peak=True)
    return {"resident_mb": resident}


def _resident_mb_of_torch_alone() -> float | None:
    """MB resident of a process that has done nothing but import torch."""
    code = (
        "import torch; print(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return round(int(process.stdout) * 1024 / 1e6, 1) if process.stdout.strip().isdigit() else None
