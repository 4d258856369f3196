"""A folder with an `index.csv` -> samples; its columns are file,class,split,width,height,boxes_xyxy,mask.

`file` and `class` are needed; a line without a split is of `train`. `class` may be a list: 'cat;dog' or 'cat|dog';
boxes and mask are of the first. Several lines of one file, each with boxes or a mask, add up: each class has its own.
A line is checked when its split is read. The file is taken as spreadsheets write it: `csv_table.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from bsig.inputs.datasets.csv_table import Row, csv_rows
from bsig.inputs.datasets.fields import PathsInside, boxes_xyxy, classes_from, size_wh
from bsig.inputs.datasets.left_out import LeftOut
from bsig.inputs.datasets.samples import SPLITS, Sample
from bsig.inputs.datasets.split_names import split_named
from bsig.inputs.errors import InputError

INDEX = "index.csv"
COLUMNS = ("file", "class")


def index_splits(folder: Path) -> tuple[str, ...]:
    """The splits that the index names.

    Raises:
        InputError: the index cannot be read or lacks a column.
    """
    splits = {_split(row) for _, row in _rows(folder)}
    return tuple(split for split in SPLITS if split in splits)


def split_cells(folder: Path) -> dict[str, int]:
    """What the `split` column says and how often, as it is written; an empty cell is 'train'.

    Raises:
        InputError: as `index_splits`.
    """
    return dict(Counter(row.get("split") or "train" for _, row in _rows(folder)))


def index_samples(folder: Path, split: str, left_out: LeftOut) -> list[Sample]:
    """The samples of the split, in the order of their first lines; lines of no known split are added to `left_out`.

    Raises:
        InputError: the index cannot be read, lacks a column, or a line of this split breaks a rule.
    """
    of_file: dict[str, list[Sample]] = {}
    paths = PathsInside(folder)
    for line, row in csv_rows(folder / INDEX, COLUMNS, left_out.remark):
        row_split = _split(row)
        if row_split is None:
            left_out.add("lines of a split that is not train, val or test", row["split"])
        elif row_split == split:
            sample = _sample(paths, row, f"index.csv of '{folder.name}', line {line}")
            of_file.setdefault(sample.key, []).append(sample)
    return [sample for several in of_file.values() for sample in _together(several, folder)]


def _rows(folder: Path) -> Iterator[tuple[int, Row]]:
    return csv_rows(folder / INDEX, COLUMNS)


def _split(row: Row) -> str | None:
    return split_named(row.get("split") or "train")


def _together(samples: Sequence[Sample], folder: Path) -> Sequence[Sample]:
    """The lines of one file as one sample, where each has boxes or a mask; else as they are."""
    if len(samples) == 1 or not all(sample.boxes_xyxy or sample.mask for sample in samples):
        return samples
    sizes = list(dict.fromkeys(sample.listed_size_wh for sample in samples if sample.listed_size_wh))
    if len(sizes) > 1:
        (width, height), (other_width, other_height) = sizes[:2]
        raise InputError(
            f"index.csv of '{folder.name}' lists '{samples[0].key[:100]}' as {width} x {height} and as {other_width} x "
            f"{other_height} pixels; give each file one size."
        )
    return [samples[0].and_classes_of(samples[1:])]


def _sample(paths: PathsInside, row: Row, place: str) -> Sample:
    classes = classes_from(row["class"])
    if not row["file"] or not classes:
        raise InputError(f"{place}: `file` and `class` must both be given.")
    path, mask = paths.path(row["file"], place), row.get("mask")
    return Sample(
        paths.key(path),
        classes[0],
        path,
        boxes_xyxy(row.get("boxes_xyxy") or "", place),
        paths.path(mask, place) if mask else None,
        listed_size_wh=size_wh(row.get("width") or "", row.get("height") or "", place),
        further_classes=classes[1:],
    )
