"""`python -m bsig <command>`: arguments in, the library's answers out.

Exit code 0 on success; 2 on wrong usage or bad input, with one sentence on stderr; 1 on a defect of this project.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from bsig.cli.bench.command import add_bench_arguments, run_bench
from bsig.cli.bundle import add_bundle_arguments, run_bundle
from bsig.cli.finetune import add_finetune_arguments, run_finetune
from bsig.cli.models import add_model_commands
from bsig.cli.progress import progress
from bsig.evaluation.evaluate import evaluate_in_team
from bsig.evaluation.output.markdown import results_markdown
from bsig.evaluation.output.shipped import (
    RESULTS,
    SHIPPED_SETTINGS,
    compact,
    shipped_runs,
    short_results,
    written_results,
)
from bsig.evaluation.output.text import csv_of, format_table
from bsig.explain.diagnostics.catalogue import DIAGNOSTICS, diagnose, diagnostic_input
from bsig.explain.drawing.comparison import Drawing, comparison_picture
from bsig.explain.drawing.slide import slide_card
from bsig.explain.explainer import Explainer
from bsig.explain.explanation import Explanation, summary
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.explain.report.page import facts_of, report_html
from bsig.explain.wording import finding
from bsig.inputs.datasets.datasets import SPLITS, LabelledImages, read_dataset
from bsig.inputs.errors import InputError, StoppedEarly
from bsig.inputs.paths import CACHE_FOLDER, CHECKPOINTS_FOLDER
from bsig.inputs.version import __version__
from bsig.model.backbones import chosen_device
from bsig.model.checkpoints.folder import (
    DEFAULT_CHECKPOINT,
    checkpoint_path,
    library_versions,
    list_checkpoints,
    load_checkpoint,
    record_results,
)
from bsig.training.team import Team


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        chosen.run(chosen)
        sys.stdout.flush()
    except InputError as error:
        if os.environ.get("RANK", "0") == "0":  # under torchrun every process meets the same error
            print(f"bsig: {error}", file=sys.stderr)
        return 130 if isinstance(error, StoppedEarly) else 2
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
    text = "Train the sigmoid branch and write a checkpoint folder."
    add_finetune_arguments(_command(commands, "finetune", run_finetune, text))
    _add_evaluate(commands)
    _add_evaluate_shipped(commands)
    _add_checkpoints(commands)
    text = "Pooled features of a data set as one file that a head can be trained from, without a picture."
    add_bundle_arguments(_command(commands, "bundle-features", run_bundle, text))
    add_model_commands(commands, _command)
    text = "Speed and memory on this machine, beside a bare forward pass, grad-cam and torch-cam."
    add_bench_arguments(_command(commands, "bench", run_bench, text))
    _add_checkpoint_folder(_command(commands, "results", _results, "The shipped results, as Markdown."))
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
    parser.add_argument(
        "--method", default=None, help=f"CAM variant: {', '.join(CAM_METHODS)} (default: cam where it is exact)"
    )
    parser.add_argument("--weights", default="signed", help=f"treatment of negative weights: {', '.join(TREATMENTS)}")
    parser.add_argument("--bias", action="store_true", help="add each branch's bias: the logit of each cell alone")
    parser.add_argument("--channels", type=int, default=None, help="Score-CAM: only the strongest so many channels")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    written = (
        "folder to write into: comparison.png, softmax.npy, sigmoid.npy, centred.npy, explanation.json, "
        "report.html (one page, opens offline) and card.png (a slide of 1920 x 1080)"
    )
    parser.add_argument("--out", type=Path, default=Path("explanation"), help=written)


def _explain(chosen: argparse.Namespace) -> None:
    model = load_checkpoint(chosen.checkpoint, chosen_device(chosen.device), chosen.checkpoints)
    started = time.perf_counter()
    encoded = Explainer(model).encode(chosen.image)
    explanation = encoded.explain(
        chosen.class_name,
        chosen.method,
        chosen.weights,
        with_bias=chosen.bias,
        score_cam_channels=chosen.channels,
        progress=progress("channels") if chosen.method in CAM_METHODS and CAM_METHODS[chosen.method].is_slow else None,
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
    facts = facts_of(encoded, Path(chosen.image).name)
    write_explanation(chosen.out, explanation, said, report_html(encoded, explanation, Drawing(), facts))
    print(json.dumps(said, indent=1, ensure_ascii=False))


def write_explanation(folder: Path, explanation: Explanation, said: dict[str, Any], report: str) -> list[Path]:
    """Writes the pictures, maps and numbers of an explanation, its report and its slide; returns their paths.

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
        (folder / "report.html").write_text(report, encoding="utf-8")
        slide_card(explanation, version=__version__).save(folder / "card.png")
    except OSError as error:
        raise InputError(f"`--out` (='{folder}') cannot be written ({error}); choose another folder.") from error
    return sorted(folder.iterdir())


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
    parser.add_argument("--faithfulness", type=int, default=0, help="pictures for deletion, ROAD, ...; slow")
    parser.add_argument("--mosaics", type=int, default=150, help="2 x 2 mosaics of the grid pointing game; 0 for none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write, with a CSV of all rows beside it")
    parser.add_argument("--record", action="store_true", help="put the main figures into the checkpoint's own JSON")
    parser.add_argument("--progress", default="auto", choices=("auto", "lines"), help="lines: for programs")
    parser.add_argument("--nice", type=int, default=0, help="lower the priority by so much, so that others come first")


