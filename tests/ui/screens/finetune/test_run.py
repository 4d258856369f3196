"""A run as it is shown: the probe's pictures on one scale, and names as text in every piece of HTML."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bsig.training.runs.run import MAPS, RunFolder, RunRequest
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.finetune.form import Form
from bsig.ui.screens.finetune.run import probe_epochs, probe_pictures, probe_text, runs_html, settings_html, status_html
from bsig.ui.workbench import Workbench

PICTURE = bundled_examples()[0].path


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
