"""What an evaluation has to measure: pictures, maps, settings, and how that work divides into parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.gates import gates_of
from bsig.evaluation.map_sources import MapSource, TableRequest, distinct_sources
from bsig.evaluation.metrics.faithfulness import STEPS
from bsig.evaluation.metrics.road import SHARES
from bsig.inputs.datasets.samples import LabelledImages, Sample
from bsig.model.dual_branch import DualBranch
from bsig.model.versions import library_versions
from bsig.model.weights import state_sha256

LAYOUT_OF_PARTS = 3
PASSES_A_SCORE = 2 * (STEPS + 1) + 2 * len(SHARES) + 2
FAITHFUL_COLUMNS = ("softmax", "centred", "sigmoid", "features", "random-head")
DROP_COLUMNS = (
    *FAITHFUL_COLUMNS,
    "competition",
    "softmax*levelled",
    "sigmoid*levelled",
    "window-log-p",
    "sigmoid-window",
)


@dataclass(frozen=True)
class Work:
    """What is to be measured, without how it is shown.

    Attributes:
        labels: the model's index of each class of the data set; classes that are not in it are left out.
        requests: the tables.
        absent_pool: the classes that absent ones are drawn from; those in the picture are never drawn.
        absent_count: absent classes a picture.
        sibling_pool, sibling_count: the same of the data set's own classes.
        config: the settings; `batch_size` pictures are a part.
    """

    model: DualBranch
    images: LabelledImages
    labels: dict[str, int]
    requests: tuple[TableRequest, ...]
    absent_pool: tuple[int, ...]
    absent_count: int
    sibling_pool: tuple[int, ...]
    sibling_count: int
    config: EvaluationConfig

    @cached_property
    def sources(self) -> dict[str, MapSource]:
        """All distinct maps by key."""
        return distinct_sources(self.requests)

    @property
    def faithful_methods(self) -> tuple[str, ...]:
        """Keys of the methods whose maps are scored for faithfulness."""
        return self.config.faithfulness_methods or self.config.methods

    @cached_property
    def faithful_sources(self) -> dict[str, MapSource]:
        """The maps whose faithfulness is scored: no gates, which change no order, and no deltas."""
        requests = [request for request in self.requests if request.method.key in self.faithful_methods]
        return distinct_sources(requests, FAITHFUL_COLUMNS)

    @cached_property
    def drop_sources(self) -> dict[tuple[str, str | None], MapSource]:
        """The maps whose average drop is measured over `config.drop_pictures`, by key and gate."""
        requests = [request for request in self.requests if request.method.key in self.faithful_methods]
        return drop_sources(requests) if self.config.drop_pictures else {}

    @cached_property
    def drop_positions(self) -> set[int]:
        """Positions of the pictures whose average drop is measured, drawn over all that are usable."""
        order = np.random.default_rng(self.config.seed).permutation(len(self.usable))
        positions = list(self.usable)
        return {positions[i] for i in order[: self.config.drop_pictures]}

    @cached_property
    def usable(self) -> dict[int, Sample]:
        """The pictures of which the model has a class, by position, without the classes that it lacks."""
        return {
            position: self._with_one_name_a_class(known_sample)
            for position, sample in enumerate(self.images.samples)
            if (known_sample := sample.of_classes(self.labels))
        }

    def _with_one_name_a_class(self, sample: Sample) -> Sample:
        """The sample with one name where several of its classes are the same class of the model."""
        names: dict[int, str] = {}
        names_of_labels = {name: names.setdefault(self.labels[name], name) for name in sample.class_names}
        return sample.renamed({name: other for name, other in names_of_labels.items() if name != other})

    def present(self, sample: Sample) -> dict[str, int]:
        """The model's index of each class of a usable sample."""
        return {name: self.labels[name] for name in sample.class_names}

    @property
    def picture_parts(self) -> list[str]:
        """The names of the parts of the pass over the pictures, in their order."""
        return [f"pictures-{start:07d}" for start in range(0, len(self.usable), self.config.batch_size)]

    def size(self) -> int:
        """The number of forward passes, about: a mosaic counts as four pictures."""
        scores = len(self.faithful_sources) * PASSES_A_SCORE
        positions = self.drop_positions if self.drop_sources else ()
        drops = len(self.drop_sources) * sum(len(self.usable[position].class_names) for position in positions)
        return len(self.usable) + 4 * self.config.mosaics + scores * self.config.faithfulness + drops

    def fingerprint(self) -> str:
        """A hash that changes with everything that changes a part.

        Weights, files, classes, maps, settings, library versions; not the draws of the intervals, which tables make.
        """
        config = self.config
        content = {
            "layout": LAYOUT_OF_PARTS,
            "model": state_sha256(self.model.encoder, self.model.softmax_head, self.model.sigmoid_head),
            "network": [self.model.backbone_name, repr(self.model.options), self.model.features_at, self.model.engine],
            "balanced_bias": self.model.metadata.get("training", {}).get("balanced_bias"),
            "presence": repr(self.model.presence),
            "preprocessing": repr(self.model.preprocessing),
            "samples": [_content(sample) for sample in self.images.samples],
            "labels": self.labels,
            "sources": list(self.sources),
            "column readings": [repr(source.column.reading) for source in self.sources.values()],
            "gates": [gate.key for gate in gates_of(self.model)],
            "readings": [self.model.metadata.get("readings"), repr(self.model.presence)],
            "siblings": [self.sibling_count, list(self.sibling_pool)],
            "settings": [self.absent_count, list(self.absent_pool), config.mosaics, config.faithfulness,
                         list(self.faithful_sources), config.drop_pictures, config.seed, config.batch_size],
            "versions": library_versions(),
        }  # fmt: skip
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def drop_sources(requests: Sequence[TableRequest]) -> dict[tuple[str, str | None], MapSource]:
    """The distinct maps of these tables whose average drop is measured, by key and gate: a forward pass each."""
    return {
        (source.key, column.gate): source
        for request in requests
        for key, column in request.columns.items()
        if key in DROP_COLUMNS
        for source in [request.source(key)]
    }


def _content(sample: Sample) -> list[Any]:
    """Everything of a picture and its ground truth that changes a part."""
    regions = [
        [each.class_name, list(each.boxes_xyxy), [_stamp(path) for path in (*each.masks, each.ignore_mask) if path]]
        for each in sample.regions
    ]
    return [sample.stamp(), list(sample.class_names), sample.listed_size_wh, regions]


def _stamp(path: Path) -> list[Any]:
    """Path, size and time of a file: changes when the file does."""
    try:
        status = path.stat()
    except OSError:
        return [str(path), "missing"]
    return [str(path), status.st_size, status.st_mtime_ns]
