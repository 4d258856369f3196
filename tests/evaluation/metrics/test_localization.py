"""Boxes from maps and their scores: by hand, by loops, and at the edges of the public protocol."""

from __future__ import annotations

import time

import numpy as np
import pytest
import reference
from tolerances import FLOAT32, IDENTITY, assert_close

from bsig.evaluation.metrics.intervals import resampling_weights
from bsig.evaluation.metrics.localization import (
    THRESHOLDS,
    BestIous,
    accuracy_curve,
    best_ious,
    best_ious_of_boxes,
    box_accuracies,
    box_ious,
    boxes_at_thresholds,
    centred_box_map,
    centred_gaussian_map,
    full_box_map,
    localized,
    packed,
    pixel_average_precision,
    pixel_histograms,
    random_map,
    scaled_boxes,
    score_map,
    unpacked,
)
from bsig.inputs.errors import InputError

EVERYONE = np.ones((1, 3), np.float32)


def boxes_at(score: np.ndarray, threshold: float) -> tuple[set[tuple[int, ...]], tuple[int, ...]]:
    boxes = boxes_at_thresholds(score, np.array([threshold]))
    return {tuple(box) for box in boxes.all_contours[boxes.entry[0]].tolist()}, tuple(boxes.largest[boxes.entry[0]])


@pytest.fixture
def two_blobs() -> np.ndarray:
    """A weak wide one (x 1..4, y 1..2) and a strong small one that touches the picture's edge (x 8..9, y 7..9)."""
    score = np.zeros((10, 10), np.float32)
    score[1:3, 1:5] = 0.5
    score[7:10, 8:10] = 1.0
    return score


def test_boxes_by_hand(two_blobs: np.ndarray) -> None:
    """The far end is one pixel beyond the contour's, but never beyond the picture: the public code's convention."""
    assert boxes_at(two_blobs, 0.2) == ({(1, 1, 5, 3), (8, 7, 9, 9)}, (1, 1, 5, 3))
    assert boxes_at(two_blobs, 0.6) == ({(8, 7, 9, 9)}, (8, 7, 9, 9))
    # The contour runs through pixel centres: an area of 3 x 1 for the weak one, of 1 x 2 for the strong one.
    assert boxes_at(two_blobs, 1.0) == ({(0, 0, 0, 0)}, (0, 0, 0, 0))


def test_the_largest_contour_is_the_one_with_the_largest_area_not_the_widest() -> None:
    score = np.zeros((12, 12), np.float32)
    score[0, 0:11] = 1.0  # a line: no area
    score[4:8, 4:8] = 1.0
    assert boxes_at(score, 0.5)[1] == (4, 4, 8, 8)


def test_a_threshold_is_cut_down_to_a_whole_grey_level() -> None:
    """127 of 255: thresholds of 0.498 and below see it (int(0.498 * 255) = 126), 0.499 does not (127)."""
    score = np.zeros((6, 6), np.float32)
    score[2:4, 2:4] = 127.5 / 255
    score[0, 0] = 1.0
    assert (2, 2, 4, 4) in boxes_at(score, 0.498)[0]
    assert (2, 2, 4, 4) not in boxes_at(score, 0.499)[0]


def test_threshold_zero_takes_what_is_above_zero(two_blobs: np.ndarray) -> None:
    assert boxes_at(two_blobs, 0.0)[0] == {(1, 1, 5, 3), (8, 7, 9, 9)}


def test_a_hole_has_a_contour_of_its_own() -> None:
    score = np.zeros((12, 12), np.float32)
    score[1:10, 1:10] = 1.0
    score[4:6, 4:7] = 0.0
    assert boxes_at(score, 0.5)[0] == {(1, 1, 10, 10), (3, 3, 8, 7)}


@pytest.mark.parametrize("seed", range(4))
def test_boxes_equal_their_loop_at_every_threshold(seed: int) -> None:
    score = np.random.default_rng(seed).random((11, 13)).astype(np.float32)
    entries = boxes_at_thresholds(score)
    assert len(entries.entry) == 1001
    for at in range(0, 1001, 50 - seed):
        boxes = {tuple(box) for box in entries.all_contours[entries.entry[at]].tolist()}
        assert boxes == reference.contour_boxes(score, THRESHOLDS[at])


