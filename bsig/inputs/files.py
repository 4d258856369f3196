"""Files are written whole or not at all, and a lock says whether somebody is at work.

    with whole_file(path) as temporary:      temporary takes the name of `path` when the block ends well
        picture.save(temporary)
    write_whole(path, content), write_json(path, entries)
    with whole_folder(path) as temporary:    the same for a folder, replacing the one that is there
    with locked(folder) as is_mine:          held while the block runs; the system lets go when the holder dies
    temporary_place()                        where temporary files lie

So a crash leaves the old file or none. A killed writer's file is hidden and ends in `.partial`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows: nobody is known to be at work, so one app a work folder is the user's to see to
    fcntl = None  # type: ignore[assignment]

KNOWS_LOCKS = fcntl is not None
LOCK = "lock"
PARTIAL = ".partial"
LEFTOVER_AFTER_S = 3600


@contextlib.contextmanager
def whole_file(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A hidden name beside `path`, unique to this writer; what is written there takes the name `path` at the end.

    With `durable`, the disk has the content by then, so that a power cut cannot leave an empty file.

    Raises:
        OSError: the disk refuses. Nothing stays of what was written.
    """
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}{PARTIAL}")
    try:
        yield temporary
        if durable:
            _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str, *, durable: bool = False) -> None:
    """Writes bytes, or text as UTF-8; raises OSError where the disk refuses."""
    with whole_file(path, durable=durable) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def write_json(path: Path, entries: Any, *, indent: int | None = None, durable: bool = False) -> None:
    """Writes JSON, with a line break at its end where it is indented; raises OSError where the disk refuses."""
    text = json.dumps(entries, ensure_ascii=False, indent=indent)
    write_whole(path, text if indent is None else text + "\n", durable=durable)


def temporary_place() -> Path:
    """The folder of temporary files: the `dir` of `tempfile`'s functions. It is made again if a cleaner removed it.

    Raises:
        OSError: no temporary folder can be written.
    """
    place = Path(tempfile.gettempdir())
    place.mkdir(mode=0o700, parents=True, exist_ok=True)  # nobody else reads what visitors upload
    return place


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` that takes its place when the block ends well, and vanishes when it does not.

    A killed writer leaves `.NAME.xxxxxxxx`, half-written; killed between the two renames, it leaves the old folder as
    `.NAME.xxxxxxxx.previous`, which `restore_previous` puts back.

    Raises:
        OSError: the disk refuses. The folder that was there stays.
    """
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        for file in temporary.iterdir():
            file.chmod(0o644)
            _sync(file)
        if not path.exists():
            temporary.rename(path)
            return
        previous = temporary.with_name(f"{temporary.name}.previous")
        path.rename(previous)
        try:
            temporary.rename(path)
        except OSError:
            previous.rename(path)
            raise
        shutil.rmtree(previous, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def restore_previous(path: Path) -> None:
    """Renames the previous folder back to `path`, where a killed `whole_folder` left none there."""
    for hidden in [] if path.exists() else _leftovers(path):
        if hidden.suffix == ".previous":
            with contextlib.suppress(OSError):
                hidden.rename(path)
                return


def clear_leftovers(path: Path) -> None:
    """Removes what killed writers of the folder `path` left; one under an hour old may have a living writer."""
    for hidden in _leftovers(path):
        if hidden.is_dir() and time.time() - hidden.stat().st_mtime > LEFTOVER_AFTER_S:
            shutil.rmtree(hidden, ignore_errors=True)


def _leftovers(path: Path) -> list[Path]:
    name = re.compile(rf"\.{re.escape(path.name)}\.[^.]{{8}}(\.previous)?")
    return [hidden for hidden in path.parent.glob(".*") if name.fullmatch(hidden.name)] if path.parent.is_dir() else []


def _sync(file: Path) -> None:
    """Waits until the disk has the file's content."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


@contextlib.contextmanager
def locked(folder: Path, patience_s: float = 0.0) -> Iterator[bool]:
    """Holds the folder's lock while the block runs; False where somebody else has it (the block runs all the same).

    `is_locked` holds it for a moment: who must have the lock waits for up to `patience_s`.
    """
    until = time.monotonic() + patience_s
    with (folder / LOCK).open("a") as file:
        while not (is_mine := take_lock(file)) and time.monotonic() < until:
            time.sleep(0.01)
        yield is_mine


def is_locked(folder: Path) -> bool:
    """Whether some living process holds the folder's lock."""
    try:
        with (folder / LOCK).open("a") as file:
            return not take_lock(file)  # and lets go of it at once, with the file
    except OSError:
        return False


def take_lock(file: IO[Any], *, exclusive: bool = True, waits: bool = False) -> bool:
    """Whether the open file could be locked, by default without waiting; the lock goes with the file (and duplicates).

    True also where the system or the file system knows no locks: then nobody is known to be at work.
    """
    if fcntl is None:
        return True
    try:
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        fcntl.flock(file.fileno(), kind if waits else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
