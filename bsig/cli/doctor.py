"""`python -m bsig doctor`: why a heatmap is blank or misleading, whether its zero means anything, and the mend."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import timm

from bsig.cli.progress import ProgressLine
from bsig.explain.diagnostics.blank_map import BlankMapDiagnosis, blank_map_diagnosis, diagnosis_json
from bsig.explain.explainer import Explainer
from bsig.explain.methods import CAM_METHODS
from bsig.inputs.errors import InputError
from bsig.model.backbones import BackboneOptions
from bsig.model.checkpoints.listing import list_checkpoints
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DESCRIPTION
from bsig.model.cutting.cut import LAST
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch
from bsig.model.new_model import new_model


def run_doctor(options: argparse.Namespace) -> None:
    """Prints the diagnosis.

    Raises:
        InputError: the model, the picture or a setting cannot be used.
    """
    model = asked_model(options.model, options.layer, options.device, options.checkpoints)
    is_slow = options.method in CAM_METHODS and CAM_METHODS[options.method].is_slow
    diagnosis = blank_map_diagnosis(
        Explainer(model).encode(options.image), options.class_name, options.method, options.weights,
        branch=options.branch, progress=ProgressLine("channels") if is_slow else None,
    )  # fmt: skip
    if options.json:
        print(json.dumps(diagnosis_json(diagnosis), indent=1, ensure_ascii=False))
    else:
        print(diagnosis_text(diagnosis))


def asked_model(name: str, layer: str, device: str, folder: Path) -> DualBranch:
    """The checkpoint of that name or path, else the timm classifier.

    Raises:
        InputError: there is neither, it cannot be loaded, or a layer is asked for of a checkpoint, which has its own.
    """
    is_checkpoint = any((place / DESCRIPTION).is_file() for place in (folder / name, Path(name)))
    if is_checkpoint:
        if layer != LAST:
            raise InputError(
                f"`--layer` (='{layer}') must be left out for checkpoint '{name}', which has its own; give a timm name."
            )
        return load_checkpoint(name, chosen_device(device), folder)
    if name.startswith("hf:") or timm.is_model(name.split(".")[0]):
        return new_model(name, None, BackboneOptions(layer), device)
    names = ", ".join(row["name"] for row in list_checkpoints(folder)) or "none"
    raise InputError(f"`model` (='{name}') must be a timm name, a checkpoint's folder, or one of: {names}.")


def diagnosis_text(diagnosis: BlankMapDiagnosis) -> str:
    """The diagnosis as lines for a terminal."""
    facts = diagnosis.facts
    rows, columns = facts.grid_hw
    lines = [
        f"{facts.title} of {facts.class_name}, {diagnosis.branch} branch of {diagnosis.explanation.checkpoint}, "
        f"{rows} x {columns} cells",
        "",
        diagnosis.headline,
        *(f"Also: {cause.sentence}" for cause in diagnosis.causes[1:]),
        *(f"Remedy: {cause.remedy}" for cause in diagnosis.causes),
        diagnosis.stretching_sentence,
        "",
        diagnosis.zero.sentence,
        "",
        "The same evidence in other ways (share of the picture):",
        *(f"  {mend.title}: {mend.sentence}" for mend in diagnosis.mends),
    ]
    return "\n".join(lines)
