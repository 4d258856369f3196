"""Commands that list, make, take in and hand out models: checkpoints, new-model, import-checkpoint, publish."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bsig.explain.methods import why_not_cam
from bsig.inputs.counts import counted, counted_classes
from bsig.inputs.errors import InputError
from bsig.inputs.hub import publish_folder
from bsig.inputs.paths import EXAMPLES
from bsig.model.backbones import BackboneOptions
from bsig.model.checkpoints.card import model_card
from bsig.model.checkpoints.description import read_description
from bsig.model.checkpoints.listing import checkpoint_path, list_checkpoints
from bsig.model.checkpoints.names import DESCRIPTION, TENSORS
from bsig.model.checkpoints.save import check_nothing_is_lost, check_target, save_checkpoint
from bsig.model.class_embeddings import ClassEmbeddings, read_class_embeddings
from bsig.model.class_names import read_class_names
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import head_in_words
from bsig.model.model_settings import ModelSettings, parsed_kwargs, parsed_size, triple
from bsig.model.new_model import NOT_TRAINED, new_model, same_padded
from bsig.model.preview import PREVIEWED, alternatives, labelled_pictures, top_classes
from bsig.model.published.import_file import import_published
from bsig.model.published.networks import PublishedNetwork


def run_checkpoints(options: argparse.Namespace) -> None:
    """Prints a line a checkpoint folder, or JSON.

    Raises:
        InputError: there is no checkpoint folder.
    """
    rows = list_checkpoints(options.checkpoints)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    if not rows:
        raise InputError(f"`--checkpoints` (='{options.checkpoints}') holds no checkpoint folder.")
    for row in rows:
        if "error" in row:
            print(f"{row['name']}: cannot be loaded: {row['error']}")
        elif "needs" in row:
            print(f"{row['name']}: needs the weights of {row['backbone']}: {row['needs']}")
        else:
            print(
                f"{row['name']}: {counted_classes(row['classes'])}, {row['backbone']}, {row['branch']} branch"
                f"{'' if row['trained'] else ' (not fine-tuned yet: still the clone)'}, "
                f"{row['megabytes']} MB, sha256 {row['sha256'][:12]}"
            )


def _settings(options: argparse.Namespace, **others: Any) -> ModelSettings:
    """The settings that the command line asks for.

    Raises:
        InputError: a value breaks its rule.
    """
    return ModelSettings(
        class_names=tuple(read_class_names(options.class_names)) if options.class_names else None,
        input_size_hw=parsed_size(options.input_size) if options.input_size else None,
        mean=triple("mean", options.mean) if options.mean else None,
        std=triple("std", options.std) if options.std else None,
        interpolation=options.interpolation,
        crop_mode=options.crop_mode,
        crop_pct=options.crop_pct,
        **others,
    )


def run_new_model(options: argparse.Namespace) -> None:
    """Writes the checkpoint folder of a model that nobody has fine-tuned."""
    _check_out(options)
    settings = _settings(
        options,
        model_kwargs=parsed_kwargs(options.model_kwargs),
        in_chans=options.in_chans,
        weights_key=options.weights_key,
        head_activation=options.head_activation,
        sigmoid_output=options.sigmoid_output,
    )
    stage_and_pool = BackboneOptions(options.feature_stage, options.global_pool)
    device = chosen_device(options.device)
    embeddings = _class_embeddings(options)
    model = new_model(options.backbone, options.weights, stage_and_pool, device, settings, embeddings)
    _print_summary(model)
    for note in model.notes:
        print(note, file=sys.stderr)
    if options.pictures:
        padded = same_padded(model, options.backbone, options.weights, stage_and_pool, settings, embeddings)
        _print_trials(model, padded, options.pictures)
    else:
        _print_top_classes(model, [EXAMPLES / name for name in PREVIEWED])
    if not model.is_trained:
        print(NOT_TRAINED, file=sys.stderr)
    print(save_checkpoint(model, options.out))


def _class_embeddings(options: argparse.Namespace) -> ClassEmbeddings | None:
    """The class embeddings that the command line names, with its scale and bias.

    Raises:
        InputError: the file cannot be used, or a scale or bias is given without one.
    """
    if options.class_embeddings is None:
        if options.logit_scale is not None or options.logit_bias is not None:
            raise InputError("`--logit-scale` and `--logit-bias` are for a zero-shot model: give --class-embeddings.")
        return None
    return read_class_embeddings(options.class_embeddings).with_settings(None, options.logit_scale, options.logit_bias)


def _print_top_classes(model: DualBranch, pictures: Sequence[Path]) -> None:
    """Prints what the model sees in some pictures, on stderr."""
    for picture in pictures:
        classes = ", ".join(f"{name} {probability:.2f}" for name, probability in top_classes(model, picture))
        print(f"{picture.name}: {classes}", file=sys.stderr)


def _print_trials(model: DualBranch, padded: DualBranch | None, folder: Path) -> None:
    """Prints two pictures' classes and top-1 under the plausible alternatives, with the best named, on stderr."""
    pictures, note = labelled_pictures(model, folder)
    _print_top_classes(model, [sample.path for sample, _ in pictures[:: max(1, len(pictures) - 1)][:2] if sample.path])
    own, *others = alternatives(model, pictures, padded)
    lines = [note] if note else []
    lines.append(f"Top-1 on {counted(own.pictures, 'picture')} of '{folder.name}': {own.right} as it is.")
    lines += [f"  {trial.right} with {trial.arguments}" for trial in others]
    if others and others[0].right > own.right:
        lines.append(f"More are right with {others[0].arguments}: give that if the network was trained so.")
    print("\n".join(lines), file=sys.stderr)


def run_import(options: argparse.Namespace) -> None:
    """Writes a checkpoint folder of a file of the published code."""
    _check_out(options)
    network = PublishedNetwork(options.architecture, options.method, options.large_feature_map)
    settings = _settings(options, in_chans=options.in_chans, weights_key=options.weights_key)
    model = import_published(options.file, network, name=options.out.name, settings=settings)
    _print_summary(model)
    for note in model.notes:
        print(note, file=sys.stderr)
    if options.pictures:
        _print_trials(model, None, options.pictures)
    else:
        _print_top_classes(model, [EXAMPLES / name for name in PREVIEWED])
    print(save_checkpoint(model, options.out))


def run_publish(options: argparse.Namespace) -> None:
    """Uploads a checkpoint folder with its model card."""
    path = checkpoint_path(options.checkpoint, options.checkpoints)
    card = model_card(path.name, read_description(path))
    print(publish_folder(path, [TENSORS, DESCRIPTION], card, options.repository, private=options.private))


def _check_out(options: argparse.Namespace) -> None:
    """Refuses an `--out` that cannot be written or whose checkpoint nobody asked to be replaced; before any work.

    Raises:
        InputError: one sentence.
    """
    check_target(options.out)
    if not options.overwrite:
        check_nothing_is_lost(options.out, "give --overwrite to replace it, or choose another folder")


def _print_summary(model: DualBranch) -> None:
    """Prints classes, grid and head of a new model on stderr."""
    rows, columns = model.grid_hw or (0, 0)
    place = "the last feature map" if model.features_at == "last" else f"'{model.features_at}'"
    print(
        f"{counted_classes(model.num_classes)}; features at {place}, {rows} x {columns} cells; then "
        f"{head_in_words(model.softmax_head)}. {why_not_cam(model.softmax_head)}".strip(),
        file=sys.stderr,
    )
