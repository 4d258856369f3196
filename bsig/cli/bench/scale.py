"""What grows with what: classes, cells of the grid, pixels of the picture and of the input, pictures in a run."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from bsig.cli.bench.learning import labelled_pictures
from bsig.cli.bench.load import loaded
from bsig.cli.bench.rounds import alternating
from bsig.cli.bench.served import resident_mb, served
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing, crop_image, input_tensor, read_image
from bsig.inputs.paths import ROOT
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead, with_classes

CLASSES = (10, 100, 1000, 5000, 20_000)
GRIDS = (7, 14, 28, 56)
GRID_METHODS = ("cam", "grad-cam++", "hires-cam", "ablation-cam", "eigen-cam")
INPUT_SIDES = (224, 448, 896)
MEGAPIXELS = (0.05, 0.2, 1.0, 4.0, 12.0, 48.0)
VISITORS = (1, 2, 4, 8, 16, 32)
RUN_PICTURES = (250, 500, 1000, 2000)

Tell = Callable[[str], None]
Acts = dict[str, Callable[[], Any]]


def classes_results(model: DualBranch, picture: Path, rounds: int, tell: Tell) -> dict[str, Any]:
    """One picture's three maps, encoded and from the stored encoding, for heads of more and more classes."""
    decoded = read_image(picture)
    ready = input_tensor(crop_image(decoded, model.preprocessing), model.preprocessing)
    rows = []
    for count in CLASSES:
        explainer = Explainer(with_random_classes(model, count))
        acts: Acts = {
            "encoder": partial(model.features, ready),
            "whole": partial(_whole, explainer, decoded),
            "stored": partial(explainer.encode(decoded).explain, 1, "cam"),
        }
        times = alternating(acts, rounds, tell=partial(_tell_of, tell, f"{count} classes"))
        rows.append(
            {
                "classes": count,
                "whole_against_encoder": round(times["whole"].median / times["encoder"].median, 3),
                "whole_ms": round(1000 * times["whole"].median, 2),
                "stored_ms": round(1000 * times["stored"].median, 3),
            }
        )
    return {"rows": rows}


def grid_results(model: DualBranch, rounds: int, tell: Tell) -> dict[str, Any]:
    """Milliseconds of three maps from stored features of finer and finer grids, by method."""
    generator = torch.Generator().manual_seed(0)
    width, crop = model.softmax_head.last_linear.in_features, Image.new("RGB", (224, 224))
    rows = []
    for side in GRIDS:
        features = torch.rand(1, width, side, side, generator=generator)
        with torch.no_grad():
            logits = model.softmax_logits(features)[0], model.sigmoid_logits(features)[0]
        encoded = EncodedImage(model, crop, model.preprocessing, features, *logits)
        acts: Acts = {method: partial(encoded.explain, 1, method) for method in GRID_METHODS}
        times = alternating(acts, rounds, tell=partial(_tell_of, tell, f"{side} x {side} cells"))
        rows.append({"side": side, **{name: round(1000 * found.median, 2) for name, found in times.items()}})
    return {"rows": rows, "unit": "ms"}


def input_results(model: DualBranch, picture: Path, rounds: int, tell: Tell) -> dict[str, Any]:
    """Encoding and explaining with larger inputs, against the encoder alone on the same input."""
    decoded = read_image(picture).resize((1000, 1000))
    rows = []
    for side in INPUT_SIDES:
        preprocessing = replace(
            model.preprocessing, input_size_hw=(side, side), resize_to=side * model.preprocessing.resize_to // 224
        )
        larger = DualBranch(model.classifier(preprocessing=preprocessing), model.sigmoid_head)
        ready = input_tensor(crop_image(decoded, preprocessing), preprocessing)
        acts: Acts = {
            "encoder": partial(model.features, ready),
            "whole": partial(_whole, Explainer(larger), decoded),
        }
        times = alternating(acts, rounds, tell=partial(_tell_of, tell, f"input {side}"))
        rows.append(
            {
                "side": side,
                "whole_ms": round(1000 * times["whole"].median, 2),
                "whole_against_encoder": round(times["whole"].median / times["encoder"].median, 3),
            }
        )
    return {"rows": rows}


