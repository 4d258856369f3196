"""One rule says what is held out and what is measured, and a sentence why; a broken split is refused, never skipped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from generated import class_folders
from indexes import keys, write_index

from bsig.inputs.datasets import splits
from bsig.inputs.datasets.read import available_splits, read_dataset
from bsig.inputs.datasets.samples import LabelledImages, Sample
from bsig.inputs.datasets.splits import held_out_part, images_to_measure, train_and_held_out
from bsig.inputs.errors import InputError

NAMES = {"n01440764_tench": "red", "golf ball": "green", "unicorn": "blue"}
BAD_BOX = ("c.jpg,ant,val,1,1,1 2 3,", r"index\.csv of 'farm', line 3: box '1 2 3' must be four numbers")


def split_folders(root: Path, **counts: int) -> Path:
    """Class folders below a folder for each split, with so many pictures a class."""
    for split, count in counts.items():
        class_folders(root / split, NAMES, count=count)
    return root


# What there is.


def test_the_splits_of_class_folders_are_those_with_pictures(tmp_path: Path) -> None:
    folder = split_folders(tmp_path / "both", train=1, val=1)
    (folder / "test" / "golf ball").mkdir(parents=True)
    assert available_splits(folder) == ("train", "val")
    assert available_splits(class_folders(tmp_path / "plain", NAMES, count=1)) == ("train",)
    (tmp_path / "empty").mkdir()
    assert available_splits(tmp_path / "empty") == ()


def test_the_splits_of_an_index_are_those_that_it_names_even_where_a_line_is_bad(tmp_path: Path) -> None:
    folder = write_index(tmp_path / "farm", "a.jpg,ant,,1,1,,", BAD_BOX[0], "d.jpg,ant,more,1,1,,")
    assert available_splits(folder) == ("train", "val")
    with pytest.raises(InputError, match="lacks the column 'class'"):
        available_splits(write_index(tmp_path / "farm", "a", header="file"))


def test_the_splits_of_wsol_metadata_are_its_folders_and_one_of_them_is_that_split_alone(tmp_path: Path) -> None:
    for name in ("train", "val"):
        (tmp_path / "metadata" / name).mkdir(parents=True)
        (tmp_path / "metadata" / name / "image_ids.txt").write_text("1.jpg\n")
        (tmp_path / "metadata" / name / "class_labels.txt").write_text("1.jpg,0\n")
    assert available_splits(tmp_path / "metadata") == ("train", "val")
    assert available_splits(tmp_path / "metadata" / "val") == ("val",)
    with pytest.raises(InputError, match=r"no labelled pictures in its split 'train'; choose its split 'val'"):
        read_dataset(tmp_path / "metadata" / "val", "train", tmp_path)
    (tmp_path / "metadata" / "val").rename(tmp_path / "pictures of mine")
    assert available_splits(tmp_path / "pictures of mine") == ("train",)


def test_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a folder of pictures"):
        available_splits(tmp_path / "nowhere")


# What is held out.


def test_a_val_split_is_what_is_held_out(tmp_path: Path) -> None:
    choice = train_and_held_out(split_folders(tmp_path / "data", train=6, val=2, test=1), seed=0)
    assert choice.held_out is not None
    assert (len(choice.train.samples), len(choice.held_out.samples), choice.held_out.split) == (18, 6, "val")
    assert choice.sentence == "The split 'val' is held out."


def test_without_a_val_split_a_tenth_is_held_out_and_the_test_split_is_left_alone(tmp_path: Path) -> None:
    folder = split_folders(tmp_path / "data", train=20, test=5)
    choice = train_and_held_out(folder, seed=3)
    assert choice.held_out is not None
    assert Counter(sample.class_name for sample in choice.held_out.samples) == dict.fromkeys(NAMES, 2)
    assert sorted(keys(choice.train) + keys(choice.held_out)) == keys(read_dataset(folder))
    assert choice.sentence == (
        "A tenth of each class of at least 5 pictures is held out (seed 3), since the data has no split 'val'."
    )
    assert train_and_held_out(folder, seed=3) == choice
    assert train_and_held_out(folder, seed=4).held_out != choice.held_out


def test_of_small_classes_nothing_is_held_out_and_that_is_said(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "data", NAMES, count=4)
    choice = train_and_held_out(folder, seed=0)
    assert (choice.train, choice.held_out) == (read_dataset(folder), None)
    assert choice.sentence == "Nothing is held out: the data has no split 'val', and no class has 5 pictures."


def test_a_named_split_or_none_is_held_out_as_asked(tmp_path: Path) -> None:
    folder = split_folders(tmp_path / "data", train=6, val=2, test=5)
    splits = train_and_held_out(folder, 0, held_out="test")
    assert splits.held_out is not None
    assert (len(splits.train.samples), splits.held_out.split) == (18, "test")
    assert splits.sentence == "The split 'test' is held out, as asked."
    nothing = train_and_held_out(folder, 0, held_out="none")
    assert (len(nothing.train.samples), nothing.held_out) == (18, None)
    assert nothing.sentence == "Nothing is held out, as asked."
    with pytest.raises(InputError, match=r"`held_out` \(='val'\) must be another split"):
        train_and_held_out(folder, 0, split="val", held_out="val")
    with pytest.raises(InputError, match="no labelled pictures in its split 'val'"):
        train_and_held_out(class_folders(tmp_path / "plain", NAMES, count=1), 0, held_out="val")


def test_who_trains_on_val_holds_out_a_tenth_of_it(tmp_path: Path) -> None:
    folder = split_folders(tmp_path / "data", train=6, val=5)
    choice = train_and_held_out(folder, 0, split="val")
    assert choice.held_out is not None
    assert (len(choice.train.samples), len(choice.held_out.samples)) == (12, 3)
    assert choice.sentence.endswith("since the split 'val' is trained on.")


def test_a_bad_line_of_the_val_split_is_refused_and_not_read_as_no_val_split(tmp_path: Path) -> None:
    folder = write_index(tmp_path / "farm", "a.jpg,ant,train,1,1,,", BAD_BOX[0])
    with pytest.raises(InputError, match=BAD_BOX[1]):
        train_and_held_out(folder, seed=0)
    assert train_and_held_out(folder, seed=0, held_out="none").held_out is None
    with pytest.raises(InputError, match=BAD_BOX[1]):
        images_to_measure(folder)


def test_a_val_folder_with_pictures_in_no_class_is_refused(tmp_path: Path) -> None:
    folder = split_folders(tmp_path / "data", train=6, val=1)
    for file in sorted((folder / "val").rglob("*.png")):
        file.rename(folder / "val" / f"{file.parent.name}.png")
    for choose in (lambda: train_and_held_out(folder, seed=0), lambda: images_to_measure(folder)):
        with pytest.raises(InputError, match="holds no labelled pictures in its split 'val'"):
            choose()


def test_of_a_torchvision_set_a_tenth_is_held_out_and_its_own_split_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(address: str, split: str, images_root: Path | None = None) -> LabelledImages:
        return LabelledImages(address, split, tuple(Sample(f"{split}/{i}", "a", None) for i in range(10)))

    monkeypatch.setattr(splits, "read_dataset", read)
    choice = train_and_held_out("torchvision:Colours", seed=0)
    assert choice.held_out is not None
    assert (len(choice.train.samples), len(choice.held_out.samples)) == (9, 1)
    assert "torchvision's sets name their splits each in their own way" in choice.sentence
    measured = images_to_measure("torchvision:Colours")
    assert measured.images.split == "val"
    assert "or what the set has in its place" in measured.sentence


def test_a_tenth_of_each_class_is_set_aside_and_nothing_is_in_both(tmp_path: Path) -> None:
    images = read_dataset(class_folders(tmp_path / "data", NAMES, count=10))
    train, held_out = held_out_part(images, seed=0)
    assert held_out is not None
    assert Counter(sample.class_name for sample in held_out.samples) == dict.fromkeys(sorted(NAMES), 1)
    assert sorted(keys(train) + keys(held_out)) == keys(images)
    second, other = held_out_part(images, seed=0)[1], held_out_part(images, seed=1)[1]
    assert second == held_out != other


def test_small_classes_keep_all_their_pictures(tmp_path: Path) -> None:
    images = read_dataset(class_folders(tmp_path / "data", NAMES, count=4))
    assert held_out_part(images, seed=0) == (images, None)


# What is measured.


def test_val_is_measured_else_test_else_all_pictures_and_that_is_said(tmp_path: Path) -> None:
    measured = images_to_measure(split_folders(tmp_path / "three", train=1, val=1, test=1))
    assert (measured.images.split, measured.sentence) == ("val", "The split 'val' is measured.")
    measured = images_to_measure(split_folders(tmp_path / "two", train=1, test=1))
    assert (measured.images.split, measured.sentence) == (
        "test", "The split 'test' is measured, since the data has no split 'val'.",
    )  # fmt: skip
    measured = images_to_measure(class_folders(tmp_path / "plain", NAMES, count=1))
    assert (measured.images.split, len(measured.images.samples), measured.sentence) == (
        "train", 3, "All pictures are measured, since the data has no split 'val' or 'test'.",
    )  # fmt: skip


def test_a_split_that_is_asked_for_is_measured_or_refused(tmp_path: Path) -> None:
    folder = split_folders(tmp_path / "data", train=2, val=1)
    measured = images_to_measure(folder, "train")
    assert (len(measured.images.samples), measured.sentence) == (6, "The split 'train' is measured, as asked.")
    with pytest.raises(InputError, match="no labelled pictures in its split 'test'; choose its split 'train'"):
        images_to_measure(folder, "test")


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for choose in (lambda: images_to_measure(tmp_path / "empty"), lambda: train_and_held_out(tmp_path / "empty", 0)):
        with pytest.raises(InputError, match="no labelled pictures"):
            choose()
