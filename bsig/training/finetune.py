"""A data set -> a checkpoint: match classes, encode once, train the sigmoid branch, write the folder.

`python -m bsig finetune` and the Fine-tune screen both run it, whole (`finetune`) or in its parts:

    start_model(config)                     -> the model that a run starts from
    encoded_data(start, images, config)     -> TrainingData: features, labels, the data's classes
    shipped_data(start, config)             -> the same of the features that ship with this project
    finetune_on(start, data, out, config)   -> a checkpoint folder

Each picture goes through the encoder once: its pooled features are kept for the branch, and the flat shift and the
damping read its feature maps on the way. Everything runs in the caller's thread, and so do its callbacks
(`bsig.training.callbacks`).
"""

from __future__ import annotations

import copy
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bsig.inputs.counts import none_of
from bsig.inputs.datasets.classes import ClassMatch, first_names, plain_names
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.errors import InputError, StoppedEarly
from bsig.inputs.paths import BUNDLED_FEATURES, CHECKPOINTS_FOLDER
from bsig.model.backbones import Classifier, load_classifier, unique_names
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.save import check_target, save_checkpoint
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead
from bsig.model.presence import PresenceCalibration
from bsig.training.callbacks import OnEpoch, OnNote, OnStart, Progress, ShouldStop, never, unheard
from bsig.training.closed_form.balanced_bias import balanced_bias
from bsig.training.closed_form.calibration import calibration_sentence
from bsig.training.closed_form.damping import DampingGrids, damped_head
from bsig.training.closed_form.flat_shift import FlatShiftCells, FlatShiftFit, fit_flat_shift
from bsig.training.closed_form.similar_classes import mixed_with_similar
from bsig.training.config import ONE_VIEW, FinetuneConfig
from bsig.training.cross_fit import left_out_presence
from bsig.training.data_check import class_match, held_out_match, known_count
from bsig.training.features.bundle import load_bundle
from bsig.training.features.cache import FEATURES_FOLDER, known_samples, show_grids, split_features
from bsig.training.features.fresh import FreshFeatures
from bsig.training.features.labels import present_classes
from bsig.training.features.pooled import TrainingFeatures
from bsig.training.loop.epoch import Epoch
from bsig.training.loop.train import TrainedHead, fit_softmax_head, train_sigmoid_branch
from bsig.training.processes import ALONE, Processes

# Where nearly every picture has every class, and nothing is left to balance.
LEAST_POSITIVE_WEIGHT = 1e-3


@dataclass(frozen=True)
class TrainingData:
    """All that a training needs of the pictures.

    Attributes:
        features: pooled features and labels. A label is the index of a class of the start model or, where a new
            softmax head is fitted, of `class_names`.
        held_out: the same of pictures that are only measured.
        description: the entries of `checkpoint.json` on the data.
        match: classes of the pictures in the start model; empty for features that came with their labels.
        cells, grids: what a flat shift and a damping have read of the feature maps; None where no one needs them.
        classes_per_picture: mean number of classes that are in a picture.
    """

    features: TrainingFeatures
    held_out: TrainingFeatures | None
    class_names: tuple[str, ...]
    description: dict[str, Any]
    match: ClassMatch
    cells: FlatShiftCells | None = None
    grids: DampingGrids | None = None
    classes_per_picture: float = 1.0


