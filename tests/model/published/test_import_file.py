"""Files of the published code's layout, written here with random weights: the same logits, maps up to 1/k, or refused.

Each network's forward is written down a second time below, straight from the file's tensors.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tolerances import FLOAT32, assert_close
from torch import Tensor

from bsig.cli.main import main
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.class_names import read_class_names
from bsig.model.heads import PooledLinearHead
from bsig.model.model_settings import ModelSettings
from bsig.model.published.import_file import import_published
from bsig.model.published.networks import PublishedNetwork, empty_published_classifier, published_network

CLASSES = 5
SIDE = 96  # small, so that a test takes milliseconds; the networks are convolutional
NETWORKS = [
    PublishedNetwork("resnet50", "cam"),
    PublishedNetwork("resnet50", "gradcam", large_feature_map=True),
    PublishedNetwork("vgg16", "cam"),
    PublishedNetwork("vgg16", "cam", large_feature_map=True),
    PublishedNetwork("inception_v3", "cam"),
    PublishedNetwork("inception_v3", "cam", large_feature_map=True),
    PublishedNetwork("inception_v3", "gradcam"),
]
VGG_GRADCAM = PublishedNetwork("vgg16", "gradcam")
NAMES = [network.name for network in NETWORKS]


@cache
def published_tensors(network: PublishedNetwork) -> dict[str, Tensor]:
    """The tensors of a file of this network: the encoder's names are torchvision's, the heads' the published ones."""
    generator = torch.Generator().manual_seed(9)
    classifier = empty_published_classifier(network, CLASSES)
    shapes = dict(classifier.encoder.state_dict())
    head = classifier.head.state_dict()
    for branch in (network.softmax_head, network.sigmoid_head):
        shapes |= {published: head[own] for own, published in network.head_names(branch).items()}
    tensors = {}
    for key, value in shapes.items():
        if not value.is_floating_point():
            tensors[key] = torch.tensor(7)
        elif key.endswith("running_var"):
            tensors[key] = 0.5 + torch.rand(value.shape, generator=generator)
        elif value.ndim == 1:
            scale = 1.0 if key.endswith("weight") else 0.0
            tensors[key] = scale + 0.1 * torch.randn(value.shape, generator=generator)
        else:
            tensors[key] = torch.randn(value.shape, generator=generator) * (2 / value[0].numel()) ** 0.5
        if key.startswith("SPG_A4") and value.ndim == 2:
            tensors[key] = tensors[key][:, :, None, None]  # a 1x1 convolution there
    return tensors


def written(network: PublishedNetwork, path: Path, tensors: dict[str, Tensor] | None = None, prefix: str = "") -> Path:
    state = {prefix + key: value for key, value in (tensors or published_tensors(network)).items()}
    momentum = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    torch.save({"architecture": network.architecture, "epoch": 3, "state_dict": state, "optimizer": momentum}, path)
    return path


# The networks' forwards once more, from the tensors.


def conv(t: dict[str, Tensor], name: str, x: Tensor, stride: int = 1, padding: Any = 0) -> Tensor:
    return F.conv2d(x, t[f"{name}.weight"], t.get(f"{name}.bias"), stride, padding)


def norm(t: dict[str, Tensor], name: str, x: Tensor, eps: float) -> Tensor:
    mean, variance = t[f"{name}.running_mean"], t[f"{name}.running_var"]
    scale = t[f"{name}.weight"] / (variance + eps).sqrt()
    return x * scale[:, None, None] + (t[f"{name}.bias"] - mean * scale)[:, None, None]


def resnet50_features(t: dict[str, Tensor], x: Tensor, *, large: bool) -> Tensor:
    x = F.relu(norm(t, "bn1", conv(t, "conv1", x, 2, 3), 1e-5))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, (blocks, stride) in enumerate(((3, 1), (4, 2), (6, 1 if large else 2), (3, 1)), start=1):
        for block in range(blocks):
            name, step = f"layer{stage}.{block}", stride if block == 0 else 1
            y = F.relu(norm(t, f"{name}.bn1", conv(t, f"{name}.conv1", x), 1e-5))
            y = F.relu(norm(t, f"{name}.bn2", conv(t, f"{name}.conv2", y, step, 1), 1e-5))
            y = norm(t, f"{name}.bn3", conv(t, f"{name}.conv3", y), 1e-5)
            if block == 0:
                x = norm(t, f"{name}.downsample.1", conv(t, f"{name}.downsample.0", x, step), 1e-5)
            x = F.relu(x + y)
    return x


