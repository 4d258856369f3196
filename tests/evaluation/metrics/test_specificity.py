"""The zero tests and the pointing game: by hand, by loops, and what must not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
from tolerances import IDENTITY, Tolerance, assert_close

from bsig.evaluation.metrics.intervals import estimate, mean_over, ratio_over, resampling_weights
from bsig.evaluation.metrics.regions import covered_by_boxes, covered_by_mask, inside_auc, region_scores
from bsig.evaluation.metrics.specificity import (
    absent_area_at_own_area,
    area_between,
    area_curves,
    at_own_area,
    class_aware_precision,
    equal_area_level,
    evidence_masses,
    mean_curve,
    own_cells,
    picture_auc,
    pointing_scores,
    positive_areas,
    roc_points,
    zero_tests,
)
from bsig.inputs.errors import InputError

NO_BOXES = np.full((5, 3, 7), np.nan)


@pytest.fixture
def own() -> np.ndarray:
    return np.random.default_rng(1).normal(1.0, 1.0, (5, 3, 7))


@pytest.fixture
def absent() -> np.ndarray:
    return np.random.default_rng(2).normal(0.0, 1.0, (5, 2, 3, 7))


def test_zero_is_not_positive() -> None:
    maps = np.array([[[-1.0, 0.0], [2.0, 4.0]]])
    assert positive_areas(maps).tolist() == [0.5]
    assert evidence_masses(maps).tolist() == [1.5]


def test_absent_area_at_equal_own_area_by_hand() -> None:
    own = np.array([[[10.0, 8.0], [6.0, 4.0]]])
    absent = np.array([[[[9.0, 7.0], [6.0, 0.0]]]])
    assert equal_area_level(own, 0.5) == 8.0
    assert absent_area_at_own_area(own, absent, 0.5) == 0.25
    assert absent_area_at_own_area(own, absent, 0.75) == 0.75
    assert absent_area_at_own_area(own, absent, 1.0) == 0.75


def test_a_whole_product_is_not_rounded_up() -> None:
    own = np.arange(1.0, 491.0).reshape(10, 7, 7)
    assert 0.7 * own.size != 343 or math.ceil(0.7 * own.size) == 343
    assert (own >= equal_area_level(own, 0.7)).sum() == 343


def test_the_level_equals_its_loop(own: np.ndarray, absent: np.ndarray) -> None:
    for area in (0.1, 0.5, 0.7, 1.0):
        level = reference.level_of_own_area(own, area)
        assert equal_area_level(own, area) == level
        assert_close(
            absent_area_at_own_area(own, absent, area), reference.share_of_cells_reaching(absent, level), IDENTITY
        )


def test_a_constant_added_to_every_map_buys_nothing_but_the_area_at_zero(own: np.ndarray, absent: np.ndarray) -> None:
    assert absent_area_at_own_area(own - 3, absent - 3, 0.7) == absent_area_at_own_area(own, absent, 0.7)
    assert positive_areas(absent - 3).mean() < positive_areas(absent).mean()


def test_scaling_absent_maps_down_lowers_the_area_at_equal_own_area(own: np.ndarray, absent: np.ndarray) -> None:
    own = np.abs(own) + 1
    assert absent_area_at_own_area(own, 0.01 * absent, 0.7) == 0.0


@pytest.mark.parametrize("area", [0.0, -0.1, 1.1])
def test_an_own_area_outside_its_range_is_refused(own: np.ndarray, area: float) -> None:
    with pytest.raises(InputError, match="own_area"):
        equal_area_level(own, area)


def test_curves_hold_the_share_of_cells_at_each_level(own: np.ndarray, absent: np.ndarray) -> None:
    coverage = np.random.default_rng(3).random((5, 3, 7))
    curves = area_curves(own, absent, coverage)
    for at in (0, 17, len(curves.levels) - 1):
        level = curves.levels[at]
        for i in range(5):
            assert_close(curves.own[i, at], reference.share_of_cells_reaching(own[i], level), IDENTITY)
            assert_close(curves.absent[i, at], reference.share_of_cells_reaching(absent[i], level), IDENTITY)
            iou = reference.region_iou_precision_recall(own[i] >= level, coverage[i])[0]
            assert_close(curves.box_iou[i, at], iou, IDENTITY)


def test_the_interpolated_curve_meets_the_exact_level(own: np.ndarray, absent: np.ndarray) -> None:
    curves = area_curves(own, absent, NO_BOXES)
    weights = np.ones((1, 5), np.float32)
    own_curve, absent_curve = mean_curve(curves.own, weights), mean_curve(curves.absent, weights)
    for area in (0.7, 0.5):
        # 105 cells: between two levels lie at most a cell of the own class and a few of the absent ones.
        between = at_own_area(own_curve, absent_curve, area)[0]
        assert abs(between - absent_area_at_own_area(own, absent, area)) <= 4 / absent.size + 1e-12


def test_pictures_without_boxes_are_nan_and_left_out(own: np.ndarray, absent: np.ndarray) -> None:
    coverage = NO_BOXES.copy()
    coverage[:2] = np.random.default_rng(4).random((2, 3, 7))
    curves = area_curves(own, absent, coverage)
    assert np.isnan(curves.box_iou[2:]).all()
    assert np.isfinite(curves.box_iou[:2]).all()
    values = zero_tests(own, absent, coverage, np.ones((1, 5), np.float32)).values
    assert (values["box_iou"][1], values["own_area"][1]) == (2, 5)
    scores = region_scores(own[:2] > 0, coverage[:2])
    assert_close(values["box_iou"][0], scores["box_iou"].mean(keepdims=True), IDENTITY)
    nothing = zero_tests(own, absent, NO_BOXES, np.ones((1, 5), np.float32)).values
    assert np.isnan(nothing["box_iou_at_own_70"][0]).all()
    assert nothing["inside_auc"][1] == 0


def test_cell_auc_is_the_chance_that_an_own_cell_outranks_an_absent_one(own: np.ndarray, absent: np.ndarray) -> None:
    curves = area_curves(own, absent, NO_BOXES)  # 105 own cells, fewer than the levels: exact
    weights = np.ones((1, 5), np.float32)
    area = area_between(mean_curve(curves.own, weights), mean_curve(curves.absent, weights))[0]
    expected = reference.chance_of_ranking_above(own.ravel().tolist(), absent.ravel().tolist())
    assert_close(area, expected, IDENTITY)


def test_picture_auc_equals_its_loop_for_every_draw() -> None:
    random = np.random.default_rng(5)
    own, absent = random.integers(0, 5, 6).astype(float), random.integers(0, 4, (6, 3)).astype(float)  # with ties
    weights = resampling_weights(6, 70, seed=3)
    for value, row in zip(picture_auc(own, absent, weights), weights, strict=True):
        draw = [i for i in range(6) for _ in range(int(row[i]))]
        expected = reference.chance_of_ranking_above(
            [own[i] for i in draw], [score for i in draw for score in absent[i]]
        )
        assert_close(value, expected, IDENTITY)


def test_roc_points_fall_as_the_level_rises() -> None:
    points = roc_points(np.array([3.0, 4.0]), np.array([[1.0], [3.5]]), points=5)
    assert points[0] == {"level": 1.0, "own": 1.0, "absent": 1.0}
    assert [point["own"] for point in points] == sorted((point["own"] for point in points), reverse=True)


# Against boxes and masks.


def test_coverage_by_hand() -> None:
    coverage = covered_by_boxes([(2.0, 0.0, 6.0, 4.0)], (8, 4), (1, 2))
    assert_close(coverage, [[0.5, 0.5]], IDENTITY)


def test_overlapping_boxes_count_once() -> None:
    twice = covered_by_boxes([(0.0, 0.0, 4.0, 4.0), (2.0, 0.0, 6.0, 4.0)], (8, 4), (1, 2))
    assert_close(twice, [[1.0, 0.5]], IDENTITY)


def test_a_box_beyond_the_picture_is_cut_off() -> None:
    assert_close(covered_by_boxes([(4.0, -9.0, 99.0, 99.0)], (8, 4), (1, 2)), [[0.0, 1.0]], IDENTITY)
    assert covered_by_boxes([(50.0, 50.0, 60.0, 60.0)], (8, 4), (3, 5)).sum() == 0


def test_coverage_equals_its_loop() -> None:
    boxes = [(3.0, 2.0, 21.0, 9.0), (9.0, 5.0, 33.0, 13.0), (30.0, 0.0, 35.0, 2.0)]
    expected = reference.coverage_by_points(boxes, (35, 15), (3, 5), points=35)
    # 35 probes a side of a cell of 7 x 5 pixels: five (seven) to a pixel, none on an edge.
    assert_close(covered_by_boxes(boxes, (35, 15), (3, 5)), expected, IDENTITY)


def test_a_mask_covers_as_its_box_does() -> None:
    mask = np.zeros((13, 17), bool)
    mask[2:9, 3:11] = True
    assert_close(covered_by_mask(mask, (5, 7)), covered_by_boxes([(3.0, 2.0, 11.0, 9.0)], (17, 13), (5, 7)), IDENTITY)


def test_region_scores_by_hand_and_by_loops() -> None:
    region = np.array([[[True, False]]])
    coverage = np.array([[[0.5, 0.5]]])
    scores = region_scores(region, coverage)
    assert tuple(score[0] for score in scores.values()) == (1 / 3, 0.5, 0.5)
    random = np.random.default_rng(6)
    region, coverage = random.random((5, 3, 7)) > 0.5, random.random((5, 3, 7))
    scores = region_scores(region, coverage)
    for i in range(5):
        own_scores = tuple(score[i] for score in scores.values())
        assert_close(own_scores, reference.region_iou_precision_recall(region[i], coverage[i]), IDENTITY)


def test_an_empty_region_has_no_precision() -> None:
    scores = region_scores(np.zeros((1, 3, 5), bool), np.ones((1, 3, 5)))
    assert np.isnan(scores["box_precision"][0])
    assert (scores["box_iou"][0], scores["box_recall"][0]) == (0, 0)


def test_inside_auc_by_loops_and_unmoved_by_constants(own: np.ndarray) -> None:
    coverage = np.random.default_rng(7).random(own.shape)
    coverage[0] = 1.0  # nothing outside
    own = own.round(1)  # ties
    scores = inside_auc(own, coverage)
    assert np.isnan(scores[0])
    assert_close(inside_auc(2 * own - 7, coverage)[1:], scores[1:], IDENTITY)
    for i in range(1, 5):
        inside, outside = own[i][coverage[i] >= 0.5], own[i][coverage[i] < 0.5]
        assert_close(scores[i], reference.chance_of_ranking_above(inside.tolist(), outside.tolist()), IDENTITY)


# The grid pointing game.


def test_pointing_by_hand() -> None:
    maps = np.full((1, 4, 2, 2), -1.0)
    maps[0, 0] = [[3.0, 1.0], [0.0, -5.0]]  # three quarters of its evidence, and its maximum, in quarter 0
    maps[0, 1] = [[4.0, 1.0], [0.0, 0.0]]
    scores = pointing_scores(maps)
    assert scores["mosaic"][0] == pytest.approx((3 / 4 + 1 / 5) / 2)  # two maps have no positive evidence
    assert scores["mosaic_at_30"][0] == pytest.approx((3 / 4 + 0) / 2)  # 1 < 0.3 * 4, but 1 > 0.3 * 3
    assert scores["mosaic_area"][0] == pytest.approx((2 / 4 + 2 / 4) / 4)
    # The two constant maps lie in all four quarters alike; the strongest cell of ties is the first.
    assert scores["mosaic_maximum"][0] == pytest.approx((1 + 0 + 0.25 + 0.25) / 4)
    assert scores["mosaic_quarter"][0] == pytest.approx((1 + 0 + 0 + 0) / 4)


def test_pointing_equals_its_loop_on_even_grids() -> None:
    maps = np.random.default_rng(8).normal(size=(3, 4, 6, 10))
    scores = pointing_scores(maps)
    for i in range(3):
        zero, strong = [], []
        for q in range(4):
            zero.append(reference.evidence_share_in_quarter(maps[i, q], q))
            strong.append(reference.evidence_share_in_quarter(maps[i, q], q, 0.3 * maps[i, q].max()))
        assert_close(scores["mosaic"][i], np.mean(zero), IDENTITY)
        assert_close(scores["mosaic_at_30"][i], np.mean(strong), IDENTITY)


def test_a_map_of_nothing_but_constants_scores_chance_on_odd_grids() -> None:
    scores = pointing_scores(np.ones((2, 4, 7, 5)))
    assert_close(scores["mosaic"], [0.25, 0.25], IDENTITY)
    assert_close(scores["mosaic_maximum"], [0.25, 0.25], IDENTITY)


def test_no_positive_evidence_anywhere_is_no_score() -> None:
    assert np.isnan(pointing_scores(np.full((1, 4, 2, 2), -1.0))["mosaic"]).all()


# Intervals.


def test_means_of_draws_equal_their_loop() -> None:
    scores = np.array([1.0, np.nan, 4.0, 2.0, 8.0])
    weights = resampling_weights(5, 40, seed=1)
    assert weights.shape == (41, 5)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 5).all()
    assert_close(mean_over(scores, weights), reference.mean_of_draws(scores, weights), IDENTITY)


def test_draws_are_seeded_and_a_ratio_of_sums_is_not_a_mean_of_ratios() -> None:
    assert (resampling_weights(7, 9, seed=2) == resampling_weights(7, 9, seed=2)).all()
    assert (resampling_weights(7, 9, seed=2) != resampling_weights(7, 9, seed=3)).any()
    assert ratio_over(np.array([1.0, 1.0]), np.array([1.0, 3.0]), np.ones((1, 2), np.float32))[0] == 0.5


def test_an_interval_covers_the_mean_it_should() -> None:
    """The 95 % interval of 200 normal numbers is the mean +- 1.96 standard errors, up to its own noise."""
    scores = np.random.default_rng(9).normal(size=200)
    interval = estimate(mean_over(scores, resampling_weights(200, 4000)), 200)
    error = 1.96 * scores.std() / math.sqrt(200)
    assert interval["value"] == pytest.approx(scores.mean())
    assert interval["low"] == pytest.approx(scores.mean() - error, abs=0.1 * error)
    assert interval["high"] == pytest.approx(scores.mean() + error, abs=0.1 * error)


def test_a_difference_between_equal_heads_has_no_width() -> None:
    scores = np.random.default_rng(10).random(20)
    weights = resampling_weights(20, 50)
    difference = estimate(mean_over(scores + 0.25, weights) - mean_over(scores, weights), 20)
    assert difference["low"] == pytest.approx(0.25)
    assert difference["high"] == pytest.approx(0.25)


def test_what_is_not_defined_is_none_not_a_number() -> None:
    nothing = estimate(mean_over(np.full(3, np.nan), resampling_weights(3, 5)), 0)
    assert nothing == {"value": None, "low": None, "high": None, "n": 0}


@pytest.mark.parametrize(("count", "resamples"), [(0, 5), (5, 0)])
def test_nothing_to_draw_is_refused(count: int, resamples: int) -> None:
    with pytest.raises(InputError, match="must be at least 1"):
        resampling_weights(count, resamples)


# Class-aware precision.


def test_class_aware_precision_by_hand() -> None:
    """Cells in order: right, absent's, right, wrong; the precision at the right ones is 1 and 2 / 3."""
    maps = np.array([[[[4.0, 2.0, 1.0]], [[3.0, 0.0, -1.0]]]])
    is_right = own_cells(np.array([[[1.0, 1.0, 0.0]]]), 2)
    ones = np.ones((1, 1))
    assert_close(class_aware_precision(maps, is_right, ones), [(1 + 2 / 3) / 2], IDENTITY)
    assert_close(class_aware_precision(maps[:, :1], is_right[:, :1], ones), [1.0], IDENTITY)
    # Two equal cells are one level: the right one half of it.
    maps[0, 1, 0, 0] = 4.0
    assert_close(class_aware_precision(maps, is_right, ones), [(1 / 2 + 2 / 3) / 2], IDENTITY)


