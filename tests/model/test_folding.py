"""BatchNorm folded into a convolution is the same function, and only what may be folded is."""

from __future__ import annotations

import pytest
import torch
from norm_statistics import with_statistics
from tolerances import IDENTITY, assert_close
from torch import Tensor, nn

from bsig.model.backbones import classifier_from_timm
from bsig.model.folding import fold_batch_norm, foldable_pairs

INPUTS = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(3)).double()


def norms(network: nn.Module) -> int:
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def test_a_convolution_and_its_batch_norm_are_one_convolution_worked_out_by_hand() -> None:
    network = with_statistics(nn.Sequential(nn.Conv2d(3, 5, 3, groups=1), nn.BatchNorm2d(5, eps=0.1))).double()
    folded = fold_batch_norm(network, [("0", "1")])
    convolution, norm = network
    scale = norm.weight / (norm.running_var + 0.1) ** 0.5
    assert_close(folded[0].weight, convolution.weight * scale[:, None, None, None], IDENTITY)
    assert_close(folded[0].bias, (convolution.bias - norm.running_mean) * scale + norm.bias, IDENTITY)
    assert_close(folded(INPUTS), network(INPUTS), IDENTITY)


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("test_resnet", 0),  # Conv2d and BatchNorm2d, shortcuts with convolutions of their own
        ("test_efficientnet", 0),  # depthwise convolutions, an activation inside of each BatchNorm
        ("test_byobnet", 0),
        ("test_efficientnet_gn", 0),  # no BatchNorm at all
    ],
)
def test_a_folded_network_gives_the_features_of_the_network(name: str, rest: int) -> None:
    encoder = with_statistics(classifier_from_timm(name, pretrained=False).encoder).double()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    pairs = foldable_pairs(encoder, INPUTS)
    folded = fold_batch_norm(encoder, pairs)
    assert len(pairs) == norms(encoder) - rest
    assert norms(folded) == rest
    assert_close(folded(INPUTS), encoder(INPUTS), IDENTITY)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


def test_timms_same_padding_and_memory_layout_are_kept() -> None:
    encoder = with_statistics(
        classifier_from_timm("tf_mobilenetv3_small_minimal_100", pretrained=False).encoder
    ).double()
    folded = fold_batch_norm(encoder, foldable_pairs(encoder, INPUTS))
    convolutions = [layer for layer in folded.modules() if isinstance(layer, nn.Conv2d)]
    assert {type(layer).__name__ for layer in convolutions} == {"Conv2d", "Conv2dSame"}
    assert all(layer.weight.is_contiguous(memory_format=torch.channels_last) for layer in convolutions)
    assert_close(folded(INPUTS), encoder(INPUTS), IDENTITY)


class StandardisedConv2d(nn.Conv2d):
    """Changes its weight before it is used, so that nothing can be folded into it."""

    def forward(self, inputs: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return nn.functional.conv2d(inputs, weight, self.bias)


class Repeated(nn.Module):
    """Runs one BatchNorm behind two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.norm = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.norm(self.second(self.norm(self.first(inputs))))


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(StandardisedConv2d(3, 4, 3), nn.BatchNorm2d(4)),
        nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1)),  # the order of pre-activation networks
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        Repeated(),
    ],
    ids=["standardised", "norm first", "activation between", "no statistics", "one norm twice"],
)
def test_nothing_is_folded_where_it_would_be_another_function(network: nn.Module) -> None:
    assert foldable_pairs(network.double().eval(), INPUTS) == []
