"""The published tables: softmax against the sigmoid branch, in per cent, as data.

Source: the first author's repository `finallyupper/dual-cam` (2025), `asset/wsol_result.png`, `asset/xai_result.png`:
an earlier version of the text of Oh and Noh, BMVC 2025, arXiv 2511.05590. The paper's repository has no tables. Both
tables use the published treatment (`paper`): the sigmoid branch's negative weights are set to zero, softmax's are not.
They have no intervals. The data set of the boxes is taken from the paper's abstract, which names ImageNet-1K and
OpenImages30K for localization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bsig.evaluation.metrics.catalogue import METRICS

SOURCE = "github.com/finallyupper/dual-cam (2025), asset/wsol_result.png and asset/xai_result.png"
NETWORKS = {"VGG-16": "vgg16", "ResNet-50": "resnet50", "Inception-v3": "inception_v3"}
"""Name in the tables -> `architecture` of `import-checkpoint`."""
DATASETS = {
    "ILSVRC": "ImageNet-1K",
    "OpenImages": "OpenImages30K",
    "CUB": "CUB-200-2011",
    "CARS": "Stanford Cars",
}
"""Folder of the WSOL metadata -> name of the data set."""

Pair = tuple[float, float]
LOCALIZATION: dict[tuple[str, str], tuple[Pair, Pair, Pair, Pair]] = {
    ("VGG-16", "cam"): ((43.11, 43.13), (59.53, 59.56), (60.00, 60.25), (58.17, 60.16)),
    ("VGG-16", "grad-cam"): ((37.01, 44.69), (48.99, 59.44), (52.50, 60.17), (55.25, 56.53)),
    ("ResNet-50", "cam"): ((47.67, 49.44), (60.80, 62.68), (63.52, 64.73), (59.36, 60.49)),
    ("ResNet-50", "grad-cam"): ((41.15, 40.33), (55.29, 53.60), (57.03, 57.99), (60.56, 60.24)),
    ("Inception-v3", "cam"): ((42.16, 44.11), (57.69, 60.12), (63.51, 64.98), (62.25, 63.65)),
    ("Inception-v3", "grad-cam"): ((34.57, 33.72), (46.35, 45.18), (52.30, 53.06), (49.64, 48.16)),
}
"""(network, method) -> Top-1 Loc, GT-known, MaxBoxAccV2 (boxes), PxAP (masks); softmax, sigmoid branch."""
LOCALIZATION_COLUMNS = (
    ("top1_loc", "ILSVRC"), ("gt_known", "ILSVRC"), ("max_box_acc_v2", "ILSVRC"), ("pxap", "OpenImages"),
)  # fmt: skip
FAITHFULNESS: dict[tuple[str, str, str], tuple[Pair, Pair]] = {
    ("ResNet-50", "cam", "CUB"): ((44.17, 13.86), (14.76, 18.42)),
    ("ResNet-50", "cam", "CARS"): ((48.86, 3.77), (4.32, 40.62)),
    ("VGG-16", "cam", "CUB"): ((45.36, 37.20), (7.08, 18.86)),
    ("VGG-16", "cam", "CARS"): ((31.45, 43.58), (9.68, 10.74)),
}
"""(network, method, data) -> average drop, increase in confidence; softmax, sigmoid branch."""
FAITHFULNESS_COLUMNS = ("average_drop", "increase_in_confidence")


@dataclass(frozen=True)
class PublishedCell:
    """One published pair.

    Attributes:
        method: a key of `CAM_METHODS`.
        data: a key of `DATASETS`.
        metric: a key of `METRICS`.
        softmax, sigmoid: in per cent.
    """

    network: str
    method: str
    data: str
    metric: str
    softmax: float
    sigmoid: float

    @property
    def change(self) -> float:
        """Sigmoid branch less softmax, in points, with the tables' two digits."""
        return round(self.sigmoid - self.softmax, 2)

    @property
    def falls(self) -> bool:
        """Whether the sigmoid branch is worse, given which way is better."""
        return is_worse(self.metric, self.change)


def is_worse(metric: str, change: float) -> bool:
    """Whether a change (sigmoid branch less softmax) goes against the better direction of the metric."""
    return change > 0 if METRICS[metric].better == "lower" else change < 0


def localization_cells() -> list[PublishedCell]:
    """The cells of the localization table, row by row."""
    return [
        PublishedCell(network, method, data, metric, *pair)
        for (network, method), pairs in LOCALIZATION.items()
        for (metric, data), pair in zip(LOCALIZATION_COLUMNS, pairs, strict=True)
    ]


def faithfulness_cells() -> list[PublishedCell]:
    """The cells of the table of average drop and increase in confidence, row by row."""
    return [
        PublishedCell(network, method, data, metric, *pair)
        for (network, method, data), pairs in FAITHFULNESS.items()
        for metric, pair in zip(FAITHFULNESS_COLUMNS, pairs, strict=True)
    ]


def published_cells() -> list[PublishedCell]:
    """All cells of both tables."""
    return [*localization_cells(), *faithfulness_cells()]


def fallen(cells: Sequence[PublishedCell]) -> dict[tuple[str, str], list[PublishedCell]]:
    """The cells that fall, by method and network."""
    groups: dict[tuple[str, str], list[PublishedCell]] = {}
    for cell in cells:
        if cell.falls:
            groups.setdefault((cell.method, cell.network), []).append(cell)
    return groups
