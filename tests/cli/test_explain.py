"""`python -m bsig explain`: the files, the JSON, and one line on stderr for whatever cannot be used."""

from __future__ import annotations

import csv
import html
import json
import shutil
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from commands import refusal, run
from PIL import Image

from bsig.cli.main import main
from bsig.explain import names
from bsig.explain.cams import TRAINED
from bsig.explain.drawing.slide import slide_card
from bsig.explain.explainer import Explainer
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.explain.output import manifest
from bsig.explain.readings import READINGS
from bsig.inputs.names import MANIFEST, OWN_PICTURES, SHEET, TABLE
from bsig.inputs.paths import CHECKPOINTS_FOLDER, EXAMPLES
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT, DESCRIPTION, TENSORS
from bsig.model.engines import ONNX_PACKAGES

CAT = EXAMPLES / "cat.jpg"
FILES = ["card.png", "centred.npy", "comparison.png", "explanation.json", "report.html", "sigmoid.npy", "softmax.npy"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_explain_as_a_process_writes_all_files_and_prints_their_json(out: Path) -> None:
    process = run("explain", CAT, "--json", "--out", out)
    assert process.returncode == 0
    assert process.stderr == ""
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert json.loads(process.stdout) == json.loads((out / "explanation.json").read_text(encoding="utf-8"))


def test_a_bad_picture_as_a_process_ends_with_2_and_one_line(tmp_path: Path, out: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    process = run("explain", tmp_path / "text.jpg", "--out", out)
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr.count("\n") == 1
    assert "text.jpg' is not a picture that can be opened" in process.stderr
    assert not out.exists()


def test_explain_writes_the_maps_of_the_library(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["explain", str(CAT), "--class", "golf ball", "--weights", "nonnegative", "--json", "--out", str(out)])
        == 0
    )
    numbers = json.loads(capsys.readouterr().out)
    assert numbers == json.loads((out / "explanation.json").read_text(encoding="utf-8"))
    explanation = Explainer(load_checkpoint()).encode(CAT).explain("golf ball", "cam", "nonnegative")
    for branch in ("softmax", "sigmoid", "centred"):
        array = np.load(out / f"{branch}.npy")
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, getattr(explanation, branch).map)
        assert numbers[branch]["logit"] == getattr(explanation, branch).logit
    assert (numbers["class_name"], numbers["method"], numbers["weights"]) == ("golf ball", "cam", "nonnegative")
    assert numbers["checkpoint"] == DEFAULT_CHECKPOINT
    assert numbers["checkpoint_sha256"] == load_checkpoint().metadata["tensors_sha256"]
    assert "golf ball" in numbers["finding"]
    with Image.open(out / "comparison.png") as comparison:
        assert comparison.width > 1000
    with Image.open(out / "card.png") as card:
        np.testing.assert_array_equal(np.asarray(card), np.asarray(slide_card(explanation)))
    report = (out / "report.html").read_text(encoding="utf-8")
    assert html.escape(numbers["finding"], quote=False).replace("'", "&#39;") in report
    assert numbers["checkpoint_sha256"] in report


def test_the_help_of_explain_names_what_it_writes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["explain", "--help"])
    assert end.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert [name for name in FILES if name not in text] == []


