"""Pictures named on a command line: files, folders and zips -> one list, looked at before anything heavy is imported.

with picture_files(["cat.jpg", "holiday/", "more.zip"]) as files:
files.pictures[0].path, files.pictures[0].folder, files.left_out, files.skipped, files.own
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from bsig.inputs.errors import InputError
from bsig.inputs.images import SUFFIXES, header_problem
from bsig.inputs.names import COPY, MANIFEST, NUMBERS, OWN_PICTURES, SHEET, TABLE, check_utf8, composed, is_companion
from bsig.inputs.zips import extracted_zip

LARGEST_MANIFEST_BYTES = 8 * 2**20
"""A larger file of that name is not read for the pictures that it lists: ten thousand explanations take 3 MB."""


@dataclass(frozen=True)
class PictureFile:
    """A picture to explain.

    Attributes:
        path: of the file; of a zip's pictures, where they are unpacked while the list is open.
        name: its path below the folder or in the zip, else its file's name; in messages.
        folder: a relative path for what is written about it, its own among all pictures in upper or lower case.
    """

    path: Path
    name: str
    folder: str


@dataclass(frozen=True)
class PictureFiles:
    """All pictures, and what is not among them.

    Attributes:
        left_out: a sentence for each picture of a folder or zip that cannot be opened.
        skipped: how many other files folders and zips hold, hidden ones aside.
        own: how many pictures they hold that `explain` has written.
    """

    pictures: tuple[PictureFile, ...]
    left_out: tuple[str, ...]
    skipped: int
    own: int = 0


@contextlib.contextmanager
def picture_files(sources: Sequence[str], reserved: Sequence[str] = ()) -> Iterator[PictureFiles]:
    """The pictures of files, folders and zips, in this order and by name within each; a file named twice counts once.

    Only headers are read. Folders are searched to any depth; hidden files and folders are ignored, and so is what
    `explain` has written there.

    Args:
        sources: paths.
        reserved: names that no picture's folder may take.

    Raises:
        InputError: a named file is missing or no usable picture; a zip is refused; a name is not UTF-8; there is no
            picture at all.
    """
    pictures: list[PictureFile] = []
    left_out: list[str] = []
    skipped = own = 0
    with contextlib.ExitStack() as zips:
        for source in sources:
            path = Path(source)
            if path.is_dir() or path.suffix.lower() == ".zip":
                root = path if path.is_dir() else zips.enter_context(extracted_zip(path))
                inside = files_below(root)
                skipped += inside.skipped
                own += inside.own
                for picture in inside.pictures:
                    problem = header_problem(picture.path, f"'{picture.name}'")
                    if problem:
                        left_out.append(problem)
                    else:
                        pictures.append(picture)
            else:
                problem = header_problem(path, f"'{source}'")
                if problem:
                    raise InputError(problem)
                pictures.append(PictureFile(path, path.name, ""))
        if not pictures:
            why = f"; {left_out[0]}" if left_out else " (a picture ends in .jpg, .png, ...)."
            why = f" but {own} that `explain` has written." if own and not left_out else why
            raise InputError(f"`image` (={', '.join(sources)}) holds no picture that can be used{why}")
        unique: dict[Path, PictureFile] = {}
        for picture in pictures:
            unique.setdefault(picture.path.resolve(), picture)
        yield PictureFiles(_with_folders(tuple(unique.values()), reserved), tuple(left_out), skipped, own)


def files_below(root: Path) -> PictureFiles:
    """The files below a folder that have a picture's suffix or are one, and how many others there are.

    Raises:
        InputError: a name is not UTF-8.
    """
    pictures: list[PictureFile] = []
    skipped = own = 0
    own_output = _OwnOutput(root)
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if any(map(is_companion, parts)) or not path.is_file():
            continue
        check_utf8(parts, f"'{root.name}'")
        if path in own_output:
            own += 1
        elif path.suffix.lower() in SUFFIXES or header_problem(path, path.name) is None:
            pictures.append(PictureFile(path, composed("/".join(parts)), ""))
        else:
            skipped += 1
    return PictureFiles(tuple(pictures), (), skipped, own)


class _OwnOutput:
    """Which pictures below a folder are ones that `explain` has written; each manifest is read once."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._copies: dict[Path, frozenset[str]] = {}

    def __contains__(self, path: Path) -> bool:
        """By its name, beside the numbers or the table that go with it; a bundle's copy stands in the manifest."""
        if path.name == SHEET:
            return (path.parent / TABLE).is_file()
        if path.name in OWN_PICTURES:
            return (path.parent / NUMBERS).is_file()
        if path.stem != COPY:
            return False
        path = path.absolute()
        folders = (folder for folder in path.parents if folder.is_relative_to(self._root))
        return any(path.relative_to(folder).as_posix() in self._copies_of(folder) for folder in folders)

    def _copies_of(self, folder: Path) -> frozenset[str]:
        """The copies of pictures that the manifest of a bundle in the folder names; none where there is no bundle."""
        if folder not in self._copies:
            self._copies[folder] = _listed_copies(folder / MANIFEST)
        return self._copies[folder]


def _listed_copies(manifest: Path) -> frozenset[str]:
    try:
        if manifest.stat().st_size > LARGEST_MANIFEST_BYTES:
            return frozenset()
        entries = json.loads(manifest.read_text(encoding="utf-8"))["explanations"]
        return frozenset(entry["picture"] for entry in entries)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # none there, or somebody else's
        return frozenset()


def _with_folders(pictures: tuple[PictureFile, ...], reserved: Sequence[str]) -> tuple[PictureFile, ...]:
    """Each picture with a folder of its own: its name without suffix, numbered where that is taken."""
    folders = {name.casefold() for name in reserved}
    result = []
    for picture in pictures:
        stem = PurePosixPath(picture.name).with_suffix("").as_posix()
        folder, number = stem, 2
        while folder.casefold() in folders:
            folder, number = f"{stem}-{number}", number + 1
        folders.add(folder.casefold())
        result.append(replace(picture, folder=folder))
    return tuple(result)
