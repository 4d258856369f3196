"""The Fine-tune form: every setting is checked before anything starts, and a refused run leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bsig.inputs.errors import InputError
from bsig.training.runs.run import RunFolder
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.finetune.form import Form, looked_over, submitted
from bsig.ui.workbench import Workbench

PICTURE = bundled_examples()[0].path
BIRDS = "birds10-efficientnet_lite0"


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