def test_class_aware_precision_is_its_loop_and_counts_a_covered_share() -> None:
    random = np.random.default_rng(6)
    maps, is_right = random.normal(size=(4, 3, 3, 5)), own_cells(random.random((4, 3, 5)), 3)
    value = class_aware_precision(maps, is_right, np.ones((1, 4)))[0]
    assert_close(value, reference.cell_average_precision(maps, is_right), IDENTITY)


def test_one_number_a_map_buys_whether_and_nothing_of_where() -> None:
    """Pushing absent classes below all own cells gives the precision that own cells have by themselves."""
    random = np.random.default_rng(7)
    maps, is_right = random.normal(size=(6, 4, 3, 5)), own_cells((random.random((6, 3, 5)) > 0.5).astype(float), 4)
    levelled = maps.copy()
    levelled[:, 1:] -= 100
    ones = np.ones((1, 6))
    before, after, own = (
        class_aware_precision(*pair, ones)[0]
        for pair in ((maps, is_right), (levelled, is_right), (maps[:, :1], is_right[:, :1]))
    )
    assert_close(after, own, IDENTITY)
    assert before < after


def test_draws_of_class_aware_precision_are_near_the_exact_value_and_leave_pictures_without_boxes_out() -> None:
    random = np.random.default_rng(8)
    maps, coverage = random.normal(size=(9, 3, 7, 7)), random.random((9, 7, 7))
    coverage[4] = np.nan
    is_right = own_cells(coverage, 3)
    values = class_aware_precision(maps, is_right, np.ones((2, 9)))
    assert_close(values[0], values[1], Tolerance(0.02, 0))
    is_kept = np.arange(9) != 4
    assert_close(class_aware_precision(maps[is_kept], is_right[is_kept], np.ones((1, 8)))[0], values[0], IDENTITY)
    assert np.isnan(class_aware_precision(maps, np.full_like(is_right, np.nan), np.ones((2, 9)))).all()
