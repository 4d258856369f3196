"""`python -m bsig bench`: which parts, how long, where the figures go."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bsig.cli.bench import compare, learning, page, report, scale
from bsig.cli.bench.rounds import machine
from bsig.inputs.errors import InputError
from bsig.inputs.files import write_json, write_whole
from bsig.inputs.paths import EXAMPLES
from bsig.model.backbones import DEFAULT_BACKBONE
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT
from bsig.model.dual_branch import DualBranch

DATA_PICTURES = 256
DATA_SIZE = (224, 224)


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `bench`."""
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}, with commas")
    parser.add_argument("--rounds", type=int, default=15, help="how often everything is measured, in turns")
    parser.add_argument("--quick", action="store_true", help="three rounds, without what takes minutes")
    parser.add_argument("--data", default=None, help="pictures for extraction: DATA; the examples, cut, without")
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write; parts not measured now are kept")
    parser.add_argument("--page", type=Path, default=None, help="folder for performance.md and its plots")
    parser.add_argument("--table", type=Path, default=None, help="measure nothing: the table of this JSON file")


def run_bench(options: argparse.Namespace) -> None:
    """Measures, prints the table, writes what was asked for.

    Raises:
        InputError: an unknown part, a file that is no result, or a folder that cannot be written.
    """
    results = _read(options.table) if options.table else _measurements(options)
    sys.stdout.write(_table(results))
    try:
        if options.page:
            options.page.mkdir(parents=True, exist_ok=True)
            plots = report.write_plots(results, options.page)
            write_whole(options.page / "performance.md", report.page(results, plots))
    except OSError as error:
        raise InputError(f"`--page` (='{options.page}') cannot be written ({error}); choose another place.") from error


def _write_results(out: Path | None, results: dict[str, Any]) -> None:
    if out is None:
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, results, indent=1)
    except OSError as error:
        raise InputError(f"`--out` (='{out}') cannot be written ({error}); choose another place.") from error


def _measurements(options: argparse.Namespace) -> dict[str, Any]:
    parts = [part.strip() for part in options.parts.split(",") if part.strip()]
    unknown = [part for part in parts if part not in PARTS]
    if unknown or not parts:
        raise InputError(f"`--parts` (={options.parts}) must be some of {', '.join(PARTS)}, with commas.")
    if not 1 <= options.rounds <= 1000:
        raise InputError(f"`--rounds` (={options.rounds}) must be from 1 to 1000.")
    if options.quick:
        options.rounds = min(options.rounds, 3)
        parts = [part for part in parts if part not in SLOW_PARTS]
    results: dict[str, Any] = {"machine": machine()}  # first: the load before anything was measured
    if options.out and options.out.is_file():
        results = {**_read(options.out), **results}
    model = load_checkpoint(DEFAULT_CHECKPOINT)
    if model.backbone_name != DEFAULT_BACKBONE:
        raise InputError(f"`checkpoint` (='{DEFAULT_CHECKPOINT}') must have the backbone '{DEFAULT_BACKBONE}'.")
    for part in parts:
        results[part] = PARTS[part](model, options, _tell(part))
        _write_results(options.out, results)  # after each part: some take minutes
    _tell("")("")
    return results


def _table(results: dict[str, Any]) -> str:
    try:
        return f"{report.machine_words(results)}\n\n{report.summary_table(results)}"
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise InputError(
            f"the results lack or misspell {error} (another version's file?); measure them again with "
            "`python -m bsig bench`."
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read as results of bench ({error}); choose another file.") from error
    if not isinstance(results, dict) or "machine" not in results:
        raise InputError(f"'{path}' holds no results of `python -m bsig bench`; choose another file.")
    return results


def _tell(part: str) -> Callable[[str], None]:
    """A function that rewrites one line on a terminal with what is going on; an empty part clears it."""

    def tell(text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{part}: {text}" if part else "\r\033[K")
            sys.stderr.flush()

    return tell


Part = Callable[[DualBranch, argparse.Namespace, Callable[[str], None]], dict[str, Any]]
PICTURE = EXAMPLES / "cat.jpg"


def _examples() -> list[Path]:
    return sorted(EXAMPLES.glob("*.jpg"))


def _compare(model: DualBranch, options: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    return compare.compare_results(model, PICTURE, options.rounds, tell, slow_peers=not options.quick)


def _change(model: DualBranch, options: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    return compare.change_results(model, PICTURE, options.rounds, tell)


def _page(model: DualBranch, options: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    del model
    return page.page_results(_examples(), 2 * options.rounds, tell)


def _visitors(model: DualBranch, options: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    del model
    return scale.visitors_results(_examples(), float(2 * min(options.rounds, 10)), tell)


def _finetune(model: DualBranch, options: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    count, rounds = (32, 1) if options.quick else (DATA_PICTURES, max(1, options.rounds // 5))
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as folder:
        if options.data:
            images = learning.given_pictures(options.data, count)
        else:
            images = learning.labelled_pictures(_examples(), count, Path(folder), DATA_SIZE)
        results = learning.finetune_results(model, images, rounds, tell)
    return {"data": options.data or f"examples cut to {DATA_SIZE[0]} x {DATA_SIZE[1]} JPEG", **results}


def _evaluate(model: DualBranch, options: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    del model
    return learning.evaluate_results(min(options.rounds, 3), tell)


def _classes(model: DualBranch, options: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    return scale.classes_results(model, PICTURE, options.rounds, tell)


def _grid(model: DualBranch, options: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    return scale.grid_results(model, max(1, options.rounds // 3), tell)


def _input(model: DualBranch, options: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    return scale.input_results(model, PICTURE, max(1, options.rounds // 3), tell)


def _picture(model: DualBranch, options: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    return scale.picture_results(model, PICTURE, options.rounds, tell)


def _run(model: DualBranch, options: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    del model, options
    return scale.run_results(_examples(), tell)


def _memory(model: DualBranch, options: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    del model, options
    return page.memory_results(PICTURE, tell)


PARTS: dict[str, Part] = {
    "compare": _compare,
    "change": _change,
    "page": _page,
    "visitors": _visitors,
    "finetune": _finetune,
    "evaluate": _evaluate,
    "classes": _classes,
    "grid": _grid,
    "input": _input,
    "picture": _picture,
    "run": _run,
    "memory": _memory,
}
SLOW_PARTS = ("visitors", "run", "memory", "picture")
