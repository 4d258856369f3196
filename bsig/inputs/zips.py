"""A zip from a stranger -> files in a folder of ours, or one sentence why not.

Everything is decided from the zip's table of contents, before a byte is unpacked: where each entry would go, what kind
it is, how large it is and how much it claims to shrink. Unpacking then never writes more than the table said.
"""

from __future__ import annotations

import contextlib
import lzma
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bsig.inputs.errors import InputError, megabytes

BLOCK = 2**20
# What the standard library raises on a zip that is cut, changed, or packed in a way that it does not know.
DAMAGE = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError, struct.error)
ENCRYPTED = 0x1
LAST_RECORD, LAST_RECORD_BYTES = b"PK\x05\x06", 22 + 2**16
LONGEST_NAME, LONGEST_REASON = 1000, 200
RATIO_COUNTS_FROM = 2**20
LEFT_FREE = 256 * 2**20
SPLIT_FOLDERS = ("train", "val", "test")


@dataclass(frozen=True)
class ZipLimits:
    """What a zip may hold.

    Attributes:
        files: how many.
        file_bytes: unpacked size of each.
        total_bytes: unpacked size of all.
        ratio: unpacked over packed size of each file above a megabyte; a picture hardly shrinks, a zip bomb does.
    """

    files: int = 50_000
    file_bytes: int = 64 * 2**20
    total_bytes: int = 8 * 2**30
    ratio: int = 200


@contextlib.contextmanager
def extracted_zip(file: Path | str, limits: ZipLimits = ZipLimits()) -> Iterator[Path]:
    """The zip's content in a temporary folder, which goes when the block ends.

    Raises:
        InputError: as `extract_zip`.
    """
    with tempfile.TemporaryDirectory(prefix="bsig-zip-") as folder:
        yield extract_zip(file, Path(folder), limits)


def extract_zip(file: Path | str, target: Path, limits: ZipLimits = ZipLimits()) -> Path:
    """Unpacks into `target` and returns the folder that holds the data: `target`, or the one folder in it.

    Raises:
        InputError: no zip, a damaged or encrypted one, an entry that is absolute, reaches upwards, is a link or no
            plain file, an entry twice, more than the limits allow, or no room on the disk. Nothing is left behind.
    """
    name = Path(file).name
    try:
        _check_table(Path(file), name, limits)
        with zipfile.ZipFile(file) as archive:
            entries = _checked(archive, name, limits)
            _check_room(entries, target, name)
            _unpack(archive, entries, target, name)
    except InputError:  # before ValueError, which it is a kind of
        _empty(target)
        raise
    except DAMAGE as error:
        _empty(target)
        raise InputError(f"'{name}' is not a whole zip file ({str(error)[:LONGEST_REASON]}); make it again.") from error
    except (OSError, ValueError) as error:
        _empty(target)
        raise InputError(
            f"'{name}' cannot be unpacked ({str(error)[:LONGEST_REASON]}); free space or make it again."
        ) from error
    return data_root(target)


def data_root(folder: Path) -> Path:
    """`folder`, or the single folder that people zip instead of its content; never a split or the only class."""
    while True:
        inside = [path for path in folder.iterdir() if path.name != "__MACOSX" and not path.name.startswith(".")]
        is_wrapped = len(inside) == 1 and inside[0].is_dir() and inside[0].name not in SPLIT_FOLDERS
        if not is_wrapped or not any(path.is_dir() or path.suffix in (".csv", ".json") for path in inside[0].iterdir()):
            return folder
        folder = inside[0]


def _check_table(file: Path, name: str, limits: ZipLimits) -> None:
    """Refuses a table of contents that would take memory to read, from the zip's last record alone.

    The standard library reads as much of the table as that record says, and no more.
    """
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - LAST_RECORD_BYTES))
        tail = opened.read()
    at = tail.rfind(LAST_RECORD)
    if at < 0 or len(tail) < at + 16:
        return  # no zip: the standard library says so
    entries, table_bytes = struct.unpack("<HI", tail[at + 10 : at + 16])
    if entries > limits.files or table_bytes > limits.files * (46 + LONGEST_NAME):
        raise InputError(f"'{name}' holds {entries} entries; the limit is {limits.files}.")


def _checked(archive: zipfile.ZipFile, name: str, limits: ZipLimits) -> list[zipfile.ZipInfo]:
    """The entries that are files, each allowed."""
    if any(not entry.filename for entry in archive.infolist()):  # the standard library looks at its last letter
        raise InputError(f"'{name}' holds an entry without a name; zip the folder again.")
    files = [entry for entry in archive.infolist() if not entry.is_dir()]
    if not files:
        raise InputError(f"'{name}' holds no files; zip the folder of class folders.")
    if len(archive.infolist()) > limits.files:
        raise InputError(f"'{name}' holds {len(archive.infolist())} entries; the limit is {limits.files}.")
    for entry in archive.infolist():
        _check_entry(entry, name, limits)
    total = sum(entry.file_size for entry in files)
    if total > limits.total_bytes:
        raise InputError(f"'{name}' unpacks to {megabytes(total)}; the limit is {megabytes(limits.total_bytes)}.")
    seen: set[str] = set()
    for entry in files:
        place = _place(entry)
        if place.casefold() in seen:
            raise InputError(f"'{name}' holds '{_short(place)}' twice; keep one.")
        seen.add(place.casefold())
    return files


def _check_entry(entry: zipfile.ZipInfo, name: str, limits: ZipLimits) -> None:
    shown = f"'{name}' holds '{_short(entry.filename)}'"
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    has_drive = len(entry.filename) > 1 and entry.filename[1] == ":"
    if path.is_absolute() or has_drive or ".." in path.parts or "\0" in entry.orig_filename:
        raise InputError(f"{shown}, which would lie outside its folder; zip the folder again with plain names.")
    if len(entry.filename) > LONGEST_NAME or any(len(part.encode()) > 255 for part in path.parts):
        raise InputError(f"{shown}, a name that is too long; make it shorter.")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError(f"{shown}, a link or special file; only plain files are taken.")
    if entry.flag_bits & ENCRYPTED:
        raise InputError(f"{shown} with a password; make the zip without one.")
    if entry.file_size > limits.file_bytes:
        raise InputError(
            f"{shown} with {megabytes(entry.file_size)} unpacked; the limit is {megabytes(limits.file_bytes)} a file."
        )
    if entry.file_size > max(RATIO_COUNTS_FROM, limits.ratio * entry.compress_size):
        raise InputError(
            f"{shown}, which grows more than {limits.ratio} times when unpacked, as no picture does; leave it out."
        )


def _check_room(entries: list[zipfile.ZipInfo], target: Path, name: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    needed = sum(entry.file_size for entry in entries) + LEFT_FREE
    free = shutil.disk_usage(target).free
    if needed > free:
        raise InputError(f"'{name}' needs {megabytes(needed)} on the disk and {megabytes(free)} are free; free space.")


def _unpack(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], target: Path, name: str) -> None:
    for entry in entries:
        place = target / _place(entry)
        place.parent.mkdir(parents=True, exist_ok=True)
        left = entry.file_size
        with archive.open(entry) as packed, place.open("xb") as unpacked:
            while block := packed.read(BLOCK):
                left -= len(block)
                if left < 0:
                    raise InputError(
                        f"'{name}': '{_short(entry.filename)}' is longer than the zip says; make it again."
                    )
                unpacked.write(block)


def _place(entry: zipfile.ZipInfo) -> str:
    return str(PurePosixPath(entry.filename.replace("\\", "/")))


def _empty(folder: Path) -> None:
    for path in folder.iterdir() if folder.is_dir() else []:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
