"""What a file's tensors tell of its network: size, channels, pooling, a replaced classifier, one output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from own_weights import NETWORK, network, saved, tensors
from torch import nn

from bsig.inputs.errors import InputError
from bsig.model.backbones import BackboneOptions
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.model.model_settings import ModelSettings
from bsig.model.new_model import new_model

INPUTS = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(3))


def logits(model: DualBranch, inputs: torch.Tensor = INPUTS) -> torch.Tensor:
    with torch.no_grad():
        return model.softmax_logits(model.features(inputs))


def saved_network(folder: Path, name: str = NETWORK, **kwargs: Any) -> tuple[Any, Path]:
    torch.manual_seed(1)
    net = timm.create_model(name, **{"num_classes": 3, **kwargs}).eval()
    return net, saved(net.state_dict(), folder, "own.pth")


@pytest.mark.parametrize(
    ("kwargs", "settings", "grid_hw", "note"),
    [
        ({"img_size": 96}, {}, (6, 6), "trained at 96 x 96"),
        ({"img_size": (64, 96)}, {"input_size_hw": (64, 96)}, (4, 6), ""),
        ({"global_pool": "avg"}, {}, (10, 10), "pooling 'avg'"),
    ],
)
@pytest.mark.nightly
def test_a_transformers_size_and_pooling_are_its_tensors_or_the_given_ones(
    kwargs: dict[str, Any], settings: dict[str, Any], grid_hw: tuple[int, int], note: str, tmp_path: Path
) -> None:
    net, file = saved_network(tmp_path, "test_vit", **kwargs)
    model = new_model("test_vit", file, settings=ModelSettings(**settings))
    inputs = torch.randn(1, 3, *model.preprocessing.input_size_hw)
    with torch.no_grad():
        assert torch.allclose(logits(model, inputs), net(inputs), atol=1e-5)
    assert model.grid_hw == grid_hw
    assert note in " ".join(model.notes)
    from_disk = load_checkpoint(save_checkpoint(model, tmp_path / "kept"))
    assert torch.equal(logits(from_disk, inputs), logits(model, inputs))
    assert (from_disk.options, from_disk.grid_hw, from_disk.preprocessing) == (
        model.options,
        grid_hw,
        model.preprocessing,
    )


def test_a_rectangle_is_not_guessed_from_the_number_of_its_cells(tmp_path: Path) -> None:
    _, file = saved_network(tmp_path, "test_vit", img_size=(64, 96))
    with pytest.raises(InputError, match=r"--input-size, as 384 or 224x320 \(rows x columns\)"):
        new_model("test_vit", file)


def test_a_network_for_grey_sees_the_grey_of_an_rgb_picture(tmp_path: Path) -> None:
    net, file = saved_network(tmp_path, in_chans=1)
    model = new_model(NETWORK, file)
    # Pillow's grey of pixels in [0, 1], normalised by one mean and std, is the grey of the normalised picture.
    grey = (INPUTS * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    with torch.no_grad():
        assert torch.allclose(logits(model), net(grey), atol=1e-5)
    assert model.preprocessing.mean == model.preprocessing.std == (0.5, 0.5, 0.5)
    assert "mean 0.5, std 0.5" in model.notes[-1]
    with pytest.raises(InputError, match="must be one number each"):
        new_model(NETWORK, file, settings=ModelSettings(mean=(0.1, 0.2, 0.3)))


@pytest.mark.parametrize("channels", [2, 4, 6])
def test_other_numbers_of_channels_are_refused_by_name(channels: int, tmp_path: Path) -> None:
    _, file = saved_network(tmp_path, in_chans=channels)
    with pytest.raises(InputError, match=f"in_chans={channels}"):
        new_model(NETWORK, file)


HEADS: dict[str, tuple[nn.Module, str | None, bool]] = {
    "two layers": (nn.Sequential(nn.Linear(96, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3)), None, False),
    "norms": (
        nn.Sequential(nn.BatchNorm1d(96), nn.Dropout(0.5), nn.Linear(96, 16), nn.GELU(), nn.LayerNorm(16),
                      nn.Linear(16, 3)), "gelu", False,
    ),
    "no activation": (nn.Sequential(nn.Linear(96, 16), nn.Linear(16, 3, bias=False)), None, False),
    "a dropout before": (nn.Sequential(nn.Dropout(0.5), nn.Linear(96, 3)), None, True),
    "no bias": (nn.Linear(96, 3, bias=False), None, True),
}  # fmt: skip


@pytest.mark.parametrize("kind", HEADS)
def test_a_replaced_classifier_is_loaded_as_it_is_and_stored_so(kind: str, tmp_path: Path) -> None:
    head, activation, cam_is_exact = HEADS[kind]
    net = timm.create_model(NETWORK, num_classes=3).eval()
    net.load_state_dict(network().state_dict())
    net.fc = head.eval()
    file = saved(net.state_dict(), tmp_path, "own.pth")
    model = new_model(NETWORK, file, settings=ModelSettings(head_activation=activation))
    with torch.no_grad():
        expected = net(INPUTS)
    assert torch.allclose(logits(model), expected, atol=1e-5)
    assert model.softmax_head.cam_is_exact == cam_is_exact
    from_disk = load_checkpoint(save_checkpoint(model, tmp_path / "kept"))
    assert torch.allclose(logits(from_disk), expected, atol=1e-5)
    assumed = "--head-activation" in " ".join(model.notes)
    assert assumed == (kind == "two layers")


def test_one_output_is_no_softmax_and_one_sigmoid_where_it_is_asked_for(tmp_path: Path) -> None:
    net, file = saved_network(tmp_path, num_classes=1)
    with pytest.raises(InputError, match="--sigmoid-output"):
        new_model(NETWORK, file)
    model = new_model(NETWORK, file, settings=ModelSettings(sigmoid_output=True, class_names=("crack",)))
    with torch.no_grad():
        present = net(INPUTS)[:, 0].sigmoid()
        sigmoid = model.sigmoid_logits(model.features(INPUTS)).sigmoid()
    assert model.class_names == ("not crack", "crack")
    assert torch.allclose(logits(model).softmax(1)[:, 1], present, atol=1e-6)
    assert torch.allclose(sigmoid, torch.stack((1 - present, present), dim=1), atol=1e-6)
    from_disk = load_checkpoint(save_checkpoint(model, tmp_path / "kept"))
    assert torch.equal(logits(from_disk), logits(model))
    with pytest.raises(InputError, match="this one has 3"):
        new_model(NETWORK, saved(tensors(), tmp_path, "three.pth"), settings=ModelSettings(sigmoid_output=True))


def test_settings_that_no_tensor_shows_change_the_network_and_are_stored(tmp_path: Path) -> None:
    net, file = saved_network(tmp_path, "test_efficientnet", pad_type="same")
    models = [
        new_model("test_efficientnet", file, settings=ModelSettings(model_kwargs=kwargs))
        for kwargs in ((), (("pad_type", "same"),))
    ]
    with torch.no_grad():
        expected = net(INPUTS)
    assert not torch.allclose(logits(models[0]), expected, atol=1e-4)
    assert torch.allclose(logits(models[1]), expected, atol=1e-6)
    assert models[0].encoder is not models[1].encoder, "equal weights are not equal networks"
    from_disk = load_checkpoint(save_checkpoint(models[1], tmp_path / "kept"))
    assert torch.allclose(logits(from_disk), expected, atol=1e-6)


@pytest.mark.parametrize("key", ["pretrained", "checkpoint_path", "pretrained_cfg_overlay", "depth of a mine"])
def test_settings_that_are_none_of_a_networks_are_refused(key: str, tmp_path: Path) -> None:
    file = saved(tensors(), tmp_path, "own.pth")
    with pytest.raises(InputError, match="no setting of timm's networks"):
        new_model(NETWORK, file, settings=ModelSettings(model_kwargs=((key, 1),)))


def test_a_grid_of_one_cell_shows_no_place(tmp_path: Path) -> None:
    _, file = saved_network(tmp_path)
    with pytest.raises(InputError, match="grid of one cell at an input of 32 x 32"):
        new_model(NETWORK, file, settings=ModelSettings(input_size_hw=(32, 32)))
    earlier = BackboneOptions("layer2")
    model = new_model(NETWORK, file, earlier, settings=ModelSettings(input_size_hw=(32, 32)))
    assert model.grid_hw == (4, 4)