def picture_results(model: DualBranch, picture: Path, rounds: int, tell: Tell) -> dict[str, Any]:
    """Opening, decoding and cropping JPEG files of more and more pixels, against the encoder."""
    decoded = read_image(picture)
    ready = input_tensor(crop_image(decoded, model.preprocessing), model.preprocessing)
    rows = []
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as folder:
        for megapixels in MEGAPIXELS:
            side = int((megapixels * 1e6) ** 0.5)
            path = Path(folder) / f"{side}.jpg"
            decoded.resize((side, side), Image.Resampling.BICUBIC).save(path, "JPEG", quality=90)
            acts: Acts = {
                "encoder": partial(model.features, ready),
                "decode": partial(_cropped, path, model.preprocessing),
            }
            told = partial(_tell_of, tell, f"{megapixels} megapixels")
            times = alternating(acts, max(2, rounds // 2), warm_up=1, tell=told)
            rows.append(
                {
                    "megapixels": megapixels,
                    "decode_ms": round(1000 * times["decode"].median, 2),
                    "decode_against_encoder": round(times["decode"].median / times["encoder"].median, 2),
                }
            )
    return {"rows": rows}


def _whole(explainer: Explainer, decoded: Image.Image) -> None:
    explainer.encode(decoded).explain(1, "cam")


def _cropped(path: Path, preprocessing: Preprocessing) -> Image.Image:
    return crop_image(read_image(path), preprocessing)


def _tell_of(tell: Tell, what: str, text: str) -> None:
    tell(f"{what}: {text}")


def run_results(examples: Sequence[Path], tell: Tell) -> dict[str, Any]:
    """Peak resident memory and seconds of `python -m bsig finetune` over more and more pictures."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        labelled_pictures(examples, RUN_PICTURES[-1], folder / "data", (224, 224))
        files = sorted((folder / "data").rglob("*.jpg"), key=lambda path: int(path.stem))
        for count in reversed(RUN_PICTURES):
            for path in files[count:]:
                path.unlink(missing_ok=True)
            tell(f"a run over {count} pictures")
            shutil.rmtree(folder / "out", ignore_errors=True)
            peak, seconds = _peak_of_run(folder / "data", folder / "out")
            rows.append({"pictures": count, "peak_resident_mb": peak, "processor_s": seconds})
    return {"rows": rows[::-1]}


def visitors_results(pictures: Sequence[Path], seconds: float, tell: Tell) -> dict[str, Any]:
    """Answers of `/compare` a second and how long each takes, by how many visitors ask without a pause.

    Every answer is compared with the one that a single visitor got.
    """
    rows = []
    named = {path.stem: path for path in pictures}
    with served() as app:
        app.wait_until_ready()
        for count in VISITORS:
            tell(f"{count} visitors for {seconds:.0f} s")
            found = asyncio.run(loaded(app.url, partial(_resident_bytes, app.process_id), named, count, seconds))
            said = found.summary(seconds)
            rows.append(
                {
                    "visitors": count,
                    "answers_a_second": said["answers_a_second"],
                    "p50_ms": _milliseconds(said["compare_s"]["p50"]),
                    "p95_ms": _milliseconds(said["compare_s"]["p95"]),
                    "errors": said["errors"],
                    "wrong_answers": said["wrong_answers"],
                    "peak_resident_mb": said["peak_rss_mb"]["end"],
                }
            )
    return {"rows": rows, "seconds_each": seconds}


def _resident_bytes(process_id: int) -> int:
    return int(1e6 * (resident_mb(process_id) or 0.0))


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds)


def with_random_classes(model: DualBranch, count: int) -> DualBranch:
    """The model with heads of so many classes, of random weights."""
    generator = torch.Generator().manual_seed(count)

    def head(like: ClassificationHead) -> ClassificationHead:
        made = with_classes(like, count)
        nn.init.normal_(made.last_linear.weight, std=0.05, generator=generator)
        return made

    names = tuple(str(number) for number in range(count))
    classifier = model.classifier(head=head(model.softmax_head), class_names=names, class_ids=names)
    return DualBranch(classifier, head(model.sigmoid_head))


def _peak_of_run(data: Path, out: Path) -> tuple[float | None, float | None]:
    """Peak resident MB and processor seconds of one fine-tune with a new head; its cache is new and its own.

    Raises:
        InputError: the run failed.
    """
    command = [sys.executable, "-m", "bsig", "finetune", str(data), "--out", str(out / "checkpoint"), "--epochs", "3",
               "--fit-softmax-head", "--held-out", "none"]  # fmt: skip
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": paths, "BSIG_CACHE": str(out / "cache")},
    )  # fmt: skip
    if not hasattr(os, "wait4"):
        process.wait()
        return None, None
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise InputError(
            f"the fine-tune of {data.name} ended with code {process.returncode}; run it by hand to see why."
        )
    unit = 1 if sys.platform == "darwin" else 1024
    return round(used.ru_maxrss * unit / 1e6, 1), round(used.ru_utime + used.ru_stime, 1)
