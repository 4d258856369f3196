"""Pooled features and labels of a data set in one safetensors file: enough to train a head, without a picture.

    pooled (n, v, ...) float16, labels (n,) int32                  the training pictures
    held_out.pooled, held_out.labels                               pictures that are only measured, where there are any
    metadata                                                       encoder and its SHA-256, classes, provenance

Such a file is how a short fine-tune starts at once, offline: `assets/training/` ships one for the default backbone. It
holds numbers that the frozen encoder made, never a picture, and fits that encoder alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bsig.inputs.errors import InputError
from bsig.inputs.files import whole_file
from bsig.model.dual_branch import DualBranch
from bsig.model.weights import state_sha256
from bsig.training.features.pooled import PooledFeatures

FORMAT_VERSION = 1


@dataclass(frozen=True)
class FeatureBundle:
    """The content of a bundle; the description holds `name`, `images`, `classes`, `source`, `licence`, ..."""

    features: PooledFeatures
    held_out: PooledFeatures | None
    description: dict[str, Any]


def save_bundle(
    path: Path,
    model: DualBranch,
    features: PooledFeatures,
    held_out: PooledFeatures | None,
    description: dict[str, Any],
) -> Path:
    """Writes features of `model`'s encoder whose labels are the model's class indices; returns the path.

    Raises:
        InputError: the disk refuses.
    """
    if features.labels.ndim > 1 or (held_out and held_out.labels.ndim > 1):
        raise InputError("bundled features have one class a picture; keep one class in each line of the index.")
    tensors = {"pooled": features.pooled.half(), "labels": features.labels.to(torch.int32)}
    counts = {"images": len(features.labels), "classes": int(features.labels.unique().numel())}
    if held_out:
        tensors |= {"held_out.pooled": held_out.pooled.half(), "held_out.labels": held_out.labels.to(torch.int32)}
        counts["held_out_images"] = len(held_out.labels)
    metadata = {
        "format_version": str(FORMAT_VERSION),
        "backbone": model.backbone_name,
        "encoder_sha256": state_sha256(model.encoder),
        "preprocessing": json.dumps(asdict(model.preprocessing)),
        "class_ids_sha256": _class_ids_sha256(model.class_ids),
        "said": json.dumps({**counts, **description}, ensure_ascii=False),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            save_file({key: value.contiguous() for key, value in tensors.items()}, temporary, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise InputError(f"features cannot be written to '{path}' ({error}); free space or choose another.") from error
    return path


def load_bundle(path: Path, model: DualBranch) -> FeatureBundle:
    """Returns the features, float32, checked to be of this model's encoder and classes.

    Raises:
        InputError: no such file, damaged, of a newer format, or of another encoder, preprocessing or other classes.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_fits(metadata, model, path.name)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  no mapping
        features = _features(tensors, "", model, path.name)
        held_out = _features(tensors, "held_out.", model, path.name) if "held_out.pooled" in tensors else None
        return FeatureBundle(features, held_out, json.loads(metadata["said"]))
    except InputError:  # before ValueError, which it is a kind of
        raise
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"features '{path.name}' cannot be read ({error}); copy or make the file again.") from error


def bundle_fits(path: Path, model: DualBranch) -> bool:
    """Returns whether `load_bundle` would take the file for this model, by its header alone."""
    try:
        with safe_open(path, framework="pt") as file:
            _check_fits(file.metadata() or {}, model, path.name)
    except (OSError, SafetensorError, InputError):
        return False
    return True


def _check_fits(metadata: dict[str, str], model: DualBranch, name: str) -> None:
    if metadata.get("format_version") != str(FORMAT_VERSION):
        raise InputError(
            f"features '{name}' have the format {metadata.get('format_version')}, this bsig reads {FORMAT_VERSION}; "
            "update bsig or make them again."
        )
    expected = {
        "encoder_sha256": state_sha256(model.encoder),
        "preprocessing": json.dumps(asdict(model.preprocessing)),
        "class_ids_sha256": _class_ids_sha256(model.class_ids),
    }
    other = [key.removesuffix("_sha256").replace("_", " ") for key in expected if metadata.get(key) != expected[key]]
    if other:
        raise InputError(
            f"features '{name}' were made with another {' and '.join(other)} than '{model.name}' has "
            f"(backbone '{metadata.get('backbone')}'); choose data with pictures instead."
        )


def _features(tensors: dict[str, Tensor], prefix: str, model: DualBranch, name: str) -> PooledFeatures:
    pooled, labels = tensors[f"{prefix}pooled"].float(), tensors[f"{prefix}labels"].long()
    fits = pooled.ndim >= 3 and labels.ndim == 1 and len(labels) == len(pooled) > 0
    if not fits or not bool(pooled.isfinite().all()) or int(labels.min()) < 0 or int(labels.max()) >= model.num_classes:
        raise InputError(f"features '{name}' do not hold one finite row and one class a picture; make them again.")
    return PooledFeatures(pooled, labels, ())


def _class_ids_sha256(class_ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(class_ids).encode()).hexdigest()
