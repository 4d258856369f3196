"""Which maps of an evaluation are different maps at all: each is computed, kept and scored once.

A table is a method and a treatment, a column a head. Many of their combinations are the same map, or the same map times
one positive number, which changes no place, no sign and no share:

    average pool + linear      grad-cam, xgrad-cam and hires-cam are cam over the number of cells, and layer-cam is cam
                               with clamped weights over that number (`cams.py`; tests/evaluation/test_map_sources.py)
    grad-cam++                 has no negative weights to clamp
    eigen-cam                  knows neither class nor head
    a gated map                is a map with one number on it (`gates.py`)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bsig.evaluation.columns import DELTAS, Column
from bsig.evaluation.gates import GATES
from bsig.explain.cams import class_scores_of, grad_cam_plus_plus_alpha, head_score, relative_drop
from bsig.explain.methods import CAM_METHODS, CamMethod, clamps_weights, signed_map
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch

Array = np.ndarray
MAPS_AT_ONCE = 64
CAM_PER_CELL = ("grad-cam", "xgrad-cam", "hires-cam")


@dataclass(frozen=True)
class TableRequest:
    """What one table shows: a method and a treatment, in all these columns."""

    method: CamMethod
    treatment: str
    columns: dict[str, Column]

    def source(self, key: str) -> MapSource:
        """The source of a column's maps without its gate; softmax's for every column of a method without weights."""
        column = self.columns[key.split("*")[0] if self.method.weights is not None else "softmax"]
        return source_of(column, self.method, self.treatment)


@dataclass(frozen=True)
class MapSource:
    """One map of a class: a head, a method, clamped or not.

    Attributes:
        per_cell: the map that was asked for is this one over the number of cells.
    """

    column: Column
    method: CamMethod
    clamped: bool
    per_cell: bool = False

    @property
    def is_localized(self) -> bool:
        """Whether boxes are searched in it; not where it is a point of the delta curve alone."""
        return self.column.delta is None or self.column.delta in DELTAS

    @property
    def key(self) -> str:
        """The name that its arrays are kept by; the same for maps that differ by `per_cell` alone."""
        return f"{self.column.key} {self.method.key} {'clamped' if self.clamped else 'signed'}"


def source_of(column: Column, method: CamMethod, treatment: str) -> MapSource:
    """The map that stands for a column's maps by this method and treatment.

    Raises:
        InputError: the method needs runs of the whole network, or a head of another kind.
    """
    if method.is_slow:
        raise InputError(
            f"`methods` (='{method.key}') runs the whole network once a channel, which is too slow to evaluate; "
            "leave it out."
        )
    has_negative_weights = method.weights is not None and method.key != "grad-cam++"
    clamped = clamps_weights(treatment, column.branch) and has_negative_weights
    if not column.head.cam_is_exact:
        return MapSource(column, method, clamped)
    if method.key not in ("cam", "layer-cam", *CAM_PER_CELL):
        return MapSource(column, method, clamped)
    clamped = (clamped or method.key == "layer-cam") and column.key != "features"  # a head of ones
    return MapSource(column, CAM_METHODS["cam"], clamped, per_cell=method.key != "cam")


def distinct_sources(requests: Sequence[TableRequest], columns: Sequence[str] | None = None) -> dict[str, MapSource]:
    """The maps that these columns (None for all) of all tables rest on, by key; of Eigen-CAM one for all heads."""
    keys = [(request, key) for request in requests for key in request.columns if columns is None or key in columns]
    sources: dict[str, MapSource] = {}
    for source in (request.source(key) for request, key in keys):
        sources.setdefault(source.key, source)
    return sources


def class_maps(
    source: MapSource, features: Float[Tensor, "b k h w"], class_index: Int[Tensor, "b m"]
) -> Float[Tensor, "b m h w"]:
    """The signed maps of `m` classes of each picture, without the division of `per_cell`."""
    if source.method.weights is None:  # Eigen-CAM: one map for all classes and heads
        maps = _signed_maps(source, features, class_index[:, 0])
        return maps[:, None].expand(-1, class_index.shape[1], -1, -1)
    if source.column.head.cam_is_exact and source.method.key in ("cam", "grad-cam++", "ablation-cam"):
        weights = pooled_head_weights(source, features, class_index)
        maps = torch.einsum("bmk,bkhw->bmhw", weights.clamp(min=0) if source.clamped else weights, features)
        if source.column.reading is not None:
            return source.column.reading.maps(source.column.branch, maps, features, class_index)
        if source.column.with_bias:
            maps = maps + source.column.head.last_linear.bias.detach()[class_index][:, :, None, None]
        return maps
    count, classes = class_index.shape
    step = max(MAPS_AT_ONCE // classes, 1)
    parts = [
        _signed_maps(
            source,
            features[start : start + step].repeat_interleave(classes, dim=0),
            class_index[start : start + step].flatten(),
        )
        for start in range(0, max(count, 1), step)
    ]
    return torch.cat(parts).unflatten(0, (count, classes))


def gated(
    model: DualBranch, source: MapSource, gate: str | None, array: Callable[[str], Array]
) -> Float[Array, "n m h w"]:
    """The maps of a source by its key, with the number `gate` on them where there is one.

    A number in logits is divided by the number of cells where the maps are in logits per cell.
    """
    maps = array(f"maps {source.key}")
    if not gate:
        return maps
    numbers = array(f"gate {gate}")[:, :, None, None]
    is_per_cell = GATES[gate].is_in_logits and source.method.key != "cam"
    maps = maps * np.float32(GATES[gate].factor(model))
    return GATES[gate].put_on(maps, numbers / (maps.shape[2] * maps.shape[3]) if is_per_cell else numbers)


def pooled_head_weights(
    source: MapSource, features: Float[Tensor, "b k h w"], class_index: Int[Tensor, "b m"]
) -> Float[Tensor, "b m k"]:
    """The channel weights of `bsig.explain.cams` for average pool + linear, where `G = w / (h w)` in every cell."""
    linear = source.column.head.last_linear
    weight, bias = linear.weight.detach(), linear.bias.detach()
    if source.column.branch == "centred":
        weight, bias = weight - weight.mean(dim=0), bias - bias.mean()
    class_weights = weight[class_index]
    if source.method.key == "cam":
        return class_weights
    cells = features.shape[2] * features.shape[3]
    total = features.sum(dim=(2, 3))[:, None]
    if source.method.key == "ablation-cam":
        value = (class_weights * total).sum(dim=2) / cells + bias[class_index]
        return relative_drop(class_weights * total / cells, value[:, :, None])
    gradient = class_weights / cells
    return cells * grad_cam_plus_plus_alpha(gradient, total) * gradient.clamp(min=0)


def _signed_maps(source: MapSource, features: Tensor, class_index: Tensor) -> Tensor:
    """The signed map of one class of each picture, by the general way through the head."""
    head, column = source.column.head, source.column
    classes = head.last_linear.out_features
    scores = class_scores_of(class_index, classes, centred=column.branch == "centred", dtype=features.dtype)
    return signed_map(source.method, head_score(head, features, scores), clamp_weights=source.clamped)[0]
