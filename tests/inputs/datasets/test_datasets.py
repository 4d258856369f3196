"""Four layouts become the same list of samples; an index that breaks its own rules is refused in one sentence."""

from __future__ import annotations

import contextlib
import csv
import os
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from generated import COLOURS, class_folders, picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bsig.inputs.datasets import datasets
from bsig.inputs.datasets.datasets import LabelledImages, Sample, boxes_xyxy, match_classes, plain_name, read_dataset
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch

HEADER = "file,class,split,width,height,boxes_xyxy,mask"


def refusal(*arguments: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read_dataset(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def write_index(folder: Path, *lines: str, header: str = HEADER) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "index.csv").write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return folder


def keys(images: LabelledImages) -> list[str]:
    return [sample.key for sample in images.samples]


# Class folders.


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


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_empty_folder_is_refused_with_what_to_do(tmp_path: Path, split: str) -> None:
    (tmp_path / "bare").mkdir()
    text = refusal(tmp_path / "bare", split)
    assert "'bare' holds no labelled pictures" in text
    assert "class folders" in text


@pytest.mark.parametrize("address", ["nowhere", "", "~nobody-of-that-name/x", "x" * 5000, "a\0b"])
def test_a_place_that_is_no_folder_is_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert address.replace("\0", " ") in refusal(address)


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


# index.csv.


def test_an_index_gives_classes_splits_boxes_and_masks(tmp_path: Path) -> None:
    write_index(
        tmp_path / "farm",
        "a/1.jpg,ant,train,48,40,1 2 30 35;3.5 4 5 6,a/1_mask.png",
        "a/2.jpg,bee,val,48,40,,",
        "a/3.jpg,bee,,48,40, ; ,",
    )
    one, three = read_dataset(tmp_path / "farm").samples
    assert (one.key, one.class_name) == ("a/1.jpg", "ant")
    assert one.path == tmp_path / "farm" / "a" / "1.jpg"
    assert one.boxes_xyxy == ((1, 2, 30, 35), (3.5, 4, 5, 6))
    assert one.mask == tmp_path / "farm" / "a" / "1_mask.png"
    assert (three.key, three.boxes_xyxy, three.mask) == ("a/3.jpg", (), None)  # no split is train
    assert keys(read_dataset(tmp_path / "farm", "val")) == ["a/2.jpg"]


def test_file_and_class_are_enough_and_a_byte_order_mark_does_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_bytes("\ufefffile,class\r\n1.jpg,äpfel\r\n".encode())
    (sample,) = read_dataset(tmp_path).samples
    assert (sample.key, sample.class_name) == ("1.jpg", "äpfel")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a.jpg,ant,train,1,1,1 2 3,", "box '1 2 3' must be four numbers"),
        ("a.jpg,ant,train,1,1,1 2 3 x,", "must be four numbers"),
        ("a.jpg,ant,train,1,1,1 2 3 4 5,", "must be four numbers"),
        ("a.jpg,ant,train,1,1,5 2 3 4,", "0 <= x0 <= x1"),
        ("a.jpg,ant,train,1,1,-1 2 3 4,", "0 <= x0 <= x1"),
        ("a.jpg,ant,train,1,1,nan 2 3 4,", "0 <= x0 <= x1"),
        ("a.jpg,ant,train,1,1,1 2 inf 4,", "0 <= x0 <= x1"),
        (",ant,train,1,1,,", "`file` and `class`"),
        ("a.jpg,,train,1,1,,", "`file` and `class`"),
        ("a.jpg", "`file` and `class`"),
        ("../a.jpg,ant,train,1,1,,", "must lie inside the folder"),
        ("/etc/passwd,ant,train,1,1,,", "must lie inside the folder"),
        ("b/../../a.jpg,ant,train,1,1,,", "must lie inside the folder"),
        ("a.jpg,ant,train,1,1,,../mask.png", "must lie inside the folder"),
        # Python 3.10's csv reader refuses the NUL itself; later ones leave it to the path.
        ("a\0.jpg,ant,train,1,1,,", "NUL" if sys.version_info < (3, 11) else "must lie inside the folder"),
    ],
)
def test_a_line_that_breaks_a_rule_is_refused_with_its_number(tmp_path: Path, line: str, said: str) -> None:
    text = refusal(write_index(tmp_path / "farm", "ok.jpg,ant,train,1,1,,", line))
    assert "index.csv of 'farm', line 3" in text
    assert said in text


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"someone's")
    folder = write_index(tmp_path / "farm", "link.jpg,ant")
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    assert "must lie inside the folder" in refusal(folder)


