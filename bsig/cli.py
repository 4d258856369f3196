"""`python -m bsig <command>`: arguments in, the library's answers out.

Exit code 0 on success; 2 on wrong usage or bad input, with one sentence on stderr; 1 on a defect of this project.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from bsig import __version__
from bsig.backbones import DEFAULT_BACKBONE
from bsig.cams import CAM_METHODS, TREATMENTS
from bsig.checkpoints import (
    CHECKPOINTS_FOLDER,
    DEFAULT_CHECKPOINT,
    checkpoint_path,
    library_versions,
    list_checkpoints,
    load_checkpoint,
    record_results,
)
from bsig.comparison import comparison_picture
from bsig.damped_finetune import DampingConfig
from bsig.datasets import SPLITS, read_dataset
from bsig.diagnostics import DIAGNOSTICS, diagnose, diagnostic_input
from bsig.errors import InputError
from bsig.evaluation import evaluate
from bsig.evaluation_table import format_table
from bsig.explain import Explainer, Explanation, finding, summary
from bsig.feature_cache import Views
from bsig.finetune import FinetuneConfig, SoftmaxHeadConfig, chosen_device, finetune
from bsig.flat_finetune import FlatShiftConfig
from bsig.training import Epoch, TrainingConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        chosen.run(chosen)
        sys.stdout.flush()
    except InputError as error:
        print(f"bsig: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bsig: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has gone (`| head`); what is left in the buffer must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        """Exit code 2."""
        self.exit(2, f"bsig: {message}; see {self.prog} --help.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m bsig", description="Softmax and sigmoid CAMs side by side.")
    parser.add_argument("--version", action="version", version=f"bsig {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_explain(commands)
    _add_finetune(commands)
    _add_evaluate(commands)
    _add_checkpoints(commands)
    _command(commands, "diagnostics", _diagnostics, "The table of all diagnostics, as Markdown.")
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.set_defaults(run=run)
    return parser


def _add_checkpoint_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS_FOLDER, help="folder of checkpoint folders")


def _add_explain(commands: Any) -> None:
    parser = _command(commands, "explain", _explain, "Both branches' maps of one picture, as pictures and numbers.")
    parser.add_argument("image", help="picture file")
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, help="name, folder or hf:owner/repo")
    _add_checkpoint_folder(parser)
    parser.add_argument("--class", dest="class_name", default=None, help="class name, id or index (default: predicted)")
    parser.add_argument("--method", default="cam", help=f"CAM variant: {', '.join(CAM_METHODS)}")
    parser.add_argument("--weights", default="signed", help=f"treatment of negative weights: {', '.join(TREATMENTS)}")
    parser.add_argument("--channels", type=int, default=None, help="Score-CAM: only the strongest so many channels")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--out", type=Path, default=Path("explanation"), help="folder to write into")


def _explain(chosen: argparse.Namespace) -> None:
    model = load_checkpoint(chosen.checkpoint, chosen_device(chosen.device), chosen.checkpoints)
    started = time.perf_counter()
    encoded = Explainer(model).encode(chosen.image)
    explanation = encoded.explain(
        chosen.class_name,
        chosen.method,
        chosen.weights,
        score_cam_channels=chosen.channels,
        progress=_progress("channels") if CAM_METHODS.get(chosen.method, CAM_METHODS["cam"]).is_slow else None,
    )
    said = {
        **summary(explanation),
        "finding": finding(explanation),
        "diagnostics": diagnose(diagnostic_input(encoded, explanation)),
        "treatment": TREATMENTS[chosen.weights],
        "image": str(chosen.image),
        "checkpoint_sha256": model.metadata.get("tensors_sha256"),
        "seconds": round(time.perf_counter() - started, 3),
        "versions": {"bsig": __version__, **library_versions()},
    }
    write_explanation(chosen.out, explanation, said)
    print(json.dumps(said, indent=1, ensure_ascii=False))


def write_explanation(folder: Path, explanation: Explanation, said: dict[str, Any]) -> list[Path]:
    """Writes `comparison.png`, three `.npy` maps and `explanation.json`; returns their paths.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        comparison_picture(explanation).save(folder / "comparison.png")
        for branch in ("softmax", "sigmoid", "centred"):
            np.save(folder / f"{branch}.npy", getattr(explanation, branch).map)
        text = json.dumps(said, indent=1, ensure_ascii=False)
        (folder / "explanation.json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"`--out` (='{folder}') cannot be written ({error}); choose another folder.") from error
    return sorted(folder.iterdir())


def _add_finetune(commands: Any) -> None:
    parser = _command(commands, "finetune", _finetune, "Train the sigmoid branch and write a checkpoint folder.")
    training, softmax, views = TrainingConfig(), SoftmaxHeadConfig(), Views()
    parser.add_argument("data", metavar="DATA", help="folder of class folders, index.csv or WSOL, or torchvision:NAME")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--backbone", default=DEFAULT_BACKBONE, help="timm name")
    start.add_argument("--from", dest="start_from", default=None, help="checkpoint whose softmax branch to take")
    _add_checkpoint_folder(parser)
    parser.add_argument("--images", type=Path, default=None, help="where the pictures of a WSOL metadata folder lie")
    parser.add_argument("--split", default="train", choices=SPLITS)
    parser.add_argument("--branch", default=training.branch, help="full (cloned head) or shift (one vector and bias)")
    parser.add_argument("--initialisation", default=training.initialisation, help="clone or fresh")
    parser.add_argument("--epochs", type=int, default=training.epochs)
    parser.add_argument("--learning-rate", type=float, default=training.learning_rate)
    parser.add_argument("--schedule", default=training.schedule, help="cosine or constant")
    parser.add_argument("--batch-size", type=int, default=training.batch_size)
    parser.add_argument("--weight-decay", type=float, default=training.weight_decay)
    parser.add_argument("--positive-weight", type=float, default=None, help="default: number of classes - 1")
    parser.add_argument(
        "--stay-near-softmax",
        type=float,
        default=training.stay_near_softmax,
        help="penalty on what is not a shift shared by all classes",
    )
    parser.add_argument(
        "--flat-shift",
        type=float,
        default=None,
        metavar="AREA",
        help="fit the flattest shift that leaves absent classes positive on this share of the cells, e.g. 0.1: all "
        "of a shift branch, the start of a full one",
    )
    parser.add_argument(
        "--damp",
        type=float,
        default=None,
        metavar="STRENGTH",
        help="damp what a full branch learned where its class is likely, e.g. 20: more of the order of places stays",
    )
    parser.add_argument("--views", type=int, default=views.count, help="versions of each picture; the first is plain")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--seed", type=int, default=training.seed)
    parser.add_argument("--fit-softmax-head", action="store_true", help="fit a softmax head on the data's classes")
    parser.add_argument("--softmax-epochs", type=int, default=softmax.epochs)
    parser.add_argument("--softmax-learning-rate", type=float, default=softmax.learning_rate)
    parser.add_argument("--half-precision", action="store_true", help="store the sigmoid head as float16")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run of the same settings")


def _finetune(chosen: argparse.Namespace) -> None:
    training = TrainingConfig(
        branch=chosen.branch,
        epochs=chosen.epochs,
        learning_rate=chosen.learning_rate,
        schedule=chosen.schedule,
        batch_size=chosen.batch_size,
        weight_decay=chosen.weight_decay,
        positive_weight=chosen.positive_weight,
        stay_near_softmax=chosen.stay_near_softmax,
        initialisation=chosen.initialisation,
        seed=chosen.seed,
    )
    softmax = SoftmaxHeadConfig(chosen.softmax_epochs, chosen.softmax_learning_rate)
    config = FinetuneConfig(
        backbone=chosen.backbone,
        start_from=chosen.start_from,
        softmax_head=softmax if chosen.fit_softmax_head else None,
        training=training,
        views=Views(chosen.views, seed=chosen.seed),
        device=chosen_device(chosen.device),
        half_precision=chosen.half_precision,
        flat_shift=None if chosen.flat_shift is None else FlatShiftConfig(absent_area=chosen.flat_shift),
        damping=None if chosen.damp is None else DampingConfig(strength=chosen.damp),
    )
    images = read_dataset(chosen.data, chosen.split, chosen.images)
    print(f"{len(images.samples)} pictures of {len(images.class_names)} classes", file=sys.stderr)
    done = finetune(
        images,
        chosen.out,
        config,
        resume=chosen.resume,
        on_epoch=_print_epoch,
        on_encoded=_progress("pictures encoded"),
        checkpoints_folder=chosen.checkpoints,
    )
    for sentence in done.unreadable:
        print(f"left out: {sentence}", file=sys.stderr)
    if done.match.unmatched:
        print(f"left out, no such class in the model: {', '.join(done.match.unmatched)}", file=sys.stderr)
    print(done.path)


def _print_epoch(epoch: Epoch) -> None:
    print(
        f"epoch {epoch.number}: loss {epoch.loss:.4f}, accuracy sigmoid {epoch.sigmoid_accuracy:.3f} "
        f"(softmax {epoch.softmax_accuracy:.3f}), probability own {epoch.own_probability:.3f} "
        f"absent {epoch.absent_probability:.4f}",
        file=sys.stderr,
    )


def _add_evaluate(commands: Any) -> None:
    parser = _command(commands, "evaluate", _evaluate, "Measure both branches, with baselines and intervals.")
    parser.add_argument("data", metavar="DATA", help="folder of class folders, index.csv or WSOL, or torchvision:NAME")
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, help="name, folder or hf:owner/repo")
    _add_checkpoint_folder(parser)
    parser.add_argument("--methods", default="cam", help=f"some of {', '.join(CAM_METHODS)}, with commas")
    parser.add_argument("--weights", default="signed", help=f"some of {', '.join(TREATMENTS)}, with commas")
    parser.add_argument("--split", default="val", choices=SPLITS)
    parser.add_argument("--images", type=Path, default=None, help="where the pictures of a WSOL metadata folder lie")
    parser.add_argument("--class-map", default="", help="data class=model class, with commas, where names do not match")
    parser.add_argument("--limit", type=int, default=None, help="only so many pictures, drawn over the whole split")
    parser.add_argument("--absent-from", default="model", choices=("model", "data"), help="whose classes are asked for")
    parser.add_argument("--faithfulness", type=int, default=0, help="pictures for insertion, deletion and drop; slow")
    parser.add_argument("--mosaics", type=int, default=150, help="2 x 2 mosaics of the grid pointing game; 0 for none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write")
    parser.add_argument("--record", action="store_true", help="put the main figures into the checkpoint's own JSON")


