"""What was measured as tables: each metric of each column with its interval, and its difference to softmax in pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from bsig.evaluation.columns import DELTAS, delta_key
from bsig.evaluation.map_sources import Ask, MapSource, shared_source
from bsig.evaluation.metrics.catalogue import METRICS
from bsig.evaluation.metrics.intervals import estimate, mean_over, resampling_weights
from bsig.evaluation.metrics.localization import Localized
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
from bsig.evaluation.passes.localization import BLIND_TITLES, Places, localization_values
from bsig.evaluation.passes.work import Measured
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


class Tables:
    """Forms tables; a map that several tables hold is scored once.

    Attributes:
        draws: how often each draw takes each picture; the same for every map, so that differences are paired.
    """

    def __init__(self, measured: Measured, resamples: int) -> None:
        seed = measured.work.seed
        self.measured = measured
        self.draws = resampling_weights(len(measured.labels), resamples, seed)
        self._mosaic_draws = resampling_weights(max(len(measured.mosaics), 1), resamples, seed + 1)
        self._faithful_draws = resampling_weights(max(len(measured.faithful), 1), resamples, seed)
        self._scores: dict[tuple[str, str | None], Scores] = {}
        self._places: dict[str, tuple[Values, list[dict[str, float]], Array | None]] = {}

    def table(self, ask: Ask) -> dict[str, Any]:
        """One method and treatment in all its columns."""
        shown = columns_shown(ask)
        sources = {key: shared_source(ask, key) for key in shown}
        values = {key: self._values(source, ask.columns[key].gate) for key, source in sources.items()}
        blind = {key: self._place_values(key)[0] for key in BLIND_TITLES}
        columns = {
            key: {"title": ask.columns[key].title, "metrics": _with_differences(values[key], values["softmax"], key)}
            for key in shown
        } | {
            key: {"title": BLIND_TITLES[key], "metrics": _with_differences(found, values["softmax"], key)}
            for key, found in blind.items()
        }
        plain = {key: source for key, source in sources.items() if ask.columns[key].gate is None}
        return {
            "method": ask.method.key,
            "weights": ask.treatment,
            "treatment": TREATMENTS[ask.treatment],
            "unit": ask.method.unit,
            "columns": columns,
            "localization_curves": {key: self._place_values(source.key)[1] for key, source in plain.items()},
            "area_curves": self._curves(ask, sources, "area_curve"),
            "roc_over_pictures": self._curves(ask, sources, "roc"),
            "delta_curve": self._delta_curve(ask),
            "by_class": self._by_class(sources),
            "differ_most": self._differ_most(sources),
        }

    def _factor(self, source: MapSource) -> float:
        rows, columns = self.measured.coverage.shape[1:]
        return 1 / (rows * columns) if source.per_cell else 1.0

    def _curves(self, ask: Ask, sources: dict[str, MapSource], name: str) -> dict[str, list[dict[str, float]]]:
        return {
            key: [
                point | {"level": point["level"] * self._factor(source)}
                for point in getattr(self._scored(source, ask.columns[key].gate), name)
            ]
            for key, source in sources.items()
        }

    def _values(self, source: MapSource, gate: str | None) -> Values:
        """All numbers of one column, evidence in the unit of the method that was asked for."""
        factor = self._factor(source)
        return {
            key: (drawn * factor if key in IN_THE_MAPS_UNIT else drawn, count)
            for key, (drawn, count) in self._scored(source, gate).values.items()
        }

    def _scored(self, source: MapSource, gate: str | None) -> Scores:
        kept = self._scores.get((source.key, gate))
        if kept is None:
            kept = self._scores[source.key, gate] = self._score(source, gate)
        return kept

    def _score(self, source: MapSource, gate: str | None) -> Scores:
        measured, key = self.measured, source.key
        maps = measured.maps(key)
        if gate:
            maps = maps * measured.rows(f"gate {gate}")[:, :, None, None]
        own, absent = maps[:, 0], maps[:, 1:]
        values = zero_tests(own, absent, measured.coverage, self.draws)
        if source.is_localized:  # A gate is one positive number a map; it changes no place.
            values |= self._place_values(key)[0]
        values |= self._pointing(key, gate) | (self._faithfulness(key) if gate is None else {})
        by_picture = {
            "own_area": positive_areas(own),
            "absent_area": positive_areas(absent).mean(axis=1),
            "inside_auc": inside_auc(own, measured.coverage),
        }
        roc = roc_points(evidence_masses(own), evidence_masses(absent))
        return Scores(values, _area_points(own, absent, measured.coverage), roc, by_picture)

    def _place_values(self, key: str) -> tuple[Values, list[dict[str, float]], Array | None]:
        """Localization by key of a map or baseline: values, curve, and which boxed pictures are right at the best."""
        kept = self._places.get(key)
        if kept is None:
            measured = self.measured
            places = measured.places(key)
            values = localization_values(places, measured.boxed, measured.masked, measured.softmax_top1, self.draws)
            kept = self._places[key] = values, places.curve(), _right_at_best(places)
        return kept

    def _pointing(self, key: str, gate: str | None) -> Values:
        if not len(self.measured.mosaics):
            return {}
        maps = self.measured.in_mosaics(f"maps {key}")
        if gate:
            maps = maps * self.measured.in_mosaics(f"gate {gate}")[:, :, None, None]
        scores = pointing_scores(maps)
        named = {
            "mosaic": scores.at_zero,
            "mosaic_area": scores.positive_area,
            "mosaic_at_30": scores.at_share_of_maximum,
            "mosaic_quarter": scores.at_quarter_area,
            "mosaic_maximum": scores.maximum,
        }
        draws = self._mosaic_draws
        return {name: (mean_over(value, draws), int(np.isfinite(value).sum())) for name, value in named.items()}

    def _faithfulness(self, key: str) -> Values:
        scores = self.measured.faithfulness(key)
        if scores is None:
            return {}
        return {name: (mean_over(scores[:, at], self._faithful_draws), len(scores)) for at, name in enumerate(KEYS)}

    def _delta_curve(self, ask: Ask) -> list[dict[str, Any]]:
        """The plain softmax head with `delta` on every weight, from delta to delta: values without intervals."""
        known = {column.delta for column in ask.columns.values() if column.delta is not None} | {0.0}
        points = []
        for delta in sorted(known, reverse=True):
            source = shared_source(ask, delta_key(delta) if delta else "softmax")
            values = self._values(source, None)
            point: dict[str, Any] = {"delta": delta}
            points.append(point | {name: _plain(drawn[0]) for name, (drawn, _) in values.items()})
        return points

    def _by_class(self, sources: dict[str, MapSource]) -> list[dict[str, Any]]:
        """Means over each class's pictures, softmax and sigmoid; without intervals, a class has few pictures."""
        measured = self.measured
        scores = {branch: self._scored(sources[branch], None).by_picture for branch in ("softmax", "sigmoid")}
        right = {branch: self._place_values(sources[branch].key)[2] for branch in scores}
        rows = []
        for label in np.unique(measured.labels):
            chosen = measured.labels == label
            first = measured.sample(int(np.flatnonzero(chosen)[0]))
            row: dict[str, Any] = {"class": first.class_name, "class_index": int(label), "n": int(chosen.sum())}
            for branch, found in scores.items():
                row[branch] = {key: _mean(value[chosen]) for key, value in found.items()}
                localized = right[branch]
                if localized is not None:
                    row[branch]["gt_known"] = _mean(localized[chosen[measured.boxed]].astype(np.float64))
            rows.append(row)
        return rows

    def _differ_most(self, sources: dict[str, MapSource]) -> dict[str, Any]:
        """The pictures where the branches differ most either way: by AUC, or without boxes by own less absent area."""
        softmax, sigmoid = (self._scored(sources[branch], None).by_picture for branch in ("softmax", "sigmoid"))
        by = "inside_auc" if np.isfinite(sigmoid["inside_auc"]).any() else "own_area - absent_area"

        def score(found: dict[str, Array]) -> Array:
            return found["inside_auc"] if by == "inside_auc" else found["own_area"] - found["absent_area"]

        difference = score(sigmoid) - score(softmax)
        order = [int(i) for i in np.argsort(difference, kind="stable") if np.isfinite(difference[i])]

        def rows(chosen: list[int]) -> list[dict[str, Any]]:
            return [
                {
                    "key": self.measured.sample(i).key,
                    "class": self.measured.sample(i).class_name,
                    "class_index": int(self.measured.labels[i]),
                    "softmax": float(score(softmax)[i]),
                    "sigmoid": float(score(sigmoid)[i]),
                }
                for i in chosen
            ]

        return {
            "by": by,
            "sigmoid_better": rows([i for i in order[::-1][:SHOWN_DIFFERENCES] if difference[i] > 0]),
            "softmax_better": rows([i for i in order[:SHOWN_DIFFERENCES] if difference[i] < 0]),
        }


