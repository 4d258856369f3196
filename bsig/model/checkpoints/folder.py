"""A dual-branch model <-> a checkpoint folder: tensors as safetensors, everything said of them as JSON.

    NAME/checkpoint.safetensors     sigmoid_head.* (or sigmoid_shift.*) always; softmax_head.* and encoder.* only
                                    where they are not the backbone's published weights
    NAME/checkpoint.json            format version, backbone and its hashes, class names, preprocessing, training
                                    settings, data description, measured results, library versions, time, hash of the
                                    tensors
    NAME/results.json               the whole evaluation, where there is one (`bsig.evaluation.output.shipped`)

Never pickle. A folder is written whole under a temporary name and renamed, so a crash leaves the old one or none. On
loading, sizes and hashes are checked from the headers before a tensor is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bsig.inputs.errors import InputError
from bsig.inputs.hub import hub_folder
from bsig.inputs.images import RESAMPLING, Preprocessing, Triple
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.backbones import BackboneOptions, Classifier, classifier_from_timm, load_classifier, published
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch, FittedShift
from bsig.model.heads import ClassificationHead, with_classes
from bsig.model.published.networks import empty_published_classifier, published_network
from bsig.model.weights import shared_encoder, state_sha256

FORMAT_VERSION = 1
TENSORS, DESCRIPTION, RESULTS = "checkpoint.safetensors", "checkpoint.json", "results.json"
DEFAULT_CHECKPOINT = "imagenet1k-efficientnet_lite0"
MAX_DESCRIPTION_BYTES = 16 * 2**20
MAX_CLASSES = 100_000
KEPT_METADATA = ("training", "data", "results", "note", "doctored")
LEFTOVER_AFTER_S = 3600
SMALLEST_NETWORK = 20_000_000  # below this nothing is worth refusing
AGAIN = "copy the checkpoint again or train it again"
RECORDED_HEADS = ("softmax", "centred", "sigmoid")
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def load_checkpoint(
    name: str | Path = DEFAULT_CHECKPOINT, device: str = "cpu", folder: Path | str = CHECKPOINTS_FOLDER
) -> DualBranch:
    """A dual-branch model, ready to explain.

    Args:
        name: of a folder in `folder`, a folder's path, or `hf:owner/repo` (with `@revision`) on the Hugging Face Hub.
        device: `auto`, `cpu`, `cuda`, `mps`, ...
        folder: where names are looked up.

    Raises:
        InputError: no such checkpoint or device; or it is damaged, of a newer format, or does not fit its backbone.
    """
    device = chosen_device(device)
    path = checkpoint_path(name, Path(folder))
    description = read_description(path)
    with _named(path.name):
        return _load(path, description, device)


def save_checkpoint(model: DualBranch, path: Path | str, *, half_precision: bool = False, **said: Any) -> Path:
    """Writes the model as a checkpoint folder at `path`, replacing one that is there; returns the path.

    Args:
        model: what to save.
        path: the folder to write.
        half_precision: store the heads as float16 (half the size; about three decimal digits of each weight).
        said: more entries for `checkpoint.json` (`training`, `data`, `results`, ...).

    Raises:
        InputError: `check_target`; or the disk refuses. Nothing half-written stays.
    """
    path = Path(path)
    check_target(path)
    tensors = _tensors_to_store(model, torch.float16 if half_precision else torch.float32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _put_back(path)
        _clear_leftovers(path)
        with _written_whole(path) as temporary:
            save_file(tensors, temporary / TENSORS)
            text = json.dumps(_description(model, temporary / TENSORS, tensors, said), indent=1, ensure_ascii=False)
            (temporary / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
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


def list_checkpoints(folder: Path | str = CHECKPOINTS_FOLDER) -> list[dict[str, Any]]:
    """One row a folder, for lists: name, classes, backbone, branch, size in MB, hash; or name and `error`."""
    rows = []
    folder = Path(folder)
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not path.is_dir() or path.name.startswith("."):
            continue
        try:
            said = read_description(path)
            size = sum(file.stat().st_size for file in path.iterdir() if file.is_file()) / 1e6
            rows.append(
                {
                    "name": path.name,
                    "classes": len(said["class_names"]),
                    "backbone": said["backbone"]["name"],
                    "branch": said["branch"],
                    "trained": said.get("trained", True),
                    "feature_stage": said["backbone"].get("feature_stage", "last"),
                    "grid_hw": said["backbone"].get("grid_hw"),
                    "megabytes": round(size, 2),
                    "sha256": said["tensors_sha256"],
                }
            )
        except InputError as error:
            rows.append({"name": path.name, "error": str(error)})
    return rows


def record_results(path: Path, results: dict[str, Any]) -> None:
    """Puts an evaluation's main figures into `checkpoint.json`, under data set and split; the tensors stay as they are.

    Kept are sizes, accuracies and, for each method and treatment, the metrics of the heads with their intervals;
    baselines, curves and single pictures stay in the evaluation's own file.

    Raises:
        InputError: the folder cannot be written.
    """
    said = read_description(path)
    kept = {key: results[key] for key in ("data", "split", "settings", "counts", "accuracy")}
    tables = [
        {
            "method": table["method"],
            "weights": table["weights"],
            **{head: table["columns"][head]["metrics"] for head in RECORDED_HEADS if head in table["columns"]},
        }
        for table in results["tables"]
    ]
    said.setdefault("results", {})[f"{results['data']}/{results['split']}"] = {**kept, "tables": tables}
    temporary = path / f".{DESCRIPTION}.partial"
    try:
        temporary.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(path / DESCRIPTION)
    except OSError as error:
        raise InputError(f"checkpoint '{path.name}': results cannot be written ({error}); free space.") from error


def checkpoint_path(name: str | Path, folder: Path) -> Path:
    """The folder that a checkpoint's name, path or `hf:` address stands for.

    Raises:
        InputError: there is none, with the names that there are.
    """
    text = str(name)
    if text.startswith("hf:"):
        return hub_folder(text, [TENSORS, DESCRIPTION, RESULTS])
    with contextlib.suppress(OSError, RuntimeError):  # too long for a path; '~' of a user who is not there
        for candidate in (folder / text, Path(text).expanduser()):
            _put_back(candidate)
            if (candidate / DESCRIPTION).is_file():
                return Path(os.path.abspath(candidate))  # so that '.' has a name
    known = ", ".join(row["name"] for row in list_checkpoints(folder)) or "none"
    raise InputError(f"`checkpoint` (='{text}') must be a checkpoint folder or one of: {known} (in '{folder.name}').")


def read_description(path: Path) -> dict[str, Any]:
    """`checkpoint.json`, checked for what every reader relies on.

    Raises:
        InputError: missing, not JSON, of a newer format, or without a needed entry.
    """
    with _named(path.name):
        file = path / DESCRIPTION
        if not file.is_file():
            raise InputError(f"has no {DESCRIPTION}; copy the whole folder.")
        if file.stat().st_size > MAX_DESCRIPTION_BYTES:
            raise InputError(f"{DESCRIPTION} is over {MAX_DESCRIPTION_BYTES >> 20} MB; that is no description.")
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{DESCRIPTION} is not JSON ({error}); copy it again.") from error
        return _checked(said)


def _checked(said: Any) -> dict[str, Any]:
    version = said.get("format_version") if isinstance(said, dict) else None
    if not isinstance(version, int) or version < 1:
        raise InputError(f"{DESCRIPTION} names no `format_version`, so it is no bsig checkpoint; choose another.")
    if version > FORMAT_VERSION:
        raise InputError(f"`format_version` (={version}) is newer than {FORMAT_VERSION}; update bsig to read it.")
    names = said.get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"`class_names` in {DESCRIPTION} must be a list of names; {AGAIN}.")
    if not 1 <= len(names) <= MAX_CLASSES:
        raise InputError(f"`class_names` holds {len(names)} names, from 1 to {MAX_CLASSES} are allowed; {AGAIN}.")
    ids = said.setdefault("class_ids", names)
    if not isinstance(ids, list) or len(ids) != len(names) or not all(isinstance(one, str) for one in ids):
        raise InputError(f"`class_ids` in {DESCRIPTION} must be a list of {len(names)} ids, one a class; {AGAIN}.")
    if said.get("branch") not in ("full", "shift"):
        raise InputError(f"`branch` (={_short(said.get('branch'))}) must be 'full' or 'shift'; {AGAIN}.")
    backbone = said.get("backbone")
    if not isinstance(backbone, dict) or not isinstance(backbone.get("name"), str):
        raise InputError(f"`backbone` in {DESCRIPTION} must name the timm model; {AGAIN}.")
    grid = backbone.get("grid_hw")
    if grid is not None and not (
        isinstance(grid, list) and len(grid) == 2 and all(isinstance(side, int) and 0 < side < 10_000 for side in grid)
    ):
        raise InputError(f"`grid_hw` (={_short(grid)}) in {DESCRIPTION} must be two whole numbers; {AGAIN}.")
    for key in ("training", "data", "results"):
        if key in said and not isinstance(said[key], dict):
            raise InputError(f"`{key}` (={_short(said[key])}) in {DESCRIPTION} must be an object; {AGAIN}.")
    if not isinstance(said.get("tensors_sha256"), str):
        raise InputError(f"{DESCRIPTION} lacks `tensors_sha256`, the hash of {TENSORS}; {AGAIN}.")
    return said


def _short(value: Any) -> str:
    """What was found, in at most a line."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:119]}…"


