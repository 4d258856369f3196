"""The networks of the method's published code, as that code defines them, without its heads.

Oh and Noh, BMVC 2025, arXiv 2511.05590, on the networks of the public localization evaluation (Choe et al., CVPR 2020):
ResNet-50 with a last stage of stride 1, VGG16 without its last pool, Inception v3 with a stem and a middle of its own.
Layers carry the names of the published files, so that their tensors load by name. Input 224 x 224.

    published/resnet50-cam, -gradcam                 14 x 14 grid, 2048 channels; "-large": 28 x 28
    published/vgg16-cam                              14 x 14 grid, 1024 channels, one linear layer; "-large": 28 x 28
    published/vgg16-gradcam                          14 x 14 grid, 512 channels, three linear layers; "-large": 28 x 28
    published/inception_v3-cam                       14 x 14 grid, 1024 channels; "-large": 28 x 28
    published/inception_v3-gradcam                   5 x 5 grid, 2048 channels
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import Inception3, ResNet
from torchvision.models.inception import BasicConv2d, InceptionA, InceptionC
from torchvision.models.resnet import Bottleneck

from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing
from bsig.model.backbones import Classifier
from bsig.model.cutting.layout import GridLayout
from bsig.model.heads import ClassificationHead, PooledLinearHead, TailHead
from bsig.model.weights import channels_last, frozen

PREFIX = "published/"
ARCHITECTURES = ("resnet50", "vgg16", "inception_v3")
METHODS = ("cam", "gradcam")
PREPROCESSING = Preprocessing((224, 224), 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear", "squash")
CONVOLUTIONS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
GRADCAM_HIDDEN = 4096


@dataclass(frozen=True)
class PublishedNetwork:
    """One network of the published code.

    VGG16 and Inception v3 are two different networks for `cam` and `gradcam`. A large feature map has 28 x 28 cells in
    place of 14 x 14.
    """

    architecture: str
    method: str
    large_feature_map: bool = False

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise InputError(f"`architecture` (='{self.architecture}') must be one of {', '.join(ARCHITECTURES)}.")
        if self.method not in METHODS:
            raise InputError(f"`method` (='{self.method}') must be one of {', '.join(METHODS)}.")
        if self.large_feature_map and (self.architecture, self.method) == ("inception_v3", "gradcam"):
            raise InputError(
                "`large_feature_map` is not defined for inception_v3 with gradcam, which is torchvision's: leave it "
                "out."
            )

    @property
    def name(self) -> str:
        """The backbone's name in checkpoints."""
        return f"{PREFIX}{self.architecture}-{self.method}{'-large' if self.large_feature_map else ''}"

    @property
    def softmax_head(self) -> tuple[str, ...]:
        """Names of the softmax head's layers in the published files, first to last."""
        if (self.architecture, self.method) == ("vgg16", "gradcam"):
            return ("classifier.0", "classifier.3", "classifier.6")
        return ("SPG_A4",) if (self.architecture, self.method) == ("inception_v3", "cam") else ("fc",)

    @property
    def sigmoid_head(self) -> tuple[str, ...]:
        """Names of the sigmoid head's layers in the published files, first to last."""
        twins = {"SPG_A4": "SPG_A4_2", "fc": "fc2"}
        return tuple(twins.get(name, name.replace("classifier", "classifier_2")) for name in self.softmax_head)

    def encoder(self) -> nn.Module:
        """Input (b, 3, H, W) -> features (b, k, h, w), with any weights."""
        if self.architecture == "resnet50":
            return _resnet50(layer3_stride=1 if self.large_feature_map else 2)
        if self.architecture == "vgg16":
            return _vgg16(pools=3 if self.large_feature_map else 4, has_conv6=self.method == "cam")
        return _inception_v3() if self.method == "gradcam" else _spg_inception(large_feature_map=self.large_feature_map)

    def head(self, num_classes: int) -> ClassificationHead:
        """Features -> logits, with any weights; the same for both branches."""
        if len(self.softmax_head) == 1:
            width = {"resnet50": 2048, "vgg16": 1024, "inception_v3": 1024 if self.method == "cam" else 2048}
            return PooledLinearHead(nn.utils.skip_init(nn.Linear, width[self.architecture], num_classes))
        body = nn.Sequential(
            nn.AdaptiveAvgPool2d(7), nn.Flatten(),
            nn.utils.skip_init(nn.Linear, 512 * 49, GRADCAM_HIDDEN), nn.ReLU(), nn.Dropout(),
            nn.utils.skip_init(nn.Linear, GRADCAM_HIDDEN, GRADCAM_HIDDEN), nn.ReLU(), nn.Dropout(),
        )  # fmt: skip
        linear = nn.utils.skip_init(nn.Linear, GRADCAM_HIDDEN, num_classes)
        return TailHead(body, linear, GridLayout("NCHW", 512), pools_first=False)

    def head_names(self, branch: tuple[str, ...]) -> dict[str, str]:
        """This project's name of each of a head's tensors -> its name in the published file."""
        layers = ("body.2", "body.5", "linear") if len(branch) == 3 else ("linear",)
        return {
            f"{own}.{leaf}": f"{published}.{leaf}"
            for own, published in zip(layers, branch, strict=True)
            for leaf in ("weight", "bias")
        }

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Rows and columns of the features at 224 x 224."""
        if (self.architecture, self.method) == ("inception_v3", "gradcam"):
            return (5, 5)
        return (28, 28) if self.large_feature_map else (14, 14)


def published_network(name: str) -> PublishedNetwork | None:
    """The network that a checkpoint's backbone name stands for; None where it is no published one.

    Raises:
        InputError: the name says published, but there is no such network.
    """
    if not name.startswith(PREFIX):
        return None
    parts = name.removeprefix(PREFIX).split("-")
    if len(parts) not in (2, 3) or parts[2:] not in ([], ["large"]):
        raise InputError(f"`backbone` (='{name}') must be '{PREFIX}ARCHITECTURE-METHOD', with '-large' if wanted.")
    return PublishedNetwork(parts[0], parts[1], bool(parts[2:]))


def empty_published_classifier(network: PublishedNetwork, num_classes: int = 1) -> Classifier:
    """Encoder and softmax head with any weights, to be filled from a file."""
    names = tuple(str(index) for index in range(num_classes))
    return Classifier(
        network.name,
        channels_last(frozen(network.encoder())),
        frozen(network.head(num_classes)),
        PREPROCESSING,
        names,
        names,
        {"source": "the published code's file"},
        grid_hw=network.grid_hw,
    )


def _resnet50(layer3_stride: int) -> nn.Module:
    """The ResNet-50 of torchvision up to `layer4`, which has stride 1."""
    network: Any = ResNet(Bottleneck, [3, 4, 6, 3])
    for stage, stride in ((network.layer3, layer3_stride), (network.layer4, 1)):
        stage[0].conv2.stride = stage[0].downsample[0].stride = (stride, stride)
    return _chain(network, without=("avgpool", "fc"))


def _vgg16(pools: int, *, has_conv6: bool) -> nn.Module:
    """VGG16's convolutions with only the first pools; for `cam` a sixth convolution of 1024 channels."""
    layers: list[nn.Module] = []
    channels = 3
    for number, stage in enumerate(CONVOLUTIONS):
        for width in stage:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        if number < pools:
            layers.append(nn.MaxPool2d(2, 2))
    network = nn.Sequential(OrderedDict(features=nn.Sequential(*layers)))
    if has_conv6:
        network.add_module("conv6", nn.Conv2d(512, 1024, 3, padding=1))
        network.add_module("relu", nn.ReLU())
    return network