def columns_shown(ask: Ask) -> list[str]:
    """The table's columns; further deltas are points of the curve alone."""
    return [key for key, column in ask.columns.items() if column.delta is None or column.delta in DELTAS]


def _with_differences(values: Values, softmax: Values, column: str) -> dict[str, dict[str, Any]]:
    """Each metric's estimate, and where the column is another one its difference to softmax, drawn in pairs."""
    found: dict[str, dict[str, Any]] = {}
    for key in (key for key in METRICS if key in values):
        drawn, count = values[key]
        found[key] = dict(estimate(drawn, count))
        if column != "softmax":
            found[key]["difference"] = estimate(drawn - softmax[key][0], min(count, softmax[key][1]))
    return found


def _area_points(own: Array, absent: Array, coverage: Array) -> list[dict[str, float]]:
    """Own-class against absent-class area from level to level, for drawing."""
    curves = area_curves(own, absent, coverage)
    everyone = np.ones((1, len(own)), np.float32)
    own_share, absent_share = mean_curve(curves.own, everyone)[0], mean_curve(curves.absent, everyone)[0]
    chosen = np.unique(np.linspace(0, len(curves.levels) - 1, CURVE_POINTS).round().astype(int))
    return [
        {"level": float(curves.levels[i]), "own": float(own_share[i]), "absent": float(absent_share[i])} for i in chosen
    ]


def _right_at_best(places: Places) -> Array | None:
    """Which boxed pictures are localized (largest contour, IoU 0.5) at the threshold that is best for all of them."""
    found: Localized | None = places.found
    return None if found is None else found.largest[:, int(found.largest.sum(axis=0).argmax())]


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