def _evaluate(chosen: argparse.Namespace) -> None:
    if chosen.nice > 0 and hasattr(os, "nice"):
        os.nice(chosen.nice)
    team = Team.from_environment()
    images = read_dataset(chosen.data, chosen.split, chosen.images)
    model = load_checkpoint(chosen.checkpoint, chosen_device(chosen.device), chosen.checkpoints)
    partial = _partial_folder(chosen, images)
    results = evaluate_in_team(
        model,
        images,
        team,
        methods=_listed(chosen.methods),
        weights=_listed(chosen.weights),
        mosaics=chosen.mosaics,
        absent_from=chosen.absent_from,
        faithfulness=chosen.faithfulness,
        limit=chosen.limit,
        class_map=_class_map(chosen.class_map),
        seed=chosen.seed,
        progress=_progress_lines if chosen.progress == "lines" else progress("pictures or as long"),
        partial=partial,
    )
    team.leave()
    if results is None:
        return
    if chosen.out:
        _write_json(chosen.out, results)
        _written(chosen.out.with_suffix(".csv"), csv_of(results))
    if chosen.record:
        record_results(checkpoint_path(chosen.checkpoint, chosen.checkpoints), results)
    shutil.rmtree(partial, ignore_errors=True)
    print(format_table(results))


def _partial_folder(chosen: argparse.Namespace, images: LabelledImages) -> Path:
    """Where parts are kept until the end: beside `--out`, else in the cache, one folder a question asked."""
    if chosen.out:
        return chosen.out.with_name(f".{chosen.out.name}.partial")
    asked = [str(chosen.checkpoint), images.name, images.split, chosen.methods, chosen.weights, str(chosen.limit)]
    return CACHE_FOLDER / "evaluations" / hashlib.sha256("|".join(asked).encode()).hexdigest()[:16]


def _progress_lines(done: int, total: int) -> None:
    """One line a step on stderr, for a program that reads along."""
    print(f"progress {done} {total}", file=sys.stderr, flush=True)


def _add_evaluate_shipped(commands: Any) -> None:
    parser = _command(
        commands, "evaluate-shipped", _evaluate_shipped, "Measure the shipped checkpoints; write their results.json."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds imagenet20, shapes5 and birds10")
    _add_checkpoint_folder(parser)
    parser.add_argument("--only", default=None, help="this checkpoint alone")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def _evaluate_shipped(chosen: argparse.Namespace) -> None:
    team = Team.from_environment()
    names = [row["name"] for row in list_checkpoints(chosen.checkpoints) if chosen.only in (None, row["name"])]
    if not names:
        raise InputError(f"`--only` (='{chosen.only}') must name a checkpoint in '{chosen.checkpoints}'.")
    for name in names:
        folder = checkpoint_path(name, chosen.checkpoints)
        model = load_checkpoint(name, chosen_device(chosen.device), chosen.checkpoints)
        runs = []
        for one in shipped_runs(model):
            if team.is_first:
                print(f"{name} on {one.data}", file=sys.stderr)
            partial = CACHE_FOLDER / "evaluations" / f"shipped-{name}-{one.data}"
            images = read_dataset(chosen.data / one.data, "val")
            found = evaluate_in_team(
                model,
                images,
                team,
                class_map=one.class_map,
                faithfulness=one.faithfulness,
                partial=partial,
                progress=progress("pictures or as long"),
                **SHIPPED_SETTINGS,
            )
            if found:
                runs.append(found)
                record_results(folder, short_results(found))
        if team.is_first and runs:
            made_by = "python -m bsig evaluate-shipped --data DATA"
            _written(folder / RESULTS, written_results([compact(run) for run in runs], runs[0]["metrics"], made_by))
            for one in shipped_runs(model):
                shutil.rmtree(CACHE_FOLDER / "evaluations" / f"shipped-{name}-{one.data}", ignore_errors=True)
            print(folder / RESULTS)
    team.leave()


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _class_map(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in _listed(text)]
    broken = [left for left, sign, right in pairs if not (left and sign and right)]
    if broken:
        raise InputError(f"`--class-map` (='{text}') must be pairs like airplane=404 with commas between.")
    return {left.strip(): right.strip() for left, _, right in pairs}


def _write_json(path: Path, said: dict[str, Any]) -> None:
    _written(path, json.dumps(said, indent=1, ensure_ascii=False) + "\n")


def _written(path: Path, text: str) -> None:
    """Written whole under a temporary name, then renamed."""
    temporary = path.with_name(f".{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
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
                f"{row['name']}: {row['classes']} classes, {row['backbone']}, {row['branch']} branch"
                f"{'' if row['trained'] else ' (not fine-tuned yet: still the clone)'}, "
                f"{row['megabytes']} MB, sha256 {row['sha256'][:12]}"
            )


def _results(chosen: argparse.Namespace) -> None:
    folders = [chosen.checkpoints / row["name"] for row in list_checkpoints(chosen.checkpoints) if "error" not in row]
    print(results_markdown([folder for folder in folders if (folder / RESULTS).is_file()]))


def _diagnostics(_chosen: argparse.Namespace) -> None:
    print(diagnostics_table())


def diagnostics_table() -> str:
    """All diagnostics with unit, direction of better and meaning: the README's table."""
    rows = [f"| {one.title} | {one.unit} | {one.better or ''} | {one.meaning} |" for one in DIAGNOSTICS.values()]
    return "\n".join(["| number | unit | better | meaning |", "| --- | --- | --- | --- |", *rows])