def test_a_picture_listed_twice_is_refused_by_name(tmp_path: Path) -> None:
    write_index(tmp_path / "farm", "a.jpg,ant", "b.jpg,bee", "a.jpg,bee", header="file,class")
    assert "'farm' lists 'a.jpg' more than once" in refusal(tmp_path / "farm")


@pytest.mark.parametrize(("header", "missing"), [("file,label", "class"), ("path,class", "file"), ("", "class")])
def test_a_missing_column_is_refused_by_name(tmp_path: Path, header: str, missing: str) -> None:
    assert f"lacks the column '{missing}'" in refusal(write_index(tmp_path / "farm", "a,b", header=header))


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00bad", b"file,class\n\xff.jpg,ant\n", b"file,class\na,b" + b"x" * 200_000]
)
def test_an_index_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.csv").write_bytes(content)
    assert "index.csv" in refusal(tmp_path)


@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: f"{HEADER}\n{text}".encode())))
def test_whatever_bytes_an_index_holds_only_an_input_error_comes_out(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    (folder / "index.csv").write_bytes(content)
    read_or_refused(folder)


FIELDS = st.one_of(
    st.text(max_size=20), st.sampled_from(["a.jpg", "../a", "~", "train", "1 2 3 4", "1 2 3 4;", ";;", "1e999 0 0 0"])
)


@given(rows=st.lists(st.lists(FIELDS, min_size=1, max_size=9), max_size=5))
def test_whatever_fields_an_index_holds_only_an_input_error_comes_out(
    rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    with (folder / "index.csv").open("w", newline="", encoding="utf-8", errors="replace") as file:
        csv.writer(file, escapechar="\\").writerows([HEADER.split(","), *rows])
    read_or_refused(folder)


def read_or_refused(folder: Path) -> None:
    samples: tuple[Sample, ...] = ()
    with contextlib.suppress(InputError):
        samples = read_dataset(folder).samples
    for sample in samples:
        assert sample.path.resolve().is_relative_to(folder.resolve())
        assert all(0 <= x0 <= x1 and 0 <= y0 <= y1 for x0, y0, x1, y1 in sample.boxes_xyxy)


def test_boxes_are_read_as_they_stand() -> None:
    assert boxes_xyxy(" 0 0 0 0 ; 1.5 2 3 4;", "here") == ((0, 0, 0, 0), (1.5, 2, 3, 4))
    assert boxes_xyxy("", "here") == ()


# The WSOL metadata layout.


@pytest.fixture
def wsol(tmp_path: Path) -> Path:
    folder = tmp_path / "metadata" / "val"
    folder.mkdir(parents=True)
    (folder / "image_ids.txt").write_text("birds/1.jpg\nbirds/2.jpg\n")
    (folder / "class_labels.txt").write_text("birds/1.jpg,3\nbirds/2.jpg,0\n")
    (folder / "image_sizes.txt").write_text("birds/1.jpg,48,40\nbirds/2.jpg,48,40\n")
    (folder / "localization.txt").write_text("birds/1.jpg,1,2,30,35\nbirds/1.jpg,4,5,6,7\nbirds/2.jpg,0,0,9,9\n")
    return folder


def test_wsol_metadata_gives_labels_and_several_boxes(wsol: Path, tmp_path: Path) -> None:
    for address in (wsol, wsol.parent):  # the split's own folder, or the one above
        images = read_dataset(address, "val", tmp_path / "pictures")
        one, two = images.samples
        assert (one.key, one.class_name) == ("birds/1.jpg", "3")
        assert one.path == tmp_path / "pictures" / "birds" / "1.jpg"
        assert one.boxes_xyxy == ((1, 2, 30, 35), (4, 5, 6, 7))
        assert two.boxes_xyxy == ((0, 0, 9, 9),)
        assert one.mask is None


def test_wsol_metadata_gives_masks_with_their_ignore_regions(wsol: Path, tmp_path: Path) -> None:
    (wsol / "localization.txt").write_text("birds/1.jpg,masks/1.png,masks/1_ignore.png\nbirds/2.jpg,masks/2.png,\n")
    one, two = read_dataset(wsol, "val", tmp_path).samples
    assert (one.mask, one.ignore_mask) == (tmp_path / "masks/1.png", tmp_path / "masks/1_ignore.png")
    assert (two.mask, two.ignore_mask) == (tmp_path / "masks/2.png", None)
    assert one.boxes_xyxy == ()


def test_several_masks_of_a_picture_all_count(wsol: Path, tmp_path: Path) -> None:
    """OpenImages: one line an instance, the region to ignore in the first; the public code takes the union."""
    (wsol / "localization.txt").write_text(
        "birds/1.jpg,masks/1a.png,masks/1_ignore.png\nbirds/2.jpg,masks/2.png,\nbirds/1.jpg,masks/1b.png,\n"
    )
    one, two = read_dataset(wsol, "val", tmp_path).samples
    assert one.masks == (tmp_path / "masks/1a.png", tmp_path / "masks/1b.png")
    assert one.ignore_mask == tmp_path / "masks/1_ignore.png"
    assert two.masks == (tmp_path / "masks/2.png",)


def test_sizes_of_the_index_travel_with_the_boxes(wsol: Path, tmp_path: Path) -> None:
    one, _ = read_dataset(wsol, "val", tmp_path).samples
    assert one.listed_size_wh == (48, 40)


def test_wsol_metadata_without_localization_is_classification_data(wsol: Path, tmp_path: Path) -> None:
    (wsol / "localization.txt").unlink()
    assert [sample.boxes_xyxy for sample in read_dataset(wsol, "val", tmp_path).samples] == [(), ()]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("class_labels.txt", "birds/1.jpg,3\n", "no line for 'birds/2.jpg'"),
        ("class_labels.txt", "birds/1.jpg\n", "'birds/1.jpg' must be a picture, a comma, a class"),
        ("class_labels.txt", ",3\n", "a comma, a class"),
        ("class_labels.txt", None, "lacks class_labels.txt"),
        ("class_labels.txt", b"\xff\xff", "save it as UTF-8"),
        ("image_ids.txt", b"\xff\xff", "save it as UTF-8"),
        ("image_ids.txt", "", "no labelled pictures"),
        ("image_ids.txt", "birds/1.jpg\nbirds/1.jpg\n", "more than once"),
        ("localization.txt", "birds/1.jpg,5,2,3,4\n", "0 <= x0 <= x1"),
        ("localization.txt", "birds/1.jpg,a,b,c,d\n", "must be four numbers"),
        ("localization.txt", "birds/1.jpg,../../mask.png\n", "must lie inside"),
        ("localization.txt", "birds/1.jpg,1,2,3\n", "four numbers, or a mask"),
        ("localization.txt", "birds/1.jpg,a.png,x.png\nbirds/1.jpg,b.png,y.png\n", "two regions to ignore"),
        ("image_sizes.txt", "birds/1.jpg,48\n", "width, height"),
        ("image_sizes.txt", "birds/1.jpg,48,none\n", "whole pixels"),
    ],
)
def test_damaged_wsol_metadata_is_refused(
    wsol: Path, tmp_path: Path, file: str, content: str | bytes | None, said: str
) -> None:
    if content is None:
        (wsol / file).unlink()
    else:
        (wsol / file).write_bytes(content.encode() if isinstance(content, str) else content)
    assert said in refusal(wsol, "val", tmp_path)


