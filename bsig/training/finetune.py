"""A data set -> a checkpoint: match classes, encode once, train the sigmoid branch, write the folder.

What `python -m bsig finetune` and the Fine-tune screen both run, whole (`finetune`) or in its parts:

    start_model(config)                     -> the model that a run starts from
    encoded_data(start, images, config)     -> TrainingData: features, labels, the data's classes
    finetune_on(start, data, out, config)   -> a checkpoint folder

Everything runs in the caller's thread, and so do its callbacks: `on_encoded(done, total)` after each batch of pictures,
`on_epoch(figures, head)` after each epoch, `on_note(sentence)` where something had to be got around, `should_stop()`
before each batch of pictures and each training step.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bsig.inputs.datasets.datasets import ClassMatch, LabelledImages, match_classes, plain_name
from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.backbones import Classifier, chosen_device, load_classifier, unique_names
from bsig.model.checkpoints.folder import check_target, load_checkpoint, save_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead
from bsig.training.closed_form.balanced_bias import balanced_bias
from bsig.training.closed_form.damped_finetune import damped_head
from bsig.training.closed_form.flat_finetune import FlatFit, fit_flat_shift
from bsig.training.config import ONE_VIEW, DampingConfig, FlatShiftConfig, Views
from bsig.training.features.cache import FEATURES_FOLDER, Progress, split_features
from bsig.training.features.fresh import FreshFeatures
from bsig.training.features.pooled import TrainingFeatures
from bsig.training.loop.train import (
    Epoch,
    OnEpoch,
    ShouldStop,
    TrainedBranch,
    fit_softmax_head,
    never,
    train_sigmoid_branch,
)
from bsig.training.processes import ALONE, Processes

OnNote = Callable[[str], None]


@dataclass(frozen=True)
class TrainingData:
    """What a training needs of the pictures.

    Attributes:
        features: pooled features and labels. A label is the index of a class of the start model or, where a new
            softmax head is fitted, of `class_names`.
        held_out: the same of pictures that are only measured.
        class_names: the data's own classes, in their order.
        said: what `checkpoint.json` says of the data.
    """

    features: TrainingFeatures
    held_out: TrainingFeatures | None
    class_names: tuple[str, ...]
    said: dict[str, Any]


@dataclass(frozen=True)
class Finetuned:
    """What a fine-tune leaves: the model, its figures, what was matched and what could not be read.

    Attributes:
        stopped: why the run ended before its last epoch, in one sentence; None where it did not. The checkpoint is
            that of the last finished epoch, and the run can be resumed.
    """

    model: DualBranch
    path: Path
    history: tuple[Epoch, ...]
    match: ClassMatch
    unreadable: tuple[str, ...]
    stopped: str | None = None


def finetune(
    images: LabelledImages,
    out: Path,
    config: FinetuneConfig,
    *,
    held_out: LabelledImages | None = None,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
    on_encoded: Progress | None = None,
    on_note: OnNote | None = None,
    should_stop: ShouldStop = never,
    checkpoints_folder: Path = CHECKPOINTS_FOLDER,
    cache_folder: Path | None = FEATURES_FOLDER,
    processes: Processes = ALONE,
) -> Finetuned:
    """Trains a sigmoid branch on the images and writes the checkpoint folder `out`.

    Of several `processes` each one runs this; the first one writes.

    Raises:
        StoppedEarly: stopped before an epoch was finished.
        InputError: the images match too few classes, cannot be read, or the settings break a rule.
    """
    out = _checked_target(out)
    start = start_model(config, checkpoints_folder)
    data, match = encoded_data(
        start,
        images,
        config,
        held_out=held_out,
        on_encoded=on_encoded,
        on_note=on_note,
        should_stop=should_stop,
        cache_folder=cache_folder,
        processes=processes,
    )

    def flat_fit(model: DualBranch) -> FlatFit:
        settings = config.flat_shift or FlatShiftConfig()
        return fit_flat_shift(model, images, match.index_of, settings, progress=on_encoded, should_stop=should_stop)

    def damp(model: DualBranch, head: ClassificationHead) -> ClassificationHead:
        settings = config.damping or DampingConfig()
        return damped_head(model, head, images, match.index_of, settings, progress=on_encoded, should_stop=should_stop)

    done = finetune_on(
        start, data, out, config,
        resume=resume, flat_fit=flat_fit if config.flat_shift else None, damp=damp if config.damping else None,
        on_epoch=on_epoch, should_stop=should_stop,
    )  # fmt: skip
    return replace(done, match=match)


def start_model(config: FinetuneConfig, checkpoints_folder: Path = CHECKPOINTS_FOLDER) -> DualBranch:
    """The model that a run starts from, on its device: a checkpoint's, or a backbone's published weights.

    Raises:
        InputError: no such checkpoint, backbone or device.
    """
    device = chosen_device(config.device)
    if config.start_from:
        return load_checkpoint(config.start_from, device, checkpoints_folder)
    return DualBranch(load_classifier(config.backbone, device))


def encoded_data(
    start: DualBranch,
    images: LabelledImages,
    config: FinetuneConfig,
    *,
    held_out: LabelledImages | None = None,
    on_encoded: Progress | None = None,
    on_note: OnNote | None = None,
    should_stop: ShouldStop = never,
    cache_folder: Path | None = FEATURES_FOLDER,
    processes: Processes = ALONE,
) -> tuple[TrainingData, ClassMatch]:
    """Features and labels of the pictures whose class the start model (or the new softmax head) has.

    Raises:
        StoppedEarly: `should_stop` said so.
        InputError: no class matches, or no picture can be read.
    """
    match = _matched(start, images.class_names, images.class_names, config)
    if not match.index_of:
        raise InputError(
            f"none of the {len(match.unmatched)} classes of '{images.name}' (e.g. '{match.unmatched[0]}') is a class "
            f"of '{start.name}'; name folders by its class names, WordNet ids or indices, or fit a new head "
            "(--fit-softmax-head)."
        )

    def encoded(some: LabelledImages, index_of: dict[str, int], views: Views) -> TrainingFeatures:
        return split_features(
            processes,
            start,
            some,
            index_of,
            views,
            encoding=config.encoding,
            progress=on_encoded,
            cache_folder=cache_folder,
            should_stop=should_stop,
            on_note=on_note,
        )

    features: TrainingFeatures
    if config.encode_every_step:
        features = FreshFeatures(
            start, images, match.index_of, seed=config.views.seed, encoding=config.encoding, on_note=on_note,
            processes=processes,
        )  # fmt: skip
    else:
        features = encoded(images, match.index_of, config.views)
    said = _said_of_data(images, features, match)
    measured = None
    if held_out:
        index_of = _matched(start, held_out.class_names, images.class_names, config).index_of
        if index_of:
            measured = encoded(held_out, index_of, ONE_VIEW)
            said["held_out"] = {"split": held_out.split, "images": measured.count}
        elif on_note:
            on_note(f"no picture of split '{held_out.split}' has a class that is trained: nothing is held out.")
    return TrainingData(features, measured, images.class_names, said), match


def finetune_on(
    start: DualBranch,
    data: TrainingData,
    out: Path,
    config: FinetuneConfig,
    *,
    resume: bool = False,
    flat_fit: Callable[[DualBranch], FlatFit] | None = None,
    damp: Callable[[DualBranch, ClassificationHead], ClassificationHead] | None = None,
    on_start: Callable[[DualBranch], None] | None = None,
    on_epoch: OnEpoch | None = None,
    should_stop: ShouldStop = never,
) -> Finetuned:
    """Trains a sigmoid branch on features in hand and writes the checkpoint folder `out`.

    `flat_fit` fits the flattest shift of the model's softmax head (`flat_finetune.py`): a `shift` branch is that and
    nothing more, a `full` one is trained from it. `damp` gets the model before training and the trained head and gives
    back the head that is kept (`damped_finetune.py`). `on_start` gets the model as it is before the first epoch, with
    its own softmax head; `on_epoch` the figures and the sigmoid head after each.

    A run that is stopped, or whose loss or weights are not finite, leaves the checkpoint of its last finished epoch
    and its state beside it (`.NAME.training`), from which `resume` goes on. `match` of the answer is empty: labels
    are matched already.

    Raises:
        StoppedEarly: stopped before an epoch was finished.
        InputError: the settings break a rule, or the disk refuses.
    """
    out, processes = _checked_target(out), data.features.processes
    classifier = _classifier(start, data, config, should_stop)
    if on_start:
        on_start(DualBranch(classifier, name=out.name))
    state_file = out.with_name(f".{out.name}.training") / "state.safetensors"
    if not resume and processes.is_first:
        shutil.rmtree(state_file.parent, ignore_errors=True)
    flat = flat_fit(DualBranch(classifier)) if flat_fit else None
    if flat and config.training.branch == "shift":
        trained = TrainedBranch(flat.shift.applied_to(classifier.head), flat.shift)
    else:
        trained = train_sigmoid_branch(
            # Softmax cannot see a shift: for the training the shifted head is the softmax head.
            flat.shift.applied_to(classifier.head) if flat else classifier.head,
            data.features,
            config.training,
            held_out=data.held_out,
            on_epoch=on_epoch,
            should_stop=should_stop,
            state_file=state_file,
            resume=resume,
        )
    head = None if trained.shift else trained.head
    if head is not None and damp and not trained.stopped:
        head = damp(DualBranch(classifier), head)
    model = DualBranch(classifier, head, shift=trained.shift, name=out.name)
    # A doctored softmax branch stays doctored under a new sigmoid branch.
    keeps_softmax = config.softmax_head is None
    inherited = {key: start.metadata[key] for key in ("doctored",) if keeps_softmax and key in start.metadata}
    said = _said_of_training(config, trained, model.num_classes, start) | _said_of_flat(config, flat)
    said["balanced_bias"] = balanced_bias(classifier.head, data.features)
    unreadable = data.features.unreadable

    def saved() -> None:
        save_checkpoint(
            model,
            out,
            half_precision=config.half_precision,
            training=said,
            data={**data.said, "unreadable": list(unreadable)},
            history=[asdict(epoch) for epoch in trained.history],
            **inherited,
        )
        if not trained.stopped:
            shutil.rmtree(state_file.parent, ignore_errors=True)

    processes.together(lambda: saved() if processes.is_first else None)
    return Finetuned(model, out, trained.history, ClassMatch({}, ()), unreadable, trained.stopped)


def _checked_target(out: Path) -> Path:
    out = Path(os.path.abspath(out))  # '.' has no name of its own
    check_target(out)  # before hours of work, not after
    return out


def _matched(start: DualBranch, names: tuple[str, ...], trained: tuple[str, ...], config: FinetuneConfig) -> ClassMatch:
    """Which class each name is: of the model or, where a new softmax head is fitted, of those trained on."""
    if not config.softmax_head:
        return match_classes(names, start.class_names, start.class_ids)
    index_of = {name: index for index, name in enumerate(trained)}
    known = {name: index_of[name] for name in names if name in index_of}
    return ClassMatch(known, tuple(name for name in names if name not in known))


def _classifier(start: DualBranch, data: TrainingData, config: FinetuneConfig, should_stop: ShouldStop) -> Classifier:
    """The start model's encoder with its own softmax head, or with one fitted on the data's classes."""
    head, names, ids = copy.deepcopy(start.softmax_head), start.class_names, start.class_ids
    if config.softmax_head:
        ids = data.class_names
        names = unique_names([plain_name(name) for name in ids], ids)
        head = fit_softmax_head(
            data.features, len(ids), seed=config.training.seed, batch_size=config.training.batch_size,
            device=start.device, should_stop=should_stop, like=head, **asdict(config.softmax_head),
        )  # fmt: skip
    return start.classifier(head=head, class_names=names, class_ids=ids)


def _said_of_flat(config: FinetuneConfig, flat: FlatFit | None) -> dict[str, Any]:
    if config.flat_shift is None or flat is None:
        return {}
    found = {"level": flat.level, "held_out_flatness": flat.flatness, "pictures": flat.pictures}
    return {"flat_shift": {**asdict(config.flat_shift), **found}}


def _said_of_training(
    config: FinetuneConfig, trained: TrainedBranch, classes: int, start: DualBranch
) -> dict[str, Any]:
    training = asdict(config.training)
    if training["positive_weight"] is None:
        training["positive_weight"] = classes - 1
    stopped = {"finished_epochs": len(trained.history), "stopped": trained.stopped} if trained.stopped else {}
    return {
        **training,
        **stopped,
        "views": "a fresh crop every step" if config.encode_every_step else asdict(config.views),
        "softmax_head": asdict(config.softmax_head) if config.softmax_head else "as published",
        "damping": asdict(config.damping) if config.damping and not trained.stopped else None,
        # The name of a checkpoint, not where it lay on this machine.
        "start_from": Path(config.start_from).name if config.start_from else config.backbone,
        "device": str(start.device),
    }


def _said_of_data(images: LabelledImages, features: TrainingFeatures, match: ClassMatch) -> dict[str, Any]:
    return {
        "name": images.name,
        "split": images.split,
        "images": features.count,
        "classes_seen": len(match.index_of),
        "classes_unmatched": list(match.unmatched),
        "unreadable": list(features.unreadable),
    }
