"""A folder of class folders -> samples: CLASS/*.jpg, or train/CLASS/*.jpg, val/CLASS/*.jpg and test/CLASS/*.jpg."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bsig.inputs.datasets.samples import SPLITS, Sample

EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def folder_splits(folder: Path) -> tuple[str, ...]:
    """The split folders that hold pictures; `train` alone where pictures lie in class folders without a split."""
    if not _has_split_folders(folder):
        return ("train",) if folder_samples(folder, "train") else ()
    return tuple(split for split in SPLITS if any(_pictures(folder / split)))


def folder_samples(folder: Path, split: str) -> list[Sample]:
    """The pictures of the split, named by their path below it; hidden class folders are left out."""
    if _has_split_folders(folder):
        folder = folder / split
    elif split != "train":
        return []
    classes = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [
        Sample(f"{path.name}/{file.relative_to(path).as_posix()}", path.name, file)
        for path in classes
        if not path.name.startswith(".")
        for file in sorted(_pictures(path))
    ]


def _has_split_folders(folder: Path) -> bool:
    return any((folder / split).is_dir() for split in SPLITS)


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