def test_wsol_metadata_without_its_pictures_or_with_paths_outside_is_refused(wsol: Path, tmp_path: Path) -> None:
    assert "--images" in refusal(wsol, "val")
    (wsol / "image_ids.txt").write_text("../1.jpg\n")
    (wsol / "class_labels.txt").write_text("../1.jpg,3\n")
    assert "must lie inside" in refusal(wsol, "val", tmp_path)


# torchvision.


def test_a_torchvision_set_without_network_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def no_network(*arguments: object, **options: object) -> None:
        tries.append(arguments)
        raise OSError("Network is unreachable")

    monkeypatch.setattr(datasets, "CACHE_FOLDER", tmp_path)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"waits {seconds} s to try again"))
    text = refusal("torchvision:Imagenette")
    assert "cannot download 'Imagenette'" in text
    assert "network" in text
    assert len(tries) <= 2


@pytest.mark.parametrize(
    "name", ["", "NoSuchSet", "utils", "__name__", "__class__", "os", "VisionDataset", "ImageFolder"]
)
def test_a_name_that_is_no_torchvision_set_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "CACHE_FOLDER", tmp_path)
    assert f"'{name}'" in refusal(f"torchvision:{name}").replace("torchvision:", "")


def test_a_torchvision_set_gives_pictures_with_their_class_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Colours(torchvision.datasets.VisionDataset):
        classes = (("red", "crimson"), ("blue",))
        targets = (1, 0, 1)

        def __init__(self, root: str, split: str = "train", download: bool = False) -> None:
            super().__init__(root)
            assert download
            assert split == "val"

        def __len__(self) -> int:
            return len(self.targets)

        def __getitem__(self, index: int) -> tuple[Image.Image, int]:
            label = self.targets[index]
            return picture(("red", "blue")[label], index), label

    monkeypatch.setattr(torchvision.datasets, "Colours", Colours, raising=False)
    monkeypatch.setattr(datasets, "CACHE_FOLDER", tmp_path)
    images = read_dataset("torchvision:Colours", "val")
    assert [sample.class_name for sample in images.samples] == ["blue", "red", "blue"]
    assert keys(images) == ["Colours/val/0", "Colours/val/1", "Colours/val/2"]
    np.testing.assert_array_equal(np.asarray(images.samples[1].open()), np.asarray(picture("red", 1)))


