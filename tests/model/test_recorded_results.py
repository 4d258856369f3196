"""Figures that travel with a checkpoint: put there by `evaluate --record`, never at the cost of its tensors."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from PIL import Image

from bsig import load_checkpoint
from bsig.evaluation.evaluate import evaluate
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.folder import read_description, record_results

DEFAULT = CHECKPOINTS_FOLDER / "imagenet1k-efficientnet_lite0"


def test_recording_adds_figures_and_leaves_the_tensors(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(DEFAULT, folder)
    images = tmp_path / "images" / "golf ball"
    images.mkdir(parents=True)
    for shade in (40, 200):
        Image.new("RGB", (64, 64), (shade, 90, 30)).save(images / f"{shade}.png")
    model = load_checkpoint(folder)
    results = evaluate(model, read_dataset(tmp_path / "images"), mosaics=0, resamples=20)
    record_results(folder, results)
    recorded = read_description(folder)["results"]["images/train"]
    expected = results["tables"][0]["columns"]["sigmoid"]["metrics"]["absent_area"]
    assert recorded["tables"][0]["sigmoid"]["absent_area"] == expected
    again = load_checkpoint(folder)
    assert torch.equal(again.sigmoid_head.last_linear.weight, model.sigmoid_head.last_linear.weight)
    assert (folder / "checkpoint.safetensors").read_bytes() == (DEFAULT / "checkpoint.safetensors").read_bytes()


def test_the_default_checkpoint_claims_at_most_a_quarter_of_softmaxs_area_for_absent_classes() -> None:
    table = read_description(DEFAULT)["results"]["imagenet20/val"]["tables"][0]
    softmax, sigmoid = table["softmax"]["absent_area"], table["sigmoid"]["absent_area"]
    assert sigmoid["high"] <= softmax["low"] / 4
    assert table["sigmoid"]["inside_auc"]["value"] > 0.95 * table["softmax"]["inside_auc"]["value"]
