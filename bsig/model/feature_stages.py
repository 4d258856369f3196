"""Which CAM variants each family of heads allows, where its features are taken and on which grid.

`head_families` builds one small network of each family with random weights, takes it apart and says what was found;
`feature_stages` lists where the features of one backbone can be taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config

from bsig.explain.methods import CAM_METHODS, default_method, methods_of
from bsig.inputs.errors import InputError
from bsig.model.backbones import STRIDES, BackboneOptions, classifier_from_timm, timm_network
from bsig.model.heads import ClassificationHead

# Family -> (the network that is built, its pooling, further timm names).
FAMILIES: dict[str, tuple[str, str | None, str]] = {
    "average pool and one linear layer": ("resnet18", None, "resnet50, efficientnet_b0, densenet121, regnety_016"),
    "the same on channels-last features": (
        "swin_tiny_patch4_window7_224", None, "swin_base_patch4_window7_224, swinv2_cr_tiny_224",
    ),
    "maximum pool": ("resnet18", "max", "resnet50"),
    "average and maximum pool": ("resnet18", "avgmax", "resnet50 (avgmax, catavgmax)"),
    "convolution behind the pool": ("mobilenetv3_small_050", None, "mobilenetv3_large_100, mobilenetv4_conv_small"),
    "norm (and MLP) behind the pool": ("convnext_atto", None, "convnext_tiny, convnextv2_nano, davit_tiny"),
    "three layers on the grid": ("vgg11", None, "vgg16, vgg16_bn, vgg19"),
    "class token": ("vit_tiny_patch16_224", None, "vit_base_patch16_224, deit_small_patch16_224, convit_small"),
    "class token, distilled": ("deit_tiny_distilled_patch16_224", None, "deit_base_distilled_patch16_224"),
    "average of tokens": ("vit_tiny_patch16_224", "avg", "vit_medium_patch16_reg4_gap_256, beit_base_patch16_224"),
    "attention pooling": ("test_vit3", None, "vit_base_patch16_siglip_224 with a classifier"),
}  # fmt: skip


@dataclass(frozen=True)
class HeadFamily:
    """What was found about one family of heads."""

    family: str
    network: str
    is_exact: bool
    default: str
    methods: tuple[str, ...]
    features_at: str
    grid_hw: tuple[int, int]
    examples: str


def head_families() -> list[HeadFamily]:
    """One row a family, measured on a network with random weights; takes some seconds."""
    rows = []
    for family, (name, pool, examples) in FAMILIES.items():
        classifier = classifier_from_timm(name, pretrained=False, options=BackboneOptions(global_pool=pool))
        head, grid_hw = classifier.head, classifier.grid_hw or (0, 0)
        network = name if pool is None else f"{name} ({pool})"
        rows.append(
            HeadFamily(
                family,
                network,
                head.cam_is_exact,
                default_method(head),
                tuple(methods_of(head)),
                classifier.features_at,
                grid_hw,
                examples,
            )
        )
    return rows


def head_table() -> str:
    """`head_families` as Markdown: the README's table."""
    lines = [
        "| head | CAM exact | default | methods | features taken at | grid | networks |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in head_families():
        where = "the last feature map" if row.features_at == "last" else f"`{row.features_at}`"
        lines.append(
            f"| {row.family} | {'yes' if row.is_exact else 'no'} | `{row.default}` | {_methods(row.methods)} | "
            f"{where} | "
            f"{row.grid_hw[0]} x {row.grid_hw[1]} | {row.network}, {row.examples} |"
        )
    return "\n".join(lines)


def _methods(keys: tuple[str, ...]) -> str:
    left_out = [f"`{key}`" for key in CAM_METHODS if key not in keys]
    return f"all but {', '.join(left_out)}" if left_out else "all"


def head_in_words(head: ClassificationHead) -> str:
    """What comes after the features."""
    if head.cam_is_exact:
        return "average pool and one linear layer"
    parameters = sum(parameter.numel() for parameter in head.parameters()) / 1e6
    seen = "the mean over the grid" if head.pools_first else "every cell by itself"
    return f"several layers ({parameters:.1f} million weights) that see {seen}"


@dataclass(frozen=True)
class FeatureStage:
    """A place where the features of a backbone can be taken, with its grid at the backbone's own input size."""

    key: str
    grid_hw: tuple[int, int] | None
    note: str

    @property
    def title(self) -> str:
        """For a list: key and grid."""
        grid = "" if self.grid_hw is None else f", {self.grid_hw[0]} x {self.grid_hw[1]} cells"
        return f"{self.key}{grid}: {self.note}"


def feature_stages(backbone: str) -> list[FeatureStage]:
    """Where features can be taken, from timm's description of the network; no weights are made.

    What is listed can still turn out not to be a chain of layers; `take_apart` then says so.

    Raises:
        InputError: timm does not know the name.
    """
    with torch.device("meta"):
        network: Any = timm_network(backbone, pretrained=False)
    rows, columns = resolve_model_data_config(network)["input_size"][-2:]
    stages = [FeatureStage("last", None, "the last feature map on which places matter")]
    described = list(getattr(network, "feature_info", None) or [])
    described = [one for one in described if isinstance(one, dict) and one.get("module")]
    coarsest = max((one["reduction"] for one in described), default=32)
    for key, stride in STRIDES.items():
        if stride < coarsest and _can_stride(backbone, stride):
            stages.append(FeatureStage(key, (rows // stride, columns // stride), "the same weights on a finer grid"))
    kept = described[:-1][-3:]
    for one in reversed(kept):
        if one["reduction"] <= coarsest:
            grid = (rows // one["reduction"], columns // one["reduction"])
            stages.append(FeatureStage(str(one["module"]), grid, "all behind it becomes part of the head"))
    return stages


def _can_stride(backbone: str, stride: int) -> bool:
    try:
        with torch.device("meta"):
            timm.create_model(backbone.split(".")[0], pretrained=False, output_stride=stride)
    except Exception:  # noqa: BLE001 - each family of networks refuses with a kind of its own
        return False
    return True


def stage_of(title: str) -> str:
    """The key of a `FeatureStage.title`."""
    return title.partition(":")[0].partition(",")[0].strip()


def require_stage(backbone: str, key: str) -> None:
    """Raises: InputError: the backbone has no such stage in its list."""
    known = [stage.key for stage in feature_stages(backbone)]
    if key not in known:
        raise InputError(f"`feature_stage` (='{key}') must be one of {', '.join(known)} for '{backbone}'.")
