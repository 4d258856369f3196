"""Measurements as tables: each metric of each column with its interval, and its paired difference to softmax.

A metric is a mean over the classes that are in the pictures. Intervals draw pictures, each with all of its classes:
those of one picture are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from bsig.evaluation.columns import DELTAS, TRAINED_COLUMNS, UNTRAINED_COLUMNS, delta_key
from bsig.evaluation.map_sources import MapSource, TableRequest, gated
from bsig.evaluation.metrics.catalogue import BEYOND, BLIND_TITLES, IN_THE_MAPS_UNIT, METRICS
from bsig.evaluation.metrics.faithfulness import Faithfulness
from bsig.evaluation.metrics.intervals import Values, estimate, finite_or_none, means_over, resampling_weights
from bsig.evaluation.metrics.localization import accuracy_curve, box_accuracies, pixel_average_precision, unpacked
from bsig.evaluation.metrics.specificity import (
    ZeroTests,
    class_aware_precision,
    own_cells,
    pointing_scores,
    quarter_coverage,
    zero_tests,
)
from bsig.evaluation.passes.faithfulness import drop_name
from bsig.evaluation.passes.measurements import Measurements
from bsig.explain.methods import TREATMENTS

Array = np.ndarray
SHOWN_DIFFERENCES = 8
DROPS = ("average_drop", "increase_in_confidence")


@dataclass(frozen=True)
class LocalizationScores:
    """The localization of one map or baseline.

    Attributes:
        curve: GT-known localization against the threshold, for drawing.
        right_at_best: which classes with boxes are localized (largest contour, IoU 0.5) at the threshold that is best
            for all of them; None without any.
    """

    values: Values
    curve: list[dict[str, float]]
    right_at_best: Bool[Array, " m"] | None


class Tables:
    """Makes tables; a map that several tables hold is scored once.

    Attributes:
        picture_draws: how often each draw takes each picture.
        draws: how often each draw takes each present class, as often as its picture; the same for every map, so that
            differences are paired.
    """

    def __init__(self, measurements: Measurements) -> None:
        seed, resamples = measurements.work.config.seed, measurements.work.config.resamples
        self._measurements = measurements
        self.picture_draws = resampling_weights(len(measurements.picture_positions), resamples, seed)
        self.draws = self.picture_draws
        if len(measurements.labels) > len(measurements.picture_positions):  # else a copy of the same
            self.draws = self.picture_draws[:, measurements.picture_rows]
        self._mosaic_draws = resampling_weights(max(len(measurements.mosaics), 1), resamples, seed + 1)
        self._faithful_draws = resampling_weights(max(len(measurements.faithful), 1), resamples, seed)
        self._scores = cache(self._computed_scores)
        self._localization = cache(self._computed_localization)

    def table(self, request: TableRequest) -> dict[str, Any]:
        """One method and treatment in all its columns, ready for JSON."""
        # Further deltas are points of the curve alone.
        columns = {key: each for key, each in request.columns.items() if each.delta is None or each.delta in DELTAS}
        sources = {key: request.source(key) for key in columns}
        scores = {key: self._scores(sources[key].key, column.gate) for key, column in columns.items()}
        titles = {key: column.title for key, column in columns.items()} | BLIND_TITLES
        values = {key: self._values(sources[key], column.gate) for key, column in columns.items()}
        values |= {key: self._localization(key).values for key in BLIND_TITLES}
        if "average_drop" in values["softmax"]:  # a map of the whole picture takes nothing away
            nothing = (np.zeros(len(self.draws)), values["softmax"]["average_drop"][1])
            values["full-box"] = values["full-box"] | dict.fromkeys(DROPS, nothing)
        return {
            "method": request.method.key,
            "weights": request.treatment,
            "treatment": TREATMENTS[request.treatment],
            "unit": request.method.unit,
            "columns": {
                key: {"title": titles[key], "metrics": _with_differences(values[key], values["softmax"], key)}
                for key in values
            },
            "localization_curves": {
                key: self._localization(sources[key].key).curve for key, column in columns.items() if not column.gate
            },
            "area_curves": {key: self._curve(sources[key], scores[key].area_curve) for key in columns},
            "roc_over_pictures": {key: self._curve(sources[key], scores[key].roc) for key in columns},
            "beyond_untrained": beyond_untrained(values),
            "delta_curve": self._delta_curve(request),
            "by_class": self._by_class(sources),
            "differ_most": self._differ_most(sources),
        }

    def _factor(self, source: MapSource) -> float:
        """The factor that turns the source's map into the map that the table is about."""
        rows, columns = self._measurements.coverage.shape[1:]
        return 1 / (rows * columns) if source.per_cell else 1.0

    def _curve(self, source: MapSource, points: list[dict[str, float]]) -> list[dict[str, float]]:
        """The points of a column's curve, levels in the unit of the table's maps."""
        return [point | {"level": point["level"] * self._factor(source)} for point in points]

    def _values(self, source: MapSource, gate: str | None) -> Values:
        """All numbers of one column, evidence in the unit of the table's maps."""
        values = self._scores(source.key, gate).values
        if source.is_localized:  # a gate is one positive number a map: it changes no place
            values = values | self._localization(source.key).values
        factor = self._factor(source)
        return {
            key: (value * factor if key in IN_THE_MAPS_UNIT else value, count) for key, (value, count) in values.items()
        }

    def _computed_scores(self, key: str, gate: str | None) -> ZeroTests:
        """The scores of a map but for localization."""
        maps = self._gated_maps(self._measurements.rows, key, gate)
        absent = 1 + self._measurements.work.absent_count
        scores = zero_tests(maps[:, 0], maps[:, 1:absent], self._measurements.coverage, self.draws)
        others = self._precision(maps, absent) | self._pointing(key, gate) | self._faithfulness(key, gate)
        return replace(scores, values=scores.values | others | self._drops(key, gate))

    def _gated_maps(self, rows: Callable[[str], Array], key: str, gate: str | None) -> Float[Array, "n m h w"]:
        """The maps of a source, with the number `gate` on them where there is one."""
        work = self._measurements.work
        return gated(work.model, work.sources[key], gate, rows)

    def _precision(self, maps: Float[Array, "n m h w"], absent: int) -> Values:
        """Class-aware precision with absent classes, with siblings and without either."""
        coverage = self._measurements.coverage
        count = int(np.isfinite(coverage[:, 0, 0]).sum())
        parts = {"cell_precision": maps[:, :absent], "cell_precision_own": maps[:, :1]}
        if maps.shape[1] > absent:
            parts["cell_precision_siblings"] = np.concatenate([maps[:, :1], maps[:, absent:]], axis=1)
        return {
            key: (class_aware_precision(part, own_cells(coverage, part.shape[1]), self.draws), count)
            for key, part in parts.items()
        }

    def _computed_localization(self, key: str) -> LocalizationScores:
        measurements = self._measurements
        boxed, masked = measurements.boxed, measurements.masked
        values: Values = {}
        curve, right_at_best = [], None
        if len(boxed):
            is_localized = unpacked(measurements.rows(f"places {key}"))
            is_right = measurements.softmax_top1[measurements.picture_rows]
            accuracies = box_accuracies(is_localized, is_right[boxed], self.draws[:, boxed])
            values |= {name: (accuracy, len(boxed)) for name, accuracy in accuracies.items()}
            curve = accuracy_curve(is_localized)
            right_at_best = is_localized[:, 0, int(is_localized[:, 0].sum(axis=0).argmax())]
        if len(masked):
            precision = pixel_average_precision(measurements.rows(f"pixels {key}"), self.draws[:, masked])
            values["pxap"] = (precision, len(masked))
        return LocalizationScores(values, curve, right_at_best)

    def _pointing(self, key: str, gate: str | None) -> Values:
        """Scores of the grid pointing game; none without mosaics."""
        if not len(self._measurements.mosaics):
            return {}
        maps = self._gated_maps(self._measurements.in_mosaics, key, gate)
        quarters = np.broadcast_to(quarter_coverage((maps.shape[2], maps.shape[3])), maps.shape)
        precision = class_aware_precision(maps, quarters, self._mosaic_draws)
        return means_over(pointing_scores(maps), self._mosaic_draws) | {"mosaic_precision": (precision, len(maps))}

    def _faithfulness(self, key: str, gate: str | None) -> Values:
        """Faithfulness scores; none for a gate, which changes no order, or a map that was not scored."""
        scores = None if gate else self._measurements.faithfulness(key)
        if scores is None:
            return {}
        return means_over(dict(zip(Faithfulness._fields, scores.T, strict=True)), self._faithful_draws)

    def _drops(self, key: str, gate: str | None) -> Values:
        """Average drop and increase over `config.drop_pictures`, in place of those of faithfulness."""
        if (key, gate) not in self._measurements.work.drop_sources:
            return {}
        return means_over(dict(zip(DROPS, self._measurements.rows(drop_name(key, gate)).T, strict=True)), self.draws)

    def _delta_curve(self, request: TableRequest) -> list[dict[str, Any]]:
        """Values without intervals of the softmax head with a number on every weight, a point a number."""
        deltas = {column.delta for column in request.columns.values() if column.delta is not None} | {0.0}
        points = []
        for delta in sorted(deltas, reverse=True):
            values = self._values(request.source(delta_key(delta) if delta else "softmax"), None)
            means = {name: finite_or_none(value[0]) for name, (value, _) in values.items()}
            points.append({"delta": delta, **means})
        return points

    def _by_class(self, sources: dict[str, MapSource]) -> list[dict[str, Any]]:
        """Means over each class's pictures, softmax and sigmoid; without intervals, as a class has few pictures."""
        measurements = self._measurements
        keys = {branch: sources[branch].key for branch in ("softmax", "sigmoid")}
        rows = []
        for label in np.unique(measurements.labels):
            is_in_class = measurements.labels == label
            sample = measurements.samples[int(is_in_class.argmax())]
            row: dict[str, Any] = {"class": sample.class_name, "class_index": int(label), "n": int(is_in_class.sum())}
            for branch, key in keys.items():
                by_picture = self._scores(key, None).by_picture
                row[branch] = {name: _mean(value[is_in_class]) for name, value in by_picture.items()}
                is_right = self._localization(key).right_at_best
                if is_right is not None:
                    row[branch]["gt_known"] = _mean(is_right[is_in_class[measurements.boxed]].astype(np.float64))
            rows.append(row)
        return rows

    def _differ_most(self, sources: dict[str, MapSource]) -> dict[str, Any]:
        """The pictures where the branches differ most either way: by AUC, or without boxes by own less absent area."""
        softmax, sigmoid = (self._scores(sources[branch].key, None).by_picture for branch in ("softmax", "sigmoid"))
        by = "inside_auc" if np.isfinite(sigmoid["inside_auc"]).any() else "own_area - absent_area"
        before, after = (
            scores["inside_auc"] if by == "inside_auc" else scores["own_area"] - scores["absent_area"]
            for scores in (softmax, sigmoid)
        )
        difference = after - before
        order = [int(i) for i in np.argsort(difference, kind="stable")]
        better, worse = [i for i in order[::-1] if difference[i] > 0], [i for i in order if difference[i] < 0]
        return {
            "by": by,
            "sigmoid_better": self._picture_rows(better[:SHOWN_DIFFERENCES], before, after),
            "softmax_better": self._picture_rows(worse[:SHOWN_DIFFERENCES], before, after),
        }

    def _picture_rows(self, pictures: Sequence[int], softmax: Array, sigmoid: Array) -> list[dict[str, Any]]:
        return [
            {
                "key": self._measurements.samples[i].key,
                "class": self._measurements.samples[i].class_name,
                "class_index": int(self._measurements.labels[i]),
                "softmax": float(softmax[i]),
                "sigmoid": float(sigmoid[i]),
            }
            for i in pictures
        ]


