"""A folder of class folders -> samples: CLASS/*.jpg, or train/CLASS/*.jpg, val/CLASS/*.jpg and test/CLASS/*.jpg.

A picture is what Pillow opens, whatever its suffix. Splits have their usual names (`split_names.py`). What lies in the
folder and is no sample is counted by its reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bsig.inputs.datasets.left_out import LeftOut
from bsig.inputs.datasets.samples import SPLITS, Sample
from bsig.inputs.datasets.split_names import split_named
from bsig.inputs.errors import InputError
from bsig.inputs.images import SUFFIXES, header_problem, is_heif
from bsig.inputs.names import check_utf8, composed, is_companion


def folder_splits(folder: Path) -> tuple[str, ...]:
    """The split folders that hold pictures; `train` alone where pictures lie in class folders without a split.

    Raises:
        InputError: as `folder_samples`.
    """
    by_split = _split_folders(folder)
    if not by_split:
        return ("train",) if folder_samples(folder, "train", LeftOut()) else ()
    return tuple(split for split in SPLITS if split in by_split and _has_pictures(by_split[split]))


def folder_samples(folder: Path, split: str, left_out: LeftOut) -> list[Sample]:
    """The pictures of the split, named by their path below it; what is no sample is added to `left_out`.

    Raises:
        InputError: a name is not UTF-8, two folders are the same split, or a folder may be a split or a class.
    """
    by_split = _split_folders(folder)
    if by_split:
        _note_beside(folder, set(by_split.values()), left_out)
        folder = by_split.get(split, folder / split)
    elif split != "train":
        return []
    if not folder.is_dir():
        return []
    samples = []
    for entry in sorted(folder.iterdir()):
        check_utf8([entry.name], f"'{folder.name}'")
        if is_companion(entry.name):
            left_out.add_companion(entry, entry.name)
        elif not entry.is_dir():
            if entry.suffix.lower() in SUFFIXES:
                left_out.add("pictures in no class folder", entry.name)
        else:
            pictures = _class_samples(entry, left_out)
            if not pictures:
                left_out.add("class folders without pictures", entry.name)
            samples += pictures
    return samples


def _split_folders(folder: Path) -> dict[str, Path]:
    """The folder of each split; empty where the folders are classes.

    `train` beside `car` and `plane` is a class where pictures lie right in it, and a split where class folders hold
    them.

    Raises:
        InputError: two folders are the same split, or it cannot be told which is what.
    """
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not is_companion(path.name))
    split_of = {path: split for path in inside if (split := split_named(path.name))}
    others = [path for path in inside if path not in split_of and _has_pictures(path)]
    if others and any(_has_pictures_right_in_it_alone(path) for path in split_of):
        return {}
    if others and len(set(split_of.values())) == 1:
        split = next(iter(split_of)).name
        raise InputError(
            f"'{folder.name}' holds pictures in '{others[0].name}' beside the folder '{split}', which may be a split "
            "or a class; move one of them away."
        )
    by_split: dict[str, Path] = {}
    for path, split in split_of.items():
        if split in by_split:
            raise InputError(
                f"'{folder.name}' holds two folders of the split '{split}', '{by_split[split].name}' and "
                f"'{path.name}'; keep one."
            )
        by_split[split] = path
    return by_split


def _class_samples(folder: Path, left_out: LeftOut) -> list[Sample]:
    name, samples = composed(folder.name), []
    for file in sorted(_files(folder, left_out)):
        key = composed(f"{name}/{file.relative_to(folder).as_posix()}")
        if _is_picture(file):
            samples.append(Sample(key, name, file))
        elif file.is_file() and is_heif(file):
            left_out.add("HEIC pictures, which need `pip install pillow-heif`", key)
        else:
            left_out.add("files that are no pictures", key)
    return samples


def _files(folder: Path, left_out: LeftOut) -> Iterator[Path]:
    """The files below the folder that are no companions."""
    for parent, folders, files in os.walk(folder):
        check_utf8((folder.name, *folders, *files), f"'{folder.parent.name}'")
        for name in (*folders, *files):
            if is_companion(name):
                left_out.add_companion(Path(parent) / name, f"{folder.name}/{name}")
        folders[:] = [name for name in folders if not is_companion(name)]
        yield from (Path(parent) / name for name in files if not is_companion(name))


def _note_beside(folder: Path, split_folders: set[Path], left_out: LeftOut) -> None:
    for path in sorted(folder.iterdir()):
        if is_companion(path.name):
            left_out.add_companion(path, path.name)
        elif path.is_dir() and path not in split_folders and _has_pictures(path):
            left_out.add("folders of pictures beside those of the splits", path.name)


def _has_pictures(folder: Path) -> bool:
    return any(_is_picture(file) for file in _files(folder, LeftOut()))


def _has_pictures_right_in_it_alone(folder: Path) -> bool:
    inside = [path for path in folder.iterdir() if not is_companion(path.name)]
    return any(map(_is_picture, inside)) and not any(path.is_dir() and _has_pictures(path) for path in inside)


def _is_picture(file: Path) -> bool:
    """Whether the suffix is a picture's, or the file begins like one under another suffix or none."""
    return file.is_file() and (file.suffix.lower() in SUFFIXES or header_problem(file, file.name) is None)