def vgg16_features(t: dict[str, Tensor], x: Tensor, *, large: bool, conv6: bool) -> Tensor:
    plan = ["64", "64", "M", "128", "128", "M", "256", "256", "256", "M", "512", "512", "512", "M", "512", "512", "512"]
    if large:
        del plan[13]
    index = 0
    for step in plan:
        if step == "M":
            x, index = F.max_pool2d(x, 2, 2), index + 1
        else:
            assert t[f"features.{index}.weight"].shape[0] == int(step)
            x, index = F.relu(conv(t, f"features.{index}", x, 1, 1)), index + 2
    return F.relu(conv(t, "conv6", x, 1, 1)) if conv6 else x


def unit(t: dict[str, Tensor], name: str, x: Tensor, stride: int = 1, padding: Any = 0) -> Tensor:
    return F.relu(norm(t, f"{name}.bn", conv(t, f"{name}.conv", x, stride, padding), 1e-3))


def inception_a(t: dict[str, Tensor], n: str, x: Tensor) -> Tensor:
    five = unit(t, f"{n}.branch5x5_2", unit(t, f"{n}.branch5x5_1", x), 1, 2)
    double = unit(t, f"{n}.branch3x3dbl_2", unit(t, f"{n}.branch3x3dbl_1", x), 1, 1)
    double = unit(t, f"{n}.branch3x3dbl_3", double, 1, 1)
    pool = unit(t, f"{n}.branch_pool", F.avg_pool2d(x, 3, 1, 1))
    return torch.cat((unit(t, f"{n}.branch1x1", x), five, double, pool), 1)


def inception_b(t: dict[str, Tensor], n: str, x: Tensor, stride: int, padding: int) -> Tensor:
    double = unit(t, f"{n}.branch3x3dbl_2", unit(t, f"{n}.branch3x3dbl_1", x), 1, 1)
    double = unit(t, f"{n}.branch3x3dbl_3", double, stride, padding)
    return torch.cat((unit(t, f"{n}.branch3x3", x, stride, padding), double, F.max_pool2d(x, 3, stride, padding)), 1)


def inception_c(t: dict[str, Tensor], n: str, x: Tensor) -> Tensor:
    seven = unit(t, f"{n}.branch7x7_1", x)
    seven = unit(t, f"{n}.branch7x7_3", unit(t, f"{n}.branch7x7_2", seven, 1, (0, 3)), 1, (3, 0))
    double = unit(t, f"{n}.branch7x7dbl_2", unit(t, f"{n}.branch7x7dbl_1", x), 1, (3, 0))
    double = unit(t, f"{n}.branch7x7dbl_3", double, 1, (0, 3))
    double = unit(t, f"{n}.branch7x7dbl_5", unit(t, f"{n}.branch7x7dbl_4", double, 1, (3, 0)), 1, (0, 3))
    pool = unit(t, f"{n}.branch_pool", F.avg_pool2d(x, 3, 1, 1))
    return torch.cat((unit(t, f"{n}.branch1x1", x), seven, double, pool), 1)


def inception_d(t: dict[str, Tensor], n: str, x: Tensor) -> Tensor:
    three = unit(t, f"{n}.branch3x3_2", unit(t, f"{n}.branch3x3_1", x), 2)
    seven = unit(t, f"{n}.branch7x7x3_2", unit(t, f"{n}.branch7x7x3_1", x), 1, (0, 3))
    seven = unit(t, f"{n}.branch7x7x3_4", unit(t, f"{n}.branch7x7x3_3", seven, 1, (3, 0)), 2)
    return torch.cat((three, seven, F.max_pool2d(x, 3, 2)), 1)


