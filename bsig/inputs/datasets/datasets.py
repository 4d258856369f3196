"""Labelled pictures on disk or from torchvision, in four layouts, as one list of samples.

    DATA                         layout
    folder of class folders      CLASS/*.jpg, or train/CLASS/*.jpg val/CLASS/*.jpg ...
    folder with index.csv        columns file,class,split,width,height,boxes_xyxy,mask
    WSOL metadata folder         image_ids.txt, class_labels.txt, image_sizes.txt, localization.txt (Choe et al. 2020),
                                 with the pictures under `images_root`
    torchvision:NAME             downloaded by torchvision

Boxes are pixels of the stored picture, `x0 y0 x1 y1`. No picture is opened here.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from bsig.inputs.errors import InputError
from bsig.inputs.images import read_image
from bsig.inputs.paths import CACHE_FOLDER

Box = tuple[float, float, float, float]
SPLITS = ("train", "val", "test")
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
WORDNET_ID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    Attributes:
        key: its name within the data set (a relative path), unique.
        class_name: as the data set calls it.
        path: the file, or None where `opener` gives the picture.
        boxes_xyxy: ground-truth boxes in pixels of the stored picture; empty if there are none.
        mask: path of a PNG mask (1 object, 0 background), or None.
        ignore_mask: path of a PNG mask of what does not count, or None; what is object stays object.
        more_masks: further masks of the same picture (OpenImages has one an instance); their union counts.
        listed_size_wh: the picture's size as the index has it, in which its boxes count; None where it says nothing.
    """

    key: str
    class_name: str
    path: Path | None
    boxes_xyxy: tuple[Box, ...] = ()
    mask: Path | None = None
    ignore_mask: Path | None = None
    opener: Callable[[], Image.Image] | None = None
    more_masks: tuple[Path, ...] = ()
    listed_size_wh: tuple[int, int] | None = None

    @property
    def masks(self) -> tuple[Path, ...]:
        """All masks of objects."""
        return (self.mask, *self.more_masks) if self.mask else ()

    def open(self) -> Image.Image:
        """The picture as upright RGB.

        Raises:
            InputError: it cannot be read.
        """
        if self.opener:
            return read_image(self.opener(), name=f"'{self.key}'")
        if self.path is None:
            raise InputError(f"'{self.key}' has neither a file nor an opener; give one.")
        return read_image(self.path, name=f"'{self.key}'")

    def stamp(self) -> str:
        """Changes when the file does: name, size and time of change."""
        if self.path is None:
            return self.key
        try:
            status = self.path.stat()
        except OSError:
            return f"{self.key} missing"
        return f"{self.key} {status.st_size} {status.st_mtime_ns}"