def _load(path: Path, said: dict[str, Any], device: str) -> DualBranch:
    file = path / TENSORS
    if not file.is_file():
        raise InputError(f"has no {TENSORS}; copy the whole folder.")
    found = _file_sha256(file)
    if found != said["tensors_sha256"]:
        raise InputError(
            f"{TENSORS} has the SHA-256 {found[:12]}…, {DESCRIPTION} says {said['tensors_sha256'][:12]}…: the file is "
            "cut short or changed; copy it again."
        )
    try:
        with safe_open(file, framework="pt") as stored:
            return _assembled(path.name, said, stored, device)
    except SafetensorError as error:
        raise InputError(f"{TENSORS} is not a whole safetensors file ({str(error)[:200]}); copy it again.") from error


def _file_sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _assembled(name: str, said: dict[str, Any], stored: Any, device: str) -> DualBranch:
    classes, keys = len(said["class_names"]), set(stored.keys())
    base = _base_classifier(said, stored, keys, device)
    own_softmax = any(key.startswith("softmax_head.") for key in keys)
    if not own_softmax and classes != base.head.last_linear.out_features:
        raise InputError(
            f"`class_names` holds {classes} names but the backbone's own head has "
            f"{base.head.last_linear.out_features} classes, and the file stores no softmax head; {AGAIN}."
        )
    softmax_head = _stored_head(stored, "softmax_head", base.head, classes) if own_softmax else base.head
    classifier = replace(
        base,
        head=softmax_head.to(device).requires_grad_(False),
        class_names=tuple(said["class_names"]),
        class_ids=tuple(said["class_ids"]),
        preprocessing=_preprocessing(said.get("preprocessing")),
    )
    if said["branch"] == "shift":
        width = base.head.last_linear.in_features
        vector = _tensor(stored, "sigmoid_shift.vector", (width,)).to(device)
        shift = FittedShift(vector, _tensor(stored, "sigmoid_shift.bias", ()).to(device))
        return DualBranch(classifier, shift=shift, name=name, metadata=said)
    sigmoid_head = _stored_head(stored, "sigmoid_head", base.head, classes).to(device)
    return DualBranch(classifier, sigmoid_head, name=name, metadata=said)


