"""Files, folders and zips become one list; nothing is left out without being counted or named."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from generated import picture

from bsig.inputs.errors import InputError
from bsig.inputs.picture_files import LARGEST_MANIFEST_BYTES, picture_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures on two levels, one damaged, one other file, and what systems leave behind."""
    root = tmp_path / "pictures"
    for name in ("b.png", "deep/er/a.PNG", ".hidden/x.png", "__MACOSX/._b.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture("red", 1).save(root / name, "PNG")
    (root / "bad.jpg").write_bytes(b"no picture")
    (root / "notes.txt").write_text("notes")
    (root / ".DS_Store").write_bytes(b"")
    return root


def names(*sources: object, reserved: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    with picture_files([str(source) for source in sources], reserved) as files:
        assert all(file.path.is_file() for file in files.pictures)
        return [(file.name, file.folder) for file in files.pictures]


def test_a_folder_gives_its_pictures_by_name_and_counts_the_rest(folder: Path) -> None:
    with picture_files([str(folder)]) as files:
        assert [(file.name, file.folder) for file in files.pictures] == [("b.png", "b"), ("deep/er/a.PNG", "deep/er/a")]
        assert files.skipped == 1
        assert len(files.left_out) == 1
        assert "'bad.jpg' is not a picture" in files.left_out[0]


def test_a_zip_gives_the_same_as_its_folder_and_is_gone_afterwards(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "more.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for file in folder.rglob("*"):
            if file.is_file():
                zipped.write(file, file.relative_to(folder))
    assert names(archive) == names(folder)
    with picture_files([str(archive)]) as files:
        unpacked = files.pictures[0].path
    assert not unpacked.exists()


def test_every_picture_has_a_folder_of_its_own_and_counts_once(folder: Path, tmp_path: Path) -> None:
    for name in ("B.jpg", "table.png"):
        picture("blue", 2).save(tmp_path / name)
    sources = (folder / "b.png", tmp_path / "B.jpg", folder / "b.png", tmp_path / "table.png")
    assert names(*sources, reserved=("table",)) == [("b.png", "b"), ("B.jpg", "B-2"), ("table.png", "table-2")]


def test_a_named_file_that_is_no_picture_is_refused(folder: Path) -> None:
    for name, reason in (("bad.jpg", "not a picture"), ("nowhere.jpg", "cannot be read")):
        with pytest.raises(InputError, match=reason):
            names(folder / name, folder)


def test_a_place_without_a_picture_is_refused_with_the_reason(folder: Path) -> None:
    (folder / "only").mkdir()
    with pytest.raises(InputError, match="holds no picture that can be used"):
        names(folder / "only")
    (folder / "only" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"'bad\.png' is not a picture"):
        names(folder / "only")


def test_a_name_that_is_not_utf8_is_refused_before_any_work(folder: Path) -> None:
    try:
        picture("red", 1).save(folder / "deep" / os.fsdecode(b"caf\xe9.png"), "PNG")
    except OSError:
        pytest.skip("this disk takes UTF-8 names alone")
    with pytest.raises(InputError, match=r"'pictures' holds the name 'caf\?\.png', which is not UTF-8; rename it"):
        names(folder)


def test_a_name_is_given_in_the_composed_form(folder: Path) -> None:
    picture("red", 1).save(folder / "cafe\u0301.png")
    assert ("caf\u00e9.png", "caf\u00e9") in names(folder)


def test_a_manifest_is_read_once_from_the_folder_down_and_a_large_one_never(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    read_text = Path.read_text

    def recorded(self: Path, *arguments: Any, **options: Any) -> str:
        reads.append(self)
        return read_text(self, *arguments, **options)

    for number in range(3):
        (folder / "out" / str(number)).mkdir(parents=True)
        picture("blue", number).save(folder / "out" / str(number) / "picture.png")
    listed = json.dumps({"explanations": [{"picture": f"{number}/picture.png"} for number in range(3)]})
    (folder / "out" / "manifest.json").write_text(listed)
    (folder / "manifest.json").write_text(listed + " " * LARGEST_MANIFEST_BYTES)
    monkeypatch.setattr(Path, "read_text", recorded)
    with picture_files([str(folder)]) as files:
        assert files.own == 3
    assert reads.count(folder / "out" / "manifest.json") == 1
    assert folder / "manifest.json" not in reads
    assert not [path for path in reads if not path.is_relative_to(folder)]


def test_what_explain_has_written_is_counted_and_not_explained_again(folder: Path) -> None:
    (folder / "out" / "b").mkdir(parents=True)
    (folder / "out" / "explanations.csv").write_text("folder")
    (folder / "out" / "b" / "explanation.json").write_text("{}")
    manifest = {"explanations": [{"folder": "b", "picture": "b/picture.jpg"}]}
    (folder / "out" / "manifest.json").write_text(json.dumps(manifest))
    for name in ("contact-sheet.png", "b/comparison.png", "b/card.png", "b/picture-softmax.png", "b/picture.jpg"):
        picture("blue", 3).save(folder / "out" / name)
    (folder / "deep" / "explanation.json").write_text("{}")
    for name in ("comparison.png", "deep/picture.jpg"):  # a person's own: no numbers, no manifest tell of it
        picture("blue", 4).save(folder / name)
    with picture_files([str(folder)]) as files:
        assert [file.name for file in files.pictures] == [
            "b.png", "comparison.png", "deep/er/a.PNG", "deep/picture.jpg",
        ]  # fmt: skip
        assert (files.own, files.skipped) == (5, 5)
    with pytest.raises(InputError, match="holds no picture that can be used but 5 that `explain` has written"):
        names(folder / "out")
