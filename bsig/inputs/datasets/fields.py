"""One field of a text index -> boxes, a size, or a path that stays inside its folder."""

from __future__ import annotations

from pathlib import Path

from bsig.inputs.datasets.samples import Box
from bsig.inputs.errors import InputError


def size_wh(width: str, height: str, where: str) -> tuple[int, int] | None:
    """Width and height in pixels, or None where both fields are empty.

    Raises:
        InputError: one of them is no positive whole number; `where` says which line.
    """
    if not width.strip() and not height.strip():
        return None
    sides = (width.strip(), height.strip())
    if not all(side.isdecimal() and len(side) < 10 and int(side) > 0 for side in sides):
        raise InputError(f"{where}: `width` (='{width[:20]}') and `height` (='{height[:20]}') must be whole pixels.")
    return int(width), int(height)


def boxes_xyxy(text: str, where: str) -> tuple[Box, ...]:
    """The boxes of 'x0 y0 x1 y1;x0 y0 x1 y1', in pixels.

    Raises:
        InputError: a box has not four finite numbers, or its corners are in the wrong order.
    """
    boxes = []
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        try:
            x0, y0, x1, y1 = (float(number) for number in part.split())
        except ValueError:
            raise InputError(f"{where}: box '{part[:100]}' must be four numbers x0 y0 x1 y1.") from None
        if not (0 <= x0 <= x1 < float("inf") and 0 <= y0 <= y1 < float("inf")):
            raise InputError(f"{where}: box '{part[:100]}' must have 0 <= x0 <= x1 and 0 <= y0 <= y1.")
        boxes.append((x0, y0, x1, y1))
    return tuple(boxes)


def path_inside(folder: Path, name: str, where: str) -> Path:
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
        raise InputError(f"{where}: '{name[:100]}' must lie inside the folder; put it there or leave the line out.")
    return path
