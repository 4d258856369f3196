"""A sample opens its picture or says which one it could not open; its stamp follows the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from generated import class_folders

from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import Sample
from bsig.inputs.errors import InputError


def test_a_damaged_picture_is_refused_by_its_key_when_it_is_opened(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": "red"}, count=1)
    (tmp_path / "a" / "bad.png").write_bytes(b"not a picture")
    (sample,) = (sample for sample in read_dataset(tmp_path).samples if "bad" in sample.key)
    with pytest.raises(InputError, match=r"'a/bad\.png' is not a picture"):
        sample.open()


def test_a_stamp_changes_with_the_file_and_never_fails(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    sample = Sample("a.png", "a", file)
    stamps = {sample.stamp()}
    file.write_bytes(b"one")
    stamps.add(sample.stamp())
    file.write_bytes(b"three")
    stamps.add(sample.stamp())
    os.utime(file, ns=(0, 0))
    stamps.add(sample.stamp())
    assert len(stamps) == 4
