"""`python -m bsig bundle-features`: a data set's pooled features as one file that a head can be trained from."""

from __future__ import annotations

import argparse
from pathlib import Path

from bsig.cli.progress import progress
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch
from bsig.training.data_check import check_match, matched
from bsig.training.features.bundle import BUNDLED_FEATURES, save_bundle
from bsig.training.features.cache import pooled_features
from bsig.training.features.pooled import PooledFeatures


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `bundle-features`."""
    parser.add_argument("data", metavar="DATA", help="data set whose train split is trained on")
    parser.add_argument("--held-out", default=None, metavar="DATA", help="data set whose val split is only measured")
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, help="whose encoder and classes")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS_FOLDER, help="folder of checkpoint folders")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--source", default="", help="where the pictures come from, in words")
    parser.add_argument("--licence", default="", help="what may be done with the file, in words")
    parser.add_argument("--out", type=Path, default=BUNDLED_FEATURES, help="file to write")


def run_bundle(arguments: argparse.Namespace) -> None:
    """Encodes both sets and writes the file."""
    model = load_checkpoint(arguments.checkpoint, chosen_device(arguments.device), arguments.checkpoints)
    features = _pooled(model, arguments.data, "train")
    held_out = _pooled(model, arguments.held_out, "val") if arguments.held_out else None
    names = [Path(data).name for data in (arguments.data, arguments.held_out) if data]
    command = f"python -m bsig bundle-features {names[0]}"
    description = {
        "name": names[0],
        "held_out_name": names[1] if held_out else None,
        "made_by": f"{command} --held-out {names[1]}" if held_out else command,
        "source": arguments.source,
        "licence": arguments.licence,
    }
    save_bundle(arguments.out, model, features, held_out, description)
    print(arguments.out)


def _pooled(model: DualBranch, data: str, split: str) -> PooledFeatures:
    images = read_dataset(data, split)
    match = matched(images, model, new_head=False)
    check_match(images, match, model)
    return pooled_features(model, images, match.index_of, progress=progress("pictures encoded"))
