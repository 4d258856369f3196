"""Many pictures: `encode_many` and `explain FOLDER` against the best rate of the bare encoder."""

from __future__ import annotations

import contextlib
import io
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bsig.cli.bench.compare import HAS_ONNX, with_engine
from bsig.cli.bench.learning import labelled_pictures
from bsig.cli.bench.rounds import Acts, Bench, alternating, resident_peak_mb
from bsig.explain.explainer import ENCODE_BATCH, Explainer
from bsig.model.dual_branch import DualBranch

PICTURES = 256
BARE, MANY, FOLDER = "bare encoder, batches of {}", "encode_many, decoding included", "explain FOLDER, files written"


def batches_results(bench: Bench) -> dict[str, Any]:
    """Pictures a second of JPEG files of 224 x 224, and the peak of memory after them."""
    count, rounds = (32, 1) if bench.is_quick else (PICTURES, max(1, bench.rounds // 5))
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        paths = [sample.path for sample in labelled_pictures(count, folder / "data").samples if sample.path]
        models = {"": bench.model, **({", onnxruntime": with_engine(bench.model, "onnxruntime")} if HAS_ONNX else {})}
        acts: dict[str, Any] = {}
        for suffix, model in models.items():
            ready = torch.rand(ENCODE_BATCH, 3, *model.preprocessing.input_size_hw)
            last = ready.contiguous(memory_format=torch.channels_last)
            acts[BARE.format(ENCODE_BATCH) + suffix] = partial(_bare, model, last, count)
            acts[MANY + suffix] = partial(_encode_many, model, paths)
        times = alternating(acts, rounds, bench.tell, warm_up=1)
        folder_acts: Acts = {FOLDER: partial(_explain_folder, folder / "data", folder / "out")}
        times |= alternating(folder_acts, 1, bench.tell, warm_up=0)
    rates = {name: round(count / seconds.median, 1) for name, seconds in times.items()}
    return {
        "pictures": count,
        "pictures_per_second": rates,
        "encode_many_against_bare_encoder": round(rates[MANY] / rates[BARE.format(ENCODE_BATCH)], 3),
        "peak_resident_mb": resident_peak_mb(),
    }


def _bare(model: DualBranch, inputs: torch.Tensor, count: int) -> None:
    for _ in range(count // len(inputs)):
        model.fast_features(inputs)


def _encode_many(model: DualBranch, paths: list[Path]) -> None:
    for _ in Explainer(model).encode_many(paths):
        pass


def _explain_folder(data: Path, out: Path) -> None:
    from bsig.cli.main import main

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        main(["explain", str(data), "--out", str(out)])
