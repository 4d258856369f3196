"""Classifiers in memory, timm's and others: the two parts give the module's own logits, or it is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from bsig import DualBranch, Explainer
from bsig.explain.readings import settings_of
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.save import save_checkpoint

NAMES = ["ant", "bee", "cat"]
INPUTS = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(3))


class Pooled(nn.Module):
    """Convolutions, an average in `forward`, a linear layer: CAM is exact."""

    def __init__(self, *, relu_in_place: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.last = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.classifier = nn.Linear(12, len(NAMES))
        self.relu_in_place = relu_in_place

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        features = self.last(self.stem(inputs))
        if self.relu_in_place:
            features = F.relu(features, inplace=True)
        return self.classifier(features.mean((2, 3)))


class ChannelsLast(Pooled):
    """The same with rows, columns, channels as the last layer's axes."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(12)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.norm(self.last(self.stem(inputs)).permute(0, 2, 3, 1)).mean((1, 2)))


class Skipping(Pooled):
    """Adds something of its input behind the features, which the head alone cannot know."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(inputs) + inputs.mean((1, 2, 3))[:, None]


def _flat() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=8, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(8 * 8 * 12, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, len(NAMES)),
    )  # fmt: skip


MODULES: dict[str, tuple[Callable[[], nn.Module], bool, tuple[int, int]]] = {
    "average and linear": (Pooled, True, (8, 12)),
    "relu in place": (lambda: Pooled(relu_in_place=True), False, (8, 12)),
    "channels last": (ChannelsLast, False, (8, 12)),
    "layers on the grid": (_flat, False, (8, 12)),
    "timm's": (lambda: timm.create_model("test_resnet", num_classes=3), True, (2, 3)),
    "timm's, built otherwise": (
        lambda: timm.create_model("test_resnet", num_classes=3, act_layer=nn.SiLU), True, (2, 3),
    ),
    "wrapped": (lambda: nn.Sequential(nn.Identity(), timm.create_model("test_resnet", num_classes=3)), True, (2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("kind", MODULES)
def test_a_module_in_two_parts_gives_its_own_logits(kind: str) -> None:
    make, cam_is_exact, grid_hw = MODULES[kind]
    torch.manual_seed(2)
    module = make().train()
    model = DualBranch.from_model(module, NAMES, input_size=(64, 96), mean=[0.5], std=[0.5])
    assert module.training, "the module itself is left as it was"
    with torch.no_grad():
        assert torch.allclose(model.softmax_logits(model.features(INPUTS)), module.eval()(INPUTS), atol=1e-5)
    assert model.softmax_head.cam_is_exact == cam_is_exact
    assert model.grid_hw == grid_hw
    assert model.class_names == tuple(NAMES)


def test_maps_of_a_module_sum_to_its_logit_and_it_can_be_given_the_usual_settings() -> None:
    torch.manual_seed(2)
    model = DualBranch.from_model(Pooled(), NAMES)
    assert model.preprocessing.input_size_hw == (224, 224)
    assert "Not given, so the usual ones are taken: input 224 x 224, mean 0.485" in model.notes[0]
    picture = (torch.rand(50, 70, 3).numpy() * 255).astype("uint8")
    explanation = Explainer(model).encode(Image.fromarray(picture)).explain("bee")
    bias = float(model.softmax_head.last_linear.bias[1])
    assert explanation.softmax.map.mean() + bias == pytest.approx(explanation.softmax.logit, abs=1e-4)


def test_a_timm_module_is_saved_and_another_is_refused_when_it_is_saved(tmp_path: Path) -> None:
    model = DualBranch.from_model(timm.create_model("test_resnet", num_classes=3), NAMES, input_size=96)
    from_disk = load_checkpoint(save_checkpoint(model, tmp_path / "own"))
    assert torch.equal(from_disk.features(INPUTS), model.features(INPUTS))
    for module in (Pooled(), timm.create_model("test_resnet", num_classes=3, act_layer=nn.SiLU)):
        with pytest.raises(InputError, match="cannot be saved as a checkpoint"):
            save_checkpoint(DualBranch.from_model(module, NAMES, input_size=96), tmp_path / "other")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Skipping, "not made of layers alone|do not give"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 96, 3)), "no layer that gives a map"),
        (lambda: nn.Sequential(Pooled(), nn.Softmax(1)), "do not give its outputs"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, stride=9), nn.AdaptiveAvgPool2d(1)), "not one tensor of logits"),
    ],
)
def test_a_module_that_cannot_be_cut_exactly_is_refused(make: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(InputError, match=words):
        DualBranch.from_model(make(), NAMES, input_size=(64, 96))


@pytest.mark.parametrize("module", [Pooled(), timm.create_model("test_resnet", num_classes=3)])
def test_names_must_be_as_many_as_outputs(module: nn.Module) -> None:
    with pytest.raises(InputError, match="holds 2 names, the network has 3 classes"):
        DualBranch.from_model(module, ["ant", "bee"], input_size=(64, 96))


def half(kind: str) -> Any:
    """One half, as people have it."""
    return {"float": 0.5, "NumPy scalar": np.float32(0.5), "array": np.array(0.5), "tensor": torch.tensor(0.5),
            "list": [0.5], "three": torch.full((3, 1, 1), 0.5)}[kind]  # fmt: skip


@pytest.mark.parametrize("kind", ["float", "NumPy scalar", "array", "tensor", "list", "three"])
def test_numbers_of_numpy_and_torch_are_numbers(kind: str) -> None:
    module = Pooled()
    model = DualBranch.from_model(module, input_size=np.int64(64), mean=half(kind), std=half(kind))
    assert model.preprocessing.input_size_hw == (64, 64)
    assert model.preprocessing.mean == model.preprocessing.std == (0.5, 0.5, 0.5)
    sides = DualBranch.from_model(module, input_size=np.array([64, 96])).preprocessing.input_size_hw
    assert sides == (64, 96)
    encoded = Explainer(model).encode(Image.new("RGB", (64, 64), "red"))
    index = torch.tensor(2)
    assert encoded.explain(index).class_index == encoded.explain(np.int64(2)).class_index == 2
    assert settings_of(model, "competition", {"mu": np.float32(0.5)})["mu"] == 0.5


@pytest.mark.parametrize("size", [np.array(64.5), [64, 64, 3], [64]])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(InputError, match="`input_size`"):
        DualBranch.from_model(Pooled(), input_size=size)
