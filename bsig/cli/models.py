"""Commands that list, make, take in and hand out models: checkpoints, new-model, import-checkpoint, publish."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bsig.cli.arguments import add_checkpoints_folder_argument, add_device_argument
from bsig.explain.methods import why_not_cam
from bsig.inputs.errors import InputError
from bsig.inputs.hub import publish_folder
from bsig.model.backbones import BackboneOptions
from bsig.model.checkpoints.card import model_card
from bsig.model.checkpoints.description import read_description
from bsig.model.checkpoints.listing import checkpoint_path, list_checkpoints
from bsig.model.checkpoints.names import DESCRIPTION, TENSORS
from bsig.model.checkpoints.save import check_target, save_checkpoint
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import head_in_words
from bsig.model.new_model import NOT_TRAINED, new_model
from bsig.model.published.import_file import import_published, read_class_names
from bsig.model.published.networks import ARCHITECTURES, METHODS, PublishedNetwork


def add_checkpoints_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `checkpoints`."""
    add_checkpoints_folder_argument(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


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
        else:
            print(
                f"{row['name']}: {row['classes']} classes, {row['backbone']}, {row['branch']} branch"
                f"{'' if row['trained'] else ' (not fine-tuned yet: still the clone)'}, "
                f"{row['megabytes']} MB, sha256 {row['sha256'][:12]}"
            )


def add_new_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `new-model`."""
    parser.add_argument("backbone", metavar="NAME", help="timm name, or hf:owner/repo of a timm model")
    parser.add_argument("--weights", type=Path, default=None, help=".safetensors or .pth (default: published)")
    parser.add_argument("--feature-stage", default="last", help="last, stride16, stride8, or a layer's name")
    parser.add_argument("--global-pool", default=None, help="another pooling: avg, max, avgmax, catavgmax")
    add_device_argument(parser)
    _add_out_argument(parser)


def run_new_model(options: argparse.Namespace) -> None:
    """Writes the checkpoint folder of a model whose branches are equal."""
    check_target(options.out)
    stage_and_pool = BackboneOptions(options.feature_stage, options.global_pool)
    model = new_model(options.backbone, options.weights, stage_and_pool, chosen_device(options.device))
    _print_summary(model)
    print(NOT_TRAINED, file=sys.stderr)
    print(save_checkpoint(model, options.out))


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `import-checkpoint`."""
    parser.add_argument("file", metavar="FILE", type=Path, help=".pth.tar file")
    parser.add_argument("--architecture", required=True, choices=ARCHITECTURES)
    parser.add_argument("--method", required=True, choices=METHODS)
    parser.add_argument("--large-feature-map", action="store_true", help="the network with a 28 x 28 grid")
    parser.add_argument("--class-names", type=Path, default=None, help="text file, one name a line")
    _add_out_argument(parser)


def run_import(options: argparse.Namespace) -> None:
    """Writes a checkpoint folder of a file of the published code."""
    check_target(options.out)
    network = PublishedNetwork(options.architecture, options.method, options.large_feature_map)
    names = read_class_names(options.class_names) if options.class_names else None
    model = import_published(options.file, network, names, options.out.name)
    _print_summary(model)
    print(save_checkpoint(model, options.out))


def add_publish_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `publish`."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="name or folder")
    parser.add_argument("repository", metavar="OWNER/REPO")
    parser.add_argument("--private", action="store_true", help="make the repository private")
    add_checkpoints_folder_argument(parser)


def run_publish(options: argparse.Namespace) -> None:
    """Uploads a checkpoint folder with its model card."""
    path = checkpoint_path(options.checkpoint, options.checkpoints)
    card = model_card(path.name, read_description(path))
    print(publish_folder(path, [TENSORS, DESCRIPTION], card, options.repository, private=options.private))


def _add_out_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")


def _print_summary(model: DualBranch) -> None:
    """Prints classes, grid and head of a new model on stderr."""
    rows, columns = model.grid_hw or (0, 0)
    place = "the last feature map" if model.features_at == "last" else f"'{model.features_at}'"
    print(
        f"{model.num_classes} classes; features at {place}, {rows} x {columns} cells; then "
        f"{head_in_words(model.softmax_head)}. {why_not_cam(model.softmax_head)}".strip(),
        file=sys.stderr,
    )