def test_constant_and_not_finite_maps_have_no_box() -> None:
    for signed_map in (np.full((3, 5), 7.0), np.full((3, 5), np.nan), np.array([[np.inf, 1.0]]), np.zeros((1, 1))):
        score = score_map(signed_map)
        assert (score.shape, float(score.max())) == ((224, 224), 0.0)
        assert boxes_at(score, 0.5)[0] == {(0, 0, 0, 0)}


def test_score_maps_forget_scale_and_constant() -> None:
    signed_map = np.random.default_rng(1).normal(size=(5, 7))
    assert (score_map(signed_map).min(), score_map(signed_map).max()) == (0, 1)
    assert_close(score_map(3 * signed_map - 11), score_map(signed_map), FLOAT32)


@pytest.mark.parametrize("wrong", [np.full((3, 3), 1.5), np.full((3, 3), -0.1), np.full((3, 3), np.nan)])
def test_scores_outside_their_range_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(InputError, match="score"):
        boxes_at_thresholds(wrong)


def test_iou_counts_both_ends() -> None:
    assert box_ious(np.array([[0, 0, 9, 9]]), np.array([[0, 0, 4, 9]]))[0, 0] == 0.5
    assert box_ious(np.array([[0, 0, 0, 0]]), np.array([[0, 0, 0, 0]]))[0, 0] == 1.0
    assert box_ious(np.array([[0, 0, 1, 1]]), np.array([[2, 2, 3, 3]]))[0, 0] == 0.0
    assert box_ious(np.array([[0, 0, 1, 1]]), np.array([[1, 1, 2, 2]]))[0, 0] == 1 / 7


def test_ious_equal_their_loop() -> None:
    corners = np.sort(np.random.default_rng(2).integers(0, 12, (7, 2, 2)), axis=1)
    boxes = corners.reshape(7, 4)
    ious = box_ious(boxes[:4], boxes[4:])
    for i in range(4):
        for j in range(3):
            assert_close(ious[i, j], reference.box_iou(tuple(boxes[i]), tuple(boxes[4 + j])), IDENTITY)


def test_ground_truth_is_scaled_and_cut_off_to_whole_pixels() -> None:
    assert scaled_boxes([(10.0, 20.0, 50.9, 99.9)], (100, 200)).tolist() == [[22, 22, 114, 111]]


def test_the_best_of_several_contours_and_several_ground_truths(two_blobs: np.ndarray) -> None:
    """At 0.2 one contour fits the first truth, the other, the largest, the second."""
    large = np.kron(two_blobs, np.ones((20, 20), np.float32))  # 200 x 200
    enlarged = score_map(np.pad(large, ((0, 24), (0, 24))))  # 224 x 224, no resizing
    at_20 = boxes_at_thresholds(enlarged, np.array([0.2]))
    assert at_20.largest[0].tolist() == [20, 20, 100, 60]
    boxes = ([[160, 140, 200, 200]], [[20, 20, 100, 60]], [[0, 0, 9, 9], [20, 20, 100, 60]])
    truths = [np.array(truth) for truth in boxes]
    ious = best_ious(np.stack([enlarged] * 3), truths)
    at = 200
    assert ious.all_contours[:, at].tolist() == [1.0, 1.0, 1.0]
    assert ious.largest[:, at].tolist() == [0.0, 1.0, 1.0]
    # Above the weak blob only the strong one is left, as the largest too.
    assert ious.largest[:, 600].tolist() == [1.0, 0.0, 0.0]
    same = best_ious_of_boxes([boxes_at_thresholds(enlarged)] * 3, truths)
    assert (same.largest == ious.largest).all()
    accuracies = box_accuracies(localized(ious), np.array([1.0, 0.0, 1.0]), EVERYONE)
    assert accuracies["max_box_acc_v2"][0] == 1.0
    assert accuracies["gt_known"][0] == pytest.approx(2 / 3)
    assert accuracies["gt_known_at_20"][0] == pytest.approx(2 / 3)
    assert accuracies["top1_loc"][0] == pytest.approx(1 / 3)
    assert accuracy_curve(localized(ious))[0] == {"threshold": 0.0, "gt_known": pytest.approx(2 / 3)}


