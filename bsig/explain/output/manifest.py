"""A bundle of explanations that anyone can check: what was expected, with hashes, and how to predict it again.

    write_manifest(folder, model, settings, entries)       after the explanations were written into the folder
    rows = check_bundle(folder, load)                      on another machine, another day

`manifest.json` names the checkpoint by the hash of its tensors, the settings, each explanation with its picture, and
size and SHA-256 of every file. A check reads the hashes, computes every map again from the pictures and compares: maps
may differ by `TOLERANCE` of their range, since another processor rounds in another order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bsig.explain.drawing.comparison import BRANCHES
from bsig.explain.explainer import Explainer
from bsig.explain.explanation import Explanation
from bsig.inputs.errors import InputError, first_line
from bsig.inputs.files import write_json
from bsig.inputs.names import MANIFEST, NUMBERS
from bsig.inputs.version import __version__
from bsig.model.dual_branch import DualBranch
from bsig.model.versions import library_versions
from bsig.model.weights import file_sha256, state_sha256

FORMAT, FORMAT_VERSION = "bsig predicted-and-expected", 1
TOLERANCE = 1e-3
"""Largest difference of a map from the expected one, as a share of the expected map's largest |value|."""
MAPS = tuple(f"{branch}.npy" for branch in BRANCHES)
MAX_MANIFEST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class BundleEntry:
    """One explanation of a bundle.

    Attributes:
        folder: where its files lie, below the bundle's folder; empty for the bundle's own.
        picture: the picture's file, below the bundle's folder.
        class_index: the class that is explained.
        crop_mode: `center` or `squash`.
        finer_grid: whether the maps are on the finer grid.
    """

    folder: str
    picture: str
    class_index: int
    crop_mode: str
    finer_grid: bool = False


@dataclass(frozen=True)
class CheckRow:
    """An explanation predicted again.

    Attributes:
        difference: the largest of the three maps, as a share of the expected map's largest |value|.
        expected_class, predicted_class: the softmax branch's, by name.
    """

    folder: str
    class_name: str
    difference: float
    expected_class: str
    predicted_class: str

    @property
    def agrees(self) -> bool:
        """Whether prediction and maps are the expected ones."""
        return self.difference <= TOLERANCE and self.expected_class == self.predicted_class


def write_manifest(folder: Path, model: DualBranch, settings: dict[str, Any], entries: Sequence[BundleEntry]) -> Path:
    """The path of the manifest, once it is written beside the explanations' files.

    Args:
        settings: arguments of `EncodedImage.explain`, the same for all entries.

    Raises:
        InputError: the folder cannot be written.
    """
    places = {entry.folder for entry in entries}
    files = {folder / entry.picture for entry in entries}
    for place in places:
        files |= {path for path in (folder / place).iterdir() if path.is_file() and path.name != MANIFEST}
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "check": "python -m bsig check-bundle FOLDER",
        "tolerance": TOLERANCE,
        "checkpoint": {
            "name": model.name,
            "tensors_sha256": model.metadata.get("tensors_sha256"),
            "encoder_sha256": state_sha256(model.encoder),
        },
        "settings": settings,
        "versions": {"bsig": __version__, **library_versions()},
        "explanations": [asdict(entry) for entry in entries],
        "files": {
            path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
            for path in sorted(files)
        },
    }
    try:
        write_json(folder / MANIFEST, manifest, indent=1)
    except OSError as error:
        raise InputError(f"'{folder / MANIFEST}' cannot be written ({error}); choose another folder.") from error
    return folder / MANIFEST


