"""An index.csv becomes samples; one that breaks its own rules is refused in one sentence."""

from __future__ import annotations

import contextlib
import csv
import sys
import unicodedata
from pathlib import Path

import pytest
from generated import picture
from hypothesis import given
from hypothesis import strategies as st
from indexes import HEADER, keys, refusal, write_index

from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import Sample
from bsig.inputs.errors import InputError


def test_an_index_gives_classes_splits_boxes_and_masks(tmp_path: Path) -> None:
    write_index(
        tmp_path / "farm",
        "a/1.jpg,ant,train,48,40,1 2 30 35;3.5 4 5 6,a/1_mask.png",
        "a/2.jpg,bee,val,48,40,,",
        "a/3.jpg,bee,,48,40, ; ,",
    )
    first, third = read_dataset(tmp_path / "farm").samples
    assert (first.key, first.class_name) == ("a/1.jpg", "ant")
    assert first.path == tmp_path / "farm" / "a" / "1.jpg"
    assert first.boxes_xyxy == ((1, 2, 30, 35), (3.5, 4, 5, 6))
    assert first.mask == tmp_path / "farm" / "a" / "1_mask.png"
    assert (third.key, third.boxes_xyxy, third.mask) == ("a/3.jpg", (), None)  # no split is train
    assert keys(read_dataset(tmp_path / "farm", "val")) == ["a/2.jpg"]


def test_file_and_class_are_enough_and_a_byte_order_mark_does_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_bytes("\ufefffile,class\r\n1.jpg,äpfel\r\n".encode())
    (sample,) = read_dataset(tmp_path).samples
    assert (sample.key, sample.class_name) == ("1.jpg", "äpfel")


