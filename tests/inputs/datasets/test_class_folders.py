"""Class folders become samples, with splits above them and without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from generated import COLOURS, class_folders, picture
from indexes import keys, refusal

from bsig.inputs.datasets.read import read_dataset


def test_class_folders_without_splits_are_all_train(tmp_path: Path) -> None:
    class_folders(tmp_path / "shop", {"b": "blue", "a": "red"}, count=2)
    images = read_dataset(tmp_path / "shop")
    assert (images.name, images.split) == ("shop", "train")
    assert keys(images) == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    assert images.class_names == ("a", "b")
    assert images.counts() == {"a": 2, "b": 2}
    np.testing.assert_array_equal(np.asarray(images.samples[0].open()), np.asarray(picture("red", 0)))
    assert "split 'val'" in refusal(tmp_path / "shop", "val")


def test_class_folders_with_splits_give_the_asked_one(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", {"a": "red", "b": "blue"}, count=3)
    class_folders(tmp_path / "val", {"a": "red"}, count=1)
    assert read_dataset(tmp_path).counts() == {"a": 3, "b": 3}
    assert keys(read_dataset(str(tmp_path), "val")) == ["a/0.png"]
    assert "split 'test'" in refusal(tmp_path, "test")


def test_only_pictures_count_also_below_the_class_folder_and_in_capitals(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": "red"}, count=1)
    (tmp_path / "a" / "more").mkdir()
    picture("red", 5).save(tmp_path / "a" / "more" / "5.JPG", "JPEG")
    (tmp_path / "a" / "notes.txt").write_text("not a picture")
    (tmp_path / "stray.png").write_bytes(b"in no class")
    (tmp_path / ".cache").mkdir()
    picture("red", 0).save(tmp_path / ".cache" / "0.png")
    assert keys(read_dataset(tmp_path)) == ["a/0.png", "a/more/5.JPG"]


def test_one_class_is_a_data_set_too(tmp_path: Path) -> None:
    assert read_dataset(class_folders(tmp_path, {"a": "red"})).class_names == ("a",)


def test_generated_pictures_differ_by_kind_and_number_and_not_by_chance() -> None:
    pictures = {picture(kind, number).tobytes() for kind in COLOURS for number in range(3)}
    assert len(pictures) == 9
    assert picture("red", 1).tobytes() == picture("red", 1).tobytes()
