"""Parts of an evaluation on disk, so that memory stays flat and a run that was killed goes on where it was.

    folder/fingerprint.txt      what the parts belong to: model, data, settings; parts of anything else are thrown away
    folder/NAME.npz             the arrays of one part, written whole or not at all

A part holds a few pictures; tables read one array of all parts at a time.
"""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bsig.inputs.errors import InputError
from bsig.inputs.files import PARTIAL, whole_file, write_whole

Array = np.ndarray
STAMP = "fingerprint.txt"


class PartialResults:
    """The parts in one folder.

    Raises:
        InputError: the folder cannot be written, or holds something else.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        with self._in_words():
            if folder.exists():
                self._clear(fingerprint)
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / STAMP, fingerprint)

    def has(self, name: str) -> bool:
        """Whether the part is there and whole."""
        return zipfile.is_zipfile(self._path(name))

    def write(self, name: str, arrays: Mapping[str, Array]) -> None:
        """Writes one part, whole or not at all."""
        arguments: dict[str, Any] = dict(arrays)  # numpy's own options are keywords too, which mypy cannot tell apart
        with self._in_words(), whole_file(self._path(name), durable=True) as temporary, temporary.open("wb") as file:
            np.savez(file, **arguments)

    def rows(self, names: Sequence[str], key: str) -> Array:
        """One array of several parts, one after the other."""
        return np.concatenate([self.read(name, key) for name in names])

    def read(self, name: str, key: str) -> Array:
        """One array of one part."""
        with np.load(self._path(name), allow_pickle=False) as part:
            return part[key]

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def _clear(self, fingerprint: str) -> None:
        """Removes the parts of another fingerprint."""
        stamp = self.folder / STAMP
        # Nobody needs the file that a killed writer has left: it may have been the stamp itself.
        is_free = self.folder.is_dir() and all(path.name.endswith(PARTIAL) for path in self.folder.iterdir())
        if not is_free and not stamp.exists():
            raise InputError(
                f"'{self.folder}' must be free for partial results, but holds other files; move them or choose another "
                "--out."
            )
        if not stamp.is_file() or stamp.read_text(encoding="utf-8") != fingerprint:
            shutil.rmtree(self.folder)

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"partial results cannot be written to '{self.folder}' ({error}); free space or choose another --out."
            ) from error