def test_each_iou_level_has_its_own_best_threshold() -> None:
    ious = np.zeros((3, 1001))
    ious[:, 100] = [0.45, 0.45, 0.45]  # all right at 0.3
    ious[:, 500] = [0.71, 0.2, 0.2]  # one right at 0.7
    ious[:, 200] = [0.5, 0.69, 0.0]
    accuracies = box_accuracies(localized(BestIous(ious, ious)), np.ones(3), EVERYONE)
    assert [accuracies[f"max_box_acc_{level}"][0] for level in (30, 50, 70)] == pytest.approx([1, 2 / 3, 1 / 3])
    assert accuracies["max_box_acc_v2"][0] == pytest.approx(2 / 3)
    assert accuracies["gt_known_at_20"][0] == pytest.approx(2 / 3)


def test_every_draw_chooses_its_threshold_anew() -> None:
    ious = np.zeros((2, 1001))
    ious[0, 100], ious[1, 700] = 1.0, 1.0
    weights = np.array([[1, 1], [2, 0], [0, 2]], np.float32)
    assert box_accuracies(localized(BestIous(ious, ious)), np.ones(2), weights)["gt_known"].tolist() == [0.5, 1.0, 1.0]


def test_what_is_kept_is_what_was_measured() -> None:
    """A thousand thresholds do not fill their bytes; none is lost or added."""
    bits = localized(BestIous(*np.random.default_rng(5).random((2, 3, 1001))))
    assert (unpacked(packed(bits)) == bits).all()


def test_pxap_by_hand() -> None:
    """Above 0.9 one object pixel; at 0.5 another one and one of the background: 1 * 1/2 + 2/3 * 1/2."""
    score, mask = np.array([[0.9, 0.5], [0.5, 0.1]]), np.array([[1, 1], [0, 0]], np.uint8)
    precision = pixel_average_precision(pixel_histograms(score, mask)[None], np.ones((1, 1), np.float32))[0]
    assert precision == pytest.approx(1 / 2 + 2 / 3 / 2)


def test_a_perfect_map_has_a_pxap_of_one_and_ignored_pixels_do_not_count() -> None:
    mask = np.array([[1, 255], [0, 0]], np.uint8)
    histograms = pixel_histograms(np.array([[1.0, 1.0], [0.0, 0.0]]), mask)
    assert histograms.sum(axis=1).tolist() == [1, 2]
    assert pixel_average_precision(histograms[None], np.ones((1, 1), np.float32))[0] == 1.0


def test_pxap_equals_its_loop_for_every_draw() -> None:
    random = np.random.default_rng(3)
    scores = [score_map(random.normal(size=(3, 5)), 24) for _ in range(3)]
    masks = [random.choice([0, 1, 255], (24, 24)).astype(np.uint8) for _ in range(3)]
    histograms = np.array([pixel_histograms(score, mask) for score, mask in zip(scores, masks, strict=True)])
    weights = resampling_weights(3, 4, seed=1)
    for value, row in zip(pixel_average_precision(histograms, weights), weights, strict=True):
        draw = [i for i in range(3) for _ in range(int(row[i]))]
        expected = reference.pixel_average_precision([scores[i] for i in draw], [masks[i] for i in draw])
        assert_close(value, expected, IDENTITY)


def test_baselines_are_the_boxes_they_are_called() -> None:
    assert boxes_at(full_box_map(), 0.2)[1] == (0, 0, 223, 223)
    first = round(224 * 0.15)
    assert boxes_at(centred_box_map(), 0.2)[1] == (first, first, 224 - first, 224 - first)
    gaussian = centred_gaussian_map()
    assert_close(gaussian, gaussian[::-1, ::-1], FLOAT32)
    assert gaussian.argmax() in (111 * 224 + 111, 111 * 224 + 112, 112 * 224 + 111, 112 * 224 + 112)
    assert (random_map((3, 5), 0, 7) == random_map((3, 5), 0, 7)).all()
    assert (random_map((3, 5), 0, 7) != random_map((3, 5), 0, 8)).any()


def test_at_least_twenty_maps_a_second() -> None:
    maps = np.random.default_rng(4).normal(size=(10, 7, 7))
    truths = [np.array([[20, 20, 99, 99]])] * 10
    fastest = min(_seconds(maps, truths) for _ in range(3))  # the machine may be busy: its best, not its mean
    assert len(maps) / fastest > 20


def _seconds(maps: np.ndarray, truths: list[np.ndarray]) -> float:
    start = time.process_time()
    best_ious(maps, truths)
    return time.process_time() - start
