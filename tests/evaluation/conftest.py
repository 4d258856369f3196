"""A small evaluation that several tests read, an encoded picture, and a model that can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generated import class_folders
from PIL import Image

from bsig import load_checkpoint
from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.evaluate import evaluate
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages, Sample
from bsig.inputs.paths import EXAMPLES
from bsig.model.backbones import Classifier
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import PooledLinearHead


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Four methods in two treatments on six pictures of three classes. Shared: never change it."""
    names = {"tench": "red", "goldfish": "green", "golf ball": "blue"}
    data = class_folders(tmp_path_factory.mktemp("data") / "set", names, count=2)
    methods, weights = ("cam", "grad-cam", "layer-cam", "eigen-cam"), ("signed", "nonnegative")
    config = EvaluationConfig(methods=methods, weights=weights, mosaics=0, resamples=20)
    return evaluate(load_checkpoint(), read_dataset(data), config)


@pytest.fixture(scope="session")
def encoded(perturbed_model: DualBranch) -> EncodedImage:
    return Explainer(perturbed_model).encode(EXAMPLES / "cat.jpg")


class Cells(torch.nn.Module):
    """An encoder whose channels are the colours, averaged over 16 x 16 pixels: pictures say where their class is."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(inputs, 16).relu()


@pytest.fixture(scope="session")
def colours(default_classifier: Classifier) -> DualBranch:
    """Three colours and white, as four classes. The sigmoid branch also says that a colour is not the others."""
    linear, sigmoid = torch.nn.Linear(3, 4), torch.nn.Linear(3, 4)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0], [5.5, 5.5, 5.5]]))
        linear.bias.zero_()
        sigmoid.weight.copy_(linear.weight - 3)
        sigmoid.bias.zero_()
    preprocessing = replace(
        default_classifier.preprocessing, input_size_hw=(96, 96), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )
    names = ("red", "green", "blue", "white")
    classifier = replace(
        default_classifier, encoder=Cells(), head=PooledLinearHead(linear), class_names=names, class_ids=names,
        preprocessing=preprocessing,
    )  # fmt: skip
    return DualBranch(classifier, PooledLinearHead(sigmoid), name="colours")


@pytest.fixture
def squares(tmp_path: Path) -> LabelledImages:
    """Pictures whose left half has the colour of their class and whose right half is black; box and mask say so."""
    mask = np.zeros((48, 96), np.uint8)
    mask[:, :48] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    colours = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
    samples = []
    for name, colour in colours.items():
        for i in range(2):
            pixels = np.zeros((48, 96, 3), np.uint8)
            pixels[:, :48] = colour
            Image.fromarray(pixels).save(tmp_path / f"{name}{i}.png")
            box, mask_path = ((0.0, 0.0, 48.0, 48.0),), tmp_path / "mask.png" if i else None
            samples.append(Sample(f"{name}{i}", name, tmp_path / f"{name}{i}.png", box, mask_path))
    return LabelledImages("squares", "val", tuple(samples))