@dataclass(frozen=True)
class LabelledImages:
    """Samples of one split and the classes they fall into, sorted by name."""

    name: str
    split: str
    samples: tuple[Sample, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that occur, sorted."""
        return tuple(sorted({sample.class_name for sample in self.samples}))

    def counts(self) -> dict[str, int]:
        """Pictures a class."""
        return dict(sorted(Counter(sample.class_name for sample in self.samples).items()))


def read_dataset(address: str | Path, split: str = "train", images_root: Path | str | None = None) -> LabelledImages:
    """The samples of one split.

    A data set without splits is all `train`.

    Args:
        address: a folder in one of the layouts above, or `torchvision:NAME`.
        split: `train`, `val` or `test`.
        images_root: where the pictures of a WSOL metadata folder lie.

    Raises:
        InputError: nothing there in any of the layouts, an empty split, or an index that breaks its own rules.
    """
    text = str(address)
    if text.startswith("torchvision:"):
        samples = _torchvision_samples(text.removeprefix("torchvision:"), split)
        return _nonempty(text, split, samples)
    try:
        folder = Path(text).expanduser()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError):  # too long for a path; '~' of a user who is not there
        is_folder = False
    if not is_folder:
        raise InputError(f"`DATA` (='{text}') must be a folder of pictures or 'torchvision:NAME'.")
    if (folder / "index.csv").is_file():
        samples = _index_samples(folder, split)
    elif (metadata := _wsol_folder(folder, split)) is not None:
        samples = _wsol_samples(metadata, Path(images_root) if images_root else None)
    else:
        samples = _folder_samples(folder, split)
    return _nonempty(folder.name, split, samples)


@dataclass(frozen=True)
class ClassMatch:
    """Which of a model's classes the data set's classes are; `unmatched` found none."""

    index_of: dict[str, int]
    unmatched: tuple[str, ...]


def match_classes(data_classes: Sequence[str], class_names: Sequence[str], class_ids: Sequence[str]) -> ClassMatch:
    """Matches by full name, by WordNet id at the start, by name without number and underscores, or by index.

    'n01440764_tench', 'tench', '000_Tench' and '0' are all class 0 of ImageNet.
    """
    exact = {name: index for index, name in enumerate(class_names)}  # 'Cardigan' is a dog, 'cardigan' a jacket
    known: dict[str, int] = {}
    for index, (name, key) in enumerate(zip(class_names, class_ids, strict=True)):
        for text in (name, key, plain_name(name)):
            known.setdefault(text.casefold(), index)
    found: dict[str, int] = {}
    for name in data_classes:
        wordnet = WORDNET_ID.match(name)
        for candidate in (name, wordnet.group() if wordnet else name, plain_name(name)):
            index_of = exact.get(candidate, known.get(candidate.casefold()))
            if index_of is not None:
                found[name] = index_of
                break
        else:
            if name.isdecimal() and int(name) < len(class_names):
                found[name] = int(name)
    return ClassMatch(found, tuple(name for name in data_classes if name not in found))


def plain_name(name: str) -> str:
    """'001.Black_footed_Albatross' and 'n02058221_albatross' as a person would say them."""
    return re.sub(r"^(n\d{8}|\d+)[._ -]+", "", name).replace("_", " ").strip()


def _nonempty(name: str, split: str, samples: list[Sample]) -> LabelledImages:
    if not samples:
        raise InputError(
            f"'{name}' holds no labelled pictures in its split '{split}'; put pictures into class folders."
        )
    doubled = [key for key, times in Counter(sample.key for sample in samples).items() if times > 1]
    if doubled:
        raise InputError(f"'{name}' lists '{doubled[0][:100]}' more than once in its split '{split}'; keep one line.")
    return LabelledImages(name, split, tuple(samples))


def _folder_samples(folder: Path, split: str) -> list[Sample]:
    if any((folder / name).is_dir() for name in SPLITS):
        folder = folder / split
    elif split != "train":
        return []
    classes = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [
        Sample(f"{path.name}/{file.relative_to(path).as_posix()}", path.name, file)
        for path in classes
        if not path.name.startswith(".")
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() in EXTENSIONS and file.is_file()
    ]


def _index_samples(folder: Path, split: str) -> list[Sample]:
    samples = []
    with (folder / "index.csv").open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restkey="", restval="")  # columns too many, cells too few
        try:
            missing = {"file", "class"} - set(reader.fieldnames or ())
            if missing:
                raise InputError(
                    f"index.csv of '{folder.name}' lacks the column '{sorted(missing)[0]}'; name it in the first line."
                )
            for number, row in enumerate(reader, start=2):
                if (row.get("split") or "train") == split:
                    samples.append(_index_sample(folder, row, number))
        except (csv.Error, UnicodeDecodeError) as error:
            where = f"index.csv of '{folder.name}', line {reader.line_num + 1},"
            raise InputError(f"{where} cannot be read ({error}); save it as UTF-8 CSV.") from error
    return samples


def _index_sample(folder: Path, row: Mapping[str, Any], number: int) -> Sample:
    where = f"index.csv of '{folder.name}', line {number}"
    if not row["file"] or not row["class"]:
        raise InputError(f"{where}: `file` and `class` must both be given.")
    mask = row.get("mask") or ""
    return Sample(
        row["file"],
        row["class"],
        _inside(folder, row["file"], where),
        boxes_xyxy(row.get("boxes_xyxy") or "", where),
        _inside(folder, mask, where) if mask else None,
        listed_size_wh=_size_wh(row.get("width") or "", row.get("height") or "", where),
    )


def _size_wh(width: str, height: str, where: str) -> tuple[int, int] | None:
    """Width and height, or None where both are empty."""
    if not width.strip() and not height.strip():
        return None
    sides = (width.strip(), height.strip())
    if not all(side.isdecimal() and len(side) < 10 and int(side) > 0 for side in sides):
        raise InputError(f"{where}: `width` (='{width[:20]}') and `height` (='{height[:20]}') must be whole pixels.")
    return int(width), int(height)


def boxes_xyxy(text: str, where: str) -> tuple[Box, ...]:
    """Boxes from 'x0 y0 x1 y1;x0 y0 x1 y1'.

    Raises:
        InputError: not four finite numbers each, or corners in the wrong order.
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


def _inside(folder: Path, name: str, where: str) -> Path:
    path = folder / name
    try:
        lies_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # no path at all: a NUL, too long, links in a circle
        lies_inside = False
    if not lies_inside:
        raise InputError(f"{where}: '{name[:100]}' must lie inside the folder; put it there or leave the line out.")
    return path


def _wsol_folder(folder: Path, split: str) -> Path | None:
    for candidate in (folder / split, folder):
        if (candidate / "image_ids.txt").is_file():
            return candidate
    return None


def _wsol_samples(folder: Path, images_root: Path | None) -> list[Sample]:
    if images_root is None:
        raise InputError(f"'{folder.name}' is WSOL metadata: say with --images where its pictures lie.")
    labels = _wsol_labels(folder)
    sizes = _wsol_sizes(folder)
    boxes, masks, ignored = _wsol_places(folder, images_root)
    samples = []
    for key in _lines(folder / "image_ids.txt"):
        if key not in labels:
            raise InputError(f"class_labels.txt of '{folder.name}' has no line for '{key}'.")
        path = _inside(images_root, key, "image_ids.txt")
        first, *more = masks.get(key, [None])
        samples.append(
            Sample(
                key, labels[key], path, tuple(boxes.get(key, ())), first, ignored.get(key),
                more_masks=tuple(mask for mask in more if mask), listed_size_wh=sizes.get(key),
            )
        )  # fmt: skip
    return samples


def _wsol_labels(folder: Path) -> dict[str, str]:
    labels: dict[str, str] = {}
    for line in _lines(folder / "class_labels.txt"):
        key, comma, label = line.rpartition(",")
        if not comma or not key or not label:
            raise InputError(
                f"class_labels.txt of '{folder.name}': '{line[:100]}' must be a picture, a comma, a class."
            )
        labels[key] = label
    return labels


def _wsol_sizes(folder: Path) -> dict[str, tuple[int, int]]:
    sizes: dict[str, tuple[int, int]] = {}
    for line in _lines(folder / "image_sizes.txt", needed=False):
        key, *rest = line.split(",")
        size = _size_wh(rest[0], rest[1], f"image_sizes.txt, '{key}'") if len(rest) == 2 else None
        if size is None:
            raise InputError(f"image_sizes.txt of '{folder.name}': '{line[:100]}' must be a picture, width, height.")
        sizes[key] = size
    return sizes


def _wsol_places(
    folder: Path, images_root: Path
) -> tuple[dict[str, list[Box]], dict[str, list[Path]], dict[str, Path]]:
    """Boxes, masks and the region to ignore of each picture; several lines of a picture add up."""
    boxes: dict[str, list[Box]] = defaultdict(list)
    masks: dict[str, list[Path]] = defaultdict(list)
    ignored: dict[str, Path] = {}
    for line in _lines(folder / "localization.txt", needed=False):
        key, *rest = line.split(",")
        where = f"localization.txt, '{key}'"
        if len(rest) == 4:
            boxes[key] += boxes_xyxy(" ".join(rest), where)
        elif len(rest) in (1, 2) and rest[0]:
            masks[key].append(_inside(images_root, rest[0], where))
            if len(rest) == 2 and rest[1]:
                region = _inside(images_root, rest[1], where)
                if ignored.setdefault(key, region) != region:
                    raise InputError(f"{where}: two regions to ignore; give one a picture, with its first mask.")
        else:
            raise InputError(f"{where}: '{line[:100]}' must be a picture and four numbers, or a mask and its region.")
    return boxes, masks, ignored


def _lines(file: Path, *, needed: bool = True) -> list[str]:
    if not file.is_file():
        if needed:
            raise InputError(f"'{file.parent.name}' lacks {file.name} of the WSOL metadata layout.")
        return []
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file.name} of '{file.parent.name}' cannot be read ({error}); save it as UTF-8.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _torchvision_samples(name: str, split: str) -> list[Sample]:
    import torchvision.datasets  # here, because importing it takes a second that only this layout needs

    kind = getattr(torchvision.datasets, name, None)
    if not isinstance(kind, type) or not issubclass(kind, torchvision.datasets.VisionDataset):
        raise InputError(f"`DATA` (='torchvision:{name}') must name a data set of torchvision, e.g. Imagenette.")
    images = _download(kind, name, split)
    class_names = getattr(images, "classes", None) or getattr(images, "categories", None)

    def opener(index: int) -> Callable[[], Image.Image]:
        return lambda: images[index][0]

    labels = _torchvision_labels(images)
    return [
        Sample(f"{name}/{split}/{index}", _label_name(class_names, label), None, opener=opener(index))
        for index, label in enumerate(labels)
    ]


