"""Zips from strangers: what is good comes out byte for byte; what is not is refused before anything is written."""

from __future__ import annotations

import io
import stat
import tempfile
import zipfile
from pathlib import Path

import pytest
from generated import picture
from hostile_files import many_entries, overlapping, with_name, zip_of
from hypothesis import given
from hypothesis import strategies as st
from indexes import keys

from bsig.inputs import zips as archives
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.errors import InputError
from bsig.inputs.zips import ZipLimits, data_root, extract_zip, extracted_zip


def zipped(file: Path, entries: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file


def png() -> bytes:
    data = io.BytesIO()
    picture("red", 0).save(data, "PNG")
    return data.getvalue()


def refusal(file: Path, target: Path, limits: ZipLimits | None = None) -> str:
    """The one sentence; and nothing was left in the target, nor beside it."""
    target.parent.mkdir(exist_ok=True)
    before = sorted(path.name for path in target.parent.iterdir())
    with pytest.raises(InputError) as caught:
        extract_zip(file, target, limits or ZipLimits())
    assert not target.exists() or list(target.iterdir()) == []
    assert sorted({path.name for path in target.parent.iterdir()} - {target.name}) == sorted({*before} - {target.name})
    assert "\n" not in str(caught.value)
    assert file.name in str(caught.value)
    return str(caught.value)


def test_class_folders_come_out_byte_for_byte(tmp_path: Path) -> None:
    entries = {"cat/1.png": png(), "dog/2.png": png() + b"x", "dog/deep/3.png": b"no picture, but a file"}
    with extracted_zip(zipped(tmp_path / "pets.zip", entries)) as folder:
        actual = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        unpacked = folder
    assert actual == entries
    assert not unpacked.exists()


@pytest.mark.parametrize(
    ("entries", "root"),
    [
        (["a/1.png", "b/1.png"], "."),
        (["pets/a/1.png", "pets/b/1.png"], "pets"),
        (["pets/a/1.png", "pets/b/1.png", "__MACOSX/pets/._a", ".DS_Store"], "pets"),
        (["x/pets/a/1.png", "x/pets/b/1.png"], "x/pets"),
        (["train/a/1.png", "train/b/1.png"], "."),
        (["pets/train/a/1.png", "pets/val/a/1.png"], "pets"),
        (["pets/index.csv", "pets/images.png"], "pets"),
        (["onlyclass/1.png", "onlyclass/2.png"], "."),  # one class is for the data set reader to refuse
    ],
)
def test_a_folder_zipped_around_the_data_is_looked_through(tmp_path: Path, entries: list[str], root: str) -> None:
    target = tmp_path / "out"
    root_folder = extract_zip(zipped(tmp_path / "x.zip", dict.fromkeys(entries, b"1")), target)
    assert root_folder == target / root == data_root(target)


@pytest.mark.parametrize(
    "name", ["../up.png", "a/../../up.png", "/etc/passwd", "C:\\x.png", "..\\up.png", "a\\..\\..\\up.png", "//host/x"]
)
def test_no_entry_may_lie_outside(tmp_path: Path, name: str) -> None:
    sentence = refusal(zipped(tmp_path / "bad.zip", {"a/1.png": b"1", name: b"2"}), tmp_path / "deep" / "out")
    assert "outside its folder" in sentence


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_special_files_are_refused(tmp_path: Path, kind: int) -> None:
    entry = zipfile.ZipInfo("a/link.png")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    assert "link or special file" in refusal(tmp_path / "link.zip", tmp_path / "out")


def test_limits_are_read_from_the_table_of_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpacked(*_: object) -> None:
        raise AssertionError("nothing may be unpacked before everything is allowed")

    monkeypatch.setattr(archives, "_unpack", unpacked)
    small = zipped(tmp_path / "small.zip", {f"a/{i}.png": bytes(100) for i in range(5)}, compression=zipfile.ZIP_STORED)
    assert refusal(small, tmp_path / "out", ZipLimits(files=4)) == "'small.zip' holds 5 entries; the limit is 4."
    assert "a file" in refusal(small, tmp_path / "out", ZipLimits(file_bytes=99))
    assert "unpacks to" in refusal(small, tmp_path / "out", ZipLimits(total_bytes=499))
    bomb = zipped(tmp_path / "bomb.zip", {"a/bomb.bmp": bytes(20 * 2**20)})
    assert bomb.stat().st_size < 2**15
    assert "grows more than 200 times" in refusal(bomb, tmp_path / "out")


def test_a_zip_that_lies_about_its_sizes_writes_no_more_than_it_said(tmp_path: Path) -> None:
    file = zipped(tmp_path / "liar.zip", {"a/1.png": b"long content" * 100}, compression=zipfile.ZIP_STORED)
    content = bytearray(file.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (3).to_bytes(4, "little")  # the unpacked size in the table of contents
    file.write_bytes(content)
    refusal(file, tmp_path / "out")


def test_no_zip_a_cut_one_an_empty_one_and_one_with_a_password(tmp_path: Path) -> None:
    text = tmp_path / "text.zip"
    text.write_text("hello")
    assert "not a whole zip" in refusal(text, tmp_path / "out")
    whole = zipped(tmp_path / "whole.zip", {"a/1.png": png(), "b/1.png": png()})
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole.read_bytes()[:-30])
    assert "not a whole zip" in refusal(cut, tmp_path / "out")
    assert "holds no files" in refusal(zipped(tmp_path / "empty.zip", {}), tmp_path / "out")
    locked = bytearray(whole.read_bytes())
    at = locked.index(b"PK\x01\x02")
    locked[at + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    assert "password" in refusal(tmp_path / "locked.zip", tmp_path / "out")


def test_damage_inside_a_file_is_found_while_unpacking_and_leaves_nothing(tmp_path: Path) -> None:
    file = zipped(tmp_path / "hurt.zip", {"a/1.png": b"content" * 9, "b/2.png": b"more" * 9}, compression=0)
    content = bytearray(file.read_bytes())
    content[content.index(b"more")] ^= 0xFF
    file.write_bytes(content)
    assert "not a whole zip" in refusal(file, tmp_path / "out")


def test_the_same_place_twice_is_refused_also_where_only_case_differs(tmp_path: Path) -> None:
    twice = zipped(tmp_path / "twice.zip", {"a/1.png": b"1", "A/1.PNG": b"2"})
    assert "twice" in refusal(twice, tmp_path / "out")


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = zipped(tmp_path / "pets.zip", {"a/1.png": b"1"})
    monkeypatch.setattr(archives, "LEFT_FREE", 2**62)
    assert "free space" in refusal(file, tmp_path / "out")


@given(content=st.binary(max_size=400), at=st.integers(0, 300), put=st.binary(max_size=8))
def test_any_bytes_are_unpacked_inside_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, at: int, put: bytes
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    whole = bytearray(zipped(folder / "x.zip", {"a/1.png": content, "b/2.png": b"2"}).read_bytes())
    whole[at : at + len(put)] = put
    (folder / "x.zip").write_bytes(whole)
    try:
        extract_zip(folder / "x.zip", folder / "out")
    except InputError:
        assert not any((folder / "out").rglob("*")) if (folder / "out").exists() else True
    assert sorted(path.name for path in folder.iterdir()) in (["out", "x.zip"], ["x.zip"])


def test_a_table_of_contents_that_is_itself_too_large_is_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = zipped(tmp_path / "many.zip", {f"a/{number}": b"" for number in range(300)}, compression=0)

    def parsed(*_: object) -> None:
        raise AssertionError("the table must not be parsed")

    monkeypatch.setattr(archives.zipfile, "ZipFile", parsed)
    assert "holds 300 entries; the limit is 299" in refusal(file, tmp_path / "out", ZipLimits(files=299))


def test_an_entry_without_a_name_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pets.zip"
    with zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo("x")
        entry.filename = ""
        archive.writestr(entry, b"x")
    assert "without a name" in refusal(file, tmp_path / "into")


def test_what_the_library_quotes_is_cut(tmp_path: Path) -> None:
    file = zipped(
        tmp_path / "pets.zip", {"a/1.png": b"picture" * 500, "b/2.png": png()}, compression=zipfile.ZIP_STORED
    )
    content = bytearray(file.read_bytes())
    content[26:28] = (3000).to_bytes(2, "little")  # the first entry's own header claims a longer name
    file.write_bytes(content)
    assert len(refusal(file, tmp_path / "into")) < 400


# --- tables of contents that lie --------------------------------------------------------------------------------------


@pytest.mark.parametrize("entries", [["a", "a/1.png"], ["a/1.png", "A"], ["x/y", "x/y/z/1.png"]])
def test_a_file_and_a_folder_of_one_name_are_refused(tmp_path: Path, entries: list[str]) -> None:
    file = zipped(tmp_path / "pets.zip", {name: png() for name in entries})
    assert "as a file and as a folder" in refusal(file, tmp_path / "out")


@pytest.mark.parametrize("count", [None, 3])
def test_a_hundred_thousand_entries_are_refused_from_the_last_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int | None
) -> None:
    """Also where the last record says three: the standard library goes by the one of large zips."""
    monkeypatch.setattr(archives.zipfile, "ZipFile", lambda _: pytest.fail("the table was read"))
    file = tmp_path / "pets.zip"
    file.write_bytes(many_entries(100_000, count))
    assert "the limit is 50000" in refusal(file, tmp_path / "out")


def test_entries_whose_contents_overlap_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "pets.zip"
    file.write_bytes(overlapping(names=("a/1.png", "b/2.png")))
    assert "not a whole zip" in refusal(file, tmp_path / "out")


def test_names_of_an_old_code_page_are_read_as_it_says_and_bytes_that_are_no_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "pets.zip"
    file.write_bytes(with_name("b/grün é ß.png".encode("cp437")))
    assert {path.name for path in extract_zip(file, tmp_path / "good").glob("b/*")} == {"grün é ß.png"}
    file.write_bytes(with_name(b"b/\xff\xfe.png", flag=0x800))
    assert "cannot be unpacked" in refusal(file, tmp_path / "out")


def test_a_refusal_of_the_system_names_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "secret" / "1.png"))

    monkeypatch.setattr(archives, "_unpack", full)
    file = tmp_path / "pets.zip"
    file.write_bytes(zip_of({"a/1.png": png()}))
    sentence = refusal(file, tmp_path / "out")
    assert "No space left on device" in sentence
    assert str(tmp_path) not in sentence