@dataclass(frozen=True)
class Finetuned:
    """The model of a fine-tune, its measures, the matched classes and the files that could not be read.

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
    on_note: OnNote = unheard,
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
    data = encoded_data(
        start, images, config,
        held_out=held_out, on_encoded=on_encoded, on_note=on_note, should_stop=should_stop, cache_folder=cache_folder,
        processes=processes,
    )  # fmt: skip
    return finetune_on(
        start, data, out, config, resume=resume, on_epoch=on_epoch, on_note=on_note, should_stop=should_stop
    )


def start_model(config: FinetuneConfig, checkpoints_folder: Path = CHECKPOINTS_FOLDER) -> DualBranch:
    """Returns the model that a run starts from, on its device: a checkpoint's, or a backbone's published weights.

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
    on_note: OnNote = unheard,
    should_stop: ShouldStop = never,
    cache_folder: Path | None = FEATURES_FOLDER,
    processes: Processes = ALONE,
) -> TrainingData:
    """Returns features and labels of the pictures of classes that the start model (or the new softmax head) has.

    Raises:
        StoppedEarly: `should_stop` said so.
        InputError: no class matches, or no picture can be read.
    """
    new_head, class_map = config.softmax_head is not None, config.class_map
    if new_head:
        images, held_out = images.renamed(class_map), held_out.renamed(class_map) if held_out else None
    match = class_match(images, start, new_head=new_head, class_map=class_map)
    if not match.index_of:
        none = none_of(len(match.unmatched), "class", "classes")
        raise InputError(
            f"{none} of '{images.name}' (e.g. '{match.unmatched[0]}') is a class "
            f"of '{start.name}' ({first_names(start.class_names)}); name folders by its class names, WordNet ids or "
            "indices, say which is which with --class-map, or fit a new head "
            "(--fit-softmax-head)."
        )
    options: dict[str, Any] = {
        "encoding": config.encoding, "progress": on_encoded, "should_stop": should_stop, "on_note": on_note,
    }  # fmt: skip
    cells, grids = _readers(start, images, match.index_of, config)
    readers = [reader for reader in (cells, grids) if reader]
    features = _training_features(
        processes, start, images, match, config, readers, cache_folder=cache_folder, **options
    )
    description: dict[str, Any] = {
        "name": images.name, "split": images.split, "images": features.count, "classes_seen": len(match.index_of),
        "classes_unmatched": list(match.unmatched), **({"class_map": class_map} if class_map else {}),
    }  # fmt: skip
    held_out_features = None
    if held_out:
        own_match = held_out_match(held_out, match, start, new_head=new_head, class_map=class_map)
        held_out_features = _held_out_features(
            processes, start, held_out, own_match, cache_folder=cache_folder, **options
        )
    if held_out and held_out_features:
        description["held_out"] = {"split": held_out.split, "images": held_out_features.count}
    classes = [len(present_classes(sample, match.index_of)) for sample in known_samples(images, match.index_of)]
    return TrainingData(
        features, held_out_features, images.class_names, description, match, cells, grids, sum(classes) / len(classes)
    )


def _training_features(
    processes: Processes, start: DualBranch, images: LabelledImages, match: ClassMatch, config: FinetuneConfig,
    readers: list[Any], *, cache_folder: Path | None, **options: Any,
) -> TrainingFeatures:  # fmt: skip
    """Returns the features of the pictures to train on, encoded once or at every step; `readers` see their grids."""
    if not config.encode_every_step:
        return split_features(
            processes, start, images, match.index_of, config.views,
            cache_folder=cache_folder, readers=readers, **options,
        )  # fmt: skip
    features = FreshFeatures(
        start, images, match.index_of,
        seed=config.views.seed, encoding=config.encoding, on_note=options["on_note"], processes=processes,
    )  # fmt: skip
    if readers:
        show_grids(processes, start, images, match.index_of, readers, **options)
    return features


def _held_out_features(
    processes: Processes, start: DualBranch, held_out: LabelledImages, match: ClassMatch, **options: Any
) -> TrainingFeatures | None:
    """Returns the features of the held-out pictures of known classes; says how many they are where not all are."""
    on_note, count = options["on_note"], known_count(held_out, match)
    if not count:
        on_note(f"no picture of split '{held_out.split}' has a class that is trained: nothing is held out.")
        return None
    if count < len(held_out.samples):
        verb = "is" if count == 1 else "are"
        on_note(
            f"{count} of {len(held_out.samples)} pictures of split '{held_out.split}' {verb} held out: the others are "
            f"of classes that are not trained ({', '.join(match.unmatched)[:100]})."
        )
    return split_features(processes, start, held_out, match.index_of, ONE_VIEW, **options)


def shipped_data(start: DualBranch, config: FinetuneConfig) -> TrainingData:
    """Returns the features that ship with this project, of the default backbone and ImageNet's classes.

    Raises:
        InputError: the model has another encoder or other classes, or a setting needs pictures.
    """
    check_shipped_settings(config)
    bundle = load_bundle(BUNDLED_FEATURES, start)
    return TrainingData(bundle.features, bundle.held_out, start.class_ids, bundle.description, ClassMatch({}, ()))


def check_shipped_settings(config: FinetuneConfig) -> None:
    """Refuses, by name, settings that features without pictures cannot honour.

    Raises:
        InputError: a setting needs pictures.
    """
    needs_pictures = {
        "flat_shift": config.flat_shift,
        "damping": config.damping,
        "encode_every_step": config.encode_every_step,
        "views": config.views.count > 1,
    }
    names = [f"`{name}`" for name, setting in needs_pictures.items() if setting]
    if names:
        raise InputError(
            f"{' and '.join(names)} cannot be had of the shipped features, which hold no pictures: choose data with "
            "pictures, or leave it out."
        )


