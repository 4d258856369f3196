"""A zip from a stranger -> plain files in a folder, or one sentence why not.

Everything is decided from the zip's table of contents, before a byte is unpacked: where each entry would go, what kind
it is, how large it is and how much it claims to shrink. Unpacking then never writes more than the table said.
"""

from __future__ import annotations

import contextlib
import hashlib
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

from bsig.inputs.counts import counted
from bsig.inputs.datasets.split_names import split_named
from bsig.inputs.errors import InputError, megabytes
from bsig.inputs.files import temporary_place
from bsig.inputs.names import composed, is_companion
from bsig.inputs.paths import CACHE_FOLDER

BLOCK = 2**20
# What the standard library raises on a zip that is cut, changed, or packed in a way that it does not know.
DAMAGE = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError, struct.error)
ZIP64_LOCATOR, ZIP64_BYTES = b"PK\x06\x07", 56 + 20  # of a zip with more entries than the last record can count
ENCRYPTED, IS_UTF8 = 0x1, 0x800
LAST_RECORD, LAST_RECORD_BYTES = b"PK\x05\x06", 22 + 2**16
LONGEST_NAME, LONGEST_REASON = 1000, 200
RATIO_COUNTS_FROM = 2**20
LEFT_FREE = 256 * 2**20


@dataclass(frozen=True)
class ZipLimits:
    """What a zip may hold; sizes are unpacked ones."""

    files: int = 50_000
    file_bytes: int = 64 * 2**20
    total_bytes: int = 8 * 2**30
    ratio: int = 200  # unpacked over packed size of a file above a megabyte; a picture hardly shrinks, a zip bomb does


@contextlib.contextmanager
def extracted_zip(file: Path | str, limits: ZipLimits = ZipLimits()) -> Iterator[Path]:
    """The folder that holds the zip's data; it is temporary and goes when the block ends.

    Raises:
        InputError: as of `extract_zip`.
    """
    with tempfile.TemporaryDirectory(prefix="bsig-zip-", dir=temporary_place()) as folder:
        yield extract_zip(file, _own_folder(file, folder), limits)


def extract_zip(file: Path | str, target: Path, limits: ZipLimits = ZipLimits()) -> Path:
    """The folder that holds the data, once the zip is unpacked: `target`, or the only folder in it.

    Raises:
        InputError: the file is no zip, damaged or encrypted; an entry is absolute, reaches upwards, comes twice or is
            no plain file; the zip holds more than the limits allow, or the disk has no room. Nothing is left behind.
    """
    name = Path(file).name
    try:
        _check_table(Path(file), name, limits)
        with zipfile.ZipFile(file) as archive:
            files = _allowed_files(archive, name, limits)
            _check_room(files, target, name)
            _unpack(archive, files, target, name)
    except (OSError, ValueError, *DAMAGE) as error:
        _clear(target)
        if isinstance(error, InputError):
            raise
        problem, remedy = "cannot be unpacked", "free space or make it again"
        if isinstance(error, DAMAGE):
            problem, remedy = "is not a whole zip file", "make it again"
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"'{name}' {problem} ({reason[:LONGEST_REASON]}); {remedy}.") from error
    return data_root(target)


def unpacked_zip(file: Path, limits: ZipLimits = ZipLimits(), cache: Path | None = None) -> Path:
    """The folder that holds the zip's data, unpacked into the cache once for each state of the file.

    So features, parts of an evaluation and processes of one run meet the same files again. What older states of the
    same file had unpacked is removed.

    Raises:
        InputError: as of `extract_zip`, or the cache cannot be written.
    """
    place = (cache or CACHE_FOLDER / "zips") / hashlib.sha256(
        str(file.resolve()).encode("utf-8", "replace")
    ).hexdigest()[:16]
    status = file.stat()
    folder = place / f"{status.st_size}-{status.st_mtime_ns}"
    if not _own_folder(file, folder).is_dir():
        temporary = None
        try:
            place.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=place))
            extract_zip(file, _own_folder(file, temporary), limits)
            for older in [path for path in place.iterdir() if not path.name.startswith(".")]:
                shutil.rmtree(older, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process was first
                temporary.rename(folder)
        except OSError as error:
            raise InputError(f"'{file.name}' cannot be unpacked into '{place}' ({error}); free space.") from error
        finally:
            if temporary:
                shutil.rmtree(temporary, ignore_errors=True)
    return data_root(_own_folder(file, folder))


def _own_folder(file: Path | str, place: Path | str) -> Path:
    """Where a zip is unpacked to: under its own name, since messages name the folder that holds the data.

    A name of dots alone (`...zip`) would lead out of the place.
    """
    stem = Path(file).stem
    return Path(place) / (stem if stem.strip(". ") else "data")


def data_root(folder: Path) -> Path:
    """The folder itself, or the only folder in it, since people zip a folder and not its content.

    Never a split's folder or that of an only class: these belong to the data.
    """
    while True:
        inside = [path for path in folder.iterdir() if not is_companion(path.name)]
        is_wrapped = len(inside) == 1 and inside[0].is_dir() and split_named(inside[0].name) is None
        if not is_wrapped or not any(path.is_dir() or path.suffix in (".csv", ".json") for path in inside[0].iterdir()):
            return folder
        folder = inside[0]


def _check_table(file: Path, name: str, limits: ZipLimits) -> None:
    """Refuses a table of contents that would take memory to read, from the zip's last record alone.

    The standard library reads as much of the table as that record says, and no more.
    """
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - LAST_RECORD_BYTES - ZIP64_BYTES))
        tail = stream.read()
    at = tail.rfind(LAST_RECORD)
    if at < 0 or len(tail) < at + 16:
        return  # no zip: the standard library says so
    entries, table_bytes = struct.unpack("<HI", tail[at + 10 : at + 16])
    zip64 = tail[max(0, at - ZIP64_BYTES) : at]
    if len(zip64) == ZIP64_BYTES and zip64[-20:].startswith(ZIP64_LOCATOR):  # then that of large zips counts
        entries, table_bytes = struct.unpack("<QQ", zip64[32:48])
    if entries > limits.files or table_bytes > limits.files * (46 + LONGEST_NAME):
        raise InputError(f"'{name}' holds {counted(entries, 'entry', 'entries')}; the limit is {limits.files}.")