def read_manifest(folder: Path) -> dict[str, Any]:
    """The entries of a bundle's manifest, once every file that it lists is there with its hash.

    Raises:
        InputError: no manifest of this format; a file is missing, changed, or would lie outside the folder.
    """
    manifest = _json(folder / MANIFEST)
    if manifest.get("format") != FORMAT or manifest.get("format_version") != FORMAT_VERSION:
        raise InputError(f"'{folder / MANIFEST}' is no manifest that this version of bsig knows; update it.")
    try:
        entries = [BundleEntry(**entry) for entry in manifest["explanations"]]
        files = {str(name): str(entry["sha256"]) for name, entry in manifest["files"].items()}
        paths = {_below(entry.folder, name) for entry in entries for name in (NUMBERS, *MAPS)}
        paths |= {entry.picture for entry in entries}
        dict(manifest["settings"]), str(manifest["checkpoint"]["name"])
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{folder / MANIFEST}' lacks or misspells {error}; make the bundle again.") from error
    unlisted = paths - set(files)
    if unlisted:
        raise InputError(f"'{folder / MANIFEST}' lists no hash of '{min(unlisted)}'; make the bundle again.")
    for name, sha256 in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not (folder / name).is_file():
            raise InputError(f"'{folder}' has no file '{name}', which its manifest lists; copy the bundle again.")
        if file_sha256(folder / name) != sha256:
            raise InputError(f"'{name}' has changed since '{folder}' was written; copy the bundle again.")
    return {**manifest, "explanations": entries}


def check_bundle(folder: Path, load: Callable[[str], DualBranch]) -> Iterator[CheckRow]:
    """Predicts each explanation of a bundle again; a row each, as they come.

    Args:
        folder: of the bundle.
        load: the model of a checkpoint's name.

    Raises:
        InputError: `read_manifest`'s reasons; the checkpoint is another than the bundle's; a setting is refused.
    """
    manifest = read_manifest(folder)
    model, checkpoint = load(manifest["checkpoint"]["name"]), manifest["checkpoint"]
    if model.metadata.get("tensors_sha256") != checkpoint["tensors_sha256"]:
        raise InputError(
            f"checkpoint '{model.name}' is another than the bundle's: its tensors have the SHA-256 "
            f"{str(model.metadata.get('tensors_sha256'))[:12]}…, the bundle names "
            f"{str(checkpoint['tensors_sha256'])[:12]}…; give the bundle's with --checkpoint."
        )
    explainer = Explainer(model)
    for entry in manifest["explanations"]:
        encoded = explainer.encode(folder / entry.picture, entry.crop_mode)
        encoded = encoded.finer_grid() if entry.finer_grid else encoded
        try:
            explanation = encoded.explain(entry.class_index, **manifest["settings"])
        except TypeError as error:
            raise InputError(f"`settings` in '{folder / MANIFEST}': {first_line(error)}; update bsig.") from error
        yield _row(folder, entry, explanation)


def _row(folder: Path, entry: BundleEntry, explanation: Explanation) -> CheckRow:
    expected = _json(folder / entry.folder / NUMBERS)
    differences = [
        _difference(folder / entry.folder / f"{branch}.npy", explanation.evidence(branch).map) for branch in BRANCHES
    ]
    return CheckRow(
        entry.folder or entry.picture,
        explanation.class_name,
        max(differences),
        str(expected.get("predicted_name")),
        explanation.predicted_name,
    )


def _difference(file: Path, predicted: np.ndarray) -> float:
    """The largest |difference| from the stored map, as a share of that map's largest |value|; 1 for another shape."""
    try:
        expected = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"'{file}' is no map ({first_line(error)}); make the bundle again.") from error
    if expected.shape != predicted.shape:
        return 1.0
    return float(np.abs(expected - predicted).max() / max(np.abs(expected).max(), 1e-12))


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_MANIFEST_BYTES:
            raise InputError(f"'{file}' is over {MAX_MANIFEST_BYTES >> 20} MB; that is no file of a bundle.")
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"'{file}' cannot be read ({first_line(error)}); give the folder of a bundle.") from error
    if not isinstance(entries, dict):
        raise InputError(f"'{file}' holds no JSON object; give the folder of a bundle.")
    return entries
