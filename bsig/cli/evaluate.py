"""`python -m bsig evaluate` and `evaluate-shipped`, alone or in several processes under torchrun."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
from pathlib import Path

from bsig.cli.arguments.shared import written_to
from bsig.cli.progress import ProgressLine, progress_lines
from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.evaluate import evaluate
from bsig.evaluation.output.shipped import compact, results_text, shipped_runs, short_results
from bsig.evaluation.output.text import csv_of, format_table
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.datasets.splits import images_to_measure
from bsig.inputs.errors import InputError
from bsig.inputs.files import write_json, write_whole
from bsig.inputs.paths import CACHE_FOLDER
from bsig.model.checkpoints.listing import checkpoint_path, list_checkpoints
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import RESULTS
from bsig.model.checkpoints.save import record_results
from bsig.model.devices import chosen_device
from bsig.training.processes import Processes, joined_processes

PARTS_FOLDER = CACHE_FOLDER / "evaluations"
PROGRESS_OF = "pictures or as long"


def run_evaluate(options: argparse.Namespace) -> None:
    """Measures, prints the tables and writes what was asked for.

    Raises:
        InputError: a setting, the data or the checkpoint cannot be used, or a file cannot be written.
    """
    if options.nice > 0 and hasattr(os, "nice"):
        os.nice(options.nice)
    config = EvaluationConfig.from_arguments(options)
    with joined_processes() as processes:
        split = images_to_measure(options.data, options.split, options.images)
        if processes.is_first:
            print(split.sentence, file=sys.stderr)
        model = load_checkpoint(options.checkpoint, options.device, options.checkpoints, options.engine)
        partial = _partial_folder(options, split.images)
        results = evaluate(
            model,
            split.images,
            config,
            processes=processes,
            progress=progress_lines if options.progress == "lines" else ProgressLine(PROGRESS_OF),
            partial=partial,
        )
    if results is None:
        return
    if options.out:
        with written_to("--out", options.out, "file"):
            options.out.parent.mkdir(parents=True, exist_ok=True)
            write_json(options.out, results, indent=1)
            write_whole(options.out.with_suffix(".csv"), csv_of(results))
    if options.record:
        record_results(checkpoint_path(options.checkpoint, options.checkpoints), results)
    shutil.rmtree(partial, ignore_errors=True)
    print(format_table(results))


def run_evaluate_shipped(options: argparse.Namespace) -> None:
    """Measures each shipped checkpoint on its data sets and writes its `results.json`.

    Raises:
        InputError: no checkpoint has that name, or data or a checkpoint cannot be used.
    """
    rows = [row for row in list_checkpoints(options.checkpoints) if options.only in (None, row["name"])]
    if not rows:
        raise InputError(f"`--only` (='{options.only}') must name a checkpoint in '{options.checkpoints}'.")
    with joined_processes() as processes:
        for row in rows:
            if "needs" not in row:
                _evaluate_one_shipped(row["name"], options, processes)
            elif processes.is_first:
                print(f"{row['name']} is left out: {row['needs']}", file=sys.stderr)


def _evaluate_one_shipped(name: str, options: argparse.Namespace, processes: Processes) -> None:
    folder = checkpoint_path(name, options.checkpoints)
    model = load_checkpoint(name, chosen_device(options.device), options.checkpoints)
    runs = shipped_runs(model)
    kind = "shipped-quick" if options.quick else "shipped"
    partial = {run.data: PARTS_FOLDER / f"{kind}-{name}-{run.data}" for run in runs}
    evaluations = []
    for run in runs:
        if processes.is_first:
            print(f"{name} on {run.data}", file=sys.stderr)
        results = evaluate(
            model,
            read_dataset(options.data / run.data, "val"),
            run.quick_config if options.quick else run.config,
            processes=processes,
            progress=ProgressLine(PROGRESS_OF),
            partial=partial[run.data],
        )
        if results:
            evaluations.append(results)
            record_results(folder, short_results(results))
    if not evaluations:
        return
    made_by = f"python -m bsig evaluate-shipped --data DATA{' --quick' * options.quick}"
    text = results_text([compact(results) for results in evaluations], evaluations[0]["metrics"], made_by)
    try:
        write_whole(folder / RESULTS, text)
    except OSError as error:
        raise InputError(f"'{folder / RESULTS}' cannot be written ({error}); free space.") from error
    for path in partial.values():
        shutil.rmtree(path, ignore_errors=True)
    print(folder / RESULTS)


def _partial_folder(options: argparse.Namespace, images: LabelledImages) -> Path:
    """The folder that holds the parts until the end: beside `--out`, else in the cache, a folder for each question."""
    if options.out:
        return options.out.with_name(f".{options.out.name}.partial")
    question = [
        options.checkpoint, images.name, images.split, options.methods, options.weights, options.limit, options.engine,
    ]  # fmt: skip
    return PARTS_FOLDER / hashlib.sha256("|".join(map(str, question)).encode()).hexdigest()[:16]