def beyond_untrained(values: Mapping[str, Values]) -> dict[str, dict[str, Any]]:
    """The best column with the trained branch less the best without it, over the same draws, for each of `BEYOND`.

    `trained` and `untrained` name the columns, chosen by their values on all pictures; a positive `difference` is
    better. Metrics that were not measured are left out.
    """
    answers = {}
    for key in BEYOND:
        sign = -1 if METRICS[key].better == "lower" else 1
        trained, untrained = (
            {name: sign * values[name][key][0] for name in columns if key in values.get(name, {})}
            for columns in (TRAINED_COLUMNS, UNTRAINED_COLUMNS)
        )
        if not trained or not untrained or not np.isfinite(values["softmax"][key][0][0]):
            continue
        best, other = _highest(trained), _highest(untrained)
        answers[key] = {
            "trained": best,
            "untrained": other,
            "difference": estimate(trained[best] - untrained[other], values[best][key][1]),
        }
    return answers


def _highest(values: Mapping[str, Float[Array, " r"]]) -> str:
    """The column with the largest value on all pictures, the first of equal ones."""
    return max(values, key=lambda name: float(values[name][0]))


def _with_differences(values: Values, softmax: Values, column: str) -> dict[str, dict[str, Any]]:
    """Each metric's estimate and, in all columns but softmax's, its difference to softmax over the same draws."""
    estimates: dict[str, dict[str, Any]] = {key: dict(estimate(*values[key])) for key in METRICS if key in values}
    for key in estimates if column != "softmax" else ():
        (value, count), (softmax_value, softmax_count) = values[key], softmax[key]
        estimates[key]["difference"] = estimate(value - softmax_value, min(count, softmax_count))
    return estimates


def _mean(values: Array) -> float | None:
    """The mean of the finite values; None without any."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None