def _allowed_files(archive: zipfile.ZipFile, name: str, limits: ZipLimits) -> list[zipfile.ZipInfo]:
    """The entries that are files, once all entries are checked."""
    entries = archive.infolist()
    if any(not entry.filename for entry in entries):  # the standard library looks at its last letter
        raise InputError(f"'{name}' holds an entry without a name; zip the folder again.")
    files = [entry for entry in entries if not entry.is_dir()]
    if not files:
        raise InputError(f"'{name}' holds no files; zip the folder of class folders.")
    if len(entries) > limits.files:
        raise InputError(f"'{name}' holds {counted(len(entries), 'entry', 'entries')}; the limit is {limits.files}.")
    for entry in entries:
        _check_entry(entry, name, limits)
    total = sum(entry.file_size for entry in files)
    if total > limits.total_bytes:
        raise InputError(f"'{name}' unpacks to {megabytes(total)}; the limit is {megabytes(limits.total_bytes)}.")
    _check_places(files, name)
    own_files = [entry for entry in files if not any(map(is_companion, PurePosixPath(_relative_path(entry)).parts))]
    if not own_files:
        raise InputError(f"'{name}' holds hidden and companion files alone; zip the folder of class folders.")
    return own_files


def _check_places(files: list[zipfile.ZipInfo], name: str) -> None:
    """Refuses two entries that would lie at one place, as two files or as a file and a folder."""
    paths: set[str] = set()
    for entry in files:
        path = _relative_path(entry)
        if path.casefold() in paths:
            raise InputError(f"'{name}' holds '{_short(path)}' twice; keep one.")
        paths.add(path.casefold())
    for entry in files:
        folder = next(
            (parent for parent in PurePosixPath(_relative_path(entry)).parents if str(parent).casefold() in paths), None
        )
        if folder is not None:
            raise InputError(f"'{name}' holds '{_short(str(folder))}' as a file and as a folder; keep one.")


def _check_entry(entry: zipfile.ZipInfo, name: str, limits: ZipLimits) -> None:
    subject = f"'{name}' holds '{_short(entry.filename)}'"
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    has_drive = len(entry.filename) > 1 and entry.filename[1] == ":"
    if path.is_absolute() or has_drive or ".." in path.parts or "\0" in entry.orig_filename:
        raise InputError(f"{subject}, which would lie outside its folder; zip the folder again with plain names.")
    if len(entry.filename) > LONGEST_NAME or any(len(part.encode()) > 255 for part in path.parts):
        raise InputError(f"{subject}, a name that is too long; make it shorter.")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError(f"{subject}, a link or special file; only plain files are taken.")
    if entry.flag_bits & ENCRYPTED:
        raise InputError(f"{subject} with a password; make the zip without one.")
    if entry.file_size > limits.file_bytes:
        raise InputError(
            f"{subject} with {megabytes(entry.file_size)} unpacked; the limit is {megabytes(limits.file_bytes)} a file."
        )
    if entry.file_size > max(RATIO_COUNTS_FROM, limits.ratio * entry.compress_size):
        raise InputError(
            f"{subject}, which grows more than {limits.ratio} times when unpacked, as no picture does; leave it out."
        )


def _check_room(files: list[zipfile.ZipInfo], target: Path, name: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    size = sum(entry.file_size for entry in files) + LEFT_FREE
    free = shutil.disk_usage(target).free
    if size > free:
        raise InputError(f"'{name}' needs {megabytes(size)} on the disk and {megabytes(free)} are free; free space.")


def _unpack(archive: zipfile.ZipFile, files: list[zipfile.ZipInfo], target: Path, name: str) -> None:
    for entry in files:
        path = target / _relative_path(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        remainder = entry.file_size
        with archive.open(entry) as source, path.open("xb") as copy:
            while block := source.read(BLOCK):
                remainder -= len(block)
                if remainder < 0:
                    raise InputError(
                        f"'{name}': '{_short(entry.filename)}' is longer than the zip says; make it again."
                    )
                copy.write(block)


def _relative_path(entry: zipfile.ZipInfo) -> str:
    return str(PurePosixPath(_decoded_name(entry).replace("\\", "/")))


def _decoded_name(entry: zipfile.ZipInfo) -> str:
    """The entry's name, composed; a Mac writes UTF-8 without saying so, which zipfile reads as code page 437."""
    name = entry.filename
    if not entry.flag_bits & IS_UTF8:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return composed(name)


def _clear(folder: Path) -> None:
    for path in folder.iterdir() if folder.is_dir() else []:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
