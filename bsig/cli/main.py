"""`python -m bsig <command>`: arguments in, the library's answers out.

Exit code 0 on success; 2 on wrong usage or bad input, with one sentence on stderr; 1 on a defect of this project.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from bsig.cli import bundle, calibrate, doctor, evaluate, explain, finetune, fit_readings, models, tables
from bsig.cli.bench import command as bench
from bsig.inputs.errors import InputError, StoppedEarly
from bsig.inputs.version import __version__

STOPPED = 130  # 128 and the number of SIGINT, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except InputError as error:
        if os.environ.get("RANK", "0") == "0":  # under torchrun every process meets the same error
            print(f"bsig: {error}", file=sys.stderr)
        return STOPPED if isinstance(error, StoppedEarly) else 2
    except KeyboardInterrupt:
        print("bsig: stopped.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        # The reader has gone (`| head`); what is left in the buffer must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


@dataclass(frozen=True)
class Command:
    """One command: its name, what it does in a line, what it runs, and what adds its arguments."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], None]
    add_arguments: Callable[[argparse.ArgumentParser], None] | None = None


COMMANDS = (
    Command("explain", "Both branches' maps of one picture, as pictures and numbers.", explain.run_explain,
            explain.add_explain_arguments),
    Command("doctor", "Why a heatmap is blank or misleading, and what shows the evidence.", doctor.run_doctor,
            doctor.add_doctor_arguments),
    Command("finetune", "Train the sigmoid branch and write a checkpoint folder.", finetune.run_finetune,
            finetune.add_finetune_arguments),
    Command("calibrate", "Fit how likely a class is in a picture, on labelled pictures the branch has not seen.",
            calibrate.run_calibrate, calibrate.add_calibrate_arguments),
    Command("fit-readings", "Fit the settings of readings on labelled training pictures.",
            fit_readings.run_fit_readings, fit_readings.add_fit_readings_arguments),
    Command("evaluate", "Measure both branches, with baselines and intervals.", evaluate.run_evaluate,
            evaluate.add_evaluate_arguments),
    Command("evaluate-shipped", "Measure the shipped checkpoints; write their results.json.",
            evaluate.run_evaluate_shipped, evaluate.add_evaluate_shipped_arguments),
    Command("checkpoints", "List what can be loaded.", models.run_checkpoints, models.add_checkpoints_arguments),
    Command("bundle-features", "Pooled features of a data set as one file that a head can be trained from, without a "
            "picture.", bundle.run_bundle, bundle.add_bundle_arguments),
    Command("new-model", "A model of any timm classifier, not fine-tuned yet.", models.run_new_model,
            models.add_new_model_arguments),
    Command("import-checkpoint", "A file of the published code as a checkpoint folder.", models.run_import,
            models.add_import_arguments),
    Command("publish", "Push a checkpoint to the Hugging Face Hub.", models.run_publish, models.add_publish_arguments),
    Command("heads", "The table of head families and the CAM variants they allow, as Markdown.", tables.run_heads),
    Command("bench", "Speed and memory on this machine, beside a bare forward pass, grad-cam and torch-cam.",
            bench.run_bench, bench.add_bench_arguments),
    Command("results", "The shipped results, as Markdown.", tables.run_results, tables.add_results_arguments),
    Command("paper", "The paper's tables beside what was measured here, as Markdown.", tables.run_paper,
            tables.add_paper_arguments),
    Command("diagnostics", "The table of all diagnostics, as Markdown.", tables.run_diagnostics),
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with exit code 2."""
        self.exit(2, f"bsig: {message}; see {self.prog} --help.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m bsig", description="Softmax and sigmoid CAMs side by side.")
    parser.add_argument("--version", action="version", version=f"bsig {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        subparser = commands.add_parser(
            command.name,
            help=command.help,
            description=command.help,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        subparser.set_defaults(run=command.run)
        if command.add_arguments:
            command.add_arguments(subparser)
    return parser
