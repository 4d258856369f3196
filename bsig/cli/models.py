"""Commands that make, take in and hand out models: new-model, import-checkpoint, publish, heads."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bsig.cli.tables import head_table
from bsig.explain.methods import why_not_cam
from bsig.inputs.hub import publish_folder
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.backbones import BackboneOptions
from bsig.model.checkpoints.card import model_card
from bsig.model.checkpoints.description import read_description
from bsig.model.checkpoints.listing import checkpoint_path
from bsig.model.checkpoints.names import DESCRIPTION, TENSORS
from bsig.model.checkpoints.save import check_target, save_checkpoint
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import head_in_words
from bsig.model.new_model import NOT_TRAINED, new_model
from bsig.model.published.import_file import import_published, read_class_names
from bsig.model.published.networks import ARCHITECTURES, METHODS, PublishedNetwork

AddCommand = Callable[[Any, str, Callable[[argparse.Namespace], None], str], argparse.ArgumentParser]


def add_model_commands(commands: Any, command: AddCommand) -> None:
    """Adds this file's commands to the parser."""
    parser = command(commands, "new-model", _new_model, "A model of any timm classifier, not fine-tuned yet.")
    parser.add_argument("backbone", metavar="NAME", help="timm name, or hf:owner/repo of a timm model")
    parser.add_argument("--weights", type=Path, default=None, help=".safetensors or .pth (default: published)")
    parser.add_argument("--feature-stage", default="last", help="last, stride16, stride8, or a layer's name")
    parser.add_argument("--global-pool", default=None, help="another pooling: avg, max, avgmax, catavgmax")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser = command(commands, "import-checkpoint", _import, "A file of the published code as a checkpoint folder.")
    parser.add_argument("file", metavar="FILE", type=Path, help=".pth.tar file")
    parser.add_argument("--architecture", required=True, choices=ARCHITECTURES)
    parser.add_argument("--method", required=True, choices=METHODS)
    parser.add_argument("--large-feature-map", action="store_true", help="the network with a 28 x 28 grid")
    parser.add_argument("--class-names", type=Path, default=None, help="text file, one name a line")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser = command(commands, "publish", _publish, "Push a checkpoint to the Hugging Face Hub.")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="name or folder")
    parser.add_argument("repository", metavar="OWNER/REPO")
    parser.add_argument("--private", action="store_true", help="make the repository private")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS_FOLDER, help="folder of checkpoint folders")
    command(commands, "heads", _heads, "The table of head families and the CAM variants they allow, as Markdown.")


def _new_model(chosen: argparse.Namespace) -> None:
    check_target(chosen.out)
    options = BackboneOptions(chosen.feature_stage, chosen.global_pool)
    model = new_model(chosen.backbone, chosen.weights, options, chosen_device(chosen.device))
    _say(model)
    print(NOT_TRAINED, file=sys.stderr)
    print(save_checkpoint(model, chosen.out))


def _import(chosen: argparse.Namespace) -> None:
    check_target(chosen.out)
    network = PublishedNetwork(chosen.architecture, chosen.method, chosen.large_feature_map)
    names = read_class_names(chosen.class_names) if chosen.class_names else None
    model = import_published(chosen.file, network, names, chosen.out.name)
    _say(model)
    print(save_checkpoint(model, chosen.out))


def _publish(chosen: argparse.Namespace) -> None:
    path = checkpoint_path(chosen.checkpoint, chosen.checkpoints)
    card = model_card(path.name, read_description(path))
    print(publish_folder(path, [TENSORS, DESCRIPTION], card, chosen.repository, private=chosen.private))


def _heads(_chosen: argparse.Namespace) -> None:
    print(head_table())


def _say(model: DualBranch) -> None:
    rows, columns = model.grid_hw or (0, 0)
    where = "the last feature map" if model.features_at == "last" else f"'{model.features_at}'"
    print(
        f"{model.num_classes} classes; features at {where}, {rows} x {columns} cells; then "
        f"{head_in_words(model.softmax_head)}. {why_not_cam(model.softmax_head)}".strip(),
        file=sys.stderr,
    )