def inception_e(t: dict[str, Tensor], n: str, x: Tensor) -> Tensor:
    three = unit(t, f"{n}.branch3x3_1", x)
    three = [unit(t, f"{n}.branch3x3_2{s}", three, 1, p) for s, p in (("a", (0, 1)), ("b", (1, 0)))]
    double = unit(t, f"{n}.branch3x3dbl_2", unit(t, f"{n}.branch3x3dbl_1", x), 1, 1)
    double = [unit(t, f"{n}.branch3x3dbl_3{s}", double, 1, p) for s, p in (("a", (0, 1)), ("b", (1, 0)))]
    pool = unit(t, f"{n}.branch_pool", F.avg_pool2d(x, 3, 1, 1))
    return torch.cat((unit(t, f"{n}.branch1x1", x), *three, *double, pool), 1)


def inception_features(t: dict[str, Tensor], x: Tensor, network: PublishedNetwork) -> Tensor:
    is_cam = network.method == "cam"
    pool = {"padding": 1, "ceil_mode": True} if is_cam else {}
    x = unit(t, "Conv2d_1a_3x3", x, 2, 1 if is_cam else 0)
    x = unit(t, "Conv2d_2b_3x3", unit(t, "Conv2d_2a_3x3", x), 1, 1)
    x = F.max_pool2d(x, 3, 2, **pool)
    x = unit(t, "Conv2d_4a_3x3", unit(t, "Conv2d_3b_1x1", x))
    x = F.max_pool2d(x, 3, 2, **pool)
    for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        x = inception_a(t, name, x)
    if is_cam and not network.large_feature_map:
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    x = inception_b(t, "Mixed_6a", x, *((1, 1) if is_cam else (2, 0)))
    for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        x = inception_c(t, name, x)
    if not is_cam:
        return inception_e(t, "Mixed_7c", inception_e(t, "Mixed_7b", inception_d(t, "Mixed_7a", x)))
    for name in ("SPG_A3_1b.0", "SPG_A3_2b.0"):
        x = F.relu(conv(t, name, x, 1, 1))
    return x


