"""Tables of the README as Markdown: `python -m bsig results` and `python -m bsig diagnostics`."""

from __future__ import annotations

import argparse

from bsig.evaluation.output.markdown import results_markdown
from bsig.explain.diagnostics.catalogue import DIAGNOSTICS
from bsig.model.checkpoints.folder import RESULTS, list_checkpoints


def run_results(options: argparse.Namespace) -> None:
    """Prints the results that ship with the checkpoints."""
    folders = [options.checkpoints / row["name"] for row in list_checkpoints(options.checkpoints) if "error" not in row]
    print(results_markdown([folder for folder in folders if (folder / RESULTS).is_file()]))


def run_diagnostics(_options: argparse.Namespace) -> None:
    """Prints the table of all diagnostics."""
    print(diagnostics_table())


def diagnostics_table() -> str:
    """All diagnostics with unit, direction of better and meaning: the README's table."""
    rows = [f"| {row.title} | {row.unit} | {row.better or ''} | {row.meaning} |" for row in DIAGNOSTICS.values()]
    return "\n".join(["| number | unit | better | meaning |", "| --- | --- | --- | --- |", *rows])
