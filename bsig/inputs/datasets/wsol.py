"""A folder in the WSOL metadata layout (Choe et al. 2020) -> samples; the pictures lie under `images_root`.

    image_ids.txt        a picture a line
    class_labels.txt     picture,class
    image_sizes.txt      picture,width,height                     may be missing
    localization.txt     picture,x0,y0,x1,y1 for each box,        may be missing
                         or picture,mask,region to ignore

The files lie in `train/`, `val/` and `test/`. The folder of one split is a data set too.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from bsig.inputs.datasets.fields import PathsInside, boxes_xyxy, size_wh
from bsig.inputs.datasets.samples import SPLITS, Box, Sample
from bsig.inputs.errors import InputError
from bsig.inputs.names import composed, is_companion

IDS = "image_ids.txt"


def wsol_splits(folder: Path) -> tuple[str, ...]:
    """The splits of WSOL metadata in this folder; none where it is no such folder.

    The folder of one split has that split alone, or `train` where its name is no split's.
    """
    splits = tuple(split for split in SPLITS if (folder / split / IDS).is_file())
    if splits or not (folder / IDS).is_file():
        return splits
    name = folder.absolute().name
    return (name if name in SPLITS else "train",)


def wsol_samples(folder: Path, split: str, images_root: Path | None) -> list[Sample]:
    """The samples of one of `wsol_splits`, in the order of image_ids.txt.

    Raises:
        InputError: `images_root` is not given, a file is missing or cannot be read, or a line breaks a rule.
    """
    folder = folder / split if (folder / split / IDS).is_file() else folder
    if images_root is None:
        raise InputError(f"'{folder.name}' is WSOL metadata: say with --images where its pictures lie.")
    keys, labels = _lines(folder / IDS), _labels(folder)
    paths = _paths(images_root, keys[0]) if keys else PathsInside(images_root)
    sizes = _sizes(folder)
    boxes, masks, ignored = _regions(folder, paths)
    samples = []
    for key in keys:
        if key not in labels:
            raise InputError(f"class_labels.txt of '{folder.name}' has no line for '{key}'.")
        first, *more = masks.get(key, [None])
        samples.append(
            Sample(
                key, labels[key], paths.path(key, IDS), tuple(boxes.get(key, ())), first,
                ignored.get(key), more_masks=tuple(mask for mask in more if mask), listed_size_wh=sizes.get(key),
            )
        )  # fmt: skip
    return samples


def _paths(images_root: Path, key: str) -> PathsInside:
    """The paths of the pictures; people zip a folder and not its content, so they may lie in its only folder."""
    paths = PathsInside(images_root)
    if not paths.path(key, IDS).is_file() and images_root.is_dir():
        folders = [path for path in images_root.iterdir() if path.is_dir() and not is_companion(path.name)]
        if len(folders) == 1 and (inside := PathsInside(folders[0])).path(key, IDS).is_file():
            return inside
    return paths


def _labels(folder: Path) -> dict[str, str]:
    labels: dict[str, str] = {}
    for line in _lines(folder / "class_labels.txt"):
        key, comma, label = line.rpartition(",")
        if not comma or not key or not label:
            raise InputError(
                f"class_labels.txt of '{folder.name}': '{line[:100]}' must be a picture, a comma, a class."
            )
        labels[key] = label
    return labels


def _sizes(folder: Path) -> dict[str, tuple[int, int]]:
    sizes: dict[str, tuple[int, int]] = {}
    for line in _lines(folder / "image_sizes.txt", is_required=False):
        key, *sides = line.split(",")
        size = size_wh(sides[0], sides[1], f"image_sizes.txt, '{key}'") if len(sides) == 2 else None
        if size is None:
            raise InputError(f"image_sizes.txt of '{folder.name}': '{line[:100]}' must be a picture, width, height.")
        sizes[key] = size
    return sizes


def _regions(folder: Path, paths: PathsInside) -> tuple[dict[str, list[Box]], dict[str, list[Path]], dict[str, Path]]:
    """Boxes, masks and the region to ignore of each picture; several lines of a picture add up."""
    boxes: dict[str, list[Box]] = defaultdict(list)
    masks: dict[str, list[Path]] = defaultdict(list)
    ignored: dict[str, Path] = {}
    for line in _lines(folder / "localization.txt", is_required=False):
        key, *rest = line.split(",")
        place = f"localization.txt, '{key}'"
        if len(rest) == 4:
            boxes[key] += boxes_xyxy(" ".join(rest), place)
        elif len(rest) in (1, 2) and rest[0]:
            masks[key].append(paths.path(rest[0], place))
            if len(rest) == 2 and rest[1]:
                region = paths.path(rest[1], place)
                if ignored.setdefault(key, region) != region:
                    raise InputError(f"{place}: two regions to ignore; give one a picture, with its first mask.")
        else:
            raise InputError(f"{place}: '{line[:100]}' must be a picture and four numbers, or a mask and its region.")
    return boxes, masks, ignored


def _lines(file: Path, *, is_required: bool = True) -> list[str]:
    """The lines of the file that hold something; none of a file that is not there and not needed."""
    if not file.is_file():
        if is_required:
            raise InputError(f"'{file.parent.name}' lacks {file.name} of the WSOL metadata layout.")
        return []
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file.name} of '{file.parent.name}' cannot be read ({error}); save it as UTF-8.") from error
    return [composed(line.strip()) for line in text.splitlines() if line.strip()]
