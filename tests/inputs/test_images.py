"""Every kind of file that people hand in becomes upright RGB or one plain sentence; the crop is timm's own."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile_files import jpeg_of_scans, sixteen_bit_png
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, create_transform

from bsig.inputs.errors import InputError
from bsig.inputs.images import FORMATS, IMAGENET_MEAN, IMAGENET_STD, Preprocessing, crop_image, read_image
from bsig.inputs.tensors import input_tensor

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def file_of(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def pixels(picture: Image.Image) -> list[tuple[int, ...]]:
    """Row by row."""
    assert picture.mode == "RGB"
    return [tuple(int(value) for value in pixel) for pixel in np.asarray(picture).reshape(-1, 3)]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def refusal(source: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read_image(source, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


# What is read.


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_that_the_error_text_promises_is_read_from_bytes_and_from_a_path(
    form: str, tmp_path: Path
) -> None:
    flat = Image.new("RGB", (17, 13), (200, 40, 90))
    content = file_of(flat, form)
    (tmp_path / "picture.bin").write_bytes(content)
    for source in (content, tmp_path / "picture.bin", str(tmp_path / "picture.bin")):
        actual = read_image(source)
        assert actual.size == (17, 13)
        assert np.abs(np.asarray(actual).astype(int) - (200, 40, 90)).max() <= 5  # WebP at its default quality


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_lossless_files_keep_every_pixel(form: str) -> None:
    picture = noise(17, 13)
    assert pixels(read_image(file_of(picture, form))) == pixels(picture)


def test_a_phones_picture_of_several_jpegs_shows_its_first() -> None:
    red, blue = Image.new("RGB", (16, 16), RED), Image.new("RGB", (16, 16), BLUE)
    content = file_of(red, "MPO", save_all=True, append_images=[blue])
    assert pixels(read_image(content))[0][0] > 250


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_an_animation_shows_its_first_frame(form: str) -> None:
    red, blue = Image.new("RGB", (5, 3), RED), Image.new("RGB", (5, 3), BLUE)
    content = file_of(red, form, save_all=True, append_images=[blue, red])
    (first,) = set(pixels(read_image(content)))
    assert first[0] > 250
    assert first[2] < 5


def test_cmyk_is_read_as_the_colours_it_prints() -> None:
    picture = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red, green, blue = pixels(read_image(file_of(picture, "JPEG", quality=100)))[0]
    assert red > 250
    assert max(green, blue) < 5


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    values = np.array([[0, 257, 33000, 65535]], dtype=np.uint16)
    for form in ("PNG", "TIFF"):
        assert pixels(read_image(file_of(Image.fromarray(values), form))) == [
            BLACK, (1, 1, 1), (128, 128, 128), WHITE,
        ]  # fmt: skip


def test_whole_numbers_of_32_bits_up_to_255_are_bytes_and_up_to_65535_sixteen_bits() -> None:
    small, deep = (np.array([[0, 100, largest]], np.int32) for largest in (255, 65535))
    assert pixels(read_image(file_of(Image.fromarray(small), "TIFF"))) == [BLACK, (100, 100, 100), WHITE]
    assert pixels(read_image(Image.fromarray(small))) == [BLACK, (100, 100, 100), WHITE]
    assert pixels(read_image(file_of(Image.fromarray(deep), "TIFF"))) == [BLACK, BLACK, WHITE]
    assert "no agreed white" in refusal(file_of(Image.fromarray(deep + 1), "TIFF"))


def test_a_dark_ppm_of_sixteen_bits_stays_dark() -> None:
    content = b"P5 3 1 65535\n" + np.array([0, 100, 255], ">u2").tobytes()
    assert pixels(read_image(content)) == [BLACK, BLACK, (1, 1, 1)]


def test_one_bit_and_eight_bit_grey_become_rgb() -> None:
    grey = Image.fromarray(np.array([[0, 100, 255]], dtype=np.uint8))
    assert pixels(read_image(file_of(grey))) == [BLACK, (100, 100, 100), WHITE]
    assert pixels(read_image(file_of(grey.point(lambda value: 255 * (value > 50)).convert("1")))) == [
        BLACK, WHITE, WHITE,
    ]  # fmt: skip


def test_transparency_is_laid_on_white() -> None:
    picture = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((255, 0, 128)):
        picture.putpixel((x, 0), (0, 0, 200, alpha))
    opaque, clear, half = pixels(read_image(file_of(picture)))
    assert opaque == (0, 0, 200)
    assert clear == WHITE
    assert half == (127, 127, 227)


def test_a_transparent_palette_entry_is_laid_on_white() -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, *BLUE])
    picture.putpixel((1, 0), 1)
    assert pixels(read_image(file_of(picture, transparency=0))) == [WHITE, BLUE]
    assert pixels(read_image(file_of(picture))) == [RED, BLUE]


def test_transparent_grey_is_laid_on_white() -> None:
    picture = Image.new("LA", (2, 1), (60, 255))
    picture.putpixel((1, 0), (60, 0))
    assert pixels(read_image(file_of(picture))) == [(60, 60, 60), WHITE]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_stands_upright(orientation: int) -> None:
    # The stored picture is upright turned by the inverse of what its EXIF tag asks a viewer to do.
    turn = Image.Transpose
    undo = {2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM, 5: turn.TRANSPOSE,
            6: turn.ROTATE_90, 7: turn.TRANSVERSE, 8: turn.ROTATE_270}  # fmt: skip
    upright = noise(5, 3)
    turned_picture = upright if orientation == 1 else upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(turned_picture, exif=exif)
    assert pixels(read_image(content)) == pixels(upright)
    assert read_image(content).size == (5, 3)
    assert pixels(read_image(Image.open(io.BytesIO(content)))) == pixels(upright)


def test_a_pil_picture_is_copied_and_left_as_it_was() -> None:
    picture = noise(5, 3)
    original = picture.copy()
    actual = read_image(picture)
    actual.paste(BLACK, (0, 0, 5, 3))
    assert pixels(picture) == pixels(original)


@pytest.mark.parametrize("size_wh", [(1, 1), (1, 60_000), (60_000, 1), (2, 3)])
@pytest.mark.parametrize("crop_mode", ["center", "squash"])
def test_tiny_pictures_and_extreme_strips_are_read_and_cropped(size_wh: tuple[int, int], crop_mode: str) -> None:
    picture = read_image(file_of(Image.new("RGB", size_wh, (9, 80, 200))))
    crop = crop_image(picture, Preprocessing(crop_mode=crop_mode))
    assert crop.getcolors() == [(224 * 224, (9, 80, 200))]


# What is refused, and how.


def test_text_that_is_called_a_picture_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_text("this is no picture")
    text = refusal(path)
    assert "holiday.jpg" in text
    assert "JPEG" in text


@pytest.mark.parametrize("form", ["EPS", "ICO"])
def test_a_format_that_runs_a_program_or_hides_another_size_is_refused(form: str) -> None:
    assert "use one of JPEG" in refusal(file_of(Image.new("RGB", (16, 16)), form))


@pytest.mark.skipif("HEIF" in FORMATS, reason="pillow-heif is installed, so HEIC is read")
def test_a_heic_picture_is_refused_with_what_to_install() -> None:
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
    assert "is a HEIC picture, which needs pillow-heif: pip install pillow-heif" in refusal(content)


@pytest.mark.skipif("HEIF" not in FORMATS, reason="needs pillow-heif")
def test_a_heic_picture_is_read_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_image(file_of(Image.new("RGB", (40, 20), RED), "HEIF", exif=exif)).size == (20, 40)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.write_bytes(b"")
    assert "empty.png" in refusal(path)
    assert "0 bytes" in refusal(path)
    assert "0 bytes" in refusal(b"")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "folder" in refusal(tmp_path)


@pytest.mark.parametrize("path", ["no/such/picture.jpg", "a" * 300, "null\0byte", "~nobody/picture.jpg"])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    assert "check the path" in refusal(path)


@pytest.mark.parametrize("size_wh", [(20_000, 20_000), (10_000, 10_000), (64_001, 1_000)])
def test_a_huge_picture_is_refused_from_its_header_alone(size_wh: tuple[int, int]) -> None:
    # The file holds no pixels: had anything been decoded, the text would say that the file is damaged.
    assert "the limit is 64 million" in refusal(png_header(*size_wh))


def test_a_jpeg_whose_many_scans_hold_nothing_is_refused_by_their_number(tmp_path: Path) -> None:
    """Each is a pass over all pixels: 200 over 64 million take 17 s and 20 kB."""
    content = jpeg_of_scans(4000, 4000, 200)
    (tmp_path / "scans.jpg").write_bytes(content)
    for source in (content, tmp_path / "scans.jpg"):
        assert "is a JPEG of 206 scans over 4000 x 4000 pixels" in refusal(source)
    assert read_image(jpeg_of_scans(40, 30, 200)).size == (40, 30)
    assert read_image(file_of(noise(640, 480), "JPEG", progressive=True)).size == (640, 480)


def test_a_mark_of_a_scan_that_lies_across_two_blocks_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scans.jpg").write_bytes(jpeg_of_scans(4000, 4000, 200))
    for block in (7, 64, 101):
        monkeypatch.setattr("bsig.inputs.images.BLOCK", block)
        assert "of 206 scans" in refusal(tmp_path / "scans.jpg")


@pytest.mark.parametrize("size_wh", [(37, 53), (1, 7), (53, 1)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16", "P"])
def test_a_picture_taken_in_strips_is_the_picture_taken_as_a_whole(
    size_wh: tuple[int, int], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(3)
    grey, alpha = (generator.integers(0, 256, size_wh[::-1], dtype=np.uint8) for _ in range(2))
    if mode == "I;16":
        content = file_of(Image.fromarray(grey.astype(np.uint16) * 200 + alpha))
    elif mode == "P":
        content = file_of(Image.fromarray(grey).convert("P"), transparency=bytes(range(256)))
    else:
        picture = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]).convert(mode)
        content = file_of(picture)
    whole = np.asarray(read_image(content))
    monkeypatch.setattr("bsig.inputs.images.STRIP_PIXELS", 2 * size_wh[0] + 1)
    assert np.array_equal(np.asarray(read_image(content)), whole)


def test_a_sixteen_bit_picture_made_by_hand_is_one() -> None:
    with Image.open(io.BytesIO(sixteen_bit_png(13, 7))) as picture:
        assert (picture.mode, picture.size) == ("I;16", (13, 7))


def test_a_huge_pil_picture_is_refused() -> None:
    lazy = Image.open(io.BytesIO(png_header(8_001, 8_000)))
    assert "the limit is 64 million" in refusal(lazy)


def test_a_picture_of_just_the_limit_is_not_too_large_but_this_one_holds_no_pixels() -> None:
    assert "cannot be decoded" in refusal(png_header(64_000, 1_000))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_a_file_that_is_cut_short_is_refused_with_the_remedy(form: str) -> None:
    content = file_of(noise(67, 61), form)
    assert "cut short" in refusal(content[: len(content) * 2 // 3])
    assert "cut short" in refusal(Image.open(io.BytesIO(file_of(noise(67, 61), "JPEG")[:2000])))


def test_a_floating_point_picture_is_refused_in_its_own_words() -> None:
    text = refusal(file_of(Image.new("F", (3, 3), 0.5), "TIFF"))
    assert text.startswith("a floating-point picture")
    assert refusal(Image.new("F", (3, 3), 0.5)) == text


def test_the_name_that_the_caller_gives_is_the_one_in_the_error() -> None:
    assert refusal(b"no picture", name="row 7").startswith("row 7 ")


@pytest.mark.parametrize("form", FORMATS)
def test_damaged_files_are_read_or_refused_but_never_raise_anything_else(form: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a tree"
    content = file_of(noise(17, 13), form, **({"exif": exif} if form in ("JPEG", "PNG", "WEBP") else {}))
    dice = random.Random(form)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(dice.randint(1, 4)):
            # Mostly in the header, where the readers' own errors come from.
            damaged[dice.randrange(min(len(damaged), dice.choice((60, 200, 10_000))))] = dice.choice((0, 1, 127, 255))
        if dice.random() < 0.2:
            del damaged[dice.randrange(1, len(damaged)) :]
        with contextlib.suppress(InputError):
            assert read_image(bytes(damaged)).mode == "RGB"


# The crop.

SIZES_WH = [(500, 375), (640, 427), (427, 640), (333, 500), (341, 256), (300, 300), (224, 224), (90, 61), (100, 6_000)]


@pytest.mark.parametrize("size_wh", SIZES_WH)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_the_centre_crop_is_timms_evaluation_transform(size_wh: tuple[int, int], interpolation: str) -> None:
    preprocessing = Preprocessing((224, 224), 256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), interpolation)
    transform = create_transform(
        input_size=(3, 224, 224), interpolation=interpolation, crop_pct=224 / 256,
        mean=preprocessing.mean, std=preprocessing.std,
    )  # fmt: skip
    picture = noise(*size_wh)
    actual, expected = input_tensor(crop_image(picture, preprocessing), preprocessing)[0], transform(picture)
    steps = (actual - expected) * torch.tensor(preprocessing.std)[:, None, None] * 255
    # Resampling rounds to 8 bits: a place that falls on a half may go either way, and few do.
    assert steps.abs().max() <= 1.01
    assert (steps.abs() > 0.5).float().mean() < 0.01


def test_an_extreme_strip_is_cropped_from_its_middle() -> None:
    values = np.zeros((60_000, 3, 3), dtype=np.uint8)
    values[29_990:30_010] = RED
    assert crop_image(Image.fromarray(values), Preprocessing()).getcolors() == [(224 * 224, RED)]


def test_squash_shows_the_whole_picture() -> None:
    picture = Image.new("RGB", (448, 112), RED)
    picture.paste(BLUE, (224, 0, 448, 112))
    crop = crop_image(picture, Preprocessing(crop_mode="squash"))
    assert crop.size == (224, 224)
    assert crop.getpixel((0, 0)) == crop.getpixel((105, 223)) == RED
    assert crop.getpixel((118, 0)) == crop.getpixel((223, 223)) == BLUE


def test_a_crop_has_the_rows_and_columns_of_the_input_in_that_order() -> None:
    for crop_mode in ("center", "squash"):
        preprocessing = Preprocessing(input_size_hw=(96, 160), resize_to=160, crop_mode=crop_mode)
        crop = crop_image(noise(300, 200), preprocessing)
        assert crop.size == (160, 96)
        assert input_tensor(crop, preprocessing).shape == (1, 3, 96, 160)


def test_cropping_leaves_the_picture_as_it_was() -> None:
    picture = noise(50, 37)
    original = picture.copy()
    crop_image(picture, Preprocessing())
    assert pixels(picture) == pixels(original)


def test_the_usual_mean_and_deviation_are_those_that_timm_states() -> None:
    assert (IMAGENET_MEAN, IMAGENET_STD) == (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
