"""WSOL metadata become samples with their boxes and masks; damaged ones are refused in one sentence."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from indexes import refusal

from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.errors import InputError


@pytest.fixture
def wsol(tmp_path: Path) -> Path:
    folder = tmp_path / "metadata" / "val"
    folder.mkdir(parents=True)
    (tmp_path / "pictures").mkdir()
    (folder / "image_ids.txt").write_text("birds/1.jpg\nbirds/2.jpg\n")
    (folder / "class_labels.txt").write_text("birds/1.jpg,3\nbirds/2.jpg,0\n")
    (folder / "image_sizes.txt").write_text("birds/1.jpg,48,40\nbirds/2.jpg,48,40\n")
    (folder / "localization.txt").write_text("birds/1.jpg,1,2,30,35\nbirds/1.jpg,4,5,6,7\nbirds/2.jpg,0,0,9,9\n")
    return folder


def test_wsol_metadata_gives_labels_and_several_boxes(wsol: Path, tmp_path: Path) -> None:
    for address in (wsol, wsol.parent):  # the split's own folder, or the one above
        images = read_dataset(address, "val", tmp_path / "pictures")
        first, second = images.samples
        assert (first.key, first.class_name) == ("birds/1.jpg", "3")
        assert first.path == tmp_path / "pictures" / "birds" / "1.jpg"
        assert first.boxes_xyxy == ((1, 2, 30, 35), (4, 5, 6, 7))
        assert second.boxes_xyxy == ((0, 0, 9, 9),)
        assert first.mask is None


def test_wsol_metadata_gives_masks_with_their_ignore_regions(wsol: Path, tmp_path: Path) -> None:
    (wsol / "localization.txt").write_text("birds/1.jpg,masks/1.png,masks/1_ignore.png\nbirds/2.jpg,masks/2.png,\n")
    first, second = read_dataset(wsol, "val", tmp_path).samples
    assert (first.mask, first.ignore_mask) == (tmp_path / "masks/1.png", tmp_path / "masks/1_ignore.png")
    assert (second.mask, second.ignore_mask) == (tmp_path / "masks/2.png", None)
    assert first.boxes_xyxy == ()


def test_several_masks_of_a_picture_all_count(wsol: Path, tmp_path: Path) -> None:
    """OpenImages: one line an instance, the region to ignore in the first; the public code takes the union."""
    (wsol / "localization.txt").write_text(
        "birds/1.jpg,masks/1a.png,masks/1_ignore.png\nbirds/2.jpg,masks/2.png,\nbirds/1.jpg,masks/1b.png,\n"
    )
    first, second = read_dataset(wsol, "val", tmp_path).samples
    assert first.masks == (tmp_path / "masks/1a.png", tmp_path / "masks/1b.png")
    assert first.ignore_mask == tmp_path / "masks/1_ignore.png"
    assert second.masks == (tmp_path / "masks/2.png",)


def test_sizes_of_the_index_travel_with_the_boxes(wsol: Path, tmp_path: Path) -> None:
    first, _ = read_dataset(wsol, "val", tmp_path).samples
    assert first.listed_size_wh == (48, 40)


def test_wsol_metadata_without_localization_is_classification_data(wsol: Path, tmp_path: Path) -> None:
    (wsol / "localization.txt").unlink()
    assert [sample.boxes_xyxy for sample in read_dataset(wsol, "val", tmp_path).samples] == [(), ()]


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
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
    wsol: Path, tmp_path: Path, file: str, content: str | bytes | None, sentence: str
) -> None:
    if content is None:
        (wsol / file).unlink()
    else:
        (wsol / file).write_bytes(content.encode() if isinstance(content, str) else content)
    assert sentence in refusal(wsol, "val", tmp_path)


def test_wsol_metadata_without_its_pictures_or_with_paths_outside_is_refused(wsol: Path, tmp_path: Path) -> None:
    assert "--images" in refusal(wsol, "val")
    (wsol / "image_ids.txt").write_text("../1.jpg\n")
    (wsol / "class_labels.txt").write_text("../1.jpg,3\n")
    assert "must lie inside" in refusal(wsol, "val", tmp_path)


@pytest.mark.parametrize("above", ["", "images/"])
def test_the_pictures_may_lie_in_a_zip_whose_only_folder_they_may_lie_in(
    above: str, wsol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bsig.inputs.zips.CACHE_FOLDER", tmp_path / "cache")
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for key in ("birds/1.jpg", "birds/2.jpg"):
            archive.writestr(above + key, "a picture")
    samples = read_dataset(wsol, "val", tmp_path / "pictures.zip").samples
    assert [sample.path.read_text() for sample in samples if sample.path] == ["a picture", "a picture"]
    assert [sample.key for sample in samples] == ["birds/1.jpg", "birds/2.jpg"]


def test_a_file_is_found_under_its_name_in_another_unicode_form(wsol: Path, tmp_path: Path) -> None:
    decomposed, composed = "cafe\u0301.jpg", "caf\u00e9.jpg"
    (tmp_path / "pictures" / decomposed).write_text("a picture")
    (wsol / "image_ids.txt").write_text(composed, encoding="utf-8")
    (wsol / "class_labels.txt").write_text(f"{decomposed},Cafe\u0301", encoding="utf-8")
    (wsol / "localization.txt").unlink()
    (sample,) = read_dataset(wsol, "val", tmp_path / "pictures").samples
    assert (sample.key, sample.class_name) == (composed, "Caf\u00e9")
    assert sample.path == tmp_path / "pictures" / decomposed


def test_a_place_of_pictures_that_is_not_there_is_refused(wsol: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"`--images` \(='.*nowhere'\) must be a folder of pictures, a zip of one\.$"):
        read_dataset(wsol, "val", tmp_path / "nowhere")