# Which class is which.


def test_classes_match_by_name_wordnet_id_number_and_index(default_model: DualBranch) -> None:
    names = [
        "tench",
        "TENCH",
        "n01440764",
        "n01440764_tench",
        "n01440764 something else",
        "000_Tench",
        "0",
        "golf_ball",
    ]
    match = match_classes(names, default_model.class_names, default_model.class_ids)
    assert match.unmatched == ()
    assert [match.index_of[name] for name in names] == [0] * 7 + [574]


def test_a_class_that_is_none_of_the_models_is_listed_and_no_other_is_taken_for_it(default_model: DualBranch) -> None:
    match = match_classes(["tench", "unicorn", "1000", "n99999999"], default_model.class_names, default_model.class_ids)
    assert match.index_of == {"tench": 0}
    assert match.unmatched == ("unicorn", "1000", "n99999999")


def test_every_class_name_and_id_of_the_model_matches_itself(default_model: DualBranch) -> None:
    for own in (default_model.class_names, default_model.class_ids):
        match = match_classes(own, default_model.class_names, default_model.class_ids)
        assert [match.index_of[name] for name in own] == list(range(1000))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("001.Black_footed_Albatross", "Black footed Albatross"), ("n02058221_albatross", "albatross"),
        ("7-up", "up"), ("golf ball", "golf ball"), ("12", "12"), ("a_b", "a b"),
    ],
)  # fmt: skip
def test_a_folders_name_is_said_as_a_person_would(name: str, said: str) -> None:
    assert plain_name(name) == said


def test_generated_pictures_differ_by_kind_and_number_and_not_by_chance() -> None:
    pictures = {picture(kind, number).tobytes() for kind in COLOURS for number in range(3)}
    assert len(pictures) == 9
    assert picture("red", 1).tobytes() == picture("red", 1).tobytes()


def test_an_index_with_cells_too_many_too_few_or_too_long(tmp_path: Path) -> None:
    index = tmp_path / "index.csv"
    index.write_text("file,class,width,height\na.png,tench,4,3,more,and more\nb.png,tench\n")
    assert [(one.key, one.listed_size_wh) for one in read_dataset(tmp_path).samples] == [
        ("a.png", (4, 3)),
        ("b.png", None),
    ]
    index.write_text(f"file,class,width,height\na.png,tench,{'9' * 5000},3\n")
    with pytest.raises(InputError, match="must be whole pixels"):
        read_dataset(tmp_path)