def published_answer(network: PublishedNetwork, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features, `logits` and `logits2` as the published code computes them."""
    t, large = published_tensors(network), network.large_feature_map
    if network.architecture == "resnet50":
        features = resnet50_features(t, inputs, large=large)
    elif network.architecture == "vgg16":
        features = vgg16_features(t, inputs, large=large, conv6=network.method == "cam")
    else:
        features = inception_features(t, inputs, network)
    logits = []
    for branch in (network.softmax_head, network.sigmoid_head):
        if len(branch) == 3:
            x = F.adaptive_avg_pool2d(features, 7).flatten(1)
            for name in branch[:2]:
                x = F.relu(F.linear(x, t[f"{name}.weight"], t[f"{name}.bias"]))
            logits.append(F.linear(x, t[f"{branch[2]}.weight"], t[f"{branch[2]}.bias"]))
        elif branch[0].startswith("SPG_A4"):
            logits.append(conv(t, branch[0], features).mean(dim=(2, 3)))
        else:
            logits.append(F.linear(features.mean(dim=(2, 3)), t[f"{branch[0]}.weight"], t[f"{branch[0]}.bias"]))
    return features, logits[0], logits[1]


def assert_same_size(actual: Tensor, expected: Tensor) -> None:
    size = expected.abs().max()
    assert float(expected.std()) > 0
    assert_close(actual / size, expected / size, FLOAT32)


@pytest.mark.parametrize(
    "network",
    [*NETWORKS, pytest.param(VGG_GRADCAM, marks=pytest.mark.nightly)],  # its layers hold 130 million numbers
    ids=[*NAMES, VGG_GRADCAM.name],
)
def test_an_imported_file_gives_the_published_codes_features_and_both_logits(
    network: PublishedNetwork, tmp_path: Path
) -> None:
    model = import_published(written(network, tmp_path / "best.pth.tar", prefix="module."), network)
    inputs = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        expected, softmax, sigmoid = published_answer(network, inputs)
        features = model.features(inputs)
        assert_same_size(features, expected)
        assert_same_size(model.softmax_logits(features), softmax)
        assert_same_size(model.sigmoid_logits(features), sigmoid)
    assert model.is_trained
    assert model.class_names == tuple("01234")


@pytest.mark.parametrize("network", [network for network in NETWORKS if not network.large_feature_map])
def test_the_grid_at_224_pixels_is_the_published_one(network: PublishedNetwork) -> None:
    classifier = empty_published_classifier(network)
    with torch.no_grad():
        features = classifier.encoder(torch.zeros(1, 3, 224, 224))
    assert tuple(features.shape[2:]) == classifier.grid_hw == network.grid_hw


@pytest.mark.parametrize("network", NETWORKS[:1] + NETWORKS[2:3] + NETWORKS[4:5], ids=lambda network: network.name)
def test_published_cam_maps_are_these_maps_divided_by_the_channels(network: PublishedNetwork, tmp_path: Path) -> None:
    model = import_published(written(network, tmp_path / "best.pth.tar"), network)
    assert isinstance(model.softmax_head, PooledLinearHead)
    with torch.no_grad():
        features = model.features(torch.randn(1, 3, SIDE, SIDE))
    rows = published_tensors(network)[f"{network.sigmoid_head[0]}.weight"].flatten(1)
    published = (rows[2][:, None, None] * features[0]).mean(dim=0)
    own = torch.einsum("k,khw->hw", model.sigmoid_head.last_linear.weight[2].detach(), features[0])
    assert_close(own / features.shape[1], published, FLOAT32)


@pytest.mark.nightly
def test_an_import_is_stored_with_encoder_and_both_heads_and_loads_again(tmp_path: Path) -> None:
    network = NETWORKS[0]
    names = tmp_path / "names.txt"
    names.write_text("ant\nbee\ncow\ndog\nelk\n")
    file = written(network, tmp_path / "cub.pth.tar")
    arguments = ["--architecture", "resnet50", "--method", "cam", "--class-names", str(names)]
    assert main(["import-checkpoint", str(file), *arguments, "--out", str(tmp_path / "cub")]) == 0
    first, second = load_checkpoint(tmp_path / "cub"), load_checkpoint(tmp_path / "cub")
    assert first.encoder is second.encoder
    assert first.class_names == ("ant", "bee", "cow", "dog", "elk")
    assert first.metadata["training"]["epoch"] == 3
    inputs = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        _, softmax, sigmoid = published_answer(network, inputs)
        features = first.features(inputs)
        assert_same_size(first.softmax_logits(features), softmax)
        assert_same_size(first.sigmoid_logits(features), sigmoid)
    save_checkpoint(first, tmp_path / "again")
    assert load_checkpoint(tmp_path / "again").grid_hw == (14, 14)


def test_a_file_of_another_network_is_refused_with_what_is_missing_and_what_is_unexpected(tmp_path: Path) -> None:
    file = written(NETWORKS[2], tmp_path / "best.pth.tar")
    with pytest.raises(InputError) as caught:
        import_published(file, NETWORKS[0])
    text = str(caught.value)
    assert "missing: conv1.weight" in text
    assert "unexpected: features.0.weight" in text
    assert "\n" not in text


def test_a_tensor_of_another_shape_is_named_with_both_shapes(tmp_path: Path) -> None:
    tensors = {**published_tensors(NETWORKS[2]), "conv6.weight": torch.zeros(1000, 512, 3, 3)}
    with pytest.raises(InputError, match=r"conv6.weight \(1000, 512, 3, 3\) in place of \(1024, 512, 3, 3\)"):
        import_published(written(NETWORKS[2], tmp_path / "best.pth.tar", tensors), NETWORKS[2])


class Planted:
    """Something that would run when it is unpickled."""

    def __reduce__(self) -> Any:
        return (print, ("planted code ran",))


def test_a_file_with_anything_but_tensors_is_refused_and_nothing_in_it_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": {}, "extra": Planted()}, tmp_path / "bad.pth.tar")
    with pytest.raises(InputError, match="tensors alone"):
        import_published(tmp_path / "bad.pth.tar", NETWORKS[0])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [{"weights": {}}, {"state_dict": 3}])
def test_a_dictionary_without_state_is_refused(content: dict[str, Any], tmp_path: Path) -> None:
    torch.save(content, tmp_path / "bad.pth.tar")
    with pytest.raises(InputError, match="state_dict"):
        import_published(tmp_path / "bad.pth.tar", NETWORKS[0])


def test_left_over_auxiliary_layers_of_inception_are_passed_over(tmp_path: Path) -> None:
    network = NETWORKS[-1]
    tensors = {**published_tensors(network), "AuxLogits.fc.weight": torch.zeros(2, 2)}
    assert import_published(written(network, tmp_path / "best.pth.tar", tensors), network).num_classes == CLASSES


def test_the_file_is_unwrapped_as_any_other_and_what_was_assumed_is_said(tmp_path: Path) -> None:
    network = NETWORKS[4]
    last = f"{network.sigmoid_head[-1]}.bias"
    tensors = published_tensors(network)
    average = {f"model.{key}": value + 0.5 if key == last else value for key, value in tensors.items()}
    content = {
        "net": {f"model.{key}": value for key, value in tensors.items()},
        "ema": average,
        "class_names": [*"abcde"],
    }
    torch.save({**content, "mean": 0.5, "std": 0.25}, tmp_path / "best.ckpt")
    models = [
        import_published(tmp_path / "best.ckpt", network, settings=ModelSettings(weights_key=key))
        for key in (None, "net")
    ]
    biases = [model.sigmoid_head.last_linear.bias.detach() for model in models]
    assert_close(biases[0], biases[1] + 0.5, FLOAT32)
    assert models[0].class_names == (*"abcde",)
    assert (models[0].preprocessing.mean, models[0].preprocessing.std) == ((0.5,) * 3, (0.25,) * 3)
    notes = " ".join(models[0].notes)
    assert "the moving average 'ema.model' is used: --weights-key net.model takes the other" in notes
    assert "From the file: mean 0.5, std 0.25, classes 'a', 'b', 'c', ... (5)." in notes
    assert "Not in the file, so the usual values are taken: input 224 x 224, " in notes


def test_nan_is_refused_by_the_name_of_its_tensor(tmp_path: Path) -> None:
    network = NETWORKS[4]
    last = f"{network.softmax_head[-1]}.bias"
    tensors = {**published_tensors(network), last: torch.full((CLASSES,), torch.nan)}
    with pytest.raises(InputError, match=rf"holds NaN or infinite numbers in '{last}'"):
        import_published(written(network, tmp_path / "best.pth.tar", tensors), network)


def test_a_published_network_of_grey_pictures_sees_the_grey_of_an_rgb_picture(tmp_path: Path) -> None:
    network = NETWORKS[4]
    first = "Conv2d_1a_3x3.conv.weight"
    tensors = published_tensors(network)
    grey = {**tensors, first: tensors[first].sum(1, keepdim=True)}
    model = import_published(written(network, tmp_path / "grey.pth.tar", grey), network)
    assert "The network has one input channel" in " ".join(model.notes)
    assert model.preprocessing.mean == (0.5,) * 3
    picture = torch.randn(1, 1, SIDE, SIDE).expand(1, 3, SIDE, SIDE)  # grey: red, green and blue are alike
    with torch.no_grad():
        expected, _, _ = published_answer(network, picture)
        assert_same_size(model.features(picture), expected)
    with pytest.raises(InputError, match=r"`in_chans` \(=3\) does not fit 'grey.pth.tar', which has 1"):
        import_published(tmp_path / "grey.pth.tar", network, settings=ModelSettings(in_chans=3))


@pytest.mark.parametrize("network", [*NETWORKS, VGG_GRADCAM])
def test_a_published_networks_name_brings_it_back(network: PublishedNetwork) -> None:
    assert published_network(network.name) == network
    assert published_network("resnet50") is None


@pytest.mark.parametrize(
    "name", ["published/", "published/resnet50", "published/vgg19-cam", "published/vgg16-cam-huge"]
)
def test_a_name_of_no_published_network_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        published_network(name)


def test_class_names_are_one_a_line_and_none_twice(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("ant\nbee\n\n")
    assert read_class_names(file) == ["ant", "bee"]
    file.write_text("ant\nant\n")
    with pytest.raises(InputError, match="once"):
        read_class_names(file)
