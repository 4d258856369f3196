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

from bsig.cli.arguments import add_checkpoints_folder_argument
from bsig.cli.bench.command import add_bench_arguments, run_bench
from bsig.cli.bundle import add_bundle_arguments, run_bundle
from bsig.cli.evaluate import (
    add_evaluate_arguments,
    add_evaluate_shipped_arguments,
    run_evaluate,
    run_evaluate_shipped,
)
from bsig.cli.explain import add_explain_arguments, run_explain
from bsig.cli.finetune import add_finetune_arguments, run_finetune
from bsig.cli.models import (
    add_checkpoints_arguments,
    add_import_arguments,
    add_new_model_arguments,
    add_publish_arguments,
    run_checkpoints,
    run_heads,
    run_import,
    run_new_model,
    run_publish,
)
from bsig.cli.tables import run_diagnostics, run_results
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
    Command("explain", "Both branches' maps of one picture, as pictures and numbers.", run_explain,
            add_explain_arguments),
    Command("finetune", "Train the sigmoid branch and write a checkpoint folder.", run_finetune,
            add_finetune_arguments),
    Command("evaluate", "Measure both branches, with baselines and intervals.", run_evaluate, add_evaluate_arguments),
    Command("evaluate-shipped", "Measure the shipped checkpoints; write their results.json.", run_evaluate_shipped,
            add_evaluate_shipped_arguments),
    Command("checkpoints", "List what can be loaded.", run_checkpoints, add_checkpoints_arguments),
    Command("bundle-features", "Pooled features of a data set as one file that a head can be trained from, without a "
            "picture.", run_bundle, add_bundle_arguments),
    Command("new-model", "A model of any timm classifier, not fine-tuned yet.", run_new_model,
            add_new_model_arguments),
    Command("import-checkpoint", "A file of the published code as a checkpoint folder.", run_import,
            add_import_arguments),
    Command("publish", "Push a checkpoint to the Hugging Face Hub.", run_publish, add_publish_arguments),
    Command("heads", "The table of head families and the CAM variants they allow, as Markdown.", run_heads),
    Command("bench", "Speed and memory on this machine, beside a bare forward pass, grad-cam and torch-cam.",
            run_bench, add_bench_arguments),
    Command("results", "The shipped results, as Markdown.", run_results, add_checkpoints_folder_argument),
    Command("diagnostics", "The table of all diagnostics, as Markdown.", run_diagnostics),
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
