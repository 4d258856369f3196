"""Damaged files of every kind: a valid result or one sentence; nothing else, no hang, nothing written elsewhere.

A hundred cases each here; 4,000 new ones each in the nightly lane, or as many as BSIG_FUZZ_CASES says:
`BSIG_FUZZ_CASES=10000 python -m pytest tests/nightly/test_fuzz.py -m nightly`.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from mutations import GATE_CASES, NIGHTLY_CASES, fuzz, mutated
from PIL import Image

from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.errors import InputError
from bsig.inputs.images import MAX_PIXELS, read_image
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.inputs.zips import ZipLimits, extract_zip
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DESCRIPTION, TENSORS
from bsig.model.dual_branch import DualBranch

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
CASES = pytest.mark.parametrize("cases", [GATE_CASES, pytest.param(NIGHTLY_CASES, marks=pytest.mark.nightly)])
LIMITS = ZipLimits(files=40, file_bytes=2**20, total_bytes=2**22, ratio=50)


def refused(work: Callable[[], Any]) -> Any:
    """The result, or None for a refusal, which must be one sentence."""
    try:
        return work()
    except InputError as error:
        words = str(error)
        assert "\n" not in words
        assert 15 < len(words) < 1000
        assert "Traceback" not in words
        return None


# --- pictures ---------------------------------------------------------------------------------------------------------


def _pictures() -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, 255, (37, 53, 3), dtype=np.uint8)
    rgb = Image.fromarray(noise)
    clear = rgb.copy()
    clear.putalpha(128)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "words"
    kinds = [
        (rgb, "JPEG", {}), (rgb, "JPEG", {"progressive": True, "exif": exif}), (rgb.convert("CMYK"), "JPEG", {}),
        (rgb.convert("L"), "JPEG", {"comment": b"words"}),
        (rgb, "MPO", {"save_all": True, "append_images": [rgb.rotate(90)]}),
        (rgb, "PNG", {}), (clear, "PNG", {"exif": exif}), (rgb.quantize(16), "PNG", {"transparency": 3}),
        (rgb.convert("1"), "PNG", {}), (Image.fromarray(noise[..., 0].astype(np.uint16) * 257), "PNG", {}),
        (rgb, "PNG", {"save_all": True, "append_images": [rgb.rotate(90)]}),
        (rgb, "GIF", {"save_all": True, "append_images": [rgb.rotate(90)]}), (rgb.convert("1"), "GIF", {}),
        (rgb, "WEBP", {}), (clear, "WEBP", {"lossless": True, "exif": exif}),
        (rgb, "WEBP", {"save_all": True, "append_images": [rgb.rotate(90)]}),
        (rgb, "TIFF", {}), (rgb, "TIFF", {"compression": "tiff_lzw"}),
        (rgb, "TIFF", {"compression": "tiff_adobe_deflate"}), (rgb.convert("1"), "TIFF", {"compression": "group4"}),
        (rgb, "TIFF", {"compression": "jpeg"}), (rgb.convert("F"), "TIFF", {}),
        (rgb, "TIFF", {"save_all": True, "append_images": [rgb.rotate(90)]}),
        (rgb, "BMP", {}), (rgb.quantize(16), "BMP", {}), (rgb.convert("1"), "BMP", {}), (clear, "BMP", {}),
    ]  # fmt: skip
    contents = []
    for picture, kind, options in kinds:
        data = io.BytesIO()
        picture.copy().save(data, kind, **options)  # Pillow leaves settings of one format on a picture
        contents.append(data.getvalue())
    return contents


def check_picture(content: bytes) -> None:
    picture = refused(lambda: read_image(content))
    if picture is not None:
        assert picture.mode == "RGB"
        assert 0 < picture.width * picture.height <= MAX_PIXELS


@CASES
def test_damaged_pictures(cases: int) -> None:
    fuzz(mutated(_pictures()), check_picture, cases)


# --- checkpoints ------------------------------------------------------------------------------------------------------

WHOLE = CHECKPOINTS_FOLDER / "birds10-efficientnet_lite0"
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=30)
    | st.sampled_from(["", "..", "/etc/passwd", "hf:a/b", "published/x", "last", "stride8", "full", "shift",
                       "x" * 5000]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@st.composite
def descriptions(draw: st.DrawFn) -> bytes:
    """The description with some of its values replaced or left out."""
    entries = json.loads((WHOLE / DESCRIPTION).read_text())
    for _ in range(draw(st.integers(1, 4))):
        inside: Any = entries
        while True:
            keys = list(inside) if isinstance(inside, dict) else list(range(min(3, len(inside))))
            key = draw(st.sampled_from(keys))
            if not isinstance(inside[key], dict | list) or not inside[key] or draw(st.booleans()):
                break
            inside = inside[key]
        if isinstance(inside, dict) and len(inside) > 1 and draw(st.integers(0, 4)) == 0:
            del inside[key]
        else:
            inside[key] = draw(JUNK)
    return json.dumps(entries).encode()


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """The tensors with some entries of their header replaced."""
    content = (WHOLE / TENSORS).read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    for _ in range(draw(st.integers(1, 3))):
        entry = header[draw(st.sampled_from(sorted(header)))]
        key = draw(st.sampled_from(sorted(entry)))
        entry[key] = draw(
            st.lists(st.integers(-(2**65), 2**65) | st.sampled_from([0, 1, 2**31, 2**62]), max_size=5)
            | st.sampled_from(["F64", "BF16", "I64", "F16", "F8_E4M3", "BOOL", "XX"]) | JUNK
        )  # fmt: skip
    text = json.dumps(header).encode()
    return (
        struct.pack("<Q", draw(st.sampled_from([len(text)] * 5 + [0, 2**63, len(text) - 1])))
        + text
        + content[8 + length :]
    )


def check_checkpoint(folder: Path, description: bytes | None, tensors: bytes | None) -> None:
    """Loads a copy with these files; its hash is made right, so that what is behind it is reached."""
    content = (WHOLE / DESCRIPTION).read_bytes() if description is None else description
    if tensors is not None:
        sha256 = hashlib.sha256(tensors).hexdigest()
        content = json.dumps({**json.loads(content), "tensors_sha256": sha256}).encode()
        (folder / TENSORS).write_bytes(tensors)
    (folder / DESCRIPTION).write_bytes(content)
    model = refused(lambda: load_checkpoint(folder))
    assert model is None or isinstance(model, DualBranch)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WHOLE, tmp_path / "fuzzed"))


@CASES
def test_damaged_descriptions_of_checkpoints(checkpoint: Path, cases: int) -> None:
    strategy = descriptions() | mutated([(WHOLE / DESCRIPTION).read_bytes()])
    fuzz(strategy, lambda text: check_checkpoint(checkpoint, text, None), cases)


@CASES
def test_damaged_tensors_of_checkpoints(checkpoint: Path, cases: int) -> None:
    strategy = headers() | mutated([(WHOLE / TENSORS).read_bytes()])
    fuzz(strategy, lambda tensors: check_checkpoint(checkpoint, None, tensors), cases)


# --- zips -------------------------------------------------------------------------------------------------------------


def _zips() -> list[bytes]:
    contents = []
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", compression) as archive:
            archive.writestr("pets/cat/1.png", b"picture" * 300)
            archive.writestr("pets/dog/2.png", bytes(range(256)) * 4)
            archive.mkdir("pets/empty")
            archive.comment = b"words"
        contents.append(data.getvalue())
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive, archive.open("a/1.png", "w", force_zip64=True) as file:
        file.write(b"x" * 500)
    return [*contents, data.getvalue()]


NAMES = st.text(max_size=20) | st.sampled_from(
    ["../x", "/x", "a/../../x", "a\\..\\..\\x", "C:/x", "a//b", "a/./b", "a/", "", ".", "..", "a\0b", "CON", "a" * 300,
     "é/ü", "a", "A", "a/b", "a/b/c"]
)  # fmt: skip


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """A zip whose entries have any name, kind and flags."""
    data = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(data, "w") as archive:
        warnings.simplefilter("ignore")  # of names that stand twice
        for _ in range(draw(st.integers(0, 6))):
            entry = zipfile.ZipInfo("placeholder")
            entry.filename = draw(NAMES)
            entry.compress_type = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
            entry.external_attr = draw(st.integers(0, 0xFFFF)) << 16 | draw(st.integers(0, 255))
            entry.create_system = draw(st.sampled_from([0, 3]))
            archive.writestr(entry, draw(st.binary(max_size=50)) * draw(st.sampled_from([1, 1, 1, 100_000])))
    return data.getvalue()


def check_zip(sandbox: Path, content: bytes) -> None:
    """Unpacks into a folder two levels below the sandbox, in which nothing else may change."""
    shutil.rmtree(sandbox, ignore_errors=True)
    target = sandbox / "deep" / "target"
    target.mkdir(parents=True)
    file = sandbox / "sent.zip"
    file.write_bytes(content)
    root = refused(lambda: extract_zip(file, target, LIMITS))
    paths = [path for path in sandbox.rglob("*") if path not in (file, target, target.parent)]
    assert all(path.is_relative_to(target) and not path.is_symlink() for path in paths)
    if root is None:
        assert paths == []
    else:
        assert root.is_relative_to(target)
        sizes = [path.stat().st_size for path in paths if path.is_file()]
        assert len(sizes) <= LIMITS.files
        assert max(sizes) <= LIMITS.file_bytes
        assert sum(sizes) <= LIMITS.total_bytes


@CASES
def test_damaged_zips(tmp_path: Path, cases: int) -> None:
    names = {path.name for path in tmp_path.parent.iterdir()}
    fuzz(archives() | mutated(_zips()), lambda content: check_zip(tmp_path / "sandbox", content), cases)
    assert {path.name for path in tmp_path.iterdir()} == {"sandbox"}
    assert {path.name for path in tmp_path.parent.iterdir()} == names


# --- index.csv --------------------------------------------------------------------------------------------------------

INDEX = b"""file,class,split,width,height,boxes_xyxy,mask
a/1.png,tench,train,400,300,10 20 30 40;5 5 6 6,m/1.png
a/2.png,"black, grouse",train,400,300,,
"b/3.png",albatross,val,400,300,0 0 400 300,
"""
CELLS = st.text(max_size=30) | st.sampled_from(
    ["", "a/1.png", "../1.png", "/etc/passwd", "a\0", "nan nan nan nan", "1 2 3", "1e999 0 1 1", "0 0 1 1", "-1 0 1 1",
     "9" * 5000, "²", "٣", '"', '"\n"', "train", "val", "~", "a/../../x", "x" * 200_000, "a" * 300 + ".png"]
)  # fmt: skip


@st.composite
def indices(draw: st.DrawFn) -> bytes:
    """A table with any columns in any order and any cells, quoted or not."""
    names = ["file", "class", "split", "width", "height", "boxes_xyxy", "mask"]
    columns = draw(st.lists(st.sampled_from(names) | st.text(max_size=5), max_size=9))
    if draw(st.booleans()):
        columns = [*names[:2], *columns]
    rows = draw(st.lists(st.lists(CELLS, max_size=9), max_size=4))
    lines = [",".join(columns), *(",".join(row) for row in rows)]
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    return draw(st.sampled_from(["\n", "\r\n", "\r"])).join(lines).encode(encoding, "replace")


def check_index(folder: Path, content: bytes) -> None:
    (folder / "index.csv").write_bytes(content)
    images = refused(lambda: read_dataset(folder))
    if images is None:
        return
    assert images.samples
    for sample in images.samples:
        assert sample.class_name
        for path in filter(None, (sample.path, *sample.masks)):
            assert path.resolve().is_relative_to(folder.resolve())
        for x0, y0, x1, y1 in sample.boxes_xyxy:
            assert 0 <= x0 <= x1 < np.inf
            assert 0 <= y0 <= y1 < np.inf
        assert sample.listed_size_wh is None or min(sample.listed_size_wh) > 0


@CASES
def test_damaged_indices(tmp_path: Path, cases: int) -> None:
    fuzz(indices() | mutated([INDEX]), lambda content: check_index(tmp_path, content), cases)
