"""`python -m bsig finetune`, alone or in several processes under torchrun.

Ctrl-C (or SIGTERM) ends a run after the step it is in and keeps the last finished epoch; a second one ends it at once.
Exit code 0 when all epochs are done, 130 when stopped, 2 on bad input or a loss that is not finite.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bsig.cli.progress import ProgressLine
from bsig.explain.wording import duration
from bsig.inputs.counts import counted, counted_classes
from bsig.inputs.datasets.classes import class_map_from
from bsig.inputs.datasets.splits import train_and_held_out
from bsig.inputs.errors import InputError, StoppedEarly
from bsig.model.checkpoints.save import check_nothing_is_lost
from bsig.model.devices import chosen_device
from bsig.model.heads import ClassificationHead
from bsig.training.callbacks import OnEpoch, ShouldStop
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
from bsig.training.finetune import Finetuned, finetune, state_folder
from bsig.training.loop.epoch import Epoch
from bsig.training.processes import Processes, joined_processes


def run_finetune(arguments: argparse.Namespace) -> None:
    """Trains and writes the checkpoint; under torchrun the first process alone prints (of errors see `main`).

    Raises:
        StoppedEarly: stopped by a signal; what was finished is kept.
        InputError: what `finetune` refuses; or a loss that is not finite, after what was finished is kept.
    """
    config = _config(arguments)
    _check_nothing_is_lost(arguments)
    with joined_processes(config.device) as processes, asked_to_stop(quiet=not processes.is_first) as should_stop:
        outcome = _outcome(arguments, config, processes, should_stop)
    if processes.is_first:
        for sentence in outcome.unreadable:
            print(f"left out: {sentence}", file=sys.stderr)
        if outcome.match.unmatched:
            print(f"left out, no such class in the model: {', '.join(outcome.match.unmatched)}", file=sys.stderr)
        print(outcome.path)
    if outcome.stopped:
        raise (StoppedEarly if should_stop() else InputError)(
            f"{outcome.stopped} '{outcome.path.name}' is the checkpoint of epoch {len(outcome.history)}; "
            "--resume goes on."
        )


def _check_nothing_is_lost(arguments: argparse.Namespace) -> None:
    """Refuses to replace a checkpoint that nobody asked to be replaced.

    Raises:
        InputError: `--out` holds one that is neither to be overwritten nor an interrupted run to go on with.
    """
    out = Path(os.path.abspath(arguments.out))
    resumes = arguments.resume and state_folder(out).is_dir()
    if not (arguments.overwrite or resumes):
        no_run = "no interrupted run is there to go on with: " * arguments.resume
        check_nothing_is_lost(arguments.out, f"{no_run}give --overwrite to replace it, or choose another folder")


def _outcome(
    arguments: argparse.Namespace, config: FinetuneConfig, processes: Processes, should_stop: ShouldStop
) -> Finetuned:
    splits = processes.together(
        lambda: train_and_held_out(
            arguments.data, config.training.seed, arguments.images, split=arguments.split, held_out=arguments.held_out
        )
    )
    images, held_out = splits.train, splits.held_out
    if processes.is_first:
        more = f", {len(held_out.samples)} more to hold out" if held_out else ""
        print(
            f"{counted(len(images.samples), 'picture')} of {counted_classes(len(images.class_names))}{more}",
            file=sys.stderr,
        )
        print(splits.sentence, file=sys.stderr)
    return finetune(
        images,
        arguments.out,
        config,
        held_out=held_out,
        resume=arguments.resume,
        on_epoch=_print_epochs(config.training.epochs) if processes.is_first else None,
        on_encoded=ProgressLine("pictures encoded") if processes.is_first else None,
        on_note=lambda sentence: print(f"note: {sentence}", file=sys.stderr),
        should_stop=should_stop,
        checkpoints_folder=arguments.checkpoints,
        processes=processes,
    )


def _config(arguments: argparse.Namespace) -> FinetuneConfig:
    """The settings that were given, the others at their defaults.

    Raises:
        InputError: a setting breaks its rule, or would have no effect; the sentence names it.
    """
    training = TrainingConfig(**_settings_in(TrainingConfig, arguments))
    kinds = (SoftmaxHeadConfig, SimilarClassesConfig, FlatShiftConfig, DampingConfig)
    softmax, similar, flat, damping = (_settings_in(kind, arguments) for kind in kinds)
    if softmax and not arguments.fit_softmax_head:
        names = " and ".join(f"`{settings_of(SoftmaxHeadConfig)[name].name}`" for name in softmax)
        raise InputError(f"{names} needs --fit-softmax-head: without it the softmax head stays as it is.")
    settings = _settings_in(FinetuneConfig, arguments)
    device = chosen_device(settings.get("device", "auto"))
    settings["device"] = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" else device
    return FinetuneConfig(
        **settings,
        class_map=class_map_from(arguments.class_map),
        training=training,
        softmax_head=SoftmaxHeadConfig(**softmax) if arguments.fit_softmax_head else None,
        views=Views(**_settings_in(Views, arguments), seed=training.seed),
        similar_classes=SimilarClassesConfig(**similar) if similar else None,
        flat_shift=FlatShiftConfig(**flat) if flat else None,
        damping=DampingConfig(**damping) if damping else None,
        encoding=EncodingConfig(**_settings_in(EncodingConfig, arguments)),
    )


def _settings_in(kind: type, arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of a configuration that are on the command line, by field."""
    values = vars(arguments)
    return {name: values[setting.name] for name, setting in settings_of(kind).items() if setting.name in values}


@contextmanager
def asked_to_stop(*, quiet: bool = False) -> Iterator[ShouldStop]:
    """A `should_stop` that says yes after Ctrl-C or SIGTERM; a second one ends the process at once."""
    signals: list[int] = []

    def note(number: int, _frame: object) -> None:
        if signals:
            raise KeyboardInterrupt
        signals.append(number)
        if not quiet:
            # Not `print`: the signal may have come in the middle of one.
            os.write(2, b"\nstopping; once more to stop at once\n")

    if threading.current_thread() is not threading.main_thread():  # only the main thread hears signals
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(signals)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_epochs(epochs: int) -> OnEpoch:
    """Prints each epoch; the remaining time counts from the first one that this run finished."""
    first: tuple[float, int] | None = None

    def show(epoch: Epoch, _head: ClassificationHead) -> None:
        nonlocal first
        now, time_left = time.monotonic(), ""
        if first is None:
            first = (now, epoch.number)
        elif epoch.number < epochs:
            seconds = (now - first[0]) / (epoch.number - first[1]) * (epochs - epoch.number)
            time_left = f", {duration(seconds)} left"
        print(_sentence(epoch) + time_left, file=sys.stderr)

    return show


def _sentence(epoch: Epoch) -> str:
    text = (
        f"epoch {epoch.number}: loss {epoch.loss:.4f}, accuracy sigmoid {epoch.sigmoid_accuracy:.3f} "
        f"(softmax {epoch.softmax_accuracy:.3f}), probability own {epoch.own_probability:.3f} "
        f"absent {epoch.absent_probability:.4f}"
    )
    if epoch.held_out_loss is None:
        return text
    return (
        f"{text}; held out: loss {epoch.held_out_loss:.4f}, accuracy sigmoid {epoch.held_out_sigmoid_accuracy:.3f} "
        f"(softmax {epoch.held_out_softmax_accuracy:.3f})"
    )