def _inception_v3() -> nn.Module:
    """The Inception v3 of torchvision up to `Mixed_7c`."""
    return _chain(Inception3(aux_logits=False, init_weights=False), without=("avgpool", "dropout", "fc"))


def _chain(network: nn.Module, without: tuple[str, ...]) -> nn.Module:
    """The network's children but these, under their names, one after the other."""
    return nn.Sequential(OrderedDict((name, child) for name, child in network.named_children() if name not in without))


class _StrideOneInceptionB(nn.Module):
    """torchvision's `Mixed_6a` with stride 1 and padding 1, so that the grid stays as it is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3 = BasicConv2d(channels, 384, kernel_size=3, padding=1)
        self.branch3x3dbl_1 = BasicConv2d(channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, kernel_size=3, padding=1)

    def forward(self, features: Float[Tensor, "b k h w"]) -> Float[Tensor, "b kk h w"]:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(features)))
        pooled = functional.max_pool2d(features, 3, stride=1, padding=1)
        return torch.cat((self.branch3x3(features), double, pooled), dim=1)


def _spg_inception(*, large_feature_map: bool) -> nn.Module:
    """Inception v3 up to `Mixed_6e` on a finer grid, then two 3x3 convolutions (Zhang et al., SPG, ECCV 2018)."""
    layers: dict[str, nn.Module] = {
        "Conv2d_1a_3x3": BasicConv2d(3, 32, kernel_size=3, stride=2, padding=1),
        "Conv2d_2a_3x3": BasicConv2d(32, 32, kernel_size=3),
        "Conv2d_2b_3x3": BasicConv2d(32, 64, kernel_size=3, padding=1),
        "maxpool1": nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
        "Conv2d_3b_1x1": BasicConv2d(64, 80, kernel_size=1),
        "Conv2d_4a_3x3": BasicConv2d(80, 192, kernel_size=3),
        "maxpool2": nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
        "Mixed_5b": InceptionA(192, pool_features=32),
        "Mixed_5c": InceptionA(256, pool_features=64),
        "Mixed_5d": InceptionA(288, pool_features=64),
        "maxpool3": nn.Identity() if large_feature_map else nn.MaxPool2d(3, 2, ceil_mode=True),
        "Mixed_6a": _StrideOneInceptionB(288),
        "Mixed_6b": InceptionC(768, channels_7x7=128),
        "Mixed_6c": InceptionC(768, channels_7x7=160),
        "Mixed_6d": InceptionC(768, channels_7x7=160),
        "Mixed_6e": InceptionC(768, channels_7x7=192),
        "SPG_A3_1b": nn.Sequential(nn.Conv2d(768, 1024, 3, padding=1), nn.ReLU()),
        "SPG_A3_2b": nn.Sequential(nn.Conv2d(1024, 1024, 3, padding=1), nn.ReLU()),
    }
    return nn.Sequential(OrderedDict(layers))
