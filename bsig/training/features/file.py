"""One file of pooled features: written row after row, mapped when read, never seen half-written.

    NAME.npy     (rows, views, ...) float32, rows of readable pictures only
    NAME.json    {number of picture: why it could not be read}

Rows go to a temporary file beside it that is renamed when it is whole; a writer holds a lock on its temporary file and
a reader one on the file it maps, both let go by the operating system when the process ends in whatever way. So what a
killed process left behind can be told from what a living one writes, and eviction passes over files in use. (Without
`fcntl`, on Windows, age alone tells.) A plain file is written, not a memory map: a full disk is then an error that can
be caught, not the end of the process.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import mmap
import os
import tempfile
import time
from pathlib import Path
from typing import IO

import numpy as np

from bsig.inputs.errors import InputError
from bsig.inputs.files import KNOWS_LOCKS, PARTIAL, take_lock, write_json

LIMIT_VARIABLE, DEFAULT_LIMIT_GB = "BSIG_CACHE_GB", 20.0
IN_MEMORY_BYTES = 2**30
LEFT_BEHIND_SECONDS, LEFT_BEHIND_SECONDS_WITHOUT_LOCKS = 60, 24 * 3600


class FeatureFile:
    """Rows on their way to a file `path` that is not there before it is whole.

    The space of `rows`, the most that will come, is taken at once, so that a full disk shows before the work.

    Raises:
        OSError: the disk refuses.
    """

    def __init__(self, path: Path, rows: int, row_shape: tuple[int, ...]) -> None:
        self.path, self.row_shape, self.rows = path, row_shape, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL)
        self.temporary, self.file = Path(name), os.fdopen(handle, "w+b", buffering=0)
        try:
            take_lock(self.file, exclusive=True)
            _write_all(self.file, _header((rows, *row_shape)))
            _reserve(self.file, len(_header((rows, *row_shape))) + 4 * rows * math.prod(row_shape))
        except OSError:
            self.discard()
            raise

    def append(self, rows: np.ndarray) -> None:
        """Writes rows (n, *row_shape) behind those before."""
        _write_all(self.file, np.ascontiguousarray(rows, dtype=np.float32).tobytes())
        self.rows += len(rows)

    def rows_so_far(self) -> np.ndarray:
        """Returns the rows so far, read back into memory."""
        shape, start = (self.rows, *self.row_shape), len(_header((self.rows, *self.row_shape)))
        return np.fromfile(self.temporary, np.float32, math.prod(shape), offset=start).reshape(shape)

    def publish(self, unreadable: dict[int, str]) -> np.ndarray:
        """Gives the file its name; returns its rows, which stay also where the file is evicted.

        Raises:
            OSError: the disk refuses.
        """
        # The list of unreadable files first: features are only found once their own file is there.
        write_json(self.path.with_suffix(".json"), unreadable, durable=True)
        self.file.truncate(self.file.tell())
        self.file.seek(0)
        _write_all(self.file, _header((self.rows, *self.row_shape)))
        os.fsync(self.file.fileno())
        take_lock(self.file, exclusive=False)  # from now on as one of its readers
        rows = _in_memory(_mapped(self.temporary))
        self.temporary.replace(self.path)
        self.file.close()
        return rows

    def discard(self) -> None:
        """Removes the file."""
        with contextlib.suppress(OSError):
            self.file.close()
        self.temporary.unlink(missing_ok=True)


def read_features(path: Path, pictures: int, views: int) -> tuple[np.ndarray, dict[int, str]] | None:
    """Returns stored rows and what could not be read; None where either is missing or damaged: they are made again.

    Up to a gigabyte is read into memory; more is mapped, so that memory stays flat and processes share it. The file
    counts as used now.
    """
    try:
        entries = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        unreadable = {int(index): str(text) for index, text in entries.items()}
        rows = _mapped(path)
        os.utime(path)
    except (OSError, ValueError, EOFError, AttributeError):
        return None
    if rows.shape[:2] != (pictures - len(unreadable), views) or rows.dtype != np.float32:
        return None
    return _in_memory(rows), unreadable


def make_room(folder: Path, size: int) -> None:
    """Removes what killed runs left, then the files unused for longest, until `size` bytes fit; mapped files stay.

    Raises:
        OSError: `size` is over the limit (environment variable BSIG_CACHE_GB, 20 by default).
    """
    limit = cache_limit()
    if size > limit:
        raise OSError(f"{size / 1e9:.3g} GB are over the limit of {limit / 1e9:.3g} GB that {LIMIT_VARIABLE} sets")
    remove_left_behind(folder)
    files = {path: status for path in folder.glob("*.npy") if (status := _status(path))}
    total = sum(status.st_size for status in files.values())
    for path, status in sorted(files.items(), key=lambda item: item[1].st_mtime_ns):
        if total + size <= limit:
            return
        if _unused(path):
            for old in (path, path.with_suffix(".json")):
                with contextlib.suppress(OSError):
                    old.unlink(missing_ok=True)
            total -= status.st_size


def remove_left_behind(folder: Path) -> None:
    """Removes temporary files of writers that are gone."""
    patience = LEFT_BEHIND_SECONDS if KNOWS_LOCKS else LEFT_BEHIND_SECONDS_WITHOUT_LOCKS
    for path in folder.glob(f".*{PARTIAL}"):
        status = _status(path)
        if status and time.time() - status.st_mtime > patience and _unused(path):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def cache_limit() -> int:
    """Returns bytes that all feature files together may take.

    Raises:
        InputError: BSIG_CACHE_GB is no number.
    """
    text = os.environ.get(LIMIT_VARIABLE, str(DEFAULT_LIMIT_GB))
    gigabytes = -1.0
    with contextlib.suppress(ValueError):
        gigabytes = float(text)
    if not 0 <= gigabytes < 1e9:
        raise InputError(f"`{LIMIT_VARIABLE}` (='{text}') must be a number of gigabytes, e.g. 20.")
    return int(gigabytes * 1e9)


def _mapped(path: Path) -> np.ndarray:
    """Returns a private map: a write does not reach the file, and the reader's lock lives as long as the map."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"a .npy of version {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        start = file.tell()
        if fortran or path.stat().st_size != start + dtype.itemsize * math.prod(shape):
            raise ValueError("cut short")
        if not math.prod(shape):
            return np.zeros(shape, dtype)
        take_lock(file, exclusive=False)  # a duplicate of this file handle lives in the map, and the lock with it
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return np.frombuffer(mapped, dtype, math.prod(shape), start).reshape(shape)


def _in_memory(rows: np.ndarray) -> np.ndarray:
    """Returns a copy of a small array: training takes rows at random, which a map on a slow disk would make slow."""
    return rows.copy() if rows.nbytes <= IN_MEMORY_BYTES else rows


def _header(shape: tuple[int, ...]) -> bytes:
    """Returns a header of one length for any number of rows: numpy leaves room for the first axis to grow."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _write_all(file: IO[bytes], content: bytes) -> None:
    """Unbuffered, so that after a full disk the file holds every row that was written before."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _reserve(file: IO[bytes], size: int) -> None:
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):  # a file system that cannot reserve
            raise


def _unused(path: Path) -> bool:
    """Returns whether no process is known to hold a lock on it."""
    try:
        with path.open("rb") as file:
            return take_lock(file)
    except OSError:
        return True


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
