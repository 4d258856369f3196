"""Boxes and masks of a picture that EXIF turns are of the upright picture, or are left out with a note."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsig.evaluation.passes.regions import MASK_SIZE, Notes, Regions, regions_of
from bsig.inputs.datasets.samples import Sample
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
    ("orientation", "listed", "size_wh"),
    [
        (6, None, (WIDTH, HEIGHT)),
        *((turn, (WIDTH, HEIGHT), (WIDTH, HEIGHT)) for turn in SAME_SIZE),
        (6, (50, 50), (50, 50)),
    ],
)
def test_boxes_that_fit_both_ways_are_left_out_with_a_note(
    tmp_path: Path, orientation: int, listed: tuple[int, int] | None, size_wh: tuple[int, int]
) -> None:
    saved(tmp_path / "a", orientation, size_wh=size_wh)
    own = regions(Sample("a", "cat", tmp_path / "a", (BOX,), listed_size_wh=listed), size_wh)
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
