"""The arguments of `bench`, and which parts it has."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

PARTS = {
    "compare": "bsig.cli.bench.compare:compare_results",
    "change": "bsig.cli.bench.compare:change_results",
    "start": "bsig.cli.bench.start:start_results",
    "batches": "bsig.cli.bench.batches:batches_results",
    "page": "bsig.cli.bench.page:page_results",
    **({"browser": "bsig.cli.bench.browser:browser_results"} if find_spec("playwright") else {}),
    "visitors": "bsig.cli.bench.page:visitors_results",
    "finetune": "bsig.cli.bench.learning:finetune_results",
    "evaluate": "bsig.cli.bench.learning:evaluate_results",
    "classes": "bsig.cli.bench.scale:classes_results",
    "grid": "bsig.cli.bench.scale:grid_results",
    "input": "bsig.cli.bench.scale:input_results",
    "picture": "bsig.cli.bench.scale:picture_results",
    "run": "bsig.cli.bench.scale:run_results",
    "memory": "bsig.cli.bench.page:memory_results",
}
"""Each part of a measurement: the function that takes a `Bench` and returns the part's results."""


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `bench`."""
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}, with commas")
    parser.add_argument("--rounds", type=int, default=15, help="how often everything is measured, in turns")
    parser.add_argument("--quick", action="store_true", help="three rounds, without what takes minutes")
    parser.add_argument("--data", default=None, help="pictures for extraction: DATA; the examples, cut, without")
    parser.add_argument("--rates", type=Path, default=None, help="JSON file of GPUs' rates, for ImageNet-1k worked out")
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write; parts not measured now are kept")
    parser.add_argument("--page", type=Path, default=None, help="folder for performance.md and its plots")
    parser.add_argument("--table", type=Path, default=None, help="measure nothing: the table of this JSON file")
