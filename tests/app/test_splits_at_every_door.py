"""Page, command line, worker and evaluation choose the same pictures, say so, and refuse a broken split alike."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from generated import class_folders, picture
from indexes import write_index

from bsig.cli import finetune as cli_finetune
from bsig.cli.main import main
from bsig.inputs.datasets.splits import images_to_measure, train_and_held_out
from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.training.config import FinetuneConfig, TrainingConfig
from bsig.training.data_check import check_splits
from bsig.training.finetune import finetune
from bsig.training.runs.folder import RunFolder
from bsig.training.runs.run import RunRequest
from bsig.training.runs.words import check_words
from bsig.training.runs.worker import attempt
from bsig.ui.components.long_job import LongJob
from bsig.ui.screens.evaluate.kept import KeptEvaluations
from bsig.ui.screens.evaluate.own_pictures import OwnPictures, measured_title
from bsig.ui.workbench import Workbench

CHECKPOINT = "imagenet1k-efficientnet_lite0"
NAMES = {"tench": "red", "golf ball": "green"}
ALL_MEASURED = "All pictures are measured, since the data has no split 'val' or 'test'."


@pytest.fixture
def without_val(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "colours", NAMES, count=5)


@pytest.fixture
def with_a_bad_val_line(tmp_path: Path) -> Path:
    """Ten good pictures of `train`, one picture of `val` whose box has three numbers."""
    lines = []
    folder = tmp_path / "farm"
    folder.mkdir()
    for name, kind in NAMES.items():
        for number in range(5):
            picture(kind, number).save(folder / f"{kind}{number}.png")
            lines.append(f"{kind}{number}.png,{name},train,48,40,,")
    return write_index(folder, *lines, "red0.png,tench,val,48,40,1 2 3,")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], list[str]]:
    """`finetune` of one epoch, with its features in the test's own folder."""
    monkeypatch.setattr(cli_finetune, "finetune", functools.partial(finetune, cache_folder=tmp_path / "cache"))
    options = ["--out", str(tmp_path / "out"), "--epochs", "1", "--from", CHECKPOINT, "--device", "cpu"]
    return lambda data: ["finetune", str(data), *options]


def run_of(data: Path, work: Path) -> tuple[dict, RunFolder, str]:
    """How a worker's run on the data ended."""
    config = FinetuneConfig(
        start_from=str(CHECKPOINTS_FOLDER / CHECKPOINT), training=TrainingConfig(epochs=1), device="cpu"
    )
    runs = RunFolder(work)
    folder = runs.create("run", RunRequest("folder", str(data), config, keeps_features=False))
    outcome = attempt(folder, CHECKPOINTS_FOLDER, runs.checkpoints / folder.name)
    return outcome, runs, folder.name


def check_of(data: Path, model: DualBranch) -> str:
    """What the page says of the data before a fine-tune."""
    check = check_splits(train_and_held_out(str(data), seed=0), model, new_head=False, views=1, epochs=1, batch_size=32)
    return check_words(check, new_head=False)


def test_a_bad_line_of_val_is_refused_by_every_door(
    with_a_bad_val_line: Path,
    tmp_path: Path,
    command: Callable[[Path], list[str]],
    default_model: DualBranch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, sentence = with_a_bad_val_line, "index.csv of 'farm', line 12: box '1 2 3' must be four numbers"
    assert main(command(data)) == 2
    assert sentence in capsys.readouterr().err
    assert main(["evaluate", str(data), "--mosaics", "0", "--out", str(tmp_path / "results.json")]) == 2
    assert sentence in capsys.readouterr().err
    outcome, _, _ = run_of(data, tmp_path / "work")
    assert outcome["standing"] == "failed"
    assert sentence in outcome["sentence"]
    with pytest.raises(InputError) as caught:
        check_of(data, default_model)
    assert sentence in str(caught.value)
    with pytest.raises(InputError) as caught:
        measured_title(Workbench(), KeptEvaluations(), own_pictures(data, 5), LongJob())
    assert sentence in str(caught.value)


def test_without_a_val_split_page_command_and_worker_hold_the_same_tenth_out_and_say_so(
    without_val: Path,
    tmp_path: Path,
    command: Callable[[Path], list[str]],
    default_model: DualBranch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sentence = train_and_held_out(without_val, seed=0).sentence
    assert sentence.startswith("A tenth of each class")
    assert main(command(without_val)) == 0
    text = capsys.readouterr().err
    assert sentence in text
    assert "8 pictures of 2 classes, 2 more to hold out" in text
    outcome, runs, name = run_of(without_val, tmp_path / "work")
    assert outcome["standing"] == "finished"
    assert sentence in runs.read(name).notes()
    words = check_of(without_val, default_model)
    assert "8 pictures to train on, 2 held out" in words
    assert sentence in words
    by_command, by_worker = load_checkpoint(tmp_path / "out"), load_checkpoint(runs.checkpoints / name)
    assert by_command.metadata["data"]["held_out"] == by_worker.metadata["data"]["held_out"]
    assert by_command.metadata["tensors_sha256"] == by_worker.metadata["tensors_sha256"]


def own_pictures(folder: Path, limit: int) -> OwnPictures:
    return OwnPictures(CHECKPOINT, None, str(folder), ["cam"], ["signed"], limit)


@pytest.mark.nightly
def test_without_splits_command_and_page_measure_all_pictures_and_say_so(
    without_val: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert images_to_measure(without_val).sentence == ALL_MEASURED
    assert (
        main(["evaluate", str(without_val), "--mosaics", "0", "--limit", "2", "--out", str(tmp_path / "r.json")]) == 0
    )
    assert ALL_MEASURED in capsys.readouterr().err
    sets = KeptEvaluations()
    own = sets.get(measured_title(Workbench(), sets, own_pictures(without_val, 2), LongJob()))
    assert own is not None
    assert own.results["split_sentence"] == ALL_MEASURED
    sets.clear()