def test_a_zip_is_a_data_set_and_is_unpacked_once_for_each_state_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "CACHE_FOLDER", tmp_path / "cache")
    file = tmp_path / "pets.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("pets/Train/cat/0.png", "pets/Train/dog/0.png", "pets/valid/cat/1.png", "__MACOSX/pets/._0.png"):
            archive.writestr(name, b"picture")
        archive.writestr("pets/Train/cat/.ipynb_checkpoints/0.png", b"picture")
    images = read_dataset(file)
    assert (images.name, keys(images)) == ("pets", ["cat/0.png", "dog/0.png"])
    assert keys(read_dataset(file, "val")) == ["cat/1.png"]
    assert read_dataset(file).samples == images.samples
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("pets/Train/dog/1.png", b"picture")
    assert keys(read_dataset(file)) == ["cat/0.png", "dog/0.png", "dog/1.png"]
    (place,) = (tmp_path / "cache" / "zips").iterdir()
    assert len(list(place.iterdir())) == 1


@pytest.mark.parametrize("name", ["...zip", "..zip", "....zip", ".zip", " .zip", "a.b.zip"])
def test_whatever_a_zip_is_called_it_is_unpacked_below_its_place(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "CACHE_FOLDER", tmp_path / "cache")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    others = tmp_path / "temporary" / "another-visitors.txt"
    others.parent.mkdir()
    others.write_text("kept")
    (tmp_path / name).write_bytes(zip_of({"a/1.png": b"picture", "b/2.png": b"picture"}))
    with extracted_zip(tmp_path / name, ZipLimits()) as root:
        assert sorted(path.name for path in root.iterdir()) == ["a", "b"]
    assert sorted(path.name for path in archives.unpacked_zip(tmp_path / name).iterdir()) == ["a", "b"]
    (tmp_path / name).write_bytes(zip_of({"a/1.png": b"picture"})[:40])
    with pytest.raises(InputError), extracted_zip(tmp_path / name, ZipLimits()):
        pass
    assert list(others.parent.iterdir()) == [others]


def test_names_of_a_mac_that_does_not_say_utf8_are_read_as_utf8(tmp_path: Path) -> None:
    file = tmp_path / "mac.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/caf__/0.png", b"picture")
    content = file.read_bytes().replace(b"caf__", "caf\u00e9".encode())
    file.write_bytes(content)
    extract_zip(file, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "x").iterdir()] == ["caf\u00e9"]
