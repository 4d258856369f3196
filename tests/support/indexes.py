"""Data sets with an index.csv, and what reading one gives or says."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.errors import InputError

HEADER = "file,class,split,width,height,boxes_xyxy,mask"


def write_index(folder: Path, *lines: str, header: str = HEADER) -> Path:
    """The folder, with an index.csv of these lines."""
    folder.mkdir(exist_ok=True)
    (folder / "index.csv").write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return folder


def refusal(*arguments: object, **options: object) -> str:
    """What `read_dataset` says of data that it does not take: one sentence on one line."""
    with pytest.raises(InputError) as caught:
        read_dataset(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def keys(images: LabelledImages) -> list[str]:
    """The names of the pictures, in order."""
    return [sample.key for sample in images.samples]
