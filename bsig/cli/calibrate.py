"""`python -m bsig calibrate`: a checkpoint's probability of presence, fitted on pictures that it was not trained on."""

from __future__ import annotations

import argparse

from bsig.cli.progress import ProgressLine
from bsig.inputs.counts import counted
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.listing import checkpoint_path
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.save import record_presence
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch
from bsig.training.closed_form.calibration import calibration_sentence, fit_presence
from bsig.training.cross_fit import check_size, held_out_logits
from bsig.training.data_check import check_match, class_match
from bsig.training.features.cache import pooled_features


def run_calibrate(options: argparse.Namespace) -> None:
    """Fits temperature and offset, writes them into `checkpoint.json` and prints what was fitted on what.

    Raises:
        InputError: the checkpoint or the data cannot be used, or the branch was trained on these pictures.
    """
    if options.checkpoint.startswith("hf:"):
        raise InputError(f"`CHECKPOINT` (='{options.checkpoint}') must be a folder here, which can be written to.")
    folder = checkpoint_path(options.checkpoint, options.checkpoints)
    model = load_checkpoint(folder, chosen_device(options.device))
    images = read_dataset(options.data, options.split, options.images)
    check_is_unseen(model, images)
    match = class_match(images, model, new_head=False)
    check_match(images, match, model)
    features = pooled_features(model, images, match.index_of, progress=ProgressLine("pictures encoded"))
    check_size(features.count, model.num_classes)
    logits, labels = held_out_logits(model.sigmoid_head, features)
    source = (
        f"{counted(features.count, 'picture')} of '{images.name}' ({images.split}) that the branch was not trained on"
    )
    presence = fit_presence(logits, labels, source)
    record_presence(folder, presence)
    print(calibration_sentence(presence))


def check_is_unseen(model: DualBranch, images: LabelledImages) -> None:
    """Refuses the split that the checkpoint says it was trained on.

    Raises:
        InputError: it is that one.
    """
    data = model.metadata.get("data", {})
    if (data.get("name"), data.get("split")) == (images.name, images.split):
        raise InputError(
            f"`DATA` (='{images.name}', split '{images.split}') is what '{model.name}' was trained on, where it is too "
            "sure; choose other pictures, or fine-tune again, which calibrates by cross-fitting."
        )
