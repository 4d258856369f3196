"""One text embedding a class, from a file: what makes an image tower such as CLIP's a classifier (`zero_shot.py`).

    embeddings = read_class_embeddings(Path("classes.npz"))
    embeddings.vectors, embeddings.class_names, embeddings.logit_scale, embeddings.logit_bias

A file holds one matrix (classes, width): .npy alone, or .npz, .safetensors, .pt, .pth with `class_names`, `logit_scale`
and `logit_bias` beside it. `python -m bsig embed-classes` writes one (`text_tower.py`). No pickle is ever run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bsig.inputs.counts import counted
from bsig.inputs.errors import InputError, first_line
from bsig.model.class_names import names_of_entries
from bsig.model.weight_files import NOT_TENSORS, read_content
from bsig.model.weights import file_sha256

MATRIX_NAMES = ("class_embeddings", "text_features", "embeddings", "zeroshot_weights")
MAX_CLASSES, MAX_WIDTH = 100_000, 4_096
MAX_BYTES = 2**31
LARGEST_SCALE = 1000.0
SMALLEST_OWN_SCALE = 8.0
"""Below it the `logit_scale` of a file is taken for the logarithm that models keep: ln 100 = 4.6."""
REMEDY = "save the matrix alone: torch.save({'class_embeddings': matrix, 'class_names': names}, 'classes.pt')"


@dataclass(frozen=True)
class ClassEmbeddings:
    """Text embeddings of classes, and what their file says of the model that they belong to.

    Attributes:
        vectors: a row a class, of any length above 0: only its direction counts.
        class_names: None where the file has none.
        logit_scale: the factor before the cosine; None where the file has none.
        logit_bias: what the sigmoid adds; None where the file has none, as of CLIP, which learns none.
        source: the file's name, or where else they come from.
        made_with: how they were made, in the file's own words (`model`, `templates`).

    Raises:
        InputError: a row is zero or not finite, or a number breaks its rule.
    """

    vectors: Float[Tensor, "c n"]
    class_names: tuple[str, ...] | None = None
    logit_scale: float | None = None
    logit_bias: float | None = None
    source: str = "a matrix in memory"
    sha256: str | None = None
    made_with: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        classes, width = self.vectors.shape
        if not 2 <= classes <= MAX_CLASSES or not 2 <= width <= MAX_WIDTH:
            raise InputError(
                f"`class_embeddings` ({self.source}) is {classes} x {width}; it must have a row for each of 2 to "
                f"{MAX_CLASSES:,} classes and at most {MAX_WIDTH:,} columns."
            )
        self._refuse_rows(~self.vectors.isfinite().all(dim=1), "holds NaN or infinite numbers", "embed that name again")
        self._refuse_rows(self.vectors.abs().amax(dim=1) == 0, "is zero and has no direction", "embed that name again")
        names = self.class_names
        if names is not None and len(names) != classes:
            raise InputError(
                f"`class_names` holds {counted(len(names), 'name')}, `class_embeddings` ({self.source}) has {classes} "
                "rows; give one name a row."
            )
        if names is not None and (len(set(names)) != len(names) or not all(name.strip() for name in names)):
            raise InputError(f"`class_names` of {self.source} must hold each name once, none empty.")
        if self.logit_scale is not None and not 0 < self.logit_scale <= LARGEST_SCALE:
            raise InputError(
                f"`logit_scale` (={self.logit_scale:g}) must be above 0 and at most {LARGEST_SCALE:g}: the factor "
                "before the cosine, 100 for CLIP."
            )
        if self.logit_bias is not None and not math.isfinite(self.logit_bias):
            raise InputError(f"`logit_bias` (={self.logit_bias:g}) must be a finite number.")

    def _refuse_rows(self, broken: Tensor, problem: str, remedy: str) -> None:
        if broken.any():
            row = int(broken.nonzero()[0])
            class_text = f" ('{self.class_names[row]}')" if self.class_names and row < len(self.class_names) else ""
            raise InputError(f"row {row}{class_text} of `class_embeddings` ({self.source}) {problem}; {remedy}.")

    def with_settings(
        self, class_names: tuple[str, ...] | None, logit_scale: float | None, logit_bias: float | None
    ) -> ClassEmbeddings:
        """The embeddings with the given settings in place of the file's.

        Raises:
            InputError: as the class.
        """
        return replace(
            self,
            class_names=self.class_names if class_names is None else class_names,
            logit_scale=self.logit_scale if logit_scale is None else logit_scale,
            logit_bias=self.logit_bias if logit_bias is None else logit_bias,
        )


def class_embeddings_of(source: Any) -> ClassEmbeddings:
    """Class embeddings of a file's path, or of a matrix (classes, width): an array, a tensor or a list of rows.

    Raises:
        InputError: as `read_class_embeddings`, or it is no matrix of numbers.
    """
    if isinstance(source, ClassEmbeddings):
        return source
    if isinstance(source, str | Path):
        return read_class_embeddings(Path(source).expanduser())
    try:
        matrix = source.detach().cpu() if isinstance(source, Tensor) else torch.from_numpy(np.array(source))
    except (TypeError, ValueError) as error:
        raise InputError(f"`embeddings` must be a file or a matrix (classes, width) ({first_line(error)}).") from error
    return ClassEmbeddings(_matrix({MATRIX_NAMES[0]: matrix}, ClassEmbeddings.source))


def read_class_embeddings(path: Path) -> ClassEmbeddings:
    """The embeddings of a .npy, .npz, .safetensors, .pt or .pth file.

    Raises:
        InputError: no such file, another format, no matrix or more than one, or as `ClassEmbeddings`.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"`class_embeddings` (='{path}') must be a {', '.join(READERS)} file.")
    if not path.is_file():
        raise InputError(f"`class_embeddings` (='{path}') is not there; `bsig embed-classes` makes such a file.")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"`class_embeddings` (='{path.name}') is over {MAX_BYTES >> 30} GB; give one row a class.")
    source = f"'{path.name}'"
    entries = reader(path)
    scale = _number(entries, "logit_scale", source)
    if scale is not None and 0 < scale < SMALLEST_OWN_SCALE:
        raise InputError(
            f"`logit_scale` (={scale:g}) of {source} looks like the logarithm that models keep; store its exponential "
            f"({math.exp(scale):.4g}), or give the factor with --logit-scale."
        )
    return ClassEmbeddings(
        _matrix(entries, source),
        _names(entries, source),
        scale,
        _number(entries, "logit_bias", source),
        source,
        file_sha256(path),
        {name: str(entries[name])[:2000] for name in ("model", "templates") if entries.get(name) is not None},
    )