@runtime_checkable
class Indexed(Protocol):
    """What is used of torchvision's data sets: (picture, label) by index."""

    def __len__(self) -> int:
        """How many pictures."""

    def __getitem__(self, index: int) -> Any:
        """Picture and label."""


def _download(kind: type, name: str, split: str) -> Indexed:
    root = str(CACHE_FOLDER / "torchvision")
    attempts: tuple[dict[str, str | bool], ...] = (
        {"split": split},
        {"split": "trainval" if split == "train" else "test"},
        {"train": split == "train"},
        {},
    )
    for arguments in attempts:
        try:
            return kind(root, download=True, **arguments)
        except (TypeError, ValueError):
            continue  # this data set names its splits otherwise
        except Exception as error:
            raise InputError(
                f"torchvision cannot download '{name}' ({type(error).__name__}); connect to the network or give a "
                "folder."
            ) from error
    raise InputError(f"torchvision's '{name}' cannot be opened as pictures with one label each.")


def _torchvision_labels(images: Indexed) -> list[int]:
    for attribute in ("_labels", "targets", "_samples", "y"):
        found = getattr(images, attribute, None)
        if found is not None and len(found) == len(images):
            return [entry[1] if isinstance(entry, tuple) else int(entry) for entry in found]
    return [images[index][1] for index in range(len(images))]


def _label_name(class_names: Sequence | None, label: int) -> str:
    if class_names is None:
        return str(label)
    name = class_names[label]
    return name[0] if isinstance(name, tuple) else str(name)
