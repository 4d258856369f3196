"""`python -m bsig bench`: which parts, how long, where the figures go."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from bsig.cli.arguments.bench import PARTS
from bsig.cli.arguments.shared import written_to
from bsig.cli.bench import imagenet, report
from bsig.cli.bench.rounds import Bench, machine
from bsig.inputs.errors import InputError
from bsig.inputs.files import write_json, write_whole
from bsig.model.backbones import DEFAULT_BACKBONE
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT

SLOW_PARTS = ("start", "browser", "visitors", "run", "memory", "picture")


def run_bench(options: argparse.Namespace) -> None:
    """Measures, prints the table, writes what was asked for.

    Raises:
        InputError: an unknown part, a file that is no result, or a folder that cannot be written.
    """
    results = _read(options.table) if options.table else _measurements(options)
    try:
        sys.stdout.write(f"{report.machine_words(results)}\n\n{report.summary_table(results)}")
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise InputError(
            f"the results lack or misspell {error} (another version's file?); measure them again with "
            "`python -m bsig bench`."
        ) from error
    if options.page:
        with written_to("--page", options.page, "place"):
            options.page.mkdir(parents=True, exist_ok=True)
            report.write_plots(results, options.page)
            write_whole(options.page / "performance.md", report.page(results))


def _measurements(options: argparse.Namespace) -> dict[str, Any]:
    parts = [part.strip() for part in options.parts.split(",") if part.strip()]
    if not parts or not set(parts) <= set(PARTS):
        raise InputError(f"`--parts` (={options.parts}) must be some of {', '.join(PARTS)}, with commas.")
    if not 1 <= options.rounds <= 1000:
        raise InputError(f"`--rounds` (={options.rounds}) must be from 1 to 1000.")
    rounds = options.rounds
    if options.quick:
        rounds = min(rounds, 3)
        parts = [part for part in parts if part not in SLOW_PARTS]
    results: dict[str, Any] = {"machine": machine()}  # first: the load before anything was measured
    if options.out and options.out.is_file():
        results = {**_read(options.out), **results}
    if options.rates:
        results["rates"] = imagenet.read_rates(options.rates)
    model = load_checkpoint(DEFAULT_CHECKPOINT)
    if model.backbone_name != DEFAULT_BACKBONE:
        raise InputError(f"`checkpoint` (='{DEFAULT_CHECKPOINT}') must have the backbone '{DEFAULT_BACKBONE}'.")
    for part in parts:
        measure = resolve_name(PARTS[part])
        results[part] = measure(Bench(model, rounds, options.quick, options.data, partial(_tell, part)))
        if options.out:  # after each part: some take minutes
            with written_to("--out", options.out, "place"):
                options.out.parent.mkdir(parents=True, exist_ok=True)
                write_json(options.out, results, indent=1)
    _tell("", "")
    return results


def _read(path: Path) -> dict[str, Any]:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read as results of bench ({error}); choose another file.") from error
    if not isinstance(results, dict) or "machine" not in results:
        raise InputError(f"'{path}' holds no results of `python -m bsig bench`; choose another file.")
    return results


def _tell(part: str, text: str) -> None:
    """Rewrites one line with what is going on, where stderr is a terminal; an empty part clears it."""
    if sys.stderr.isatty():
        print(f"\r\033[K{part}: {text}" if part else "\r\033[K", end="", file=sys.stderr, flush=True)
