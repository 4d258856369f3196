"""Files that strangers send: pictures, zips and checkpoints, each made to do harm, all small."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT, DESCRIPTION, TENSORS

SCRIPT = "<img src=x onerror=\"document.title='owned'\">"


def png_of(width: int, height: int, rows: bytes | None = None) -> bytes:
    """A black 1-bit PNG made by hand; `rows` in place of its compressed pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    if rows is None:
        packer = zlib.compressobj(9)
        row = bytes(1 + (width + 7) // 8)
        rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg_of_scans(width: int, height: int, scans: int) -> bytes:
    """A grey progressive JPEG with that many more scans, each of a few bytes: a correction of nothing."""
    data = io.BytesIO()
    Image.new("L", (width, height), 128).save(data, "JPEG", progressive=True, quality=30)
    content = data.getvalue()
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * scans + b"\xff\xd9"


def sixteen_bit_png(width: int, height: int) -> bytes:
    """A 16-bit grey PNG: 128 MB of pixels in 100 kB where it has 64 million."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 2 * width)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    content = bytearray(png_of(width, height, rows))
    content[24:26] = bytes((16, 0))  # bits and colour type of the header, whose checksum follows
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def small_picture(kind: str = "PNG", colour: str = "red") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(data, kind)
    return data.getvalue()


def zip_of(
    entries: dict[str, bytes], links: dict[str, str] | None = None, compression: int = zipfile.ZIP_STORED
) -> bytes:
    """A zip with these names taken literally, and symbolic links."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo("placeholder")
            entry.filename, entry.compress_type = name, compression  # not cleaned, as `ZipInfo(name)` would
            archive.writestr(entry, content)
        for name, target in (links or {}).items():
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, target)
    return data.getvalue()


def bomb() -> bytes:
    """A quarter of a megabyte that unpacks to 256."""
    data = io.BytesIO()
    with (
        zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a/1.png", "w", force_zip64=True) as file,
    ):
        for _ in range(64):
            file.write(bytes(4 * 2**20))
    return data.getvalue()


def many_entries(count: int, count_in_file: int | None = None) -> bytes:
    """A zip of that many empty files of a byte of name each; `said` is what its last record says."""
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    table = entry * count
    at = len(local)
    zip64 = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, len(table), at)
    zip64 += struct.pack("<IIQI", 0x07064B50, 0, at + len(table), 1)
    counts = (min(count, 0xFFFF),) * 2 if count_in_file is None else (count_in_file, count_in_file)
    size = len(table) if count_in_file is None else 47 * count_in_file
    return local + table + zip64 + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, *counts, size, at, 0)


def overlapping(names: tuple[str, str] = ("a/1.png", "a/1.png")) -> bytes:
    """A zip of two entries whose contents are the same bytes of the file."""
    content = zip_of({name: small_picture() for name in ("a/1.png", "b/2.png")})
    first = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", first + 4)
    entry = bytearray(content[second:])
    entry[42:46] = bytes(4)  # the offset of its content: the first one's
    entry[46:53] = names[1].encode()
    return content[:second] + bytes(entry)


def with_name(name: bytes, flag: int = 0) -> bytes:
    """A zip of one picture and of one whose name is these bytes; the flag 0x800 says that they are UTF-8."""
    stand_in = "b/" + "x" * (len(name) - 2)
    content = bytearray(
        zip_of({"a/0.png": small_picture(), stand_in: small_picture()}).replace(stand_in.encode(), name)
    )
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.rindex(mark) + at
        content[place : place + 2] = struct.pack("<H", flag)
    return bytes(content)


