"""The running app over HTTP: what a visitor waits for at `/compare`, where the time goes, and what memory it takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bsig.cli.bench.compare import ready_input, whole_networks
from bsig.cli.bench.load import load_of_visitors
from bsig.cli.bench.rounds import PICTURE, Bench, examples
from bsig.cli.bench.served import Served, Visitor, served, status_mb
from bsig.inputs.errors import InputError
from bsig.inputs.images import read_image
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.backbones import classifier_from_timm
from bsig.model.checkpoints.listing import list_checkpoints
from bsig.model.checkpoints.names import DEFAULT_BACKBONE, DEFAULT_CHECKPOINT
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch

OTHER = "resnet50"
"""A model with an encoder of its own; of random weights, which weigh the same and need no network."""
ANSWERS = 40
VISITORS = (1, 4, 16, 32)
PARTS = ("decode", "encode", "maps", "drawing", "png")
LOG_COMES_WITHIN_S = 10.0


def page_results(bench: Bench) -> dict[str, Any]:
    """Cold start, warm answers to pictures never seen and seen before, and their parts."""
    rounds, pictures = 2 * bench.rounds, examples()
    network, forwards = whole_networks(bench.model)["softmax"], list[float]()
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as folder:
        fresh = cropped_variants(pictures, rounds + 3, Path(folder))
        bench.tell("cold start")
        start = time.perf_counter()
        with served() as app, closing(Visitor(app.url)) as visitor:
            ready = time.perf_counter() - start
            visitor.compare(pictures[0])
            first = time.perf_counter() - start
            for path in fresh[:3]:
                visitor.compare(path)
            rows: dict[str, list[dict[str, float]]] = {"never seen": [], "seen before": []}
            for number, path in enumerate(fresh[3:], start=1):
                bench.tell(f"/compare, round {number} of {rounds}")
                for kind in rows:
                    rows[kind].append(_answer_parts(visitor, app, path))
                forwards.append(_forward_ms(network, ready_input(read_image(path), bench.model.preprocessing)))
            peak = app.resident_mb(peak=True)
    forward = statistics.median(forwards)
    ratios = [(row["drawing"] + row["png"]) / row["encode"] for row in rows["never seen"]]
    return {
        "cold_start_s": {"model is loaded": round(ready, 2), "first /compare answered": round(first, 2)},
        **{kind: _summary(answers) for kind, answers in rows.items()},
        "bare_forward_on_one_core_ms": round(forward, 2),
        "against_bare_forward_on_one_core": {
            kind: round(statistics.median(row["total"] for row in answers) / forward, 2)
            for kind, answers in rows.items()
        },
        "drawing_and_png_against_encode": round(statistics.median(ratios), 2),
        "peak_resident_mb": peak,
    }


def cropped_variants(pictures: Sequence[Path], count: int, folder: Path) -> list[Path]:
    """JPEG files of `count` pictures that the app has never seen, each an example cut a little differently."""
    files = [folder / f"{number}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        repetition, which = divmod(number, len(pictures))
        picture, cut = read_image(pictures[which]), 1 + repetition
        picture.crop((cut, cut, picture.width, picture.height)).save(file, "JPEG", quality=90)
    return files


def _answer_parts(visitor: Visitor, app: Served, picture: Path) -> dict[str, float]:
    """Milliseconds of one answer, its pictures fetched, as the visitor counts them, by part as the app's log says."""
    before, start = len(app.requests()), time.perf_counter()
    visitor.compare(picture)
    total = 1000 * (time.perf_counter() - start)
    deadline = time.monotonic() + LOG_COMES_WITHIN_S
    while not (entries := [line for line in app.requests()[before:] if line["endpoint"] == "compare"]):
        if time.monotonic() > deadline:
            raise InputError("the app's log must hold a line for each answer; this is a defect of bsig.")
        time.sleep(0.005)
    parts = {name: float(entries[0]["parts_ms"].get(name, 0.0)) for name in PARTS}
    inside = float(entries[0]["ms"])
    rest = {"server, rest": inside - sum(parts.values()), "upload, queue, transfer": total - inside}
    return {"total": total, **parts, **rest}


def _forward_ms(network: nn.Module, inputs: Tensor) -> float:
    """Milliseconds of a bare forward pass on one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            start = time.perf_counter()
            network(inputs)
            return 1000 * (time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)


def _summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    totals = sorted(row["total"] for row in rows)
    return {
        "median_ms": {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]},
        "p95_ms": round(totals[min(len(totals) - 1, int(0.95 * len(totals)))], 1),
        "rounds": len(rows),
    }


def visitors_results(bench: Bench) -> dict[str, Any]:
    """Answers of `/compare` a second and how long each takes, by how many visitors ask without a pause.

    Every answer is compared with the one that a single visitor got.
    """
    rows = []
    seconds = float(min(bench.rounds, 15))
    pictures = {path.stem: path for path in examples()}
    with served() as app:
        for count in VISITORS:
            bench.tell(f"{count} visitors for {seconds:.0f} s")
            load = load_of_visitors(app.url, app.resident_bytes, pictures, count, seconds).summary(seconds)
            rows.append(
                {
                    "visitors": count,
                    "answers_a_second": load["answers_a_second"],
                    "p50_ms": load["compare_s"]["p50"] and round(1000 * load["compare_s"]["p50"]),
                    "p95_ms": load["compare_s"]["p95"] and round(1000 * load["compare_s"]["p95"]),
                    "errors": load["errors"],
                    "wrong_answers": load["wrong_answers"],
                    "peak_resident_mb": load["peak_rss_mb"]["end"],
                }
            )
    return {"rows": rows, "seconds_each": seconds}


def memory_results(bench: Bench) -> dict[str, Any]:
    """MB resident: with the default model, after answers, with checkpoints that share its encoder, with another."""
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as name:
        folder = Path(name)
        names = [row["name"] for row in list_checkpoints() if row["backbone"] == DEFAULT_BACKBONE]
        for key in names:
            (folder / key).symlink_to(CHECKPOINTS_FOLDER / key)
        bench.tell(f"a {OTHER} of random weights")
        save_checkpoint(DualBranch(classifier_from_timm(OTHER, pretrained=False)), folder / OTHER)
        sharing = sorted(key for key in names if key != DEFAULT_CHECKPOINT)
        steps = [("default model", DEFAULT_CHECKPOINT, 1), (f"{ANSWERS} answers later", DEFAULT_CHECKPOINT, ANSWERS)]
        steps += [(f"and {key}, same encoder", key, 1) for key in sharing] + [(f"and {OTHER}", OTHER, 1)]
        resident: dict[str, Any] = {"torch alone, imported": _resident_mb_of_torch_alone()}
        arguments = ("--checkpoints", str(folder), "--models", str(len(names) + 1))
        with served(*arguments) as app, closing(Visitor(app.url)) as visitor:
            resident["page answers, default model loaded"] = app.resident_mb()
            for title, checkpoint, answers in steps:
                bench.tell(f"memory: {title}")
                for _ in range(answers):
                    visitor.compare(PICTURE, checkpoint=checkpoint, class_name="", method="")
                resident[title] = app.resident_mb()
            resident["peak"] = app.resident_mb(peak=True)
    return {"resident_mb": resident}


def _resident_mb_of_torch_alone() -> float | None:
    """MB resident of a process that has done nothing but import torch."""
    code = "import torch; print(open('/proc/self/status').read())"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return status_mb(process.stdout, "VmRSS")
