"""One field of a text index -> boxes, a size, or a path that stays inside its folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bsig.inputs.datasets.samples import Box
from bsig.inputs.errors import InputError
from bsig.inputs.names import composed, folded


def size_wh(width: str, height: str, place: str) -> tuple[int, int] | None:
    """Width and height in pixels, or None where both fields are empty.

    Raises:
        InputError: one of them is no positive whole number; `place` says which line.
    """
    if not width.strip() and not height.strip():
        return None
    # Spreadsheets write 300.0, and 300,0 where the comma is the decimal sign.
    sides = [re.sub(r"[.,]0+$", "", side.strip()) for side in (width, height)]
    if not all(side.isdecimal() and len(side) < 10 and int(side) > 0 for side in sides):
        raise InputError(f"{place}: `width` (='{width[:20]}') and `height` (='{height[:20]}') must be whole pixels.")
    return int(sides[0]), int(sides[1])


def boxes_xyxy(text: str, place: str) -> tuple[Box, ...]:
    """The boxes of 'x0 y0 x1 y1;x0 y0 x1 y1', in pixels; 'x0,y0,x1,y1' and decimal commas are read as well.

    Raises:
        InputError: a box has not four finite numbers, or its corners are in the wrong order.
    """
    boxes = []
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        try:
            x0, y0, x1, y1 = (float(number) for number in _numbers(part))
        except ValueError:
            raise InputError(f"{place}: box '{part[:100]}' must be four numbers x0 y0 x1 y1.") from None
        if not (0 <= x0 <= x1 < float("inf") and 0 <= y0 <= y1 < float("inf")):
            raise InputError(
                f"{place}: box '{part[:100]}' must have 0 <= x0 <= x1 and 0 <= y0 <= y1: two corners, not a corner, "
                "width and height."
            )
        boxes.append((x0, y0, x1, y1))
    return tuple(boxes)


def _numbers(box: str) -> list[str]:
    """The numbers of a box; a comma between four numbers is a decimal sign, else it parts them."""
    words = box.split()
    if len(words) == 4:
        return [word.rstrip(",").replace(",", ".") for word in words]
    return box.replace(",", " ").split()


def classes_from(text: str) -> tuple[str, ...]:
    """The classes of 'cat;dog' or 'cat|dog', each once, in their order."""
    names = (composed(name.strip()) for name in re.split("[;|]", text))
    return tuple(dict.fromkeys(name for name in names if name))


def path_inside(folder: Path, name: str, place: str) -> Path:
    """The path of a name that an index gives, which must not lead out of the folder.

    Raises:
        InputError: it does, by `..`, as an absolute path or through a link.
    """
    path = folder / name
    try:
        lies_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # no path at all: a NUL, too long, links in a circle
        lies_inside = False
    if not lies_inside:
        raise InputError(f"{place}: '{name[:100]}' must lie inside the folder; put it there or leave the line out.")
    return path


class PathsInside:
    """The paths that the names of one index mean, each inside the folder.

    A name may have backslashes, capitals or another Unicode form than the file on the disk, where no other file is
    meant. Folders are listed once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names_in: dict[Path, dict[str, list[str]]] = {}

    def path(self, name: str, place: str) -> Path:
        """The path of a name; of one that is nowhere, the path where it would lie.

        Raises:
            InputError: it leads out of the folder.
        """
        path = path_inside(self.folder, name, place)
        if Path(name).is_absolute():
            path = self.folder / path.resolve().relative_to(self.folder.resolve())
        if os.path.lexists(path):
            return path
        current = self.folder
        for part in Path(str(path.relative_to(self.folder)).replace("\\", "/")).parts:
            alike = self._listed(current).get(folded(part), [])
            current /= part if part in alike or len(alike) != 1 else alike[0]
        return path_inside(self.folder, str(current.relative_to(self.folder)), place)

    def key(self, path: Path) -> str:
        """The name of a picture within its data set."""
        return composed(path.relative_to(self.folder).as_posix())

    def _listed(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._names_in:
            names: dict[str, list[str]] = {}
            for name in sorted(os.listdir(folder)) if folder.is_dir() else []:
                names.setdefault(folded(name), []).append(name)
            self._names_in[folder] = names
        return self._names_in[folder]
