"""`python -m bsig bundle-features`: a data set's pooled features as one file that a head can be trained from."""

from __future__ import annotations

import argparse
from pathlib import Path

from bsig.cli.progress import ProgressLine
from bsig.inputs.datasets.read import read_dataset
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch
from bsig.training.data_check import check_match, class_match
from bsig.training.features.bundle import save_bundle
from bsig.training.features.cache import pooled_features
from bsig.training.features.pooled import PooledFeatures


def run_bundle(arguments: argparse.Namespace) -> None:
    """Encodes both sets and writes the file."""
    model = load_checkpoint(arguments.checkpoint, chosen_device(arguments.device), arguments.checkpoints)
    features = _pooled(model, arguments.data, "train")
    held_out = _pooled(model, arguments.held_out, "val") if arguments.held_out else None
    name, held_out_name = Path(arguments.data).name, Path(arguments.held_out).name if arguments.held_out else None
    description = {
        "name": name,
        "held_out_name": held_out_name,
        "made_by": f"python -m bsig bundle-features {name}" + (f" --held-out {held_out_name}" if held_out else ""),
        "source": arguments.source,
        "licence": arguments.licence,
    }
    save_bundle(arguments.out, model, features, held_out, description)
    print(arguments.out)


def _pooled(model: DualBranch, data: str, split: str) -> PooledFeatures:
    images = read_dataset(data, split)
    match = class_match(images, model, new_head=False)
    check_match(images, match, model)
    return pooled_features(model, images, match.index_of, progress=ProgressLine("pictures encoded"))
