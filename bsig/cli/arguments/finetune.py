"""The arguments of `finetune`; those that are settings come from their declaration."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bsig.cli.arguments.shared import DATA_HELP
from bsig.inputs.datasets.split_names import NOTHING, split_argument
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.training.config import (
    DampingConfig,
    EncodingConfig,
    FinetuneConfig,
    FlatShiftConfig,
    SimilarClassesConfig,
    SoftmaxHeadConfig,
    TrainingConfig,
    Views,
    settings_of,
)


def add_finetune_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `finetune`; those that are settings come from their declaration."""
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    _add_settings(parser.add_mutually_exclusive_group(), FinetuneConfig(), ("backbone", "start_from"))
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS_FOLDER, help="folder of checkpoint folders")
    parser.add_argument("--images", type=Path, default=None, help="folder or zip of the pictures of WSOL metadata")
    parser.add_argument("--split", default="train", type=split_argument, help="train, val or test")
    parser.add_argument(
        "--held-out",
        default=None,
        type=lambda text: NOTHING if text == NOTHING else split_argument(text),
        help="split that is only measured, or none (default: val, else a tenth of each class of at least five "
        "pictures)",
    )
    parser.add_argument(
        "--class-map",
        default="",
        help="data class=model class, with commas, where names do not match; or a JSON file of such pairs",
    )
    _add_settings(parser, TrainingConfig())
    for closed_form in (SimilarClassesConfig(), FlatShiftConfig(), DampingConfig()):
        _add_settings(parser, closed_form, default="not done")
    _add_settings(parser, Views())
    parser.add_argument("--fit-softmax-head", action="store_true", help="fit a softmax head on the data's classes")
    _add_settings(parser, SoftmaxHeadConfig())
    _add_settings(parser, EncodingConfig())
    _add_settings(parser, FinetuneConfig(), ("device",), default="auto")
    _add_settings(parser, FinetuneConfig(), ("half_precision", "encode_every_step", "calibrate"))
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run of the same settings")
    parser.add_argument("--overwrite", action="store_true", help="replace the checkpoint that `--out` holds")


def _add_settings(
    parser: argparse._ActionsContainer, defaults: Any, names: Sequence[str] = (), default: str | None = None
) -> None:
    """Adds an option for each setting of a configuration that the command line offers, or for the named ones.

    Only what is given gets into the namespace: the defaults stay where they are declared.
    """
    for name, setting in settings_of(type(defaults)).items():
        if setting.option is None or (names and name not in names):
            continue
        text = setting.help[0].lower() + setting.help[1:].rstrip(".")
        add = partial(parser.add_argument, setting.option, dest=setting.name, default=argparse.SUPPRESS)
        if setting.kind is bool:
            is_on = getattr(defaults, name)
            add(action=f"store_{str(not is_on).lower()}", help=f"do not {text}" if is_on else text)
            continue
        choices = f"; {' or '.join(setting.choices)}" if setting.choices else ""
        value = getattr(defaults, name)
        value_text = default or (setting.empty if value is None else value)
        add(type=setting.kind, metavar=setting.metavar, help=f"{text}{choices} (default: {value_text})")
