"""The zip of pictures that a visitor has uploaded, unpacked and listed once.

The form's check, the counts before a start and the run all need the same pictures. They are unpacked at the first
check and kept while the visitor changes settings; the run that is started takes the folder over.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

from bsig.inputs.datasets.splits import TrainingSplits, train_and_held_out
from bsig.inputs.files import temporary_place
from bsig.inputs.zips import ZipLimits, extract_zip


class UnpackedZip:
    """The pictures of one uploaded zip.

    Attributes:
        root: the folder that holds the data; inside `folder`, or the same.
    """

    def __init__(self, zip_file: str, limits: ZipLimits) -> None:
        self.key = _key(zip_file)
        self._folder = Path(tempfile.mkdtemp(prefix="bsig-upload-", dir=temporary_place()))
        self._splits: dict[int, TrainingSplits] = {}
        # At the latest with the app; a folder that a run has taken over is no longer there.
        self.remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        try:
            self.root = extract_zip(zip_file, self._folder / "data", limits)
        except BaseException:
            self.remove()
            raise

    @property
    def is_there(self) -> bool:
        """Whether its pictures still lie where they were unpacked: a run may have taken them, or a cleaner."""
        return self.remove.alive and self.root.is_dir()

    def splits(self, seed: int) -> TrainingSplits:
        """The pictures to train on and those held out, listed once a seed.

        Raises:
            InputError: as `train_and_held_out`.
        """
        if seed not in self._splits:
            self._splits[seed] = train_and_held_out(self.root, seed)
        return self._splits[seed]

    def move_to(self, target: Path) -> Path:
        """Hands all files over to a folder that is not there yet; returns where the data lies now.

        Raises:
            OSError: the disk refuses.
        """
        root = target / self.root.relative_to(self._folder / "data")
        shutil.move(self._folder / "data", target)
        self.remove()
        return root


class Uploads:
    """The unpacked zip of one visitor: the last one, so that a visitor who tries many leaves one."""

    def __init__(self) -> None:
        self._current: UnpackedZip | None = None
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def unpacked(self, zip_file: str, limits: ZipLimits) -> Iterator[UnpackedZip]:
        """The zip's pictures, held while the block runs, so that no other event moves them away.

        Raises:
            InputError: as `extract_zip`.
        """
        with self._lock:
            upload = self._current
            if upload is None or not upload.is_there or upload.key != _key(zip_file):
                self.clear()
                upload = self._current = UnpackedZip(zip_file, limits)
            yield upload

    def clear(self) -> None:
        """Removes what is unpacked."""
        with self._lock:
            if self._current:
                self._current.remove()
            self._current = None


def _key(zip_file: str) -> tuple[str, int]:
    """The key of an upload: its place and, where a file was written again, its moment."""
    path = Path(zip_file)
    return str(path), path.stat().st_mtime_ns if path.is_file() else 0
