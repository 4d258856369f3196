"""`python -m bsig bundle-features`: a data set's pooled features as one file that a head can be trained from."""

from __future__ import annotations

import argparse
from pathlib import Path

from bsig.cli.progress import progress
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.backbones import chosen_device
from bsig.model.checkpoints.folder import DEFAULT_CHECKPOINT, load_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.training.data_check import check_match, matched
from bsig.training.features.bundle import BUNDLED_FEATURES, save_bundle
from bsig.training.features.cache import pooled_features
from bsig.training.features.pooled import PooledFeatures


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `bundle-features`."""
    parser.add_argument("data", metavar="DATA", help="data set whose train split is trained on")
    parser.add_argument("--held-out", default=None, metavar="DATA", help="data set whose val split is only measured")
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, help="whose encoder and classes")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS_FOLDER, help="folder of checkpoint folders")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--source", default="", help="where the pictures come from, in words")
    parser.add_argument("--licence", default="", help="what may be done with the file, in words")
    parser.add_argument("--out", type=Path, default=BUNDLED_FEATURES, help="file to write")


def run_bundle(chosen: argparse.Namespace) -> None:
    """Encodes both sets and writes the file."""
    model = load_checkpoint(chosen.checkpoint, chosen_device(chosen.device), chosen.checkpoints)
    features = _pooled(model, chosen.data, "train")
    held_out = _pooled(model, chosen.held_out, "val") if chosen.held_out else None
    names = [Path(data).name for data in (chosen.data, chosen.held_out) if data]
    command = f"python -m bsig bundle-features {names[0]}"
    said = {
        "name": names[0],
        "held_out_name": names[1] if held_out else None,
        "made_by": f"{command} --held-out {names[1]}" if held_out else command,
        "source": chosen.source,
        "licence": chosen.licence,
    }
    save_bundle(chosen.out, model, features, held_out, said)
    print(chosen.out)


def _pooled(model: DualBranch, data: str, split: str) -> PooledFeatures:
    images = read_dataset(data, split)
    match = matched(images, model, new_head=False)
    check_match(images, match, model)
    return pooled_features(model, images, match.index_of, progress=progress("pictures encoded"))
