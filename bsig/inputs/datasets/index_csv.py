"""A folder with an `index.csv` -> samples; its columns are file,class,split,width,height,boxes_xyxy,mask.

`file` and `class` are needed; a line without a split is of `train`. A line is checked when its split is read.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bsig.inputs.datasets.fields import boxes_xyxy, path_inside, size_wh
from bsig.inputs.datasets.samples import SPLITS, Sample
from bsig.inputs.errors import InputError

INDEX = "index.csv"


def index_splits(folder: Path) -> tuple[str, ...]:
    """The splits that the index names.

    Raises:
        InputError: the index cannot be read or lacks a column.
    """
    named = {_split(row) for _, row in _rows(folder)}
    return tuple(split for split in SPLITS if split in named)


def index_samples(folder: Path, split: str) -> list[Sample]:
    """The samples of the split, in the order of their lines.

    Raises:
        InputError: the index cannot be read, lacks a column, or a line of this split breaks a rule.
    """
    return [_sample(folder, row, line) for line, row in _rows(folder) if _split(row) == split]


def _rows(folder: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The number of each line below the first, with its cells by column."""
    with (folder / INDEX).open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restkey="", restval="")  # columns too many, cells too few
        try:
            missing = {"file", "class"} - set(reader.fieldnames or ())
            if missing:
                raise InputError(
                    f"index.csv of '{folder.name}' lacks the column '{sorted(missing)[0]}'; name it in the first line."
                )
            yield from enumerate(reader, start=2)
        except (csv.Error, UnicodeDecodeError) as error:
            where = f"index.csv of '{folder.name}', line {reader.line_num + 1},"
            raise InputError(f"{where} cannot be read ({error}); save it as UTF-8 CSV.") from error


def _split(row: Mapping[str, Any]) -> str:
    return row.get("split") or "train"


def _sample(folder: Path, row: Mapping[str, Any], line: int) -> Sample:
    where = f"index.csv of '{folder.name}', line {line}"
    if not row["file"] or not row["class"]:
        raise InputError(f"{where}: `file` and `class` must both be given.")
    mask = row.get("mask") or ""
    return Sample(
        row["file"],
        row["class"],
        path_inside(folder, row["file"], where),
        boxes_xyxy(row.get("boxes_xyxy") or "", where),
        path_inside(folder, mask, where) if mask else None,
        listed_size_wh=size_wh(row.get("width") or "", row.get("height") or "", where),
    )