def _base_classifier(said: dict[str, Any], stored: Any, keys: set[str], device: str) -> Classifier:
    backbone = said["backbone"]
    options = _options(backbone)
    stores_encoder = any(key.startswith("encoder.") for key in keys)
    if not stores_encoder:
        if published_network(backbone["name"]) is not None:
            raise InputError(f"{TENSORS} lacks the encoder of '{backbone['name']}'; {AGAIN}.")
        classifier = load_classifier(backbone["name"], device, options)
    else:
        _check_encoder_is_whole(backbone["name"], stored, keys)
        classifier = empty_classifier(backbone["name"], options)
        _fill(classifier.encoder, stored, "encoder.")
        weights = {**classifier.weights, "source": "stored in the checkpoint"}
        classifier = replace(classifier, head=classifier.head.to(device), weights=weights)
    found, expected = state_sha256(classifier.encoder), backbone.get("encoder_sha256")
    if found != expected:
        raise InputError(
            f"was trained on an encoder with SHA-256 {str(expected)[:12]}…, but '{backbone['name']}' here has "
            f"{found[:12]}…: its weights differ, so the maps would not be those of the checkpoint; install the "
            f"versions that {DESCRIPTION} lists, or train it again."
        )
    if not stores_encoder:
        return classifier
    # Shared only now that its bytes are known to be the same.
    return replace(classifier, encoder=shared_encoder(classifier.encoder.to(device), found, device))


