"""`python -m bsig evaluate` as it is run: killed and started again, shared among processes, on every data layout."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import ForkedProgram, run_forked, run_together
from generated import COLOURS, class_folders, picture
from PIL import Image

from bsig.cli.main import main
from bsig.inputs import zips
from bsig.inputs.paths import ROOT

CLASSES = {"tench": "red", "goldfish": "green", "golf ball": "blue", "zebra": "red"}
PATIENCE_S = 300


def labelled(root: Path, count: int = 3) -> Path:
    """A folder with index.csv: four classes of the default checkpoint, boxes around the patches."""
    lines = ["file,class,split,width,height,boxes_xyxy,mask"]
    (root / "images").mkdir(parents=True)
    for number, (name, kind) in enumerate(CLASSES.items()):
        for i in range(count):
            file = f"images/{number}_{i}.png"
            picture(kind, 10 * number + i).save(root / file)
            lines.append(f"{file},{name},val,48,40,5 5 30 30,")
    (root / "index.csv").write_text("\n".join(lines) + "\n")
    return root


def environment(cache: Path) -> dict[str, str]:
    """One thread: sums in one order, so that numbers can be compared bit for bit."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "BSIG_CACHE": str(cache), "PYTHONPATH": str(ROOT)}


def command(data: Path, out: Path, *options_: str) -> list[str]:
    options = [
        "--mosaics",
        "0",
        "--methods",
        "cam,eigen-cam",
        "--weights",
        "signed,paper",
        "--out",
        str(out),
        *options_,
    ]
    return ["-m", "bsig", "evaluate", str(data), *options]


