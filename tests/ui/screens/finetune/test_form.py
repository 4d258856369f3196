"""The Fine-tune form: every setting is checked before anything starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bsig.inputs.errors import InputError
from bsig.training.runs.folder import RunFolder
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.finetune.form import Form
from bsig.ui.screens.finetune.new_run import create_run, form_check
from bsig.ui.workbench import Workbench

PICTURE = bundled_examples()[0].path
BIRDS = "birds10-efficientnet_lite0"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epochs": 0}, "`epochs` (=0) must be from 1"),
        ({"epochs": 2.5}, "`epochs` (=2.5) must be a whole number"),
        ({"epochs": None}, "`epochs` (=None) must be given"),
        ({"learning_rate": -1}, "`learning_rate` (=-1.0) must be above 0"),
        ({"learning_rate": float("nan")}, "`learning_rate` (=nan) must be a number"),
        ({"batch_size": 0}, "`batch_size` (=0)"),
        ({"views": 0}, "`views` (=0)"),
        ({"views": 2}, "`views` (=2) must be 1 for the shipped features"),
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
    bench: Workbench, runs: RunFolder, change: dict[str, Any], sentence: str
) -> None:
    form = replace(Form(), **change)
    with pytest.raises(InputError) as check_error:
        form_check(form, bench)
    assert sentence in str(check_error.value)
    assert "\n" not in str(check_error.value)
    with pytest.raises(InputError) as start_error:
        create_run(form, bench, runs, "bad")
    assert str(start_error.value) == str(check_error.value)
    assert runs.names() == []


def test_a_device_that_a_public_app_does_not_offer_is_refused_by_name() -> None:
    public = Workbench(is_public=True)
    with pytest.raises(InputError, match=r"`device` \(=mps\) must be 'auto' in this public app"):
        Form(device="mps").config(public)
    assert Form(device="auto").config(public).device == public.device
