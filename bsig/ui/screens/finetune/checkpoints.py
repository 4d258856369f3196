"""A checkpoint's zip, both ways: one made for a download, and an uploaded one kept beside the app's own."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

from bsig.inputs.errors import InputError
from bsig.inputs.files import whole_file, whole_folder
from bsig.inputs.zips import ZipLimits, extracted_zip
from bsig.model.checkpoints.description import read_description
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DESCRIPTION, TENSORS
from bsig.training.runs.folder import RunFolder
from bsig.ui.components.downloads import download_folder
from bsig.ui.server.limits import Limits
from bsig.ui.workbench import Workbench, file_stamp

CHECKPOINT_LIMITS = ZipLimits(files=10, file_bytes=4 * 2**30, total_bytes=4 * 2**30)


def checkpoint_zip(path: Path) -> Path:
    """The checkpoint folder as a zip, made once, ready to be downloaded and loaded elsewhere."""
    # The folder's place and moment in the name: a checkpoint that was written again, and another visitor's checkpoint
    # of the same name, have zips of their own.
    place = hashlib.sha256(f"{path.absolute()} {file_stamp(path / DESCRIPTION)}".encode()).hexdigest()[:32]
    file = download_folder(place) / f"{path.name}.zip"
    if file.is_file():
        return file
    with whole_file(file) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for part in sorted(path.iterdir()):  # stored as they are, since weights do not shrink
            if part.is_file() and not part.name.startswith("."):
                archive.write(part, f"{path.name}/{part.name}")
    return file


def keep_checkpoint(zip_file: str | None, runs: RunFolder, bench: Workbench) -> str:
    """Keeps an uploaded checkpoint zip beside the app's own, after loading it once; returns its name.

    Raises:
        InputError: no zip of a checkpoint folder, or a checkpoint that cannot be loaded; nothing is kept then.
    """
    if not zip_file:
        raise InputError("no zip is chosen; upload the zip of a checkpoint folder.")
    bench.limits.check_count(
        "models and checkpoints",
        bench.visitor_space.models(),
        bench.limits.models_kept,
        "they go when you close the page",
    )
    with extracted_zip(zip_file, _limits(bench.limits)) as folder:
        if not (folder / DESCRIPTION).is_file() or not (folder / TENSORS).is_file():
            raise InputError(
                f"'{Path(zip_file).name}' must hold one checkpoint folder with {TENSORS} and {DESCRIPTION}; zip that."
            )
        bench.limits.check_description(read_description(folder))
        load_checkpoint(folder, bench.device)
        runs.checkpoints.mkdir(parents=True, exist_ok=True)
        target = runs.checkpoints / runs.free_name(Path(zip_file).stem, bench.checkpoint_names())
        _copy_checkpoint(folder, target)
    return target.name


def _copy_checkpoint(folder: Path, target: Path) -> None:
    """Copies the two files of a checkpoint and nothing else that lies there."""
    try:
        target.mkdir()
    except OSError as error:  # no room, or another upload was a moment faster: its folder is not ours to touch
        raise InputError(f"checkpoint '{target.name}' cannot be kept ({error}); try again.") from error
    try:
        with whole_folder(target) as temporary:
            for name in (TENSORS, DESCRIPTION):
                shutil.copyfile(folder / name, temporary / name)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise InputError(f"checkpoint '{target.name}' cannot be kept ({error}); free space.") from error


def _limits(limits: Limits) -> ZipLimits:
    most = min(CHECKPOINT_LIMITS.total_bytes, limits.unpacked_bytes)
    return replace(CHECKPOINT_LIMITS, file_bytes=most, total_bytes=most)