def _evaluate(chosen: argparse.Namespace) -> None:
    images = read_dataset(chosen.data, chosen.split, chosen.images)
    model = load_checkpoint(chosen.checkpoint, chosen_device(chosen.device), chosen.checkpoints)
    results = evaluate(
        model,
        images,
        methods=_listed(chosen.methods),
        weights=_listed(chosen.weights),
        mosaics=chosen.mosaics,
        absent_from=chosen.absent_from,
        faithfulness=chosen.faithfulness,
        limit=chosen.limit,
        class_map=_class_map(chosen.class_map),
        seed=chosen.seed,
        progress=_progress("pictures"),
    )
    if chosen.out:
        _write_json(chosen.out, results)
    if chosen.record:
        record_results(checkpoint_path(chosen.checkpoint, chosen.checkpoints), results)
    print(format_table(results))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _class_map(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in _listed(text)]
    broken = [left for left, sign, right in pairs if not (left and sign and right)]
    if broken:
        raise InputError(f"`--class-map` (='{text}') must be pairs like airplane=404 with commas between.")
    return {left.strip(): right.strip() for left, _, right in pairs}


def _write_json(path: Path, said: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"`--out` (='{path}') cannot be written ({error}); choose another file.") from error


def _add_checkpoints(commands: Any) -> None:
    parser = _command(commands, "checkpoints", _checkpoints, "List what can be loaded.")
    _add_checkpoint_folder(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def _checkpoints(chosen: argparse.Namespace) -> None:
    rows = list_checkpoints(chosen.checkpoints)
    if chosen.json:
        print(json.dumps(rows, indent=1))
        return
    if not rows:
        raise InputError(f"`--checkpoints` (='{chosen.checkpoints}') holds no checkpoint folder.")
    for row in rows:
        if "error" in row:
            print(f"{row['name']}: cannot be loaded: {row['error']}")
        else:
            print(
                f"{row['name']}: {row['classes']} classes, {row['backbone']}, {row['branch']} branch, "
                f"{row['megabytes']} MB, sha256 {row['sha256'][:12]}"
            )


def _diagnostics(_chosen: argparse.Namespace) -> None:
    print(diagnostics_table())


def diagnostics_table() -> str:
    """All diagnostics with unit, direction of better and meaning: the README's table."""
    rows = [f"| {one.title} | {one.unit} | {one.better or ''} | {one.meaning} |" for one in DIAGNOSTICS.values()]
    return "\n".join(["| number | unit | better | meaning |", "| --- | --- | --- | --- |", *rows])


def _progress(what: str) -> Callable[[int, int], None]:
    """A line on stderr that is rewritten, with the remaining time; only on a terminal."""
    started = time.monotonic()

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            left = (time.monotonic() - started) / done * (total - done)
            print(f"\r{done}/{total} {what}, {left:.0f} s left ", end="\n" if done == total else "", file=sys.stderr)

    return show
