"""The Fine-tune form: every setting is checked before anything starts, and a refused run leaves nothing behind."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generated import class_folders
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from in_process import served_demo

from bsig.explain.explainer import Explainer
from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DESCRIPTION, TENSORS
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.training.runs.folder import MAPS, RunFolder
from bsig.training.runs.queue import RunQueue
from bsig.training.runs.run import RunRequest
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.finetune.form import Form, checkpoint_zip, looked_over, submitted, taken_in
from bsig.ui.screens.finetune.run import probe_epochs, probe_pictures, probe_text, runs_html, settings_html, status_html
from bsig.ui.screens.finetune.two_checkpoints import two_answers
from bsig.ui.workbench import Workbench

PICTURE = bundled_examples()[0].path
BIRDS = "birds10-efficientnet_lite0"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def bench(runs: RunFolder) -> Workbench:
    return Workbench(more_folders=[runs.checkpoints])


def zip_of(folder: Path, file: Path) -> str:
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return str(file)


@pytest.fixture
def pictures_zip(tmp_path: Path) -> str:
    folder = class_folders(tmp_path / "data", {"red": "red", "green": "green"}, count=3)
    return zip_of(folder, tmp_path / "colours.zip")


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 0}, "`epochs` (=0) must be from 1"),
        ({"epochs": 2.5}, "`epochs` (=2.5) must be a whole number"),
        ({"epochs": None}, "`epochs` (=None) must be a number"),
        ({"learning_rate": -1}, "`learning_rate` (=-1.0) must be above 0"),
        ({"learning_rate": float("nan")}, "`learning_rate` (=nan) must be a number"),
        ({"batch_size": 0}, "`batch_size` (=0)"),
        ({"views": 0}, "`views` (=0)"),
        ({"schedule": "zigzag"}, "`schedule` (=zigzag)"),
        ({"branch": "third"}, "`branch` (=third)"),
        ({"branch": "shift", "initialisation": "fresh"}, "`initialisation` (=fresh)"),
        ({"positive_weight": -3}, "`positive_weight` (=-3.0) must be above 0"),
        ({"seed": -1}, "`seed` (=-1)"),
        ({"start": "no such"}, "`checkpoint` (='no such') must be one of"),
        ({"start": "../imagenet1k-efficientnet_lite0"}, "must be one of"),
        ({"start": "timm: no_such_net"}, "`backbone` (='no_such_net')"),
        ({"start": BIRDS}, "choose your own data"),
        ({"labels": "new"}, "choose your own data for a new label set"),
        ({"kind": "zip"}, "no zip is chosen"),
        ({"kind": "folder"}, "`folder` (empty)"),
        ({"kind": "folder", "folder": "/no/such"}, "must be a folder"),
        ({"kind": "torchvision", "dataset": "NoSuchSet"}, "must name a data set of torchvision"),
        ({"device": "tpu"}, "`device` (='tpu')"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_starts(
    bench: Workbench, runs: RunFolder, change: dict[str, Any], said: str
) -> None:
    form = replace(Form(), **change)
    with pytest.raises(InputError) as looked:
        looked_over(form, bench)
    assert said in str(looked.value)
    assert "\n" not in str(looked.value)
    if form.kind != "torchvision":  # looked for where it is downloaded: in the run
        with pytest.raises(InputError) as started:
            submitted(form, bench, runs, "bad", None, None)
        assert str(started.value) == str(looked.value)
    assert runs.names() == []


def test_the_forms_values_arrive_in_the_request(bench: Workbench, runs: RunFolder, pictures_zip: str) -> None:
    form = Form(
        "zip", pictures_zip, labels="new", start="timm: tf_efficientnet_lite0", branch="shift", epochs=4, seed=5,
        learning_rate=0.5, positive_weight=3, views=2, device="cpu",
    )  # fmt: skip
    name = submitted(form, bench, runs, "my colours", str(PICTURE), "golf ball")
    run = runs.read(name)
    training = run.request.config.training
    assert (name, training.branch, training.epochs, training.seed) == ("my-colours", "shift", 4, 5)
    assert (training.learning_rate, training.positive_weight, run.request.config.views.count) == (0.5, 3, 2)
    assert run.request.config.softmax_head is not None
    assert run.request.config.backbone == "tf_efficientnet_lite0"
    assert run.request.probe_class == "golf ball"
    assert sorted(path.name for path in Path(run.request.address).iterdir()) == ["green", "red"]
    assert (run.folder / "probe.png").is_file()
    found = looked_over(form, bench)
    assert found is not None
    assert found.counts == {"green": 3, "red": 3}


def test_a_zip_or_a_probe_that_is_refused_leaves_no_run(bench: Workbench, runs: RunFolder, tmp_path: Path) -> None:
    before = runs.names()
    bad = tmp_path / "bad.zip"
    bad.write_text("no zip")
    with pytest.raises(InputError, match="not a whole zip"):
        submitted(Form("zip", str(bad)), bench, runs, "bad", None, None)
    with pytest.raises(InputError, match="probe picture"):
        submitted(Form(), bench, runs, "bad", str(bad), None)
    assert runs.names() == before


# --- checkpoints in and out -------------------------------------------------------------------------------------------


def test_a_checkpoint_goes_out_as_a_zip_and_comes_in_again_with_the_same_answers(
    bench: Workbench, runs: RunFolder
) -> None:
    file = checkpoint_zip(CHECKPOINTS_FOLDER / BIRDS)
    name = taken_in(str(file), runs, bench)
    assert name == f"{BIRDS}-2"  # a shipped one has the name: neither hides the other
    assert {path.name for path in (runs.checkpoints / name).iterdir()} == {TENSORS, DESCRIPTION}
    encoded, again = Explainer(load_checkpoint(BIRDS)).encode(PICTURE), bench.encode(PICTURE, name)
    assert torch.equal(encoded.softmax_logits, again.softmax_logits)
    assert torch.equal(encoded.sigmoid_logits, again.sigmoid_logits)
    assert taken_in(str(file), runs, bench) == f"{BIRDS}-3"
    assert checkpoint_zip(CHECKPOINTS_FOLDER / BIRDS) == file  # made once


def test_what_is_no_whole_checkpoint_is_not_taken_in(
    bench: Workbench, runs: RunFolder, tmp_path: Path, pictures_zip: str
) -> None:
    before = sorted(runs.checkpoints.iterdir()) if runs.checkpoints.is_dir() else []
    with pytest.raises(InputError, match="must hold one checkpoint folder"):
        taken_in(pictures_zip, runs, bench)
    with pytest.raises(InputError, match="no zip is chosen"):
        taken_in(None, runs, bench)
    content = (CHECKPOINTS_FOLDER / BIRDS / TENSORS).read_bytes()
    with zipfile.ZipFile(tmp_path / "hurt.zip", "w") as archive:
        archive.writestr(f"x/{TENSORS}", content[:-1] + bytes([content[-1] ^ 1]))
        archive.write(CHECKPOINTS_FOLDER / BIRDS / DESCRIPTION, f"x/{DESCRIPTION}")
    with pytest.raises(InputError, match="cut short or changed"):
        taken_in(str(tmp_path / "hurt.zip"), runs, bench)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("../../evil/checkpoint.json", "{}")
    (tmp_path / "evil.zip").write_bytes(data.getvalue())
    with pytest.raises(InputError, match="outside its folder"):
        taken_in(str(tmp_path / "evil.zip"), runs, bench)
    assert (sorted(runs.checkpoints.iterdir()) if runs.checkpoints.is_dir() else []) == before


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_two_checkpoints_stand_on_one_scale_and_an_untouched_softmax_branch_is_said(
    bench: Workbench, runs: RunFolder, perturbed_model: DualBranch
) -> None:
    save_checkpoint(perturbed_model, runs.checkpoints / "moved")
    one, other = bench.encode(PICTURE, None), bench.encode(PICTURE, "moved")
    words, *pictures, bar = two_answers(one, other, "golf ball", "cam")
    assert "data-softmax-change='0.000e+00'" in words
    assert "no softmax probability differs" in words
    assert len(pictures) == 3
    before, after = one.explain("golf ball"), other.explain("golf ball")
    highest = max(float(evidence.map.max()) for evidence in (before.sigmoid, after.sigmoid, after.softmax))
    assert f"{highest:.3g}" in bar
    with pytest.raises(InputError, match="golf ball"):
        two_answers(one, bench.encode(PICTURE, BIRDS), "golf ball", "cam")


def test_the_probes_pictures_share_one_scale_over_all_epochs(runs: RunFolder) -> None:
    folder = runs.create("probe", RunRequest("bundled", "x", Form().config(Workbench())))
    (folder / MAPS).mkdir()
    Workbench().encode(PICTURE, None).crop.save(folder / MAPS / "crop.png")
    values = {"softmax": 1.0, "sigmoid-00000": 1.0, "sigmoid-00001": 4.0, "sigmoid-00002": 2.0}
    for name, top in values.items():
        grid = np.zeros((7, 7), np.float32)
        grid[3, 3] = top
        np.save(folder / MAPS / f"{name}.npy", grid)
    run = runs.read("probe")
    assert probe_epochs(run) == [0, 1, 2]
    shown = [probe_pictures(run, epoch) for epoch in (0, 1, 2, 99)]
    limits = [one[2] for one in shown if one]
    assert limits == [limits[0]] * 4
    assert shown[2][1].tobytes() == shown[3][1].tobytes()  # type: ignore[index]  beyond the last: the last
    brightness = [np.asarray(one[1], float)[224, 224].sum() for one in shown[:3] if one]
    assert brightness[1] > brightness[2] > brightness[0]
    assert "after epoch 2: positive evidence on 2 %" in probe_text(run, 2)[1]


def test_names_are_text_in_every_piece_of_html(runs: RunFolder) -> None:
    config = Form().config(Workbench())
    folder = runs.create("html", RunRequest("folder", "<script>alert(1)</script>", config))
    run = replace(runs.read(folder.name), events=({"kind": "note", "at": 0, "text": "<img src=x>"},))
    for piece in (status_html(run, None), settings_html(run), runs_html([run])):
        assert "<script>" not in piece
        assert "<img" not in piece


# --- the web API ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(bench: Workbench, runs: RunFolder) -> Iterator[Client]:
    queue = RunQueue(runs, CHECKPOINTS_FOLDER)
    try:
        with served_demo(bench, queue) as url:
            yield Client(url, verbose=False)
    finally:
        queue.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_over_the_web_a_zip_becomes_a_checkpoint_that_compare_takes(client: Client, pictures_zip: str) -> None:
    arguments: dict[str, Any] = {"labels": "new", "branch": "full", "epochs": 2, "learning_rate": 0.05}
    said = client.predict(
        data=handle_file(pictures_zip), name="colours", start="imagenet1k-efficientnet_lite0", batch_size=4, seed=0,
        api_name="/finetune", **arguments,
    )  # fmt: skip
    assert said["standing"] == "finished", said["status"]
    assert [epoch["number"] for epoch in said["epochs"]] == [0, 1, 2]
    *_, answer = client.predict(
        handle_file(str(PICTURE)), said["checkpoint"], "red", "cam", "signed", api_name="/compare"
    )
    assert answer["class_name"] == "red"
    assert "colours" in [row["name"] for row in client.predict(api_name="/checkpoints")]
    assert "colours" in [row["name"] for row in client.predict(api_name="/runs")]
    assert client.predict("colours", api_name="/run") == said
    with pytest.raises(AppError, match="must be one of"):
        client.predict("no such run", api_name="/stop_run")
    with pytest.raises(AppError, match="epochs"):
        client.predict(
            data=None, name="bad", start="imagenet1k-efficientnet_lite0", batch_size=4, seed=0, api_name="/finetune",
            **{**arguments, "labels": "own", "epochs": 0},
        )  # fmt: skip
