"""The layers of a backbone behind which features can be taken, with the grid that each gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from bsig.model.backbones import STRIDES, can_be_built, timm_network
from bsig.model.cutting.cut import LAST

# Earlier layers see little of the picture; a list of all would hide the useful ones.
LISTED_STAGES = 3
COARSEST_STRIDE = 32


@dataclass(frozen=True)
class FeatureStage:
    """A place where the features of a backbone can be taken.

    `key` is `last`, `stride16`, `stride8`, or timm's name of a layer. `grid_hw` are rows and columns at the backbone's
    own input size, None where only the cut network tells.
    """

    key: str
    grid_hw: tuple[int, int] | None
    note: str

    @property
    def title(self) -> str:
        """Key, grid and note in a line, for a list."""
        grid = "" if self.grid_hw is None else f", {self.grid_hw[0]} x {self.grid_hw[1]} cells"
        return f"{self.key}{grid}: {self.note}"


def feature_stages(backbone: str) -> list[FeatureStage]:
    """The stages of a backbone, from timm's description of the network; no weights are made.

    A stage of this list can still turn out not to be a chain of layers; `take_apart` then refuses it.

    Raises:
        InputError: timm does not know the name.
    """
    from timm.data import resolve_model_data_config

    with torch.device("meta"):
        network: Any = timm_network(backbone, pretrained=False)
    rows, columns = resolve_model_data_config(network)["input_size"][-2:]
    stages = [FeatureStage(LAST, None, "the last feature map on which places matter")]
    entries = getattr(network, "feature_info", None) or []
    layers = [layer for layer in entries if isinstance(layer, dict) and layer.get("module")]
    coarsest = max((layer["reduction"] for layer in layers), default=COARSEST_STRIDE)
    for key, stride in STRIDES.items():
        if stride < coarsest and can_be_built(backbone.split(".")[0], output_stride=stride):
            stages.append(FeatureStage(key, (rows // stride, columns // stride), "the same weights on a finer grid"))
    # timm lists layers from the finest grid to the coarsest; the last one is `last` already.
    for layer in reversed(layers[:-1][-LISTED_STAGES:]):
        grid = (rows // layer["reduction"], columns // layer["reduction"])
        stages.append(FeatureStage(str(layer["module"]), grid, "all behind it becomes part of the head"))
    return stages


def stage_of(title: str) -> str:
    """The key of a `FeatureStage.title`."""
    return title.partition(":")[0].partition(",")[0].strip()