def run(arguments: list[str], cache: Path) -> subprocess.CompletedProcess[str]:
    return run_forked(*arguments, env=environment(cache), timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More than two parts of 32 pictures, so that a run can be killed between them."""
    return labelled(tmp_path_factory.mktemp("data") / "set", count=18)


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole")
    process = run(command(data, folder / "results.json"), folder)
    assert process.returncode == 0, process.stderr
    assert not (folder / ".results.json.partial").exists()
    return json.loads((folder / "results.json").read_text())


@pytest.mark.nightly
def test_a_run_that_was_killed_goes_on_to_the_same_numbers(
    data: Path, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    out, parts = tmp_path / "results.json", tmp_path / ".results.json.partial"
    program = ForkedProgram(*command(data, out), output=tmp_path / "log", env=environment(tmp_path))
    deadline = time.monotonic() + PATIENCE_S
    while not list(parts.glob("pictures-*.npz")) and program.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    program.send_signal(signal.SIGKILL)
    program.wait(timeout=30)
    if out.exists():
        pytest.skip("the run was over before it could be killed")
    assert list(parts.glob("pictures-*.npz"))
    process = run(command(data, out, "--progress", "lines"), tmp_path)
    assert process.returncode == 0, process.stderr
    first = next(line for line in process.stderr.splitlines() if line.startswith("progress"))
    assert int(first.split()[1]) >= 32  # what the killed run had done is not done again
    assert json.loads(out.read_text()) == uninterrupted
    assert not parts.exists()


@pytest.mark.nightly
def test_two_processes_find_the_same_numbers(data: Path, uninterrupted: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    process = run_together(2, *command(data, out), env=environment(tmp_path), timeout=PATIENCE_S)
    assert process.returncode == 0, process.stderr
    assert json.loads(out.read_text()) == uninterrupted
    assert process.stdout.count("cam, signed:") == 2  # cam's and eigen-cam's table, by the first process alone


def test_an_error_is_said_once_however_many_processes(tmp_path: Path) -> None:
    arguments = command(tmp_path / "nothing", tmp_path / "results.json")
    process = run_together(2, *arguments, env=environment(tmp_path), timeout=PATIENCE_S)
    assert process.returncode != 0
    assert process.stderr.count("must be a folder of pictures") == 1


# Data as people have it. In this process: `main` answers with its exit code.


def evaluated(arguments: list[str], tmp_path: Path) -> dict[str, Any]:
    out = tmp_path / "out" / "results.json"
    assert main(["evaluate", *arguments, "--mosaics", "0", "--out", str(out)]) == 0
    assert out.with_suffix(".csv").is_file()
    return json.loads(out.read_text())


def wsol(tmp_path: Path, name: str, labels: list[str], places: list[str]) -> tuple[Path, Path]:
    """Metadata as the published code has it, with pictures beside it."""
    folder, images = tmp_path / "metadata" / name / "val", tmp_path / "images"
    folder.mkdir(parents=True)
    for i, _ in enumerate(labels):
        file = images / "val" / f"{i}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(list(COLOURS)[i % 3], i).save(file)
    keys = [f"val/{i}.jpg" for i in range(len(labels))]
    (folder / "image_ids.txt").write_text("".join(f"{key}\n" for key in keys))
    (folder / "class_labels.txt").write_text("".join(f"{k},{v}\n" for k, v in zip(keys, labels, strict=True)))
    (folder / "image_sizes.txt").write_text("".join(f"{key},48,40\n" for key in keys))
    (folder / "localization.txt").write_text("".join(f"{line}\n" for line in places))
    return folder.parent, images


def test_class_folders_have_no_boxes(tmp_path: Path) -> None:
    for name, kind in CLASSES.items():
        (tmp_path / "set" / "val" / name).mkdir(parents=True)
        picture(kind, 1).save(tmp_path / "set" / "val" / name / "1.png")
    results = evaluated([str(tmp_path / "set")], tmp_path)
    assert (results["counts"]["used"], results["counts"]["with_boxes"]) == (4, 0)
    assert "gt_known" not in results["tables"][0]["columns"]["softmax"]["metrics"]


@pytest.mark.parametrize("name", ["ILSVRC", "CUB", "CARS"])
@pytest.mark.nightly
def test_published_metadata_with_boxes_is_matched_by_index(tmp_path: Path, name: str) -> None:
    places = ["val/0.jpg,5,5,30,30", "val/0.jpg,31,31,40,39", "val/1.jpg,0,0,20,20", "val/2.jpg,1,1,30,30"]
    folder, images = wsol(tmp_path, name, ["0", "1", "7"], places)
    results = evaluated([str(folder), "--images", str(images)], tmp_path)
    assert results["counts"]["with_boxes"] == 3
    indices = [row["class_index"] for row in results["tables"][0]["by_class"]]
    assert indices == [0, 1, 7]


@pytest.mark.nightly
def test_published_metadata_with_several_masks_takes_their_union(tmp_path: Path) -> None:
    """OpenImages. The picture is the same as one whose single mask is that union; what is ignored does not count."""
    for key, left in (("a", 0), ("b", 24)):
        mask = np.zeros((40, 48), np.uint8)
        mask[:20, left : left + 24] = 255
        (tmp_path / "images" / "masks").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "images" / "masks" / f"{key}.png")
    both, ignore = np.zeros((40, 48), np.uint8), np.zeros((40, 48), np.uint8)
    both[:20], ignore[15:30] = 255, 255
    Image.fromarray(both).save(tmp_path / "images" / "masks" / "both.png")
    Image.fromarray(ignore).save(tmp_path / "images" / "masks" / "ignore.png")
    values = []
    for name, lines in (
        ("several", ["val/0.jpg,masks/a.png,masks/ignore.png", "val/0.jpg,masks/b.png,"]),
        ("one", ["val/0.jpg,masks/both.png,masks/ignore.png"]),
    ):
        folder, images = wsol(tmp_path, name, ["0"], lines)
        results = evaluated([str(folder), "--images", str(images)], tmp_path)
        assert results["counts"]["with_mask"] == 1
        values.append(results["tables"][0]["columns"]["softmax"]["metrics"]["pxap"]["value"])
    assert values[0] == values[1]


# Bad input: counted, listed, refused or left out in words.


def index(tmp_path: Path, *rows: str) -> Path:
    folder = labelled(tmp_path / "set", count=1)
    with (folder / "index.csv").open("a") as file:
        file.write("".join(f"{row}\n" for row in rows))
    return folder


@pytest.mark.nightly
def test_what_cannot_be_used_is_counted_and_named_and_moves_no_average(tmp_path: Path) -> None:
    clean = evaluated([str(index(tmp_path / "clean"))], tmp_path / "clean")
    folder = index(
        tmp_path / "dirty",
        "images/missing.png,tench,val,48,40,1 1 9 9,",
        "images/0_0b.png,unicorn,val,48,40,1 1 9 9,",
        "images/broken.png,tench,val,,,,",
    )
    (folder / "images" / "broken.png").write_bytes(b"not a picture")
    picture("red", 3).save(folder / "images" / "0_0b.png")
    dirty = evaluated([str(folder)], tmp_path / "dirty")
    counts = dirty["counts"]
    assert (counts["used"], counts["unreadable"], counts["of_unmatched_classes"]) == (4, 2, 1)
    assert counts["unmatched_classes"] == ["unicorn"]
    text = " ".join(counts["sentences"])
    assert "missing.png" in text
    assert "broken.png" in text
    for name in ("own_area", "gt_known", "inside_auc"):
        before, after = (run["tables"][0]["columns"]["sigmoid"]["metrics"][name] for run in (clean, dirty))
        assert before["n"] == after["n"]
        assert after["value"] == pytest.approx(before["value"], rel=1e-4)


@pytest.mark.nightly
def test_boxes_beyond_the_picture_empty_masks_and_other_sizes_are_said(tmp_path: Path) -> None:
    folder = index(
        tmp_path,
        "images/far.png,tench,val,48,40,90 90 99 99,",
        "images/wide.png,tench,val,48,40,20 20 90 39,",
        "images/double.png,tench,val,96,80,10 10 60 60,",
        "images/other.png,tench,val,48,80,10 10 40 60,",
        "images/empty.png,tench,val,48,40,,empty_mask.png",
        "images/gone.png,tench,val,48,40,,no_mask.png",
    )
    for number, name in enumerate(("far", "wide", "double", "other", "empty", "gone")):
        picture("green", number).save(folder / "images" / f"{name}.png")
    Image.new("L", (48, 40)).save(folder / "empty_mask.png")
    counts = evaluated([str(folder)], tmp_path)["counts"]
    text = " ".join(counts["sentences"])
    assert "'images/far.png': box 90 90 99 99 holds nothing of the picture; left out." in text
    assert "'images/wide.png': box 20 20 90 39 reaches beyond the picture; cut off." in text
    assert "'images/double.png': listed as 96 x 80, the file has 48 x 40 pixels; its boxes are scaled." in text
    assert "'images/other.png': listed as 48 x 80" in text
    assert "another shape, so its boxes are left out" in text
    assert "'images/empty.png': its mask is empty; left out." in text
    assert "the mask of 'images/gone.png'" in text
    assert counts["used"] == 10
    assert counts["with_boxes"] == 4 + 2
    assert counts["with_mask"] == 0
    assert counts["boxes_or_masks_cut_or_left_out"] >= 6


def test_partial_results_never_take_the_place_of_other_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = labelled(tmp_path / "set", count=1)
    own_folder = tmp_path / ".results.json.partial"
    own_folder.mkdir()
    (own_folder / "thesis.txt").write_text("mine")
    assert main(["evaluate", str(folder), "--mosaics", "0", "--out", str(tmp_path / "results.json")]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert (own_folder / "thesis.txt").read_text() == "mine"


def test_a_zip_of_class_folders_without_splits_is_measured_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(zips, "CACHE_FOLDER", tmp_path / "cache")
    folder = class_folders(tmp_path / "pets", CLASSES, count=1)
    (folder / "zebra" / "notes.txt").write_text("striped")
    shutil.make_archive(str(folder), "zip", tmp_path, "pets")
    results = evaluated([f"{folder}.zip", "--resamples", "20"], tmp_path)
    text = capsys.readouterr().err
    assert "All pictures are measured, since the data has no split 'val' or 'test'." in text
    assert "Left out: files that are no pictures (1, e.g. 'zebra/notes.txt')." in text
    assert (results["data"], results["counts"]["used"]) == ("pets", 4)


def test_present_classes_are_never_asked_for_as_absent_ones(tmp_path: Path) -> None:
    """Of five classes most pictures have four: one is left that is absent of each."""
    folder = tmp_path / "set"
    folder.mkdir()
    names = ["tench", "goldfish", "golf ball", "zebra"]
    lines = ["file,class", *(f"{i}.png,{';'.join(names[i:] + names[:i])}" for i in range(4)), "4.png,tabby"]
    (folder / "index.csv").write_text("\n".join(lines))
    for i in range(5):
        picture("red", i).save(folder / f"{i}.png")
    results = evaluated([str(folder), "--absent-from", "data", "--resamples", "20"], tmp_path)
    assert results["counts"]["used"] == 5
    assert results["settings"]["absent_per_image"] == 1
