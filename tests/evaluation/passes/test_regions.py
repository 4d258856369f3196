"""Boxes and masks of a picture that EXIF turns are of the upright picture, or are left out with a note."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsig.evaluation.passes.regions import MASK_SIZE, Notes, Regions, regions_of
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import ClassRegions, Sample
from bsig.inputs.images import UPRIGHT_BY_ORIENTATION, read_image

WIDTH, HEIGHT = 60, 40
BOX = (6.0, 4.0, 30.0, 14.0)
QUARTERS = [orientation for orientation in UPRIGHT_BY_ORIENTATION if orientation >= 5]
SAME_SIZE = [orientation for orientation in UPRIGHT_BY_ORIENTATION if orientation < 5]
INVERSE = {
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
    Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
}  # fmt: skip


def object_of(box: tuple[float, ...], size_wh: tuple[int, int]) -> Image.Image:
    x0, y0, x1, y1 = map(int, box)
    pixels = np.zeros(size_wh[::-1], np.uint8)
    pixels[y0:y1, x0:x1] = 255
    return Image.fromarray(pixels)


def box_of(picture: Image.Image) -> tuple[float, ...]:
    """The box of what is bright: found by looking, not by the formula under test."""
    rows, columns = np.nonzero(np.asarray(picture.convert("L")) > 127)
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)


def stored(upright: Image.Image, orientation: int) -> Image.Image:
    """The pixels that a camera stores, so that the orientation turns them back."""
    turn = UPRIGHT_BY_ORIENTATION[orientation]
    return upright.transpose(INVERSE.get(turn, turn))


def saved(path: Path, orientation: int, form: str = "PNG", size_wh: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """Writes the picture of `BOX` as the camera stores it; returns what it stores."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = stored(object_of(BOX, size_wh), orientation)
    lying.convert("RGB").save(path, form, exif=exif)
    np.testing.assert_array_equal(np.asarray(read_image(path))[..., 0], np.asarray(object_of(BOX, size_wh)))
    return lying


def regions(sample: Sample, size_wh: tuple[int, int] = (WIDTH, HEIGHT)) -> Regions:
    return regions_of(sample, size_wh, Notes())


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", QUARTERS)
def test_width_and_height_say_in_which_direction_boxes_count(tmp_path: Path, orientation: int, form: str) -> None:
    lying = saved(tmp_path / "a", orientation, form)
    upright = Sample("a", "cat", tmp_path / "a", (BOX,), listed_size_wh=(WIDTH, HEIGHT))
    as_stored = Sample("a", "cat", tmp_path / "a", (box_of(lying),), listed_size_wh=lying.size)
    for sample in (upright, as_stored):
        assert regions(sample).boxes() == (BOX,)
    x0, y0, x1, y1 = box_of(lying)
    twice = Sample(
        "a", "cat", tmp_path / "a", ((2 * x0, 2 * y0, 2 * x1, 2 * y1),), listed_size_wh=(2 * HEIGHT, 2 * WIDTH)
    )
    assert regions(twice).boxes() == (BOX,)


@pytest.mark.parametrize(
    ("orientation", "listed_wh", "size_wh"),
    [
        (6, None, (WIDTH, HEIGHT)),
        *((turn, (WIDTH, HEIGHT), (WIDTH, HEIGHT)) for turn in SAME_SIZE),
        (6, (50, 50), (50, 50)),
    ],
)
def test_boxes_that_fit_both_ways_are_left_out_with_a_note(
    tmp_path: Path, orientation: int, listed_wh: tuple[int, int] | None, size_wh: tuple[int, int]
) -> None:
    saved(tmp_path / "a", orientation, size_wh=size_wh)
    own = regions(Sample("a", "cat", tmp_path / "a", (BOX,), listed_size_wh=listed_wh), size_wh)
    assert own.boxes() == ()
    (note,) = own.notes.regions
    assert note.startswith("'a': its EXIF orientation turns it, and `width` and `height` do not say which way")


def test_a_picture_without_orientation_needs_no_width_and_height(tmp_path: Path) -> None:
    object_of(BOX, (WIDTH, HEIGHT)).save(tmp_path / "a.png")
    own = regions(Sample("a", "cat", tmp_path / "a.png", (BOX,)))
    assert (own.boxes(), own.notes.regions) == ((BOX,), [])


