"""`python -m bsig explain`: the files, the JSON, and one line on stderr for whatever cannot be used."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import refusal, run
from PIL import Image

from bsig.cli.main import main
from bsig.explain.drawing.slide import slide_card
from bsig.explain.explainer import Explainer
from bsig.inputs.paths import CHECKPOINTS_FOLDER, EXAMPLES
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT, DESCRIPTION, TENSORS

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
        stored = np.load(out / f"{branch}.npy")
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored, getattr(explanation, branch).map)
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
    with pytest.raises(SystemExit) as ended:
        main(["explain", "--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert [name for name in FILES if name not in text] == []


@pytest.mark.parametrize("label", ["574", "golf ball", "n03445777"])
def test_a_class_can_be_given_by_index_name_or_id(label: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(CAT), "--class", label, "--json", "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["class_index"] == 574


def test_score_cam_takes_a_budget_of_channels(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(CAT), "--method", "score-cam", "--channels", "3", "--json", "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["method"] == "score-cam"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--class", "unicorn"], "`class` (='unicorn')"),
        (["--class", "1000"], "`class_index` (=1000) must be from 0 to 999"),
        (["--method", "smooth-cam"], "`method` (='smooth-cam') must be one of cam, grad-cam"),
        (["--weights", "absolute"], "`weights` (='absolute') must be one of signed, nonnegative, paper"),
        (["--checkpoint", "nowhere"], "one of: birds10-efficientnet_lite0, imagenet1k-efficientnet_lite0"),
        (["--device", "tpu"], "`device` (='tpu')"),
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
