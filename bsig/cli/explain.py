"""`python -m bsig explain`: both branches' maps of one picture, as pictures, arrays and numbers."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from bsig.cli.arguments import add_checkpoint_argument, add_device_argument, written_to
from bsig.cli.progress import ProgressLine
from bsig.explain.diagnostics.catalogue import diagnose
from bsig.explain.drawing.comparison import Drawing, comparison_picture
from bsig.explain.drawing.slide import slide_card
from bsig.explain.explainer import Explainer
from bsig.explain.explanation import Explanation, summary
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.explain.readings import comparison_readings
from bsig.explain.report.page import report_html
from bsig.explain.verdict import finding
from bsig.explain.wording import reading_text
from bsig.inputs.files import whole_file, write_json, write_whole
from bsig.inputs.version import __version__
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.devices import chosen_device
from bsig.model.versions import library_versions


def add_explain_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `explain`."""
    parser.add_argument("image", help="picture file")
    add_checkpoint_argument(parser)
    parser.add_argument("--class", dest="class_name", default=None, help="class name, id or index (default: predicted)")
    parser.add_argument(
        "--method", default=None, help=f"CAM variant: {', '.join(CAM_METHODS)} (default: cam where it is exact)"
    )
    parser.add_argument("--weights", default="signed", help=f"treatment of negative weights: {', '.join(TREATMENTS)}")
    parser.add_argument("--bias", action="store_true", help="add each branch's bias: the logit of each cell alone")
    parser.add_argument("--channels", type=int, default=None, help="Score-CAM: only the strongest so many channels")
    add_device_argument(parser)
    files = (
        "comparison.png, softmax.npy, sigmoid.npy, centred.npy, explanation.json, "
        "report.html (one page, opens offline) and card.png (a slide of 1920 x 1080)"
    )
    parser.add_argument("--out", type=Path, default=Path("explanation"), help=f"folder to write into: {files}")


def run_explain(options: argparse.Namespace) -> None:
    """Explains the picture, writes the files and prints the JSON.

    Raises:
        InputError: the picture, the checkpoint or a setting cannot be used, or the folder cannot be written.
    """
    model = load_checkpoint(options.checkpoint, chosen_device(options.device), options.checkpoints)
    is_slow = options.method in CAM_METHODS and CAM_METHODS[options.method].is_slow
    start = time.perf_counter()
    encoded = Explainer(model).encode(options.image)
    explanation = encoded.explain(
        options.class_name,
        options.method,
        options.weights,
        with_bias=options.bias,
        score_cam_channels=options.channels,
        progress=ProgressLine("channels") if is_slow else None,
        **comparison_readings(model, options.method, options.weights),
    )
    numbers = {
        **summary(explanation),
        "finding": finding(explanation),
        "diagnostics": diagnose(encoded, explanation),
        "treatment": TREATMENTS[options.weights],
        "reading_text": reading_text(explanation),
        "image": str(options.image),
        "checkpoint_sha256": model.metadata.get("tensors_sha256"),
        "seconds": round(time.perf_counter() - start, 3),
        "versions": {"bsig": __version__, **library_versions()},
    }
    report = report_html(encoded, explanation, Drawing(), Path(options.image).name)
    write_explanation(options.out, explanation, numbers, report)
    print(json.dumps(numbers, indent=1, ensure_ascii=False))


def write_explanation(folder: Path, explanation: Explanation, numbers: dict[str, Any], report: str) -> None:
    """Writes the pictures, maps and numbers of an explanation, its report and its slide."""
    pictures = {
        "comparison.png": comparison_picture(explanation),
        "card.png": slide_card(explanation),
    }
    with written_to("--out", folder, "folder"):
        folder.mkdir(parents=True, exist_ok=True)
        for branch in ("softmax", "sigmoid", "centred"):
            with whole_file(folder / f"{branch}.npy") as temporary, temporary.open("wb") as file:
                np.save(file, getattr(explanation, branch).map)
        for name, picture in pictures.items():
            with whole_file(folder / name) as temporary:
                picture.save(temporary, "PNG")
        write_json(folder / "explanation.json", numbers, indent=1)
        write_whole(folder / "report.html", report)
