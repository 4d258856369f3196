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

from bsig.cli.progress import progress
from bsig.explain.wording import duration
from bsig.inputs.datasets.datasets import SPLITS, LabelledImages, read_dataset
from bsig.inputs.errors import InputError, StoppedEarly
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.backbones import DEFAULT_BACKBONE, chosen_device
from bsig.model.heads import ClassificationHead
from bsig.training.config import (
    DampingConfig,
    EncodingConfig,
    FinetuneConfig,
    FlatShiftConfig,
    SoftmaxHeadConfig,
    TrainingConfig,
    Views,
)
from bsig.training.finetune import Finetuned, OnEpoch, finetune
from bsig.training.loop.descent import ShouldStop
from bsig.training.loop.train import Epoch
from bsig.training.processes import Processes, joined_processes


def add_finetune_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `finetune`."""
    training, softmax, views = TrainingConfig(), SoftmaxHeadConfig(), Views()
    parser.add_argument("data", metavar="DATA", help="folder of class folders, index.csv or WSOL, or torchvision:NAME")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--backbone", default=DEFAULT_BACKBONE, help="timm name")
    start.add_argument("--from", dest="start_from", default=None, help="checkpoint whose softmax branch to take")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS_FOLDER, help="folder of checkpoint folders")
    parser.add_argument("--images", type=Path, default=None, help="where the pictures of a WSOL metadata folder lie")
    parser.add_argument("--split", default="train", choices=SPLITS)
    parser.add_argument(
        "--held-out", default=None, choices=(*SPLITS, "none"), help="split that is only measured (default: val, if any)"
    )
    parser.add_argument("--branch", default=training.branch, help="full (cloned head) or shift (one vector and bias)")
    parser.add_argument("--initialisation", default=training.initialisation, help="clone or fresh")
    parser.add_argument("--epochs", type=int, default=training.epochs)
    parser.add_argument("--learning-rate", type=float, default=training.learning_rate)
    parser.add_argument("--schedule", default=training.schedule, help="cosine or constant")
    parser.add_argument("--batch-size", type=int, default=training.batch_size)
    parser.add_argument("--weight-decay", type=float, default=training.weight_decay)
    parser.add_argument("--positive-weight", type=float, default=None, help="default: number of classes - 1")
    parser.add_argument(
        "--stay-near-softmax",
        type=float,
        default=training.stay_near_softmax,
        help="penalty on what is not a shift shared by all classes",
    )
    parser.add_argument(
        "--flat-shift",
        type=float,
        default=None,
        metavar="AREA",
        help="fit the flattest shift that leaves absent classes positive on this share of the cells, e.g. 0.1: all "
        "of a shift branch, the start of a full one",
    )
    parser.add_argument(
        "--damp",
        type=float,
        default=None,
        metavar="STRENGTH",
        help="damp what a full branch learned where its class is likely, e.g. 20: more of the order of places stays",
    )
    parser.add_argument("--views", type=int, default=views.count, help="versions of each picture; the first is plain")
    parser.add_argument(
        "--no-cache", action="store_true", help="run the encoder at every step on fresh random crops; keeps no features"
    )
    parser.add_argument(
        "--workers", type=int, default=None, help="threads that decode (default: one a core, at most 8)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--seed", type=int, default=training.seed)
    parser.add_argument("--fit-softmax-head", action="store_true", help="fit a softmax head on the data's classes")
    parser.add_argument("--softmax-epochs", type=int, default=softmax.epochs)
    parser.add_argument("--softmax-learning-rate", type=float, default=softmax.learning_rate)
    parser.add_argument("--half-precision", action="store_true", help="store the sigmoid head as float16")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run of the same settings")


def run_finetune(chosen: argparse.Namespace) -> None:
    """Runs the command in this process; under torchrun the first process alone prints.

    Raises:
        StoppedEarly: stopped by a signal; what was finished is kept.
        InputError: what `finetune` refuses; or a loss that is not finite, after what was finished is kept.
    """
    rank = int(os.environ.get("RANK", "0"))
    try:
        config = _config(chosen)
        with joined_processes(config.device) as processes, asked_to_stop(quiet=rank > 0) as should_stop:
            done = _finetuned(chosen, config, processes, should_stop)
    except InputError as error:
        if rank:  # the first process says it
            sys.exit(130 if isinstance(error, StoppedEarly) else 2)
        raise
    if rank == 0:
        _print_outcome(done)
    if done.stopped:
        kept = f"{done.stopped} '{done.path.name}' is the checkpoint of epoch {len(done.history)}; --resume goes on."
        if rank:
            sys.exit(130 if should_stop() else 2)
        raise (StoppedEarly if should_stop() else InputError)(kept)


def _finetuned(
    chosen: argparse.Namespace, config: FinetuneConfig, processes: Processes, should_stop: ShouldStop
) -> Finetuned:
    images, held_out = processes.together(lambda: _data(chosen))
    if processes.is_first:
        measured = f", {len(held_out.samples)} more held out" if held_out else ""
        print(f"{len(images.samples)} pictures of {len(images.class_names)} classes{measured}", file=sys.stderr)
    return finetune(
        images,
        chosen.out,
        config,
        held_out=held_out,
        resume=chosen.resume,
        on_epoch=_print_epochs(config.training.epochs) if processes.is_first else None,
        on_encoded=progress("pictures encoded") if processes.is_first else None,
        on_note=_print_note,
        should_stop=should_stop,
        checkpoints_folder=chosen.checkpoints,
        processes=processes,
    )


def _config(chosen: argparse.Namespace) -> FinetuneConfig:
    training = TrainingConfig(
        branch=chosen.branch,
        epochs=chosen.epochs,
        learning_rate=chosen.learning_rate,
        schedule=chosen.schedule,
        batch_size=chosen.batch_size,
        weight_decay=chosen.weight_decay,
        positive_weight=chosen.positive_weight,
        stay_near_softmax=chosen.stay_near_softmax,
        initialisation=chosen.initialisation,
        seed=chosen.seed,
    )
    softmax = SoftmaxHeadConfig(chosen.softmax_epochs, chosen.softmax_learning_rate)
    device = chosen_device(chosen.device)
    return FinetuneConfig(
        backbone=chosen.backbone,
        start_from=chosen.start_from,
        softmax_head=softmax if chosen.fit_softmax_head else None,
        training=training,
        views=Views(chosen.views, seed=chosen.seed),
        device=f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" else device,
        half_precision=chosen.half_precision,
        damping=None if chosen.damp is None else DampingConfig(strength=chosen.damp),
        flat_shift=None if chosen.flat_shift is None else FlatShiftConfig(absent_area=chosen.flat_shift),
        encode_every_step=chosen.no_cache,
        encoding=EncodingConfig(workers=chosen.workers),
    )


def _data(chosen: argparse.Namespace) -> tuple[LabelledImages, LabelledImages | None]:
    """The pictures to train on and those to measure: by default `val`, where there is such a split."""
    images = read_dataset(chosen.data, chosen.split, chosen.images)
    if chosen.held_out and chosen.held_out != "none":
        return images, read_dataset(chosen.data, chosen.held_out, chosen.images)
    # torchvision's sets name their splits each in their own way: one that has no `val` might give its test pictures.
    if chosen.held_out or chosen.split == "val" or str(chosen.data).startswith("torchvision:"):
        return images, None
    try:
        return images, read_dataset(chosen.data, "val", chosen.images)
    except InputError:
        return images, None


@contextmanager
def asked_to_stop(*, quiet: bool = False) -> Iterator[ShouldStop]:
    """A `should_stop` that says yes after Ctrl-C or SIGTERM; a second one ends the process at once."""
    asked: list[int] = []

    def note(number: int, _frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        if not quiet:
            # Not `print`: the signal may have come in the middle of one.
            os.write(2, b"\nstopping; once more to stop at once\n")

    if threading.current_thread() is not threading.main_thread():  # only the main thread hears signals
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_epochs(epochs: int) -> OnEpoch:
    """Prints each epoch; the remaining time counts from the first one that this run finished."""
    first: tuple[float, int] | None = None

    def show(epoch: Epoch, _head: ClassificationHead) -> None:
        nonlocal first
        now, left = time.monotonic(), ""
        if first is None:
            first = (now, epoch.number)
        elif epoch.number < epochs:
            seconds = (now - first[0]) / (epoch.number - first[1]) * (epochs - epoch.number)
            left = f", {duration(seconds)} left"
        print(_sentence(epoch) + left, file=sys.stderr)

    return show


def _sentence(epoch: Epoch) -> str:
    said = (
        f"epoch {epoch.number}: loss {epoch.loss:.4f}, accuracy sigmoid {epoch.sigmoid_accuracy:.3f} "
        f"(softmax {epoch.softmax_accuracy:.3f}), probability own {epoch.own_probability:.3f} "
        f"absent {epoch.absent_probability:.4f}"
    )
    if epoch.held_out_loss is None:
        return said
    return (
        f"{said}; held out: loss {epoch.held_out_loss:.4f}, accuracy sigmoid {epoch.held_out_sigmoid_accuracy:.3f} "
        f"(softmax {epoch.held_out_softmax_accuracy:.3f})"
    )


def _print_note(sentence: str) -> None:
    print(f"note: {sentence}", file=sys.stderr)


def _print_outcome(done: Finetuned) -> None:
    for sentence in done.unreadable:
        print(f"left out: {sentence}", file=sys.stderr)
    if done.match.unmatched:
        print(f"left out, no such class in the model: {', '.join(done.match.unmatched)}", file=sys.stderr)
    print(done.path)
