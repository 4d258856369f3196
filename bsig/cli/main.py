"""`python -m bsig <command>`, or `bsig <command>` once installed: arguments in, the library's answers out.

A command's arguments are imported when the command is named, what runs it once they are parsed: `--help`, `--version`
and wrong usage need neither torch nor timm, and are answered at once.

Exit code 0 on success; 2 on wrong usage, bad input or a full disk, with one sentence on stderr; 1 on a defect of this
project.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import NoReturn

from bsig.cli.imports import long_imports
from bsig.cli.streams import write_any_letter
from bsig.inputs.errors import InputError, StoppedEarly, disk_sentence
from bsig.inputs.names import check_utf8
from bsig.inputs.version import __version__

STOPPED = 130  # 128 and the number of SIGINT, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        write_any_letter(stream)
    try:
        check_utf8(words, "the command line")
        options = _parser(words).parse_args(words)
        options.run(options)
        sys.stdout.flush()
    except InputError as error:
        if os.environ.get("RANK", "0") == "0":  # under torchrun every process meets the same error
            print(f"bsig: {error}", file=sys.stderr)
        return STOPPED if isinstance(error, StoppedEarly) else 2
    except KeyboardInterrupt:
        print("bsig: stopped.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # the reader has gone (`| head`)
        _drop_output()
        return 0
    except OSError as error:
        sentence = disk_sentence(error)
        if sentence is None:
            raise
        print(f"bsig: {sentence}", file=sys.stderr)
        _drop_output()
        return 2
    return 0


def _drop_output() -> None:
    """Drops what is left in the buffer of stdout, which must not fail once more at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass(frozen=True)
class Command:
    """One command: its name, what it does in a line, and where to find what runs it and what adds its arguments.

    Attributes:
        run_at, arguments_at: "module:function", imported when asked for.
    """

    name: str
    help: str
    run_at: str
    arguments_at: str | None = None

    def run(self, options: argparse.Namespace) -> None:
        """Runs the command."""
        with long_imports():
            run = resolve_name(self.run_at)
        run(options)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds the command's arguments."""
        if self.arguments_at:
            resolve_name(self.arguments_at)(parser)


COMMANDS = (
    Command("explain", "Both branches' maps of pictures, as pictures and numbers.", "bsig.cli.explain:run_explain",
            "bsig.cli.explain:add_explain_arguments"),
    Command("doctor", "Why a heatmap is blank or misleading, and what shows the evidence.",
            "bsig.cli.doctor:run_doctor", "bsig.cli.arguments.doctor:add_doctor_arguments"),
    Command("check-bundle", "Compute the explanations of a bundle again and compare.",
            "bsig.cli.check_bundle:run_check_bundle", "bsig.cli.check_bundle:add_check_bundle_arguments"),
    Command("finetune", "Train the sigmoid branch and write a checkpoint folder.", "bsig.cli.finetune:run_finetune",
            "bsig.cli.arguments.finetune:add_finetune_arguments"),
    Command("calibrate", "Fit how likely a class is in a picture, on labelled pictures the branch has not seen.",
            "bsig.cli.calibrate:run_calibrate", "bsig.cli.arguments.fits:add_calibrate_arguments"),
    Command("fit-readings", "Fit the settings of readings on labelled training pictures.",
            "bsig.cli.fit_readings:run_fit_readings", "bsig.cli.arguments.fits:add_fit_readings_arguments"),
    Command("evaluate", "Measure both branches, with baselines and intervals.", "bsig.cli.evaluate:run_evaluate",
            "bsig.cli.arguments.evaluate:add_evaluate_arguments"),
    Command("evaluate-shipped", "Measure the shipped checkpoints; write their results.json.",
            "bsig.cli.evaluate:run_evaluate_shipped", "bsig.cli.arguments.evaluate:add_evaluate_shipped_arguments"),
    Command("checkpoints", "List what can be loaded.", "bsig.cli.models:run_checkpoints",
            "bsig.cli.arguments.models:add_checkpoints_arguments"),
    Command("bundle-features", "Pooled features of a data set as one file that a head can be trained from, without a "
            "picture.", "bsig.cli.bundle:run_bundle", "bsig.cli.arguments.bundle:add_bundle_arguments"),
    Command("new-model", "A model of any timm classifier, not fine-tuned yet.", "bsig.cli.models:run_new_model",
            "bsig.cli.arguments.models:add_new_model_arguments"),
    Command("embed-classes", "Class names as text embeddings, for a zero-shot model.",
            "bsig.cli.embed_classes:run_embed_classes", "bsig.cli.embed_classes:add_embed_classes_arguments"),
    Command("import-checkpoint", "A file of the published code as a checkpoint folder.", "bsig.cli.models:run_import",
            "bsig.cli.arguments.models:add_import_arguments"),
    Command("publish", "Push a checkpoint to the Hugging Face Hub.", "bsig.cli.models:run_publish",
            "bsig.cli.arguments.models:add_publish_arguments"),
    Command("heads", "The table of head families and the CAM variants they allow, as Markdown.",
            "bsig.cli.tables:run_heads"),
    Command("bench", "Speed and memory on this machine, beside a bare forward pass, grad-cam and torch-cam.",
            "bsig.cli.bench.command:run_bench", "bsig.cli.arguments.bench:add_bench_arguments"),
    Command("results", "The shipped results, as Markdown.", "bsig.cli.tables:run_results",
            "bsig.cli.arguments.tables:add_results_arguments"),
    Command("paper", "The paper's tables beside what was measured here, as Markdown.", "bsig.cli.tables:run_paper",
            "bsig.cli.arguments.tables:add_paper_arguments"),
    Command("diagnostics", "The table of all diagnostics, as Markdown.", "bsig.cli.tables:run_diagnostics"),
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with exit code 2."""
        self.exit(2, f"bsig: {message}; see {self.prog} --help.\n")


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of all commands, with the arguments of the one that is named: the others' are not imported."""
    installed = Path(sys.argv[0]).stem == "bsig"
    program = "bsig" if installed else "python -m bsig"
    parser = _Parser(prog=program, description="Softmax and sigmoid CAMs side by side.")
    parser.add_argument("--version", action="version", version=f"bsig {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    name = next((word for word in words if not word.startswith("-")), None)
    for command in COMMANDS:
        subparser = commands.add_parser(
            command.name,
            help=command.help,
            description=command.help,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        subparser.set_defaults(run=command.run)
        if command.name == name:
            command.add_arguments(subparser)
    return parser