def finetune_on(
    start: DualBranch,
    data: TrainingData,
    out: Path,
    config: FinetuneConfig,
    *,
    resume: bool = False,
    on_start: OnStart | None = None,
    on_epoch: OnEpoch | None = None,
    on_note: OnNote = unheard,
    should_stop: ShouldStop = never,
) -> Finetuned:
    """Trains a sigmoid branch on features in hand and writes the checkpoint folder `out`.

    A flat shift is all of a `shift` branch, and where a `full` one starts, as rows mixed with similar classes are. A
    damping changes the trained head of a run that went to its end.

    A run that is stopped, or gets a loss or weights that are not finite, leaves the checkpoint of its last finished
    epoch and its state beside it (`.NAME.training`); `resume` goes on from there.

    With `calibrate`, a run that went to its end trains further branches to calibrate presence, and a note says on what
    or why not.

    Raises:
        StoppedEarly: stopped before an epoch was finished.
        InputError: the settings break a rule, or the disk refuses.
    """
    out, processes = _checked_target(out), data.features.processes
    _check_read(config, data)
    classifier = _classifier(start, data, config, should_stop)
    config = _balanced(config, data, len(classifier.class_names))
    if on_start:
        on_start(DualBranch(classifier, name=out.name))
    state_file = state_folder(out) / "state.safetensors"
    if not resume and processes.is_first:
        shutil.rmtree(state_file.parent, ignore_errors=True)
    softmax_head = classifier.head
    result, flat = _trained(
        softmax_head, data, config,
        on_epoch=on_epoch, should_stop=should_stop, state_file=state_file, resume=resume,
    )  # fmt: skip
    head = None if result.shift else result.head
    presence = _presence(start, data, config, result, on_note, should_stop) if config.calibrate else None
    model = DualBranch(classifier, head, shift=result.shift, presence=presence, name=out.name)
    entries = _description_entries(start, model, data, config, result, flat)

    def save() -> None:
        save_checkpoint(model, out, half_precision=config.half_precision, **entries)
        if not result.stopped:
            shutil.rmtree(state_file.parent, ignore_errors=True)

    processes.together(lambda: save() if processes.is_first else None)
    return Finetuned(model, out, result.history, data.match, data.features.unreadable, result.stopped)


def _description_entries(
    start: DualBranch, model: DualBranch, data: TrainingData, config: FinetuneConfig, result: TrainedHead,
    flat: FlatShiftFit | None,
) -> dict[str, Any]:  # fmt: skip
    """Returns what the checkpoint's description says of the training, its data and every epoch."""
    entries = {
        "training": {
            **_training_description(config, result, flat, model.num_classes, start),
            "balanced_bias": balanced_bias(model.softmax_head, data.features),
        },
        "data": {**data.description, "unreadable": list(data.features.unreadable)},
        "history": [asdict(epoch) for epoch in result.history],
    }
    if config.softmax_head is None and "doctored" in start.metadata:
        # A doctored softmax branch stays doctored under a new sigmoid branch.
        entries["doctored"] = start.metadata["doctored"]
    return entries


def _trained(
    softmax_head: ClassificationHead, data: TrainingData, config: FinetuneConfig, **options: Any
) -> tuple[TrainedHead, FlatShiftFit | None]:
    """Returns the sigmoid branch, and the flat shift that it starts from or is.

    Solved where it is a flat shift alone, else trained and, with a setting, damped.
    """
    settings, processes = config.flat_shift, data.features.processes
    start_head = mixed_with_similar(softmax_head, config.similar_classes) if config.similar_classes else softmax_head
    flat = fit_flat_shift(data.cells, start_head, settings, processes) if settings and data.cells else None
    shifted_head = start_head.shifted(flat.shift.vector, flat.shift.bias) if flat else start_head
    if flat and config.training.branch == "shift":
        return TrainedHead(shifted_head, flat.shift), flat
    result = train_sigmoid_branch(
        softmax_head,
        data.features,
        config.training,
        start=None if shifted_head is softmax_head else shifted_head,
        held_out=data.held_out,
        **options,
    )
    if config.damping and data.grids and not result.stopped:
        head = damped_head(data.grids, softmax_head, result.head, config.damping, processes, start=start_head)
        result = replace(result, head=head)
    return result, flat


def _presence(
    start: DualBranch,
    data: TrainingData,
    config: FinetuneConfig,
    result: TrainedHead,
    on_note: OnNote,
    should_stop: ShouldStop,
) -> PresenceCalibration | None:
    """Returns how likely the branch's logits make a class; None, and a note with the reason, where it cannot be known.

    The pictures are those trained on, each read by a branch that was trained without it; where that cannot be, those
    that are only measured. In a cross-fit the softmax head is fitted without the fold too, where one is fitted. The
    level of a flat shift and the maps of a damping are those of all pictures.
    """

    def branch_of(part: TrainingFeatures) -> ClassificationHead:
        part_data = replace(data, features=part, held_out=None)
        softmax_head = _classifier(start, part_data, config, should_stop).head
        branch, _ = _trained(softmax_head, part_data, config, should_stop=should_stop)
        if branch.stopped:
            raise StoppedEarly(branch.stopped)
        return branch.head

    try:
        if result.stopped:
            raise InputError("the training did not go to its end; resume it.")
        classes = result.head.last_linear.out_features
        presence = left_out_presence(
            result.head, data.features, data.held_out, classes, branch_of,
            name=str(data.description.get("name", "the data")), seed=config.training.seed,
        )  # fmt: skip
    except InputError as error:
        on_note(f"presence is not calibrated: {error}")
        return None
    on_note(calibration_sentence(presence))
    return presence


