"""What grows with what: classes, cells of the grid, pixels of the picture and of the input, pictures in a run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from bsig.cli.bench.compare import ready_input
from bsig.cli.bench.learning import labelled_pictures
from bsig.cli.bench.rounds import PICTURE, Acts, Bench, alternating
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing, crop_image, read_image
from bsig.inputs.paths import IMPORT_FOLDER
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead, with_classes

CLASSES = (10, 100, 1000, 5000, 20_000)
GRIDS = (7, 14, 28, 56)
GRID_METHODS = ("cam", "grad-cam++", "hires-cam", "ablation-cam", "eigen-cam")
INPUT_SIDES = (224, 448, 896)
MEGAPIXELS = (0.05, 0.2, 1.0, 4.0, 12.0, 48.0)
RUN_PICTURES = (250, 500, 1000)


def classes_results(bench: Bench) -> dict[str, Any]:
    """One picture's three maps, encoded and from the stored encoding, for heads of more and more classes."""
    model, picture = bench.model, read_image(PICTURE)
    ready = ready_input(picture, model.preprocessing)
    rows = []
    for count in CLASSES:
        explainer = Explainer(with_random_classes(model, count))
        acts: Acts = {
            "encoder": partial(model.features, ready),
            "whole": partial(_explain_whole, explainer, picture),
            "stored": partial(explainer.encode(picture).explain, 1, "cam"),
        }
        times = alternating(acts, bench.rounds, bench.tell, title=f"{count} classes: ")
        rows.append(
            {
                "classes": count,
                "whole_against_encoder": times["whole"].ratio_to(times["encoder"]),
                "whole_ms": times["whole"].median_ms(),
                "stored_ms": times["stored"].median_ms(3),
            }
        )
    return {"rows": rows}


def grid_results(bench: Bench) -> dict[str, Any]:
    """Milliseconds of three maps from stored features of finer and finer grids, by method."""
    model, generator = bench.model, torch.Generator().manual_seed(0)
    width, crop = model.softmax_head.last_linear.in_features, Image.new("RGB", (224, 224))
    rows = []
    for side in GRIDS:
        features = torch.rand(1, width, side, side, generator=generator)
        with torch.no_grad():
            logits = model.softmax_logits(features)[0], model.sigmoid_logits(features)[0]
        encoded = EncodedImage(model, crop, model.preprocessing, features, *logits)
        acts: Acts = {method: partial(encoded.explain, 1, method) for method in GRID_METHODS}
        times = alternating(acts, max(1, bench.rounds // 3), bench.tell, title=f"{side} x {side} cells: ")
        rows.append({"side": side, **{name: seconds.median_ms() for name, seconds in times.items()}})
    return {"rows": rows, "unit": "ms"}


def input_results(bench: Bench) -> dict[str, Any]:
    """Encoding and explaining with larger inputs, against the encoder alone on the same input."""
    model, picture = bench.model, read_image(PICTURE).resize((1000, 1000))
    rows = []
    for side in INPUT_SIDES:
        resize_to = side * model.preprocessing.resize_to // 224
        preprocessing = replace(model.preprocessing, input_size_hw=(side, side), resize_to=resize_to)
        larger = DualBranch(model.classifier(preprocessing=preprocessing), model.sigmoid_head)
        acts: Acts = {
            "encoder": partial(model.features, ready_input(picture, preprocessing)),
            "whole": partial(_explain_whole, Explainer(larger), picture),
        }
        times = alternating(acts, max(1, bench.rounds // 3), bench.tell, title=f"input {side}: ")
        ratio = times["whole"].ratio_to(times["encoder"])
        rows.append({"side": side, "whole_ms": times["whole"].median_ms(), "whole_against_encoder": ratio})
    return {"rows": rows}


def picture_results(bench: Bench) -> dict[str, Any]:
    """Opening, decoding and cropping JPEG files of more and more pixels, against the encoder."""
    model, picture = bench.model, read_image(PICTURE)
    ready = ready_input(picture, model.preprocessing)
    rows = []
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as folder:
        for megapixels in MEGAPIXELS:
            side = int((megapixels * 1e6) ** 0.5)
            path = Path(folder) / f"{side}.jpg"
            picture.resize((side, side), Image.Resampling.BICUBIC).save(path, "JPEG", quality=90)
            decode = partial(_decode, path, model.preprocessing)
            acts: Acts = {"encoder": partial(model.features, ready), "decode": decode}
            rounds, title = max(2, bench.rounds // 2), f"{megapixels} megapixels: "
            times = alternating(acts, rounds, bench.tell, title=title, warm_up=1)
            ratio = times["decode"].ratio_to(times["encoder"], 2)
            rows.append(
                {"megapixels": megapixels, "decode_ms": times["decode"].median_ms(), "decode_against_encoder": ratio}
            )
    return {"rows": rows}


def _explain_whole(explainer: Explainer, picture: Image.Image) -> None:
    explainer.encode(picture).explain(1, "cam")


def _decode(path: Path, preprocessing: Preprocessing) -> None:
    crop_image(read_image(path), preprocessing)


def run_results(bench: Bench) -> dict[str, Any]:
    """Peak resident memory and seconds of `python -m bsig finetune` over more and more pictures."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        labelled_pictures(RUN_PICTURES[-1], folder / "data")
        files = sorted((folder / "data").rglob("*.jpg"), key=lambda path: int(path.stem))
        for count in reversed(RUN_PICTURES):
            for path in files[count:]:
                path.unlink(missing_ok=True)
            bench.tell(f"a run over {count} pictures")
            shutil.rmtree(folder / "out", ignore_errors=True)
            peak, seconds = _peak_of_run(folder / "data", folder / "out")
            rows.append({"pictures": count, "peak_resident_mb": peak, "processor_s": seconds})
    return {"rows": rows[::-1]}


def with_random_classes(model: DualBranch, count: int) -> DualBranch:
    """The model with heads of so many classes, of random weights."""
    generator = torch.Generator().manual_seed(count)

    def head(like: ClassificationHead) -> ClassificationHead:
        wide = with_classes(like, count)
        nn.init.normal_(wide.last_linear.weight, std=0.05, generator=generator)
        return wide

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
    process = subprocess.Popen(
        command, cwd=IMPORT_FOLDER, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "BSIG_CACHE": str(out / "cache")},
    )  # fmt: skip
    if not hasattr(os, "wait4"):
        process.wait()
        return None, None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise InputError(f"a fine-tune ended with code {process.returncode}; run `bsig finetune` by hand to see why.")
    unit = 1 if sys.platform == "darwin" else 1024
    return round(usage.ru_maxrss * unit / 1e6, 1), round(usage.ru_utime + usage.ru_stime, 1)
