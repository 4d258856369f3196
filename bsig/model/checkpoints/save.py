"""A dual-branch model -> a checkpoint folder.

    NAME/checkpoint.safetensors     sigmoid_head.* (or sigmoid_shift.*) always; softmax_head.* and encoder.* only
                                    where they are not the backbone's published weights
    NAME/checkpoint.json            what all this is (`description.py`)
    NAME/results.json               the whole evaluation, where there is one (`bsig.evaluation.output.shipped`)

Never pickle. A folder is written whole under a temporary name and renamed, so a crash leaves the old one or none.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from bsig.inputs.errors import InputError
from bsig.inputs.files import clear_leftovers, restore_previous, whole_folder, write_json
from bsig.model.backbones import published
from bsig.model.checkpoints.description import FORMAT_VERSION, read_description
from bsig.model.checkpoints.names import DESCRIPTION, NAME_PATTERN, RESULTS, TENSORS
from bsig.model.dual_branch import DualBranch
from bsig.model.from_module import IN_MEMORY
from bsig.model.presence import PresenceCalibration
from bsig.model.versions import library_versions
from bsig.model.weights import file_sha256, state_sha256

LASTING_METADATA = ("training", "data", "results", "readings", "note", "doctored", "zero_shot")
RECORDED_HEADS = ("softmax", "centred", "sigmoid")


def save_checkpoint(model: DualBranch, path: Path | str, *, half_precision: bool = False, **entries: Any) -> Path:
    """The path of the checkpoint folder, written whole; one that is there is replaced.

    With `half_precision` the sigmoid head is stored as float16 (half the size; about three decimal digits of each
    weight). `entries` are for `checkpoint.json` (`training`, `data`, `results`, ...).

    Raises:
        InputError: `check_target`; or the disk refuses. Nothing half-written stays.
    """
    path = Path(path)
    check_target(path)
    if model.backbone_name.startswith(IN_MEMORY):
        raise InputError(
            f"model '{model.name}' was made from a module that no timm name builds again, so it cannot be saved as a "
            "checkpoint; keep the module, or save its state_dict and use new-model with its architecture."
        )
    backbone, tensors = _backbone_and_tensors(model, torch.float16 if half_precision else torch.float32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        restore_previous(path)
        clear_leftovers(path)
        with whole_folder(path) as temporary:
            save_file(tensors, temporary / TENSORS)
            description = _description(model, backbone, tensors, file_sha256(temporary / TENSORS), entries)
            write_json(temporary / DESCRIPTION, description, indent=1)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"checkpoint '{path}' cannot be written ({error}); free space or choose another place."
        ) from error
    return path


def check_target(path: Path) -> None:
    """Refuses a place where `save_checkpoint` cannot or must not write.

    Raises:
        InputError: the name cannot be a checkpoint folder's, or something else is there that would be lost.
    """
    if not NAME_PATTERN.fullmatch(path.name):
        raise InputError(
            f"checkpoint name (='{path.name}') must be letters, digits, '.', '_' or '-', at most 100, not starting "
            "with a sign."
        )
    if path.is_dir():
        other = sorted({file.name for file in path.iterdir()} - {TENSORS, DESCRIPTION, RESULTS})
    else:
        other = [path.name] if path.exists() else []
    if other:
        raise InputError(
            f"checkpoint '{path.name}' would replace '{path}', which holds '{other[0]}' and is no checkpoint folder; "
            "choose another name."
        )


def check_nothing_is_lost(path: Path, remedy: str) -> None:
    """Refuses a folder that holds a checkpoint, which `save_checkpoint` would replace.

    Raises:
        InputError: it does; the sentence ends with the remedy.
    """
    folder = Path(os.path.abspath(path))  # '.' has no name
    restore_previous(folder)  # a save that was killed half-way left it under another name
    if (folder / DESCRIPTION).exists():
        raise InputError(f"`--out` (='{path}') holds a checkpoint; {remedy}.")


def record_results(path: Path, results: dict[str, Any]) -> None:
    """Puts an evaluation's main figures into `checkpoint.json`, under data set and split.

    These are sizes, accuracies and, for each method and treatment, the metrics of the heads with their intervals.
    Baselines, curves and single pictures stay in the evaluation's own file.

    Raises:
        InputError: the folder holds no checkpoint, or cannot be written.
    """
    description = read_description(path)
    summary = {key: results[key] for key in ("data", "split", "settings", "counts", "accuracy")}
    tables = [
        {
            "method": table["method"],
            "weights": table["weights"],
            **{head: table["columns"][head]["metrics"] for head in RECORDED_HEADS if head in table["columns"]},
        }
        for table in results["tables"]
    ]
    description.setdefault("results", {})[f"{results['data']}/{results['split']}"] = {**summary, "tables": tables}
    _rewrite(path, description, "results")


def record_presence(path: Path, presence: PresenceCalibration) -> None:
    """Puts a calibration into `checkpoint.json`, in place of the one that is there; no tensor changes.

    Raises:
        InputError: the folder holds no checkpoint, or cannot be written.
    """
    _rewrite(path, {**read_description(path), "presence": asdict(presence)}, "the calibration")


def record_readings(path: Path, readings: dict[str, dict[str, float]]) -> None:
    """Puts the settings of readings into `checkpoint.json`, in place of those that are there; no tensor changes.

    Raises:
        InputError: the folder holds no checkpoint, or cannot be written.
    """
    _rewrite(path, {**read_description(path), "readings": readings}, "the settings of readings")


def _rewrite(path: Path, description: dict[str, Any], subject: str) -> None:
    try:
        write_json(path / DESCRIPTION, description, indent=1)
    except OSError as error:
        raise InputError(f"checkpoint '{path.name}': {subject} cannot be written ({error}); free space.") from error


def _backbone_and_tensors(model: DualBranch, dtype: torch.dtype) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The entry `backbone`, and by name, on the CPU, all tensors that are not the backbone's published weights."""
    hashes, encoder_sha256 = published(model.backbone_name, model.options), state_sha256(model.encoder)
    tensors: dict[str, Tensor] = {}
    weights = {"source": "stored in this checkpoint"}
    if hashes is not None and hashes.encoder_sha256 == encoder_sha256:
        weights = hashes.weights
    else:
        tensors |= {f"encoder.{key}": value for key, value in model.encoder.state_dict().items()}
    if hashes is None or hashes.head_sha256 != state_sha256(model.softmax_head):
        # The softmax branch decides; it is stored exactly, whatever the precision of the sigmoid branch.
        tensors |= {f"softmax_head.{key}": value for key, value in model.softmax_head.state_dict().items()}
    if model.shift:
        tensors |= {"sigmoid_shift.vector": model.shift.vector, "sigmoid_shift.bias": model.shift.bias}
    else:
        tensors |= {f"sigmoid_head.{key}": value.to(dtype) for key, value in model.sigmoid_head.state_dict().items()}
    backbone = {
        "name": model.backbone_name,
        "weights": weights,
        "encoder_sha256": encoder_sha256,
        "feature_stage": model.options.feature_stage,
        "global_pool": model.options.global_pool,
        "model_kwargs": dict(model.options.model_kwargs),
        "head_layers": list(model.options.head_layers),
        "projection_rows": model.options.projection_rows,
        "features_at": model.features_at,
        "grid_hw": None if model.grid_hw is None else list(model.grid_hw),
    }
    return backbone, {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}


def _description(
    model: DualBranch, backbone: dict[str, Any], tensors: dict[str, Tensor], sha256: str, entries: dict[str, Any]
) -> dict[str, Any]:
    """All entries of `checkpoint.json`; `entries` take the place of those that the model was loaded with."""
    return {
        "format_version": FORMAT_VERSION,
        "branch": model.branch_kind,
        "backbone": backbone,
        "trained": model.is_trained,
        "preprocessing": asdict(model.preprocessing),
        "presence": asdict(model.presence) if model.presence else None,
        **{key: model.metadata[key] for key in LASTING_METADATA if key in model.metadata},
        **entries,
        "versions": library_versions(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "tensors_sha256": sha256,
        "tensors": {key: [list(value.shape), str(value.dtype)] for key, value in tensors.items()},
        "class_names": list(model.class_names),
        "class_ids": list(model.class_ids),
    }