def hostile_zips() -> dict[str, tuple[Callable[[], bytes], str]]:
    """What makes the zip, by name, and words of its refusal."""
    picture = small_picture()
    whole = zip_of({"a/1.png": picture, "b/2.png": picture})
    return {
        "words": (lambda: b"these are words\n" * 30, "not a whole zip"),
        "truncated": (lambda: whole[: len(whole) // 2], "not a whole zip"),
        "upwards": (lambda: zip_of({"../../evil.png": picture, "a/1.png": picture}), "outside its folder"),
        "absolute": (lambda: zip_of({"/bsig-evil.png": picture}), "outside its folder"),
        "windows": (lambda: zip_of({"..\\..\\evil.png": picture, "C:\\evil.png": picture}), "outside its folder"),
        "link": (lambda: zip_of({"a/1.png": picture}, {"b/2.png": "/etc/passwd"}), "a link or special file"),
        "bomb": (bomb, "the limit is 64 MB a file"),
        "empty": (lambda: zip_of({"a/": b"", "b/": b""}), "holds no files"),
        "nothing": (lambda: zip_of({}), "holds no files"),
        "no pictures": (lambda: zip_of({"a/notes.txt": b"x", "b/notes.txt": b"x"}), "holds no labelled pictures"),
        "file and folder": (lambda: zip_of({"a": picture, "a/1.png": picture}), "as a file and as a folder"),
        "100,000 entries": (lambda: many_entries(100_000), "the limit is 5000"),
        "100,000 entries, said to be 3": (lambda: many_entries(100_000, count_in_file=3), "the limit is 5000"),
        "overlapping entries": (overlapping, "holds 'a/1.png' twice"),
        "overlapping contents": (lambda: overlapping(names=("a/1.png", "b/2.png")), "not a whole zip"),
        "name of no letters": (lambda: with_name(b"a/\xff\xfe.png", flag=0x800), "cannot be unpacked"),
        "index outside": (
            lambda: zip_of({"index.csv": b"file,class\n../../../../etc/passwd,a\n1.png,b\n", "1.png": picture}),
            "must lie inside the folder",
        ),
    }  # fmt: skip


def checkpoint_copy(folder: Path, **changes: Any) -> Path:
    """The shipped checkpoint copied to `folder` with changes of its description."""
    shutil.copytree(CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT, folder)
    description = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps({**description, **changes}))
    return folder


def with_tensors(folder: Path, content: bytes) -> Path:
    """Other bytes as the folder's tensors, with the hash that they have."""
    (folder / TENSORS).write_bytes(content)
    description = json.loads((folder / DESCRIPTION).read_text())
    description["tensors_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / DESCRIPTION).write_text(json.dumps(description))
    return folder


def safetensors_of(header: dict[str, Any], content: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def hostile_checkpoints(folder: Path) -> dict[str, str]:
    """Checkpoint folders in `folder`; words of each one's refusal by name."""
    million = [str(number) for number in range(1_000_001)]
    no_ids = checkpoint_copy(folder / "million-classes", class_names=million, class_ids=None) / DESCRIPTION
    no_ids.write_text(no_ids.read_text().replace(', "class_ids": null', ""))
    checkpoint_copy(folder / "nested").joinpath(DESCRIPTION).write_text("[" * 200_000)
    checkpoint_copy(folder / "huge-description").joinpath(DESCRIPTION).write_text(" " * (17 * 2**20))
    checkpoint_copy(folder / "newer", format_version=2)
    cut = checkpoint_copy(folder / "cut") / TENSORS
    cut.write_bytes(cut.read_bytes()[:1000])
    tampered = checkpoint_copy(folder / "tampered") / TENSORS
    content = bytearray(tampered.read_bytes())
    content[-1] ^= 1
    tampered.write_bytes(content)
    name = "sigmoid_head.classifier.weight"
    huge = {name: {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 2**62]}}
    with_tensors(checkpoint_copy(folder / "huge-tensor"), safetensors_of(huge))
    with_tensors(checkpoint_copy(folder / "huge-header"), struct.pack("<Q", 2**60) + b"{}")
    overlapping = {name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
                   "other": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}}  # fmt: skip
    with_tensors(checkpoint_copy(folder / "overlapping"), safetensors_of(overlapping, bytes(24)))
    with_nan(checkpoint_copy(folder / "nan"))
    long_names = ["x" * 10_000 + str(number) for number in range(500)]
    checkpoint_copy(folder / "long-names", class_names=long_names, class_ids=long_names)
    deep = checkpoint_copy(folder / "deep") / DESCRIPTION
    deep.write_text(deep.read_text().replace("{", '{"deep": ' + "[" * 500 + "]" * 500 + ", ", 1))
    entries = json.loads((CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT / DESCRIPTION).read_text())
    no_number = {**entries["preprocessing"], "std": [float("nan"), 0.5, float("inf")]}
    checkpoint_copy(folder / "no-number", preprocessing=no_number)
    for name, backbone in (("hub-backbone", "hf-hub:timm/resnet18.a1_in1k"), ("local-backbone", "local-dir:/etc")):
        checkpoint_copy(folder / name, backbone={**entries["backbone"], "name": backbone})
    return {
        "million-classes": "are allowed", "nested": "is not JSON", "huge-description": "is no description",
        "newer": "update bsig", "cut": "cut short or changed", "tampered": "cut short or changed",
        "huge-tensor": "not a whole safetensors file", "huge-header": "not a whole safetensors file",
        "overlapping": "not a whole safetensors file", "nan": "NaN or infinite",
        "long-names": "of at most 1000 letters", "deep": "nested more than", "no-number": "finite numbers above 0",
        "hub-backbone": "`backbone` (='hf-hub:timm/", "local-backbone": "`backbone` (='local-dir:/",
    }  # fmt: skip


def loadable_checkpoints(folder: Path) -> None:
    """One whose class names are markup, and one that gives two of its classes the same name."""
    markup_checkpoint(folder)
    names = json.loads((CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT / DESCRIPTION).read_text())["class_names"]
    twins = ["twin" if number in (285, 574) else name for number, name in enumerate(names)]
    checkpoint_copy(folder / "twins", class_names=twins, class_ids=twins)


def markup_checkpoint(folder: Path) -> None:
    """One that loads, whose class names are markup."""
    names = [f"{SCRIPT}{number}" for number in range(1000)]
    checkpoint_copy(folder / "markup", class_names=names, class_ids=names)


def with_nan(folder: Path) -> Path:
    tensors = load_file(folder / TENSORS)
    key = next(key for key in sorted(tensors) if tensors[key].is_floating_point())
    tensors[key].view(-1)[0] = torch.nan
    save_file(tensors, folder / TENSORS)
    return with_tensors(folder, (folder / TENSORS).read_bytes())


def zipped_folder(folder: Path) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for part in sorted(folder.iterdir()):
            archive.write(part, f"{folder.name}/{part.name}")
    return data.getvalue()