TABLE = "file,class,split\nimgs/a.jpg,Egyptian cat,val\nimgs/b.jpg,p\u00e2querette,val\n"
WAYS = {
    "mark and line ends of Windows": ("\ufeff" + TABLE).replace("\n", "\r\n").encode(),
    "semicolons": TABLE.replace(",", ";").encode(),
    "tabs": TABLE.replace(",", "\t").encode(),
    "Excel names its separator": ("sep=;\n" + TABLE.replace(",", ";")).encode(),
    "UTF-16 with a mark": TABLE.encode("utf-16"),
    "UTF-16 without": TABLE.encode("utf-16-le"),
    "Windows-1252": TABLE.encode("cp1252"),
    "backslashes": TABLE.replace("imgs/", "imgs\\").encode(),
    "dots and slashes": TABLE.replace("imgs/", "./imgs/").encode(),
    "columns in capitals": TABLE.replace("file,class", "File,CLASS").encode(),
    "blanks in the columns": TABLE.replace("file,class,split", " file , class , split ").encode(),
    "blanks in the cells": TABLE.replace(",", " , ").encode(),
    "split in capitals": TABLE.replace(",val", ",Val").encode(),
    "split by another name": TABLE.replace(",val", ",validation").encode(),
    "suffix in capitals": TABLE.replace("a.jpg", "a.JPG").encode(),
    "names in another Unicode form": unicodedata.normalize("NFD", TABLE).encode(),
    "empty lines and a remark": ("# by hand\n\n" + TABLE.replace("\n", "\n\n")).encode(),
    "quotes": TABLE.replace("Egyptian cat", '"Egyptian cat"').encode(),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_index_is_read_as_spreadsheets_write_it(tmp_path: Path, way: str) -> None:
    (tmp_path / "imgs").mkdir()
    for name in "ab":
        picture("red", 0).save(tmp_path / "imgs" / f"{name}.jpg")
    (tmp_path / "index.csv").write_bytes(WAYS[way])
    images = read_dataset(tmp_path, "val")
    assert [(sample.key, sample.class_name) for sample in images.samples] == [
        ("imgs/a.jpg", "Egyptian cat"), ("imgs/b.jpg", "p\u00e2querette"),
    ]  # fmt: skip
    assert {sample.open().size for sample in images.samples} == {(48, 40)}
    guess = ("index.csv is not UTF-8 and is read as Windows-1252.",)
    assert images.left_out == (guess if way == "Windows-1252" else ())


def test_an_absolute_path_into_the_folder_is_the_same_picture(tmp_path: Path) -> None:
    folder = write_index(tmp_path / "farm", f"{tmp_path}/farm/imgs/a.jpg,ant", header="file,class")
    assert keys(read_dataset(folder)) == ["imgs/a.jpg"]


def test_boxes_and_sizes_are_read_in_the_ways_that_people_write_them(tmp_path: Path) -> None:
    folder = write_index(
        tmp_path / "farm",
        'a.jpg,ant,,48.0,40.0,"1,2,30,35",', 'b.jpg,ant,,"48,0","40,0","1,5 2 30,5 35",', 'c.jpg,ant,,,,"1, 2, 3, 4",',
    )  # fmt: skip
    assert [(sample.listed_size_wh, sample.boxes_xyxy) for sample in read_dataset(folder).samples] == [
        ((48, 40), ((1, 2, 30, 35),)), ((48, 40), ((1.5, 2, 30.5, 35),)), (None, ((1, 2, 3, 4),)),
    ]  # fmt: skip
    assert "two corners, not a corner, width and height" in refusal(
        write_index(tmp_path / "farm", "a.jpg,ant,,,,150 160 100 90,")
    )


def test_several_classes_of_a_picture_are_a_list(tmp_path: Path) -> None:
    folder = write_index(tmp_path / "farm", "a.jpg,ant ; bee;ant", "b.jpg,bee|cow", "c.jpg,ant", header="file,class")
    images = read_dataset(folder)
    assert [sample.class_names for sample in images.samples] == [("ant", "bee"), ("bee", "cow"), ("ant",)]
    assert images.counts() == {"ant": 2, "bee": 2, "cow": 1}
    assert images.renamed({"bee": "ant"}).samples[0].class_names == ("ant",)


def test_boxes_go_with_the_first_class_and_not_with_another(tmp_path: Path) -> None:
    (sample,) = read_dataset(write_index(tmp_path / "farm", "a.jpg,ant;bee,,48,40,1 2 3 4,m.png")).samples
    assert sample.of_classes({"ant", "bee"}) is sample
    part, other = sample.of_classes({"ant"}), sample.of_classes({"bee"})
    assert part is not None
    assert other is not None
    assert (part.class_names, part.boxes_xyxy, part.mask) == (("ant",), ((1, 2, 3, 4),), sample.mask)
    assert (other.class_names, other.boxes_xyxy, other.mask) == (("bee",), (), None)
    assert sample.of_classes({"cow"}) is None


def test_a_missing_split_lists_those_of_the_column(tmp_path: Path) -> None:
    folder = write_index(tmp_path / "farm", "a.jpg,ant,fold1,,,,", "b.jpg,ant,fold2,,,,", "c.jpg,ant,fold1,,,,")
    assert "the column `split` holds 'fold1' (2), 'fold2' (1)" in refusal(folder, "val")
    write_index(folder, "a.jpg,ant,fold1,,,,", "b.jpg,ant,train,,,,")
    assert read_dataset(folder).left_out == (
        "Left out: lines of a split that is not train, val or test (1, e.g. 'fold1').",
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
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
def test_a_line_that_breaks_a_rule_is_refused_with_its_number(tmp_path: Path, line: str, sentence: str) -> None:
    text = refusal(write_index(tmp_path / "farm", "ok.jpg,ant,train,1,1,,", line))
    assert "index.csv of 'farm', line 3" in text
    assert sentence in text


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"someone's")
    folder = write_index(tmp_path / "farm", "link.jpg,ant")
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    assert "must lie inside the folder" in refusal(folder)


def test_a_picture_listed_twice_is_refused_by_name(tmp_path: Path) -> None:
    write_index(tmp_path / "farm", "a.jpg,ant", "b.jpg,bee", "a.jpg,bee", header="file,class")
    text = refusal(tmp_path / "farm")
    assert "'farm' lists 'a.jpg' more than once" in text
    assert "several classes as 'cat;dog'" in text


@pytest.mark.parametrize(("header", "column"), [("file,label", "class"), ("path,class", "file"), ("", "class")])
def test_a_missing_column_is_refused_by_name(tmp_path: Path, header: str, column: str) -> None:
    assert f"lacks the column '{column}'" in refusal(write_index(tmp_path / "farm", "a,b", header=header))


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00bad", "file,class\na.jpg,ämt\n".encode() + b"\xff.jpg,ant\n", b"file,class\na,b" + b"x" * 200_000],
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


def test_an_index_with_cells_too_many_too_few_or_too_long(tmp_path: Path) -> None:
    index = tmp_path / "index.csv"
    index.write_text("file,class,width,height\na.png,tench,4,3,,\nb.png,tench\n")
    assert [(sample.key, sample.listed_size_wh) for sample in read_dataset(tmp_path).samples] == [
        ("a.png", (4, 3)),
        ("b.png", None),
    ]
    index.write_text("file,class\na.png,tench, Tinca tinca\n")
    with pytest.raises(InputError, match="line 2: 3 cells for 2 columns; put a cell that holds ',' into quotes"):
        read_dataset(tmp_path)
    index.write_text(f"file,class,width,height\na.png,tench,{'9' * 5000},3\n")
    with pytest.raises(InputError, match="must be whole pixels"):
        read_dataset(tmp_path)


def test_lines_of_one_picture_give_each_class_its_own_boxes_and_mask(tmp_path: Path) -> None:
    folder = write_index(
        tmp_path / "farm",
        "a.jpg,ant,,48,40,1 2 3 4,", "b.jpg,bee,,,,5 5 6 6,", "a.jpg,bee,,,,,m.png",
        "a.jpg,ant,,48,40,1 2 3 4;7 7 9 9,",
        "a.jpg,cow,,,,,n.png",
    )  # fmt: skip
    both, other = read_dataset(folder).samples
    assert (both.class_names, both.boxes_xyxy, both.mask) == (("ant", "bee", "cow"), ((1, 2, 3, 4), (7, 7, 9, 9)), None)
    assert (other.class_names, other.further_regions) == (("bee",), ())
    bee = both.of_class("bee")
    assert (bee.class_names, bee.boxes_xyxy, bee.masks) == (("bee", "ant", "cow"), (), (folder / "m.png",))
    assert bee.listed_size_wh == both.listed_size_wh == (48, 40)
    assert bee.of_class("ant") == both
    part = both.of_classes({"cow", "bee"})
    assert part is not None
    assert (part.class_names, part.masks, part.boxes_xyxy) == (("bee", "cow"), (folder / "m.png",), ())
    merged = both.renamed({"cow": "bee"})
    assert (merged.class_names, merged.of_class("bee").masks) == (("ant", "bee"), (folder / "m.png", folder / "n.png"))
    assert merged.boxes_xyxy == both.boxes_xyxy


def test_lines_of_one_picture_must_agree_on_its_size(tmp_path: Path) -> None:
    text = refusal(write_index(tmp_path / "farm", "a.jpg,ant,,48,40,1 2 3 4,", "a.jpg,bee,,40,48,1 2 3 4,"))
    assert "lists 'a.jpg' as 48 x 40 and as 40 x 48 pixels; give each file one size" in text
