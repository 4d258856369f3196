"""Feature maps of pictures, one after the other: what the shared encoding of a fine-tune is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.images import crop_image
from bsig.inputs.tensors import input_batch
from bsig.model.dual_branch import DualBranch
from bsig.training.config import EncodingConfig
from bsig.training.features.cache import show_grids
from bsig.training.processes import ALONE


def feature_maps(model: DualBranch, images: LabelledImages) -> list[Tensor]:
    """(2, k, h, w) of each picture: its evaluation crop and the whole of it, squashed to the input."""
    whole = replace(model.preprocessing, crop_mode="squash")
    maps = []
    for sample in images.samples:
        picture = sample.open()
        crops = [crop_image(picture, model.preprocessing), crop_image(picture, whole)]
        maps.append(model.features(input_batch(crops, model.preprocessing)))
    return maps


def shown(reader: Any, model: DualBranch, images: LabelledImages, index_of: Mapping[str, int], size: int = 16) -> Any:
    """The reader, once it has been shown every picture by the encoder's own loop."""
    with torch.no_grad():
        show_grids(ALONE, model, images, dict(index_of), [reader], encoding=EncodingConfig(size))
    return reader


def read_directly(reader: Any, model: DualBranch, images: LabelledImages, index_of: Mapping[str, int]) -> Any:
    """The reader, once it has been shown the same pictures one after the other."""
    for position, (sample, grids) in enumerate(zip(images.samples, feature_maps(model, images), strict=True)):
        reader.read(position, (index_of[sample.class_name],), grids)
    return reader
