"""Measurements as tables: each metric of each column with its interval, and its paired difference to softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from bsig.evaluation.columns import DELTAS, delta_key
from bsig.evaluation.map_sources import MapSource, TableRequest, shared_source
from bsig.evaluation.metrics.catalogue import METRICS
from bsig.evaluation.metrics.intervals import estimate, mean_over, resampling_weights
from bsig.evaluation.metrics.regions import inside_auc
from bsig.evaluation.metrics.specificity import (
    area_curves,
    evidence_masses,
    mean_curve,
    pointing_scores,
    positive_areas,
    roc_points,
    zero_tests,
)
from bsig.evaluation.passes.faithfulness import KEYS
from bsig.evaluation.passes.localization import BLIND_TITLES, LocalizationCounts, localization_values
from bsig.evaluation.passes.measurements import Measurements
from bsig.explain.methods import TREATMENTS

Array = np.ndarray
Values = dict[str, tuple[Float[Array, " r"], int]]
SHOWN_DIFFERENCES = 8
CURVE_POINTS = 41
IN_THE_MAPS_UNIT = ("own_mass", "absent_mass")


@dataclass(frozen=True)
class Scores:
    """All numbers of one map, for every draw of pictures, and its curves and single pictures for drawing."""

    values: Values
    area_curve: list[dict[str, float]]
    roc: list[dict[str, float]]
    by_picture: dict[str, Float[Array, " n"]]


@dataclass(frozen=True)
class LocalizationScores:
    """The localization of one map or baseline.

    Attributes:
        curve: GT-known localization against the threshold, for drawing.
        right_at_best: (m,) which pictures with boxes are localized at the best threshold; None without any.
    """

    values: Values
    curve: list[dict[str, float]]
    right_at_best: Array | None


class Tables:
    """Makes tables; a map that several tables hold is scored once.

    Attributes:
        draws: how often each draw takes each picture; the same for every map, so that differences are paired.
    """

    def __init__(self, measurements: Measurements) -> None:
        seed, resamples = measurements.work.config.seed, measurements.work.config.resamples
        self._measurements = measurements
        self.draws = resampling_weights(len(measurements.labels), resamples, seed)
        self._mosaic_draws = resampling_weights(max(len(measurements.mosaics), 1), resamples, seed + 1)
        self._faithful_draws = resampling_weights(max(len(measurements.faithful), 1), resamples, seed)
        self._scores_by_map: dict[tuple[str, str | None], Scores] = {}
        self._localization_by_map: dict[str, LocalizationScores] = {}

    def table(self, request: TableRequest) -> dict[str, Any]:
        """One method and treatment in all its columns, ready for JSON."""
        keys = table_columns(request)
        sources = {key: shared_source(request, key) for key in keys}
        titles = {key: request.columns[key].title for key in keys} | BLIND_TITLES
        values = {key: self._values(source, request.columns[key].gate) for key, source in sources.items()}
        values |= {key: self._localization(key).values for key in BLIND_TITLES}
        plain = {key: source for key, source in sources.items() if request.columns[key].gate is None}
        return {
            "method": request.method.key,
            "weights": request.treatment,
            "treatment": TREATMENTS[request.treatment],
            "unit": request.method.unit,
            "columns": {
                key: {"title": titles[key], "metrics": _with_differences(values[key], values["softmax"], key)}
                for key in values
            },
            "localization_curves": {key: self._localization(source.key).curve for key, source in plain.items()},
            "area_curves": self._curves(request, sources, "area_curve"),
            "roc_over_pictures": self._curves(request, sources, "roc"),
            "delta_curve": self._delta_curve(request),
            "by_class": self._by_class(sources),
            "differ_most": self._differ_most(sources),
        }

    def _factor(self, source: MapSource) -> float:
        """What the source's map is multiplied by to be the map that the table is about."""
        rows, columns = self._measurements.coverage.shape[1:]
        return 1 / (rows * columns) if source.per_cell else 1.0

    def _curves(
        self, request: TableRequest, sources: dict[str, MapSource], name: str
    ) -> dict[str, list[dict[str, float]]]:
        """The curve `name` of each column, levels in the unit of the table's maps."""
        return {
            key: [
                point | {"level": point["level"] * self._factor(source)}
                for point in getattr(self._scores(source, request.columns[key].gate), name)
            ]
            for key, source in sources.items()
        }

    def _values(self, source: MapSource, gate: str | None) -> Values:
        """All numbers of one column, evidence in the unit of the table's maps."""
        factor = self._factor(source)
        return {
            key: (value * factor if key in IN_THE_MAPS_UNIT else value, count)
            for key, (value, count) in self._scores(source, gate).values.items()
        }

    def _scores(self, source: MapSource, gate: str | None) -> Scores:
        """The scores of a map, multiplied by the probability `gate` where there is one; computed once."""
        key = source.key, gate
        if key not in self._scores_by_map:
            self._scores_by_map[key] = self._computed_scores(source, gate)
        return self._scores_by_map[key]

    def _computed_scores(self, source: MapSource, gate: str | None) -> Scores:
        measurements, key = self._measurements, source.key
        maps = measurements.maps(key)
        if gate:
            maps = maps * measurements.rows(f"gate {gate}")[:, :, None, None]
        own, absent = maps[:, 0], maps[:, 1:]
        values = zero_tests(own, absent, measurements.coverage, self.draws)
        if source.is_localized:  # A gate is one positive number a map; it changes no place.
            values |= self._localization(key).values
        values |= self._pointing(key, gate) | (self._faithfulness(key) if gate is None else {})
        by_picture = {
            "own_area": positive_areas(own),
            "absent_area": positive_areas(absent).mean(axis=1),
            "inside_auc": inside_auc(own, measurements.coverage),
        }
        roc = roc_points(evidence_masses(own), evidence_masses(absent))
        return Scores(values, _area_points(own, absent, measurements.coverage), roc, by_picture)

    def _localization(self, key: str) -> LocalizationScores:
        """The localization of a map or of a baseline; computed once."""
        if key not in self._localization_by_map:
            measurements = self._measurements
            counts = measurements.localization(key)
            values = localization_values(
                counts, measurements.boxed, measurements.masked, measurements.softmax_top1, self.draws
            )
            self._localization_by_map[key] = LocalizationScores(values, counts.curve(), _right_at_best(counts))
        return self._localization_by_map[key]

    def _pointing(self, key: str, gate: str | None) -> Values:
        """Scores of the grid pointing game; none without mosaics."""
        if not len(self._measurements.mosaics):
            return {}
        maps = self._measurements.in_mosaics(f"maps {key}")
        if gate:
            maps = maps * self._measurements.in_mosaics(f"gate {gate}")[:, :, None, None]
        scores = pointing_scores(maps)
        by_metric = {
            "mosaic": scores.at_zero,
            "mosaic_area": scores.positive_area,
            "mosaic_at_30": scores.at_share_of_maximum,
            "mosaic_quarter": scores.at_quarter_area,
            "mosaic_maximum": scores.maximum,
        }
        draws = self._mosaic_draws
        return {name: (mean_over(value, draws), int(np.isfinite(value).sum())) for name, value in by_metric.items()}

    def _faithfulness(self, key: str) -> Values:
        """Faithfulness scores; none for a map that was not scored."""
        scores = self._measurements.faithfulness(key)
        if scores is None:
            return {}
        return {name: (mean_over(scores[:, at], self._faithful_draws), len(scores)) for at, name in enumerate(KEYS)}

    def _delta_curve(self, request: TableRequest) -> list[dict[str, Any]]:
        """Values without intervals of the softmax head with a number on every weight, a point a number."""
        deltas = {column.delta for column in request.columns.values() if column.delta is not None} | {0.0}
        points = []
        for delta in sorted(deltas, reverse=True):
            source = shared_source(request, delta_key(delta) if delta else "softmax")
            values = self._values(source, None)
            point: dict[str, Any] = {"delta": delta}
            points.append(point | {name: _finite(value[0]) for name, (value, _) in values.items()})
        return points

    def _by_class(self, sources: dict[str, MapSource]) -> list[dict[str, Any]]:
        """Means over each class's pictures, softmax and sigmoid; without intervals, as a class has few pictures."""
        measurements = self._measurements
        scores = {branch: self._scores(sources[branch], None).by_picture for branch in ("softmax", "sigmoid")}
        localized = {branch: self._localization(sources[branch].key).right_at_best for branch in scores}
        rows = []
        for label in np.unique(measurements.labels):
            is_in_class = measurements.labels == label
            first = measurements.sample(int(np.flatnonzero(is_in_class)[0]))
            row: dict[str, Any] = {"class": first.class_name, "class_index": int(label), "n": int(is_in_class.sum())}
            for branch, by_picture in scores.items():
                row[branch] = {key: _mean(value[is_in_class]) for key, value in by_picture.items()}
                is_right = localized[branch]
                if is_right is not None:
                    row[branch]["gt_known"] = _mean(is_right[is_in_class[measurements.boxed]].astype(np.float64))
            rows.append(row)
        return rows

    def _differ_most(self, sources: dict[str, MapSource]) -> dict[str, Any]:
        """The pictures where the branches differ most either way: by AUC, or without boxes by own less absent area."""
        branches = [self._scores(sources[branch], None).by_picture for branch in ("softmax", "sigmoid")]
        by = "inside_auc" if np.isfinite(branches[1]["inside_auc"]).any() else "own_area - absent_area"
        softmax, sigmoid = (
            scores["inside_auc"] if by == "inside_auc" else scores["own_area"] - scores["absent_area"]
            for scores in branches
        )
        difference = sigmoid - softmax
        order = [int(i) for i in np.argsort(difference, kind="stable") if np.isfinite(difference[i])]

        def rows(pictures: list[int]) -> list[dict[str, Any]]:
            return [
                {
                    "key": self._measurements.sample(i).key,
                    "class": self._measurements.sample(i).class_name,
                    "class_index": int(self._measurements.labels[i]),
                    "softmax": float(softmax[i]),
                    "sigmoid": float(sigmoid[i]),
                }
                for i in pictures
            ]

        return {
            "by": by,
            "sigmoid_better": rows([i for i in order[::-1][:SHOWN_DIFFERENCES] if difference[i] > 0]),
            "softmax_better": rows([i for i in order[:SHOWN_DIFFERENCES] if difference[i] < 0]),
        }


