"""A data set -> a checkpoint: match classes, encode once, train the sigmoid branch, write the folder.

What `python -m bsig finetune` and the Fine-tune screen both run.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bsig.backbones import DEFAULT_BACKBONE, Classifier, PooledLinearHead, chosen_device, load_classifier, unique_names
from bsig.checkpoints import CHECKPOINTS_FOLDER, check_target, load_checkpoint, save_checkpoint
from bsig.damped_finetune import DampingConfig, damped_head
from bsig.datasets import CACHE_FOLDER, ClassMatch, LabelledImages, match_classes, plain_name
from bsig.dual_branch import DualBranch
from bsig.errors import InputError
from bsig.feature_cache import PooledFeatures, Progress, Views, pooled_features
from bsig.flat_finetune import FlatFit, FlatShiftConfig, fit_flat_shift
from bsig.training import Epoch, TrainedBranch, TrainingConfig, fit_softmax_head, train_sigmoid_branch


@dataclass(frozen=True)
class SoftmaxHeadConfig:
    """Settings of the "vanilla" softmax head that a new label set needs first."""

    epochs: int = 100
    learning_rate: float = 0.03
    weight_decay: float = 5e-4


@dataclass(frozen=True)
class FinetuneConfig:
    """One fine-tune, from start model to file.

    Attributes:
        backbone: a timm name; its published head is the softmax branch unless `softmax_head` is set.
        start_from: a checkpoint whose softmax branch (and encoder) is taken instead.
        softmax_head: fit a new softmax head on the data's own classes first.
        half_precision: store the sigmoid head as float16.
        flat_shift: fit the flattest shift: a `shift` branch is that and nothing more, a `full` one is trained from it.
        damping: damp a trained `full` branch's change where a class is likely.
    """

    backbone: str = DEFAULT_BACKBONE
    start_from: str | None = None
    softmax_head: SoftmaxHeadConfig | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)
    views: Views = field(default_factory=Views)
    device: str = "cpu"
    half_precision: bool = False
    flat_shift: FlatShiftConfig | None = None
    damping: DampingConfig | None = None


@dataclass(frozen=True)
class Finetuned:
    """What a fine-tune leaves: the model, its figures, what was matched and what could not be read."""

    model: DualBranch
    path: Path
    history: tuple[Epoch, ...]
    match: ClassMatch
    unreadable: tuple[str, ...]


def finetune(
    images: LabelledImages,
    out: Path,
    config: FinetuneConfig,
    *,
    resume: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_encoded: Progress | None = None,
    checkpoints_folder: Path = CHECKPOINTS_FOLDER,
    cache_folder: Path | None = CACHE_FOLDER / "features",
) -> Finetuned:
    """Trains a sigmoid branch on the images and writes the checkpoint folder `out`.

    Raises:
        InputError: the images match too few classes, cannot be read, or the settings break a rule.
    """
    out = Path(os.path.abspath(out))  # '.' has no name of its own
    if config.damping and config.training.branch != "full":
        raise InputError(
            f"`damping` needs a full branch, not `branch` (={config.training.branch}): a shift has no row of its own "
            "for each class."
        )
    check_target(out)  # before hours of work, not after
    config = replace(config, device=chosen_device(config.device))
    start, match = _start_model(images, config, checkpoints_folder)
    if not match.index_of:
        raise InputError(
            f"none of the {len(match.unmatched)} classes of '{images.name}' (e.g. '{match.unmatched[0]}') is a class "
            f"of '{start.name}'; name folders by its class names, WordNet ids or indices, or fit a new head "
            "(--fit-softmax-head)."
        )
    features = pooled_features(
        start, images, match.index_of, config.views, progress=on_encoded, cache_folder=cache_folder
    )
    classifier = _classifier(start, images, features, config)
    state_file = out.with_name(f".{out.name}.training") / "state.safetensors"
    if not resume:
        shutil.rmtree(state_file.parent, ignore_errors=True)
    flat = _flat_fit(classifier, images, match, config, on_encoded)
    if flat and config.training.branch == "shift":
        trained = TrainedBranch(flat.shift.applied_to(classifier.head), flat.shift)
    else:
        # Softmax cannot see a shift: for the training the shifted head is the softmax head.
        start_head = flat.shift.applied_to(classifier.head) if flat else classifier.head
        trained = train_sigmoid_branch(
            start_head, features, config.training, on_epoch=on_epoch, state_file=state_file, resume=resume
        )
    head = None if trained.shift else _damped(trained, classifier, images, match, config, on_encoded)
    model = DualBranch(classifier, head, shift=trained.shift, name=out.name)
    # A doctored softmax branch stays doctored under a new sigmoid branch.
    keeps_softmax = config.softmax_head is None
    inherited = {key: start.metadata[key] for key in ("doctored",) if keeps_softmax and key in start.metadata}
    save_checkpoint(
        model,
        out,
        half_precision=config.half_precision,
        training={**_said_of_training(config, model.num_classes), **_said_of_flat(config, flat)},
        data=_said_of_data(images, features, match),
        history=[asdict(epoch) for epoch in trained.history],
        **inherited,
    )
    shutil.rmtree(state_file.parent, ignore_errors=True)
    return Finetuned(model, out, trained.history, match, features.unreadable)


def _start_model(images: LabelledImages, config: FinetuneConfig, folder: Path) -> tuple[DualBranch, ClassMatch]:
    if config.start_from:
        start = load_checkpoint(config.start_from, config.device, folder)
    else:
        start = DualBranch(load_classifier(config.backbone, config.device))
    if config.softmax_head:
        return start, ClassMatch({name: index for index, name in enumerate(images.class_names)}, ())
    return start, match_classes(images.class_names, start.class_names, start.class_ids)


def _classifier(
    start: DualBranch, images: LabelledImages, features: PooledFeatures, config: FinetuneConfig
) -> Classifier:
    """The start model's encoder with its own softmax head, or with one fitted on the data's classes."""
    head, names, ids = copy.deepcopy(start.softmax_head), start.class_names, start.class_ids
    if config.softmax_head:
        ids = images.class_names
        names = unique_names([plain_name(name) for name in ids], ids)
        head = fit_softmax_head(
            features, len(ids), seed=config.training.seed, batch_size=config.training.batch_size,
            **asdict(config.softmax_head),
        ).to(start.device)  # fmt: skip
    return Classifier(start.backbone_name, start.encoder, head, start.preprocessing, names, ids, {})


def _flat_fit(
    classifier: Classifier, images: LabelledImages, match: ClassMatch, config: FinetuneConfig, progress: Progress | None
) -> FlatFit | None:
    if config.flat_shift is None:
        return None
    return fit_flat_shift(DualBranch(classifier), images, match.index_of, config.flat_shift, progress=progress)


def _damped(
    trained: TrainedBranch,
    classifier: Classifier,
    images: LabelledImages,
    match: ClassMatch,
    config: FinetuneConfig,
    progress: Progress | None,
) -> PooledLinearHead:
    if config.damping is None:
        return trained.head
    model = DualBranch(classifier)
    return damped_head(model, trained.head, images, match.index_of, config.damping, progress=progress)


def _said_of_flat(config: FinetuneConfig, flat: FlatFit | None) -> dict[str, Any]:
    if config.flat_shift is None or flat is None:
        return {}
    found = {"level": flat.level, "held_out_flatness": flat.flatness, "pictures": flat.pictures}
    return {"flat_shift": {**asdict(config.flat_shift), **found}}


def _said_of_training(config: FinetuneConfig, classes: int) -> dict[str, Any]:
    training = asdict(config.training)
    if training["positive_weight"] is None:
        training["positive_weight"] = classes - 1
    return {
        **training,
        "views": asdict(config.views),
        "softmax_head": asdict(config.softmax_head) if config.softmax_head else "as published",
        "damping": asdict(config.damping) if config.damping else None,
        "start_from": config.start_from or config.backbone,
        "device": config.device,
    }


def _said_of_data(images: LabelledImages, features: PooledFeatures, match: ClassMatch) -> dict[str, Any]:
    return {
        "name": images.name,
        "split": images.split,
        "images": len(features.labels),
        "classes_seen": len(match.index_of),
        "classes_unmatched": list(match.unmatched),
        "unreadable": list(features.unreadable),
    }
