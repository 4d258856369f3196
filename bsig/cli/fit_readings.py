"""`python -m bsig fit-readings`: a checkpoint's settings of readings, fitted from labels of training pictures."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bsig.cli.arguments.fits import FITTED_READINGS
from bsig.cli.progress import ProgressLine
from bsig.evaluation.config import names_from
from bsig.inputs.counts import counted
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.listing import checkpoint_path
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.save import record_readings
from bsig.model.devices import chosen_device
from bsig.training.closed_form.reading_settings import setting_fits
from bsig.training.data_check import check_match, class_match
from bsig.training.features.cache import show_grids
from bsig.training.features.labels import label_tensor
from bsig.training.processes import ALONE

PICTURES = 500
MOSAIC_SCORE = "class-aware precision in mosaics"
SCORES = {"levelled": "balanced accuracy of zero", "finer": "precision within maps of mosaics"}


@dataclass
class KeptGrids:
    """The maps of each picture's evaluation crop, and its classes (`bsig.training.features.cache.GridReader`)."""

    pictures: dict[int, tuple[Tensor, tuple[int, ...]]] = field(default_factory=dict)

    def read(self, position: int, present: tuple[int, ...], grids: Float[Tensor, "2 k h w"]) -> None:
        """Keeps one picture by its number."""
        self.pictures[position] = (grids[0].clone(), present)


def run_fit_readings(options: argparse.Namespace) -> None:
    """Fits the settings on up to `PICTURES` pictures, drawn evenly, and writes them into `checkpoint.json`.

    Raises:
        InputError: the checkpoint or the data cannot be used, or no reading of the checkpoint has a setting to fit.
    """
    readings = names_from(options.readings)
    if not readings:
        raise InputError(f"`--readings` names none; give some of {', '.join(FITTED_READINGS)}, or leave it out.")
    for key in readings:
        if key not in FITTED_READINGS:
            raise InputError(f"`--readings` (='{key[:60]}') must be among {', '.join(FITTED_READINGS)}.")
    if options.checkpoint.startswith("hf:"):
        raise InputError(f"`CHECKPOINT` (='{options.checkpoint}') must be a folder here, which can be written to.")
    folder = checkpoint_path(options.checkpoint, options.checkpoints)
    model = load_checkpoint(folder, chosen_device(options.device))
    images = read_dataset(options.data, options.split, options.images)
    match = class_match(images, model, new_head=False)
    check_match(images, match, model)
    samples = [known_sample for sample in images.samples if (known_sample := sample.of_classes(match.index_of))]
    positions = np.unique(np.linspace(0, len(samples) - 1, PICTURES).round().astype(int))
    images = LabelledImages(images.name, images.split, tuple(samples[number] for number in positions))
    grids = KeptGrids()
    show_grids(ALONE, model, images, match.index_of, [grids], progress=ProgressLine("pictures encoded"))
    if not grids.pictures:
        raise InputError(f"none of the pictures of '{images.name}' can be read; choose others.")
    maps, present = zip(*(grids.pictures[position] for position in sorted(grids.pictures)), strict=True)
    features, labels = torch.stack(maps), label_tensor(present).to(maps[0].device)
    fits = setting_fits(model, features, labels, readings)
    if not fits:
        raise InputError(
            f"checkpoint '{model.name}' has no setting to fit: it needs a trained branch, a head of average pool and "
            "one linear layer, and pictures of two classes."
        )
    stored = model.metadata.get("readings", {})
    fitted = {fit.reading: {**stored.get(fit.reading, {}), fit.key: fit.value} for fit in fits}
    record_readings(folder, {**stored, **fitted})
    for fit in fits:
        print(
            f"{fit.reading}: {fit.key} {fit.value:g}, {SCORES.get(fit.reading, MOSAIC_SCORE)} {fit.score:.3f}; "
            f"{fit.default_score:.3f} at {fit.default:g}, the reading's own"
        )
    print(f"fitted on {counted(len(labels), 'picture')} of '{images.name}' ({images.split})")
