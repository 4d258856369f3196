"""The probe's pictures: one scale over all epochs, and words with their numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bsig.training.config import FinetuneConfig
from bsig.training.runs.folder import MAPS, RunFolder
from bsig.training.runs.probe_pictures import probe_epochs, probe_pictures
from bsig.training.runs.run import RunRequest


def test_the_probes_pictures_share_one_scale_over_all_epochs(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    folder = runs.create("probe", RunRequest("bundled", "x", FinetuneConfig()))
    (folder / MAPS).mkdir()
    Image.new("RGB", (224, 224), (90, 120, 60)).save(folder / MAPS / "crop.png")
    values = {"softmax": 1.0, "sigmoid-00000": 1.0, "sigmoid-00001": 4.0, "sigmoid-00002": 2.0}
    for name, top in values.items():
        grid = np.zeros((7, 7), np.float32)
        grid[3, 3] = top
        np.save(folder / MAPS / f"{name}.npy", grid)
    run = runs.read("probe")
    assert probe_epochs(run) == [0, 1, 2]
    answers = [pictures for epoch in (0, 1, 2, 99) if (pictures := probe_pictures(run, epoch))]
    assert [pictures.epoch for pictures in answers] == [0, 1, 2, 2]  # beyond the last: the last
    assert [pictures.limit for pictures in answers] == [answers[0].limit] * 4
    assert answers[2].sigmoid.tobytes() == answers[3].sigmoid.tobytes()
    brightness = [np.asarray(pictures.sigmoid, float)[224, 224].sum() for pictures in answers[:3]]
    assert brightness[1] > brightness[2] > brightness[0]
    assert "after epoch 2: positive evidence on 2 %" in answers[2].sigmoid_text
    assert len({pictures.softmax.tobytes() for pictures in answers}) == 1
    early = [pictures for last in (0, 1, 2) if (pictures := probe_pictures(run, 0, last_epoch=last))]
    # While a run goes on, the scale grows with the epochs that are drawn and not with those to come.
    assert early[0].limit < early[1].limit == early[2].limit == answers[0].limit


def test_a_run_without_a_probe_has_no_pictures(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    runs.create("plain", RunRequest("bundled", "x", FinetuneConfig()))
    assert probe_pictures(runs.read("plain"), 0) is None