@pytest.mark.parametrize("orientation", QUARTERS)
@pytest.mark.parametrize("kind", ["upright", "as stored", "turned by a tag of its own"])
def test_the_size_of_a_mask_says_how_it_lies(tmp_path: Path, orientation: int, kind: str) -> None:
    lying = saved(tmp_path / "a", orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    mask = object_of(BOX, (WIDTH, HEIGHT)) if kind == "upright" else lying
    mask.save(tmp_path / "mask.png", **({"exif": exif} if kind.startswith("turned") else {}))
    actual = regions(Sample("a", "cat", tmp_path / "a", mask=tmp_path / "mask.png")).mask()
    expected = object_of(BOX, (WIDTH, HEIGHT)).resize((MASK_SIZE, MASK_SIZE), Image.Resampling.NEAREST)
    assert actual is not None
    assert ((actual > 0) != (np.asarray(expected) > 0)).mean() < 0.01  # cv2 and Pillow round differently


def test_a_mask_that_fits_both_ways_is_left_out_with_a_note(tmp_path: Path) -> None:
    saved(tmp_path / "a", 3).save(tmp_path / "mask.png")
    own = regions(Sample("a", "cat", tmp_path / "a", mask=tmp_path / "mask.png"))
    assert own.mask() is None
    assert "its mask fits both ways" in own.notes.regions[0]


def index_of(folder: Path, width: str, height: str, box: str, mask: str = "") -> Sample:
    """The one picture of a folder with an index.csv that lists it so."""
    folder.mkdir(exist_ok=True)
    lines = ("file,class,split,width,height,boxes_xyxy,mask", f"a.png,cat,val,{width},{height},{box},{mask}")
    (folder / "index.csv").write_text("\n".join(lines), encoding="utf-8")
    (sample,) = read_dataset(folder, "val").samples
    return sample


@pytest.mark.parametrize(
    ("listed_wh", "box", "expected", "notes"),
    [
        ((60, 40), "6 4 30 14", (BOX,), 0),  # as the picture is shown
        ((40, 60), "4 30 14 54", (BOX,), 0),  # as orientation 6 stores it: (y0, 60 - x1, y1, 60 - x0)
        (("", ""), "4 30 14 54", (), 1),
    ],
)
def test_an_index_with_boxes_of_a_turned_picture(
    tmp_path: Path, listed_wh: tuple[int | str, int | str], box: str, expected: tuple[object, ...], notes: int
) -> None:
    sample = index_of(tmp_path / "set", *map(str, listed_wh), box)
    saved(tmp_path / "set" / "a.png", 6)
    own = regions(sample, sample.open().size)
    assert (own.boxes(), len(own.notes.regions)) == (expected, notes)


MASK_ENCODINGS: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "l01.png": Image.fromarray,
    "l255.png": lambda pixels: Image.fromarray(255 * pixels),
    "bit1.png": lambda pixels: Image.fromarray(255 * pixels).convert("1"),
    "red.png": lambda pixels: Image.fromarray(pixels[..., None] * np.array([255, 0, 0], np.uint8)),
    "transparent.png": lambda pixels: Image.fromarray(np.dstack([255 * pixels, 0 * pixels, 0 * pixels, 255 * pixels])),
    "black on transparent.png": lambda pixels: Image.fromarray(
        np.dstack([0 * pixels, 0 * pixels, 0 * pixels, 255 * pixels])
    ),
    "u16 1.png": lambda pixels: Image.fromarray(pixels.astype(np.uint16)),
    "u16 65535.png": lambda pixels: Image.fromarray(65535 * pixels.astype(np.uint16)),
    "jpeg.jpg": lambda pixels: Image.fromarray(255 * pixels),
}


@pytest.mark.parametrize("name", MASK_ENCODINGS)
def test_an_index_with_a_mask_of_any_encoding_has_the_same_object(tmp_path: Path, name: str) -> None:
    sample = index_of(tmp_path / "set", "", "", "", name)
    pixels = (np.asarray(object_of(BOX, (WIDTH, HEIGHT))) > 0).astype(np.uint8)
    MASK_ENCODINGS[name](pixels).save(tmp_path / "set" / name)
    object_of(BOX, (WIDTH, HEIGHT)).save(tmp_path / "set" / "a.png")
    actual = regions(sample).mask()
    assert actual is not None
    columns, rows = ((np.arange(MASK_SIZE) * size // MASK_SIZE) for size in (WIDTH, HEIGHT))
    np.testing.assert_array_equal(actual, pixels[rows[:, None], columns])


def test_a_note_names_the_class_whose_boxes_are_left_out_and_keeps_the_others(tmp_path: Path) -> None:
    object_of(BOX, (WIDTH, HEIGHT)).save(tmp_path / "a.png")
    far = ClassRegions("dog", ((80.0, 80.0, 90.0, 90.0),))
    sample = Sample("a", "cat", tmp_path / "a.png", (BOX,), further_classes=("dog",), further_regions=(far,))
    dog = regions(sample.of_class("dog"))
    assert (regions(sample).boxes(), dog.boxes()) == ((BOX,), ())
    assert dog.notes.regions == ["'a', class 'dog': box 80 80 90 90 holds nothing of the picture; left out."]