# --- formats: each gives entries by name, tensors and plain values ----------------------------------------------------


def _numpy_entries(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            arrays = {MATRIX_NAMES[0]: content} if isinstance(content, np.ndarray) else dict(content)
    except Exception as error:  # a damaged header, zip or array: numpy and zipfile raise many kinds
        raise InputError(
            f"'{path.name}' cannot be read as NumPy arrays ({first_line(error)}); save it again with numpy.save or "
            "numpy.savez, without objects."
        ) from error
    return {name: array.tolist() if array.dtype.kind in "US" else _tensor(array) for name, array in arrays.items()}


def _tensor(array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise InputError(f"`class_embeddings` holds {array.dtype} numbers; give floating-point ones.")
    return torch.from_numpy(np.ascontiguousarray(array))


def _torch_entries(path: Path) -> dict[str, Any]:
    content = read_content(path, REMEDY)
    if isinstance(content, Tensor):
        return {MATRIX_NAMES[0]: content}
    if not isinstance(content, Mapping):
        raise InputError(f"'{path.name}' holds a {type(content).__name__}, no matrix; {REMEDY}.")
    return {str(name): value for name, value in content.items()}


def _safetensors_entries(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            texts = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no dictionary
    except (SafetensorError, *NOT_TENSORS) as error:
        raise InputError(
            f"'{path.name}' is not a whole safetensors file ({first_line(error)}); copy it again."
        ) from error
    return {**texts, **tensors}


READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".npy": _numpy_entries, ".npz": _numpy_entries, ".safetensors": _safetensors_entries, ".pt": _torch_entries,
    ".pth": _torch_entries,
}  # fmt: skip


def _matrix(entries: Mapping[str, Any], source: str) -> Tensor:
    tensors = {name: value for name, value in entries.items() if isinstance(value, Tensor) and value.ndim > 0}
    matrices = [name for name, value in tensors.items() if value.ndim == 2]
    name = next((name for name in MATRIX_NAMES if name in tensors), matrices[0] if len(matrices) == 1 else None)
    if name is None:
        content = ", ".join(f"{name} {tuple(value.shape)}" for name, value in list(tensors.items())[:4]) or "no tensor"
        raise InputError(
            f"`class_embeddings` ({source}) holds {content}; it must hold one matrix (classes, width), or name it "
            f"'{MATRIX_NAMES[0]}'."
        )
    matrix = tensors[name]
    if matrix.ndim != 2 or not matrix.is_floating_point():
        raise InputError(
            f"`{name}` of {source} is {tuple(matrix.shape)} of {str(matrix.dtype).removeprefix('torch.')}; it must be "
            "a matrix (classes, width) of floating-point numbers."
        )
    return matrix.detach().float().contiguous()


def _names(entries: Mapping[str, Any], source: str) -> tuple[str, ...] | None:
    value = entries.get("class_names")
    if value is None:
        return None
    try:
        names = names_of_entries(json.loads(value) if isinstance(value, str) else value)
    except (ValueError, RecursionError):
        names = None
    if names is None:
        raise InputError(f"`class_names` of {source} must be a list of names, in safetensors as JSON.")
    return tuple(names)


def _number(entries: Mapping[str, Any], name: str, source: str) -> float | None:
    value = entries.get(name)
    if value is None:
        return None
    try:
        return float(value.item() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"`{name}` of {source} must be one number.") from error
