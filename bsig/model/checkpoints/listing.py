"""Names, paths and addresses -> checkpoint folders; a folder of them -> rows of a list."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from bsig.inputs.errors import InputError
from bsig.inputs.files import restore_previous
from bsig.inputs.names import UNDECODED, check_utf8
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.description import CheckpointDescription
from bsig.model.checkpoints.names import DESCRIPTION, RESULTS, TENSORS
from bsig.model.packaged_weights import missing_package


def list_checkpoints(folder: Path | str = CHECKPOINTS_FOLDER) -> list[dict[str, Any]]:
    """One row a checkpoint folder: name, classes, backbone, branch, size in MB, hash; or name and `error`.

    A row has `needs`, a command, where the weights of its backbone are in a package that is not installed.
    """
    folder = Path(folder)
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [_row(path) for path in paths if path.is_dir() and not path.name.startswith(".")]


def _row(path: Path) -> dict[str, Any]:
    try:
        check_utf8([path.name], f"'{path.parent.name}'")
        description = CheckpointDescription.read(path)
    except InputError as error:
        return {"name": UNDECODED.sub("?", path.name), "error": str(error)}
    stores_encoder = any(key.startswith("encoder.") for key in description.entries.get("tensors", {}))
    needs = "" if stores_encoder else missing_package(description.backbone.name)
    size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    return {
        "name": path.name,
        "classes": len(description.class_names),
        "backbone": description.backbone.name,
        "branch": description.branch,
        "trained": description.trained,
        "zero_shot": bool(description.zero_shot),
        "feature_stage": description.backbone.feature_stage,
        "grid_hw": description.entries["backbone"].get("grid_hw"),
        "megabytes": round(size / 1e6, 2),
        "sha256": description.tensors_sha256,
        **({"needs": needs} if needs else {}),
    }


def checkpoint_path(name: str | Path, folder: Path) -> Path:
    """The folder that a checkpoint's name, path or `hf:` address stands for.

    Raises:
        InputError: there is none, with the names that there are.
    """
    text = str(name)
    if text.startswith("hf:"):
        from bsig.inputs.hub import hub_folder  # only here: the hub's client takes longer to import than all else

        return hub_folder(text, [TENSORS, DESCRIPTION, RESULTS])
    with contextlib.suppress(OSError, RuntimeError):  # too long for a path; '~' of a user who is not there
        for candidate in (folder / text, Path(text).expanduser()):
            restore_previous(candidate)
            if (candidate / DESCRIPTION).is_file():
                return Path(os.path.abspath(candidate))  # so that '.' has a name
    names = ", ".join(row["name"] for row in list_checkpoints(folder)) or "none"
    raise InputError(f"`checkpoint` (='{text}') must be a checkpoint folder or one of: {names} (in '{folder.name}').")
