"""What a published row takes to measure: the command, the pictures, the seconds.

    seconds of boxes   = pictures * maps a picture / maps a second     one core
    seconds of encoder = pictures / pictures a second                  files read and decoded by the machine's cores
    seconds of drops   = pictures * masked maps / passes a second   average drop alone: a pass a map, no file is read

The rates are those of `assets/docs/performance.json` (`python -m bsig bench`); its `rates` come from one GPU
(`python tests/benchmarks/bench_gpu.py`). PxAP draws no contours; its pixels are counted as
if it did, an upper bound.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.evaluate import table_requests
from bsig.evaluation.map_sources import distinct_sources
from bsig.evaluation.passes.work import drop_sources
from bsig.evaluation.published.beside import SHOWN_TREATMENTS
from bsig.evaluation.published.tables import FAITHFULNESS, LOCALIZATION, NETWORKS
from bsig.inputs.paths import ASSETS
from bsig.model.backbones import Classifier
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import PooledLinearHead

TEST_PICTURES = {"ILSVRC": 50_000, "OpenImages": 5_000, "CUB": 5_794, "CARS": 8_041}
"""Folder of the WSOL metadata -> pictures of its split `test`."""
LARGE_MAPS = {
    ("ResNet-50", "cam", "ILSVRC"), ("Inception-v3", "cam", "ILSVRC"), ("Inception-v3", "cam", "OpenImages"),
    ("ResNet-50", "cam", "CUB"), ("ResNet-50", "cam", "CARS"),
}  # fmt: skip
"""Rows with the 28 x 28 grid (`--large_feature_map TRUE` in `scripts/run_train.sh` of the tables' source)."""


@dataclass(frozen=True)
class Rates:
    """Measured rates.

    Attributes:
        maps_a_second: boxes at all thresholds, a core.
        device: name of the GPU.
        cores: those that decode beside the GPU.
        pictures_a_second: files read, decoded and encoded.
        passes_a_second: network's name in timm -> forward passes on the GPU, float32, of inputs that lie there.
    """

    maps_a_second: float
    device: str
    cores: int
    pictures_a_second: float
    passes_a_second: Mapping[str, float]


@dataclass(frozen=True)
class MapCounts:
    """Distinct maps of a picture's class that a method needs in all treatments.

    Attributes:
        boxed: those that boxes are searched in.
        masking: those that mask the picture for average drop.
    """

    boxed: int
    masking: int


@dataclass(frozen=True)
class PublishedRow:
    """One row of the published tables: a network, a method, a data set."""

    network: str
    method: str
    data: str

    @property
    def name(self) -> str:
        """The name of its checkpoint folder and results."""
        return f"{NETWORKS[self.network]}-{self.method}-{self.data}".lower()

    @property
    def is_faithfulness(self) -> bool:
        """Whether the row is of average drop and increase in confidence."""
        return (self.network, self.method, self.data) in FAITHFULNESS

    @property
    def pictures(self) -> int:
        """The pictures of the data set's split `test`."""
        return TEST_PICTURES[self.data]

    def import_options(self) -> str:
        """The options of `import-checkpoint` that describe the row's network."""
        large = " --large-feature-map" if (self.network, self.method, self.data) in LARGE_MAPS else ""
        return f"--architecture {NETWORKS[self.network]} --method {self.method.replace('-', '')}{large}"

    def command(self) -> str:
        """The command that measures the row."""
        drops = f" --drop-pictures {self.pictures}" if self.is_faithfulness else ""
        return (
            f"python -m bsig evaluate metadata/{self.data} --images ROOT --split test --checkpoint {self.name} "
            f"--methods {self.method} --weights {','.join(SHOWN_TREATMENTS)} --mosaics 0{drops} "
            f"--out {self.name}.json"
        )

    def box_seconds(self, rates: Rates, maps: MapCounts) -> float:
        """Seconds of one core for boxes in all maps."""
        return self.pictures * maps.boxed / rates.maps_a_second

    def encoder_seconds(self, rates: Rates) -> float:
        """Seconds for one forward pass a picture, decoded by the cores beside the GPU."""
        return self.pictures / min(rates.pictures_a_second, rates.passes_a_second[NETWORKS[self.network]])

    def drop_seconds(self, rates: Rates, maps: MapCounts) -> float:
        """Seconds of the GPU for the average drop of all pictures; 0 for a row of boxes or masks."""
        passes = maps.masking if self.is_faithfulness else 0
        return self.pictures * passes / rates.passes_a_second[NETWORKS[self.network]]

    def seconds(self, rates: Rates, maps: MapCounts) -> float:
        """The seconds of all parts, one after the other."""
        return self.box_seconds(rates, maps) + self.encoder_seconds(rates) + self.drop_seconds(rates, maps)


def published_rows() -> list[PublishedRow]:
    """All rows of both tables, by data set."""
    boxes = [PublishedRow(*row, data) for data in ("ILSVRC", "OpenImages") for row in LOCALIZATION]
    return [*boxes, *(PublishedRow(*row) for row in sorted(FAITHFULNESS, key=lambda row: (row[2] != "CUB", row[0])))]


def map_counts(method: str) -> MapCounts:
    """The distinct maps that a row's command makes of a picture's class, with an average pool and one linear layer.

    VGG-16 for Grad-CAM has three layers there and needs one map more: the features' sum is clamped too.
    """
    requests = table_requests(_smallest_model(), EvaluationConfig(methods=(method,), weights=SHOWN_TREATMENTS))
    # and the random map of the baselines; those without a picture are searched once
    boxed = 1 + sum(source.is_localized for source in distinct_sources(requests).values())
    return MapCounts(boxed, len(drop_sources(requests)))


def _smallest_model() -> DualBranch:
    """A head of one channel and two classes: which maps are distinct depends on the head's kind alone."""
    from bsig.model.published.networks import PREPROCESSING

    head, classes = PooledLinearHead(nn.Linear(1, 2)), ("0", "1")
    sigmoid_head = PooledLinearHead(nn.Linear(1, 2))  # another than softmax's, since some columns need a trained branch
    return DualBranch(Classifier("smallest", nn.Identity(), head, PREPROCESSING, classes, classes, {}), sigmoid_head)


def measured_rates() -> Rates:
    """The rates of the performance page and of the GPU that was measured."""
    figures = _performance()
    gpu = figures["rates"]
    passes = {name: float(rates["encoder"]["float32"]) for name, rates in gpu["networks"].items()}
    return Rates(
        figures["evaluate"]["maps_per_second"],
        gpu["device"],
        gpu["cores"],
        float(gpu["extraction, decoding included"]),
        passes,
    )


def decoding_ms() -> float:
    """Milliseconds to decode a picture of 0.2 megapixels, ImageNet's usual size, from the performance page."""
    return float(next(row["decode_ms"] for row in _performance()["picture"]["rows"] if row["megapixels"] == 0.2))


def _performance() -> Mapping[str, Any]:
    figures: Mapping[str, Any] = json.loads((ASSETS / "docs" / "performance.json").read_text(encoding="utf-8"))
    return figures
