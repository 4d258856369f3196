"""Pictures named on a command line: files, folders and zips -> one list, looked at before anything heavy is imported.

with picture_files(["cat.jpg", "holiday/", "more.zip"]) as files:
files.pictures[0].path, files.pictures[0].folder, files.left_out, files.skipped
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from bsig.inputs.errors import InputError
from bsig.inputs.images import SUFFIXES, header_problem
from bsig.inputs.names import is_companion
from bsig.inputs.zips import extracted_zip


@dataclass(frozen=True)
class PictureFile:
    """A picture to explain.

    Attributes:
        path: of the file; of a zip's pictures, where they are unpacked while the list is open.
        name: its path below the folder or in the zip, else its file's name.
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
    """

    pictures: tuple[PictureFile, ...]
    left_out: tuple[str, ...]
    skipped: int


@contextlib.contextmanager
def picture_files(sources: Sequence[str], reserved: Sequence[str] = ()) -> Iterator[PictureFiles]:
    """The pictures of files, folders and zips, in this order and by name within each; a file named twice counts once.

    Only headers are read. Folders are searched to any depth; hidden files and folders are ignored.

    Args:
        sources: paths.
        reserved: names that no picture's folder may take.

    Raises:
        InputError: a named file is missing or no usable picture; a zip is refused; there is no picture at all.
    """
    pictures: list[PictureFile] = []
    left_out: list[str] = []
    skipped = 0
    with contextlib.ExitStack() as zips:
        for source in sources:
            path = Path(source)
            if path.is_dir() or path.suffix.lower() == ".zip":
                root = path if path.is_dir() else zips.enter_context(extracted_zip(path))
                inside, others = pictures_below(root)
                skipped += others
                for picture in inside:
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
            raise InputError(f"`image` (={', '.join(sources)}) holds no picture that can be used{why}")
        unique: dict[Path, PictureFile] = {}
        for picture in pictures:
            unique.setdefault(picture.path.resolve(), picture)
        yield PictureFiles(_with_folders(tuple(unique.values()), reserved), tuple(left_out), skipped)


def pictures_below(root: Path) -> tuple[list[PictureFile], int]:
    """The files below a folder that have a picture's suffix or are one, and how many others there are."""
    pictures, others = [], 0
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if any(map(is_companion, parts)) or not path.is_file():
            continue
        if path.suffix.lower() in SUFFIXES or header_problem(path, path.name) is None:
            pictures.append(PictureFile(path, "/".join(parts), ""))
        else:
            others += 1
    return pictures, others


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