def _check_encoder_is_whole(name: str, stored: Any, keys: set[str]) -> None:
    """Refuses a file that names a network far larger than what it stores, before that network takes memory."""
    if published_network(name) is not None or not timm.is_model(name.split(".")[0]):
        return
    with torch.device("meta"):
        needed = sum(value.numel() for value in timm.create_model(name.split(".")[0]).parameters())
    there = sum(math.prod(stored.get_slice(key).get_shape()) for key in keys)
    if needed > 2 * there + SMALLEST_NETWORK:
        raise InputError(f"{TENSORS} holds {there} numbers, '{name}' alone has {needed}; {AGAIN}.")


def empty_classifier(name: str, options: BackboneOptions) -> Classifier:
    """A backbone's encoder and head with any weights, to be filled from a file."""
    network = published_network(name)
    if network is not None:
        return empty_published_classifier(network)
    return classifier_from_timm(name, pretrained=False, options=options)


def _options(backbone: dict[str, Any]) -> BackboneOptions:
    stage, pool = backbone.get("feature_stage", "last"), backbone.get("global_pool")
    if not isinstance(stage, str) or not isinstance(pool, str | None):
        raise InputError(
            f"`feature_stage` (={_short(stage)}) and `global_pool` (={_short(pool)}) must be text; {AGAIN}."
        )
    return BackboneOptions(stage, pool)


def _fill(module: nn.Module, stored: Any, prefix: str) -> None:
    state = {key: _tensor(stored, prefix + key, tuple(value.shape)) for key, value in module.state_dict().items()}
    module.load_state_dict(state)


def _stored_head(stored: Any, prefix: str, like: ClassificationHead, classes: int) -> ClassificationHead:
    """A head of the backbone's kind, filled from the file; its shapes are the backbone's and are checked first."""
    head = with_classes(like, classes)
    _fill(head, stored, f"{prefix}.")
    return head


def _tensor(stored: Any, key: str, shape: tuple[int, ...]) -> Tensor:
    if key not in set(stored.keys()):
        raise InputError(f"{TENSORS} lacks the tensor '{key}'; {AGAIN}.")
    found = tuple(stored.get_slice(key).get_shape())
    if found != shape:
        raise InputError(f"tensor '{key}' has the shape {found}, class names and backbone ask for {shape}; {AGAIN}.")
    tensor = stored.get_tensor(key)
    if key.endswith(".num_batches_tracked"):
        return tensor
    if not tensor.is_floating_point():
        raise InputError(f"tensor '{key}' holds {tensor.dtype}, not floating-point numbers; {AGAIN}.")
    tensor = tensor.float()
    if not torch.isfinite(tensor).all():
        raise InputError(f"tensor '{key}' holds NaN or infinite numbers; the branch is damaged: train it again.")
    return tensor


def _preprocessing(said: Any) -> Preprocessing:
    """Only what a picture can be resized to and a model fed with: these numbers decide how much memory is asked for."""
    try:
        rows, columns = (_whole(side, 32, 1024) for side in said["input_size_hw"])
        mean, std = _triple(said["mean"]), _triple(said["std"])
        interpolation, crop_mode = said["interpolation"], said["crop_mode"]
        if min(std) <= 0 or interpolation not in RESAMPLING or crop_mode not in ("center", "squash"):
            raise ValueError("`std` above 0, a known `interpolation` and `crop_mode` are needed")
        resize_to = _whole(said["resize_to"], 1 if crop_mode == "squash" else max(rows, columns), 4096)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(
            f"`preprocessing` (={_short(said)}) in {DESCRIPTION} cannot be used ({error}); {AGAIN}."
        ) from error
    return Preprocessing((rows, columns), resize_to, mean, std, interpolation, crop_mode)