def state_folder(out: Path) -> Path:
    """The folder of the state of an unfinished run of the checkpoint folder `out`."""
    return out.with_name(f".{out.name}.training")


def _balanced(config: FinetuneConfig, data: TrainingData, classes: int) -> FinetuneConfig:
    """Returns the settings with the weight of a positive that balances the classes, (C - m) / m for m a picture.

    Where each picture has one class, that is the default C - 1.
    """
    if data.classes_per_picture == 1 or config.training.positive_weight is not None:
        return config
    weight = max((classes - data.classes_per_picture) / data.classes_per_picture, LEAST_POSITIVE_WEIGHT)
    return replace(config, training=replace(config.training, positive_weight=weight))


def _checked_target(out: Path) -> Path:
    out = Path(os.path.abspath(out))  # '.' has no name of its own
    check_target(out)  # before hours of work, not after
    return out


def _classifier(start: DualBranch, data: TrainingData, config: FinetuneConfig, should_stop: ShouldStop) -> Classifier:
    """Returns the start model's encoder with its own softmax head, or with one fitted on the data's classes."""
    head, names, ids = copy.deepcopy(start.softmax_head), start.class_names, start.class_ids
    if config.softmax_head:
        ids = data.class_names
        names = unique_names(list(plain_names(ids)), ids)
        head = fit_softmax_head(
            data.features, len(ids), seed=config.training.seed, batch_size=config.training.batch_size,
            should_stop=should_stop, like=head, **asdict(config.softmax_head),
        )  # fmt: skip
    return start.classifier(head=head, class_names=names, class_ids=ids)


def _readers(
    start: DualBranch, images: LabelledImages, index_of: dict[str, int], config: FinetuneConfig
) -> tuple[FlatShiftCells | None, DampingGrids | None]:
    """Returns what a flat shift and a damping read of the feature maps while the pictures are encoded."""
    head = start.softmax_head
    names = {"a flat shift": config.flat_shift, "damping": config.damping}
    for name in [name for name, settings in names.items() if settings and not head.cam_is_exact]:
        raise InputError(
            f"`backbone` (='{start.backbone_name}') must end in an average pool and one linear layer for {name}, "
            "which is made of feature maps; leave it out."
        )
    cells = FlatShiftCells(head.last_linear.in_features, config.flat_shift) if config.flat_shift else None
    pictures = len(known_samples(images, index_of))
    return cells, DampingGrids(head, pictures, config.damping) if config.damping else None


def _check_read(config: FinetuneConfig, data: TrainingData) -> None:
    """Refuses a flat shift and a damping where no feature maps were read for them."""
    needs = {"flat_shift": (config.flat_shift, data.cells), "damping": (config.damping, data.grids)}
    for name, (settings, maps) in needs.items():
        if settings and maps is None:
            raise InputError(f"`{name}` needs feature maps, and these features come without them; leave it out.")


def _training_description(
    config: FinetuneConfig, result: TrainedHead, flat: FlatShiftFit | None, classes: int, start: DualBranch
) -> dict[str, Any]:
    """Returns the entries of `checkpoint.json` on the training."""
    training = asdict(config.training)
    if training["positive_weight"] is None:
        training["positive_weight"] = classes - 1
    if result.stopped:
        training |= {"finished_epochs": len(result.history), "stopped": result.stopped}
    description = {
        **training,
        "views": "a fresh crop every step" if config.encode_every_step else asdict(config.views),
        "softmax_head": asdict(config.softmax_head) if config.softmax_head else "as published",
        "similar_classes": asdict(config.similar_classes) if config.similar_classes else None,
        "damping": asdict(config.damping) if config.damping and not result.stopped else None,
        # The name of a checkpoint, not where it lay on this machine.
        "start_from": Path(config.start_from).name if config.start_from else config.backbone,
        "device": str(start.device),
    }
    if config.flat_shift and flat:
        fit = {"level": flat.level, "held_out_flatness": flat.flatness, "pictures": flat.pictures}
        description["flat_shift"] = {**asdict(config.flat_shift), **fit}
    return description
