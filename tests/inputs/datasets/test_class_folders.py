"""Class folders become samples, with splits above them and without."""

from __future__ import annotations

import os
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from generated import COLOURS, class_folders, picture
from indexes import keys, refusal

from bsig.inputs.datasets.read import available_splits, read_dataset
from bsig.inputs.datasets.splits import images_to_measure, train_and_held_out
from bsig.inputs.images import FORMATS
from bsig.inputs.zips import extracted_zip


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


@pytest.mark.parametrize(
    ("train", "val"),
    [("Train", "Val"), ("TRAIN", "VALID"), ("training", "validation"), ("train", "dev"), ("Training Set", "val_set")],
)
def test_the_usual_names_of_splits_are_splits_in_any_case(tmp_path: Path, train: str, val: str) -> None:
    class_folders(tmp_path / train, {"a": "red", "b": "blue"}, count=3)
    class_folders(tmp_path / val, {"a": "red"}, count=1)
    class_folders(tmp_path / "Testing", {"b": "blue"}, count=2)
    assert available_splits(tmp_path) == ("train", "val", "test")
    assert [len(read_dataset(tmp_path, split).samples) for split in ("train", "val", "test")] == [6, 1, 2]


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("train", "val", "validation"):
        class_folders(tmp_path / "data" / name, {"a": "red"}, count=1)
    assert "two folders of the split 'val', 'val' and 'validation'; keep one" in refusal(tmp_path / "data")


def test_a_class_may_be_called_as_a_split_is(tmp_path: Path) -> None:
    """Pictures of trains, and pictures sorted into valid and invalid."""
    images = read_dataset(class_folders(tmp_path / "vehicles", {"car": "red", "train": "blue"}, count=2))
    assert images.counts() == {"car": 2, "train": 2}
    images = read_dataset(class_folders(tmp_path / "forms", {"invalid": "red", "valid": "blue"}, count=2))
    assert images.counts() == {"invalid": 2, "valid": 2}


def test_what_may_be_a_split_or_a_class_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path / "data" / "train", {"steam": "red", "diesel": "blue"}, count=1)
    class_folders(tmp_path / "data", {"car": "red"}, count=1)
    assert "pictures in 'car' beside the folder 'train', which may be a split or a class" in refusal(tmp_path / "data")


def test_pictures_are_read_whatever_their_suffix(tmp_path: Path) -> None:
    cat = tmp_path / "cat"
    cat.mkdir()
    names = {"0.jfif": "JPEG", "1.JPE": "JPEG", "2": "PNG", "3.jpg_large": "JPEG", "4.ppm": "PPM", "5.avif": "AVIF"}
    names = {name: form for name, form in names.items() if form in FORMATS}
    for number, (name, form) in enumerate(names.items()):
        picture("red", number).save(cat / name, form)
    images = read_dataset(tmp_path)
    assert sorted(keys(images)) == sorted(f"cat/{name}" for name in names)
    assert {sample.open().mode for sample in images.samples} == {"RGB"}
    assert images.left_out == ()


COMPANIONS = (
    "._0.png", ".ipynb_checkpoints/0-checkpoint.png", "@eaDir/0.png/thumb.jpg", "__MACOSX/0.png", ".hidden.png",
)  # fmt: skip


def test_hidden_and_companion_files_are_no_pictures_and_no_classes_at_any_depth(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": "red", "b": "blue"}, count=1)
    for place in (tmp_path, tmp_path / "a", tmp_path / "a" / "more"):
        for name in COMPANIONS:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            picture("red", 0).save(place / name)
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
            (place / name).write_bytes(b"x")
    images = read_dataset(tmp_path)
    assert keys(images) == ["a/0.png", "b/0.png"]
    assert images.left_out == ("Left out: hidden or companion files (15, e.g. '._0.png').",)


def test_what_is_left_out_is_counted_by_reason_and_said_with_every_split(tmp_path: Path) -> None:
    data = tmp_path / "data"
    class_folders(data / "train", {"a": "red", "c": "blue"}, count=5)
    class_folders(data / "val", {"c": "blue"}, count=1)
    (data / "train" / "b").mkdir()
    (data / "train" / "a" / "notes.txt").write_text("seen from the left")
    (data / "train" / "stray.png").write_bytes(b"in no class")
    class_folders(data / "raw", {"a": "red"}, count=1)
    sentence = train_and_held_out(data, seed=0).sentence
    for reason in (
        "class folders without pictures (1, e.g. 'b')",
        "files that are no pictures (1, e.g. 'a/notes.txt')",
        "pictures in no class folder (1, e.g. 'stray.png')",
        "folders of pictures beside those of the splits (1, e.g. 'raw')",
    ):
        assert sentence.count(reason) == 1
    assert images_to_measure(data).sentence == (
        "The split 'val' is measured. Left out: folders of pictures beside those of the splits (1, e.g. 'raw')."
    )
    assert read_dataset(data).class_names == ("a", "c")  # the empty class gets no row in a new head


@pytest.mark.skipif("HEIF" in FORMATS, reason="pillow-heif is installed, so HEIC is read")
def test_heic_pictures_without_their_reader_are_counted_with_the_remedy(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": "red"}, count=1)
    (tmp_path / "a" / "1.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert read_dataset(tmp_path).left_out == (
        "Left out: HEIC pictures, which need `pip install pillow-heif` (1, e.g. 'a/1.heic').",
    )


def test_names_are_in_one_unicode_form_whatever_the_disk_has(tmp_path: Path) -> None:
    class_folders(tmp_path, {unicodedata.normalize("NFD", "caf\u00e9"): "red"}, count=1)
    (sample,) = read_dataset(tmp_path).samples
    assert (sample.class_name, sample.key) == ("caf\u00e9", "caf\u00e9/0.png")
    assert sample.open().size == (48, 40)


@pytest.mark.parametrize("place", [b"caf\xe9", b"a/caf\xe9.png", b"caf\xe9.png"])
def test_a_name_that_is_not_utf8_is_refused_before_any_work(tmp_path: Path, place: bytes) -> None:
    class_folders(tmp_path / "data", {"a": "red"}, count=1)
    path = os.fsencode(tmp_path / "data") + b"/" + place
    try:
        if place.endswith(b"png"):
            open(path, "wb").close()
        else:
            os.mkdir(path)
    except OSError:
        pytest.skip("this disk takes UTF-8 names alone")
    assert "holds the name 'caf?" in refusal(tmp_path / "data")


def test_messages_on_a_zip_name_it_and_no_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsig.inputs.zips.CACHE_FOLDER", tmp_path / "cache")
    with zipfile.ZipFile(tmp_path / "birds.zip", "w") as archive:
        for name in ("val/a/1.png", "valid/a/1.png"):
            archive.writestr(name, "a picture")
    assert "'birds' holds two folders of the split 'val'" in refusal(tmp_path / "birds.zip")
    with extracted_zip(tmp_path / "birds.zip") as folder:
        assert "'birds' holds two folders of the split 'val'" in refusal(folder)


def test_one_class_is_a_data_set_too(tmp_path: Path) -> None:
    assert read_dataset(class_folders(tmp_path, {"a": "red"})).class_names == ("a",)


def test_generated_pictures_differ_by_kind_and_number_and_not_by_chance() -> None:
    pictures = {picture(kind, number).tobytes() for kind in COLOURS for number in range(3)}
    assert len(pictures) == 9
    assert picture("red", 1).tobytes() == picture("red", 1).tobytes()