def _whole(value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{_short(value)} is not a whole number from {least} to {most}")
    return value


def _triple(values: Any) -> Triple:
    red, green, blue = (float(value) for value in values)
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError(f"{_short(values)} is not three finite numbers")
    return red, green, blue


def _tensors_to_store(model: DualBranch, dtype: torch.dtype) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    if not _is_published(model):
        tensors |= {f"encoder.{key}": value for key, value in model.encoder.state_dict().items()}
    if not _has_published_head(model):
        # The softmax branch decides; it is stored exactly, whatever the precision of the sigmoid branch.
        tensors |= {f"softmax_head.{key}": value for key, value in model.softmax_head.state_dict().items()}
    if model.shift:
        tensors |= {"sigmoid_shift.vector": model.shift.vector, "sigmoid_shift.bias": model.shift.bias}
    else:
        tensors |= {f"sigmoid_head.{key}": value.to(dtype) for key, value in model.sigmoid_head.state_dict().items()}
    return {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}


def _is_published(model: DualBranch) -> bool:
    known = published(model.backbone_name, model.options)
    return known is not None and known.encoder_sha256 == state_sha256(model.encoder)


def _has_published_head(model: DualBranch) -> bool:
    known = published(model.backbone_name, model.options)
    return known is not None and known.head_sha256 == state_sha256(model.softmax_head)


def _description(
    model: DualBranch, tensors_file: Path, tensors: dict[str, Tensor], said: dict[str, Any]
) -> dict[str, Any]:
    known = (
        published(model.backbone_name, model.options)
        if not any(key.startswith("encoder.") for key in tensors)
        else None
    )
    kept: dict[str, Any] = {key: model.metadata[key] for key in KEPT_METADATA if key in model.metadata}
    return {
        "format_version": FORMAT_VERSION,
        "branch": model.branch_kind,
        "backbone": {
            "name": model.backbone_name,
            "weights": known.weights if known else {"source": "stored in this checkpoint"},
            "encoder_sha256": state_sha256(model.encoder),
            "feature_stage": model.options.feature_stage,
            "global_pool": model.options.global_pool,
            "features_at": model.features_at,
            "grid_hw": None if model.grid_hw is None else list(model.grid_hw),
        },
        "trained": model.is_trained,
        "preprocessing": asdict(model.preprocessing),
        **kept,
        **said,
        "versions": library_versions(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "tensors_sha256": _file_sha256(tensors_file),
        "tensors": {key: [list(value.shape), str(value.dtype)] for key, value in tensors.items()},
        "class_names": list(model.class_names),
        "class_ids": list(model.class_ids),
    }


def library_versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {"python": platform.python_version(), "torch": torch.__version__, "timm": timm.__version__}


@contextlib.contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well, and vanishes when it does not."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        for file in temporary.iterdir():
            file.chmod(0o644)
            with file.open("rb") as written:
                os.fsync(written.fileno())
        if path.exists():
            previous = temporary.with_name(f"{temporary.name}.previous")
            path.rename(previous)
            try:
                temporary.rename(path)
            except OSError:
                previous.rename(path)
                raise
            shutil.rmtree(previous, ignore_errors=True)
        else:
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_back(path: Path) -> None:
    """A writer that was killed between its two renames leaves the old checkpoint under a hidden name: back with it."""
    if path.exists() or not NAME_PATTERN.fullmatch(path.name) or not path.parent.is_dir():
        return
    for hidden in path.parent.glob(f".{path.name}.*.previous"):
        if re.fullmatch(rf"\.{re.escape(path.name)}\.[^.]{{8}}\.previous", hidden.name):
            with contextlib.suppress(OSError):
                hidden.rename(path)
                return


def _clear_leftovers(path: Path) -> None:
    """Removes what writers of this checkpoint that were killed have left; a living one is younger than an hour."""
    for hidden in path.parent.glob(f".{path.name}.*"):
        is_ours = re.fullmatch(rf"\.{re.escape(path.name)}\.[^.]{{8}}(\.previous)?", hidden.name)
        if is_ours and hidden.is_dir() and time.time() - hidden.stat().st_mtime > LEFTOVER_AFTER_S:
            shutil.rmtree(hidden, ignore_errors=True)


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Puts the checkpoint's name before what is wrong with it, once."""
    try:
        yield
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith("checkpoint '") else f"checkpoint '{name}': {text}") from error