def table_columns(request: TableRequest) -> list[str]:
    """Keys of the table's columns; further deltas are points of the curve alone."""
    return [key for key, column in request.columns.items() if column.delta is None or column.delta in DELTAS]


def _with_differences(values: Values, softmax: Values, column: str) -> dict[str, dict[str, Any]]:
    """Each metric's estimate and, in all columns but softmax's, its difference to softmax over the same draws."""
    estimates: dict[str, dict[str, Any]] = {}
    for key in (key for key in METRICS if key in values):
        value, count = values[key]
        estimates[key] = dict(estimate(value, count))
        if column != "softmax":
            estimates[key]["difference"] = estimate(value - softmax[key][0], min(count, softmax[key][1]))
    return estimates


def _area_points(own: Array, absent: Array, coverage: Array) -> list[dict[str, float]]:
    """Own-class against absent-class area from level to level, for drawing."""
    curves = area_curves(own, absent, coverage)
    everyone = np.ones((1, len(own)), np.float32)
    own_share, absent_share = mean_curve(curves.own, everyone)[0], mean_curve(curves.absent, everyone)[0]
    points = np.unique(np.linspace(0, len(curves.levels) - 1, CURVE_POINTS).round().astype(int))
    return [
        {"level": float(curves.levels[i]), "own": float(own_share[i]), "absent": float(absent_share[i])} for i in points
    ]


def _right_at_best(counts: LocalizationCounts) -> Array | None:
    """Which boxed pictures are localized (largest contour, IoU 0.5) at the threshold that is best for all of them."""
    if counts.localized is None:
        return None
    is_right = counts.localized.largest
    return is_right[:, int(is_right.sum(axis=0).argmax())]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(values: Array) -> float | None:
    """The mean of the finite values; None without any."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None