@pytest.mark.parametrize(
    "label", ["golf ball", *(pytest.param(label, marks=pytest.mark.nightly) for label in ("574", "n03445777"))]
)
def test_a_class_can_be_given_by_index_name_or_id(label: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(CAT), "--class", label, "--json", "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["class_index"] == 574


def test_score_cam_takes_a_budget_of_channels(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(CAT), "--method", "score-cam", "--channels", "3", "--json", "--out", str(out)]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert (numbers["method"], numbers["engine"]) == ("score-cam", "torch")


@pytest.mark.skipif(all(map(find_spec, ONNX_PACKAGES)), reason="onnxruntime and onnx are installed")
def test_an_engine_that_is_not_installed_is_refused_with_what_to_install(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = refusal(capsys, "explain", CAT, "--engine", "onnxruntime", "--out", out)
    assert "`engine` (='onnxruntime') is not installed: pip install" in sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--class", "unicorn"], "`class` (='unicorn')"),
        (["--class", "1000"], "`class_index` (=1000) must be from 0 to 999"),
        (["--method", "smooth-cam"], "`method` (='smooth-cam') must be one of cam, grad-cam"),
        (["--weights", "absolute"], "`weights` (='absolute') must be one of signed, nonnegative, paper"),
        (["--checkpoint", "nowhere"], "one of: birds10-efficientnet_lite0, imagenet1k-efficientnet_lite0"),
        (["--device", "tpu"], "`device` (='tpu')"),
        (["--engine", "tensorrt"], "--engine: invalid choice: 'tensorrt'"),
        (["--method", "score-cam", "--channels", "0"], "at least 1"),
        (["--channels", "few"], "--channels: invalid int value: 'few'"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_a_wrong_choice_is_refused_with_its_value(
    arguments: list[str], sentence: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in refusal(capsys, "explain", CAT, "--out", out, *arguments)
    assert not out.exists()


def test_a_missing_picture_and_an_out_that_is_a_file_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nowhere.jpg" in refusal(capsys, "explain", tmp_path / "nowhere.jpg", "--out", tmp_path / "out")
    assert "holds no picture" in refusal(capsys, "explain", tmp_path, "--out", tmp_path / "out")
    (tmp_path / "file").write_text("not a folder")
    assert "`--out`" in refusal(capsys, "explain", CAT, "--out", tmp_path / "file")


@pytest.mark.parametrize("damage", ["cut", "class count", "no JSON"])
def test_a_damaged_checkpoint_is_refused_by_name(
    damage: str, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "birds"
    shutil.copytree(CHECKPOINTS_FOLDER / "birds10-efficientnet_lite0", folder)
    if damage == "cut":
        (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:1000])
    elif damage == "class count":
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        for key in ("class_names", "class_ids"):
            description[key] = description[key][:9]
        (folder / DESCRIPTION).write_text(json.dumps(description))
    else:
        (folder / DESCRIPTION).write_text("{")
    for address in (["--checkpoint", folder], ["--checkpoint", "birds", "--checkpoints", tmp_path]):
        assert "checkpoint 'birds': " in refusal(capsys, "explain", CAT, "--out", out, *address)


def test_the_keys_that_help_names_are_the_librarys() -> None:
    assert tuple(CAM_METHODS) == names.METHODS
    assert tuple(TREATMENTS) == names.WEIGHTS
    assert tuple(READINGS) == names.READINGS
    assert names.BRANCHES == TRAINED
    assert manifest.MANIFEST == MANIFEST


def test_without_json_the_finding_the_crop_and_the_files_are_printed(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(CAT), "--crop-mode", "squash", "--whole-picture", "--out", str(out)]) == 0
    first, second, *files = capsys.readouterr().out.splitlines()
    numbers = json.loads((out / "explanation.json").read_text(encoding="utf-8"))
    assert first == numbers["finding"]
    assert second == numbers["crop"] == "The model saw the whole picture, squashed to 224 x 224 pixels."
    assert sorted(files) == sorted(str(path) for path in out.iterdir())
    assert numbers["crop_box_xyxy"] == [0, 0, 300, 300]
    assert np.load(out / "picture-sigmoid.npy").shape == (300, 300)
    assert {path.name for path in out.glob("*.png")} == OWN_PICTURES  # which no later run explains


def test_several_pictures_and_classes_give_a_folder_each_a_sheet_a_table_and_a_bundle(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    shutil.copyfile(EXAMPLES / "clock.jpg", folder / "clock.jpg")
    (folder / "notes.txt").write_text("no picture")
    (folder / "cut.jpg").write_bytes(CAT.read_bytes()[:3000])  # its header is whole
    command = ["explain", str(CAT), str(folder), "--classes", "tabby,574", "--bundle", "--json", "--out", str(out)]
    assert main(command) == 0
    output = capsys.readouterr()
    assert "skipped 1 file" in output.err
    assert "left out: " in output.err
    assert "cut.jpg" in output.err
    rows = list(csv.DictReader((out / TABLE).read_text(encoding="utf-8").splitlines()))
    expected = {f"{picture}/{name}" for picture in ("cat", "clock") for name in ("281-tabby", "574-golf-ball")}
    assert {row["folder"] for row in rows} == expected
    assert [row["folder"] for row in json.loads(output.out)] == [row["folder"] for row in rows]
    assert {(row["softmax_reading"], row["sigmoid_reading"]) for row in rows} == {("plain", "levelled")}
    for row in rows:
        numbers = json.loads((out / row["folder"] / "explanation.json").read_text(encoding="utf-8"))
        assert float(row["sigmoid_calibrated_probability"]) == numbers["sigmoid"]["calibrated_probability"]
    shares = [float(row["disagreement"]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    encoded = Explainer(load_checkpoint()).encode(CAT)
    array = np.load(out / "cat" / "574-golf-ball" / "sigmoid.npy")
    assert np.abs(array - encoded.explain(574, reading="levelled").sigmoid.map).max() < 1e-4  # encoded in a batch
    assert not (out / "cat" / "574-golf-ball" / "report.html").exists()
    with Image.open(out / SHEET) as sheet:
        assert sheet.height > 4 * 144
    assert main(["check-bundle", str(out)]) == 0
    assert capsys.readouterr().out.count("agrees: ") == 4
    (out / "clock" / "picture.jpg").write_bytes(CAT.read_bytes())
    assert "'clock/picture.jpg' has changed" in refusal(capsys, "check-bundle", out)


def test_a_class_and_classes_exclude_each_other(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not allowed with" in refusal(capsys, "explain", CAT, "--class", "1", "--classes", "1,2", "--out", out)


def test_the_maps_are_read_as_on_the_screen_unless_another_reading_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["explain", str(CAT), "--class", "golf ball"]
    assert main([*command, "--out", str(tmp_path / "own")]) == 0
    assert main([*command, "--reading", "plain", "--out", str(tmp_path / "plain")]) == 0
    own, plain = (json.loads((tmp_path / name / "explanation.json").read_text()) for name in ("own", "plain"))
    assert (own["softmax"]["reading"], own["sigmoid"]["reading"]) == ("plain", "levelled")
    assert own["reading_text"].startswith("Sigmoid map: Levelled by presence (lambda = 1).")
    assert plain["sigmoid"]["reading"] == "plain"
    maps = [np.load(tmp_path / name / "sigmoid.npy") for name in ("own", "plain")]
    assert np.abs(maps[0] - own["sigmoid"]["level"] - maps[1]).max() < 1e-4
    assert "Levelled by presence" in (tmp_path / "own" / "report.html").read_text()


@pytest.mark.nightly
def test_a_readings_settings_and_its_second_class_are_asked_as_in_python(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load_checkpoint()
    encoded = Explainer(model).encode(CAT)
    options = ["explain", str(CAT), "--class", "golf ball", "--out", str(tmp_path)]
    for words, question in {
        "--reading-settings lambda=2": {"reading": "levelled", "reading_settings": {"lambda": 2}},
        "--reading pairwise --other-class tabby --bundle": {"reading": "pairwise", "other_class": "tabby"},
    }.items():
        assert main([*options, *words.split()]) == 0
        expected = encoded.explain("golf ball", **question).sigmoid.map
        assert np.abs(np.load(tmp_path / "sigmoid.npy") - expected).max() < 1e-5
    assert "\nBoth maps: Why golf ball and not tabby. Positive where" in capsys.readouterr().out
    assert [row.agrees for row in manifest.check_bundle(tmp_path, lambda _name: model)] == [True]
    answer = json.loads((tmp_path / "explanation.json").read_text())
    assert answer["other_name"] == "tabby"
    assert answer["reading_text"].startswith("Both maps: Why golf ball and not tabby.")


@pytest.mark.nightly
def test_a_picture_that_is_predicted_to_be_the_second_class_is_left_out(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predicted = Explainer(load_checkpoint()).encode(CAT).predicted_index
    pictures = [str(CAT), str(EXAMPLES / "clock.jpg")]
    command = ["explain", *pictures, "--reading", "pairwise", "--other-class", str(predicted), "--out", str(out)]
    assert main(command) == 0
    assert "left out: 'cat.jpg' is predicted to be `--other-class` itself." in capsys.readouterr().err
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"clock"}


def test_settings_and_second_classes_that_fit_no_reading_are_refused(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["explain", CAT, "--class", "tabby", "--out", out]
    for words, sentence in {
        "--reading-settings lambda": "`reading_settings` (='lambda') must be a setting and its number",
        "--reading-settings lambda=1,lambda=2": "`reading_settings` (='lambda') must give each setting once",
        "--reading-settings mu=1": "`reading_settings` (='mu') is no setting of the reading 'levelled'",
        "--reading pairwise": "`other_class` (='None') must name a class other than 'tabby'",
        "--reading pairwise --other-class tabby": "`--other-class` (='tabby') must be another class",
        "--other-class zebra": "does not go with the reading 'levelled'",
    }.items():
        assert sentence in refusal(capsys, *command, *words.split())
    assert not out.exists()


def test_a_picture_of_a_zip_is_left_out_by_its_name_in_the_zip(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("a/cat.jpg", CAT.read_bytes())
        archive.writestr("a/cut.jpg", CAT.read_bytes()[:3000])
    assert main(["explain", str(tmp_path / "mine.zip"), "--out", str(out)]) == 0
    assert "left out: 'a/cut.jpg' starts like a JPEG picture but cannot be decoded" in capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "cut.zip", "w") as archive:
        archive.writestr("a/cut.jpg", CAT.read_bytes()[:3000])
    assert "'a/cut.jpg' starts like" in refusal(capsys, "explain", tmp_path / "cut.zip", "--out", out)


@pytest.mark.nightly
def test_a_second_run_into_a_folder_of_the_input_explains_the_same_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(CAT, tmp_path / "cat.jpg")
    command = ["explain", str(tmp_path), "--classes", "tabby,574", "--bundle", "--json", "--out"]
    rows = []
    for _ in range(2):
        assert main([*command, str(tmp_path / "maps")]) == 0
        output = capsys.readouterr()
        rows.append(json.loads(output.out))
    assert rows[0] == rows[1]
    written = len([path for path in (tmp_path / "maps").rglob("*") if path.suffix in (".png", ".jpg")])
    assert f"skipped {written} pictures that `explain` has written" in output.err


@pytest.mark.parametrize("classes", [["--classes", ""], ["--classes", "tabby,,golf ball"], ["--class", " "]])
def test_an_empty_class_is_refused_and_not_the_prediction(
    classes: list[str], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "names an empty class" in refusal(capsys, "explain", CAT, *classes, "--out", out)
    assert not out.exists()
